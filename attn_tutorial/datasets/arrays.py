"""Image sets made of a user's own arrays."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from attn_tutorial.datasets.images import ImageSet
from attn_tutorial.datasets.names import SMALLEST_TILE, SPLITS
from attn_tutorial.errors import InputError, check_choice


def as_image_set(
    images: NDArray[np.uint8] | Tensor,
    labels: ArrayLike | Tensor | None = None,
    classes: Sequence[str] | None = None,
    split: str = "train",
    name: str = "images",
    source: str = "arrays",
) -> ImageSet:
    """Make an image set from arrays, for `Clutter.render`, `ClutterDataset`, `AddClutter` and `export_canvases`.

    Args:
        images: uint8 (N, H, H, 3) or (N, 3, H, H), with H a multiple of 4 and at least 16; they are copied.
        labels: whole numbers (N,), 0 to the number of classes - 1. With labels, fragments come from each class equally
            often, and each class must have at least 2 images. Without labels all images are of one class.
        classes: names of the classes; by default their numbers.
        split: "train", "val", "test" or "bank". Clutter draws other numbers for each, so name your test images "test".
            Fragments come from the set itself, unless you give other images when canvases are made.
        name: what the set is called in messages and data cards.
        source: where the images come from, for people.

    Raises InputError if images or labels are of another type, shape or range.
    """
    check_choice("split", split, SPLITS)
    tensor = _as_tensor(images)
    count = len(tensor)
    if labels is None:
        if classes is not None:
            raise InputError(
                f"`classes` must be given together with `labels`, but got {classes!r} alone. Give both or none."
            )
        labels, classes = np.zeros(count, dtype=np.int64), ("image",)
    numbers = _as_labels(labels, count).to(tensor.device)
    lowest, highest = int(numbers.min()), int(numbers.max())
    names = tuple(map(str, range(highest + 1) if classes is None else classes))
    if lowest < 0 or highest >= len(names):
        raise InputError(
            "`labels` must be from 0 to the number of classes - 1"
            + ("" if classes is None else f", which is {len(names) - 1}")
            + f", but got {lowest} to {highest}."
        )
    return ImageSet(
        images=tensor,
        labels=numbers,
        classes=names,
        split=split,
        index=torch.arange(count, device=tensor.device),
        name=name,
        source=source,
        fingerprint=_fingerprint(tensor, numbers),
        masks=None,
    )


def _as_tensor(images: NDArray[np.uint8] | Tensor) -> Tensor:
    """Return images as a contiguous tensor (N, H, H, 3): a copy, unless they were one."""
    required = (
        "`images` must be a uint8 array or tensor (N, H, H, 3) or (N, 3, H, H) with at least one image, "
        f"and H a multiple of 4 and at least {SMALLEST_TILE}"
    )
    if not isinstance(images, np.ndarray | Tensor):
        raise InputError(f"{required}, but got a {type(images).__name__}. numpy.stack makes one array of many images.")
    if images.dtype not in (np.uint8, torch.uint8):
        raise InputError(
            f"{required}, but got {images.dtype}. Scale them to 0–255, round them, and convert them to uint8."
        )
    # An array is copied, because torch does not accept every memory order, and warns about read-only arrays.
    tensor = torch.from_numpy(np.array(images, order="C")) if isinstance(images, np.ndarray) else images.detach()
    if tensor.ndim == 4 and tensor.shape[1] == 3:
        tensor = tensor.permute(0, 2, 3, 1)
    side = tensor.shape[1] if tensor.ndim == 4 else 0
    if not len(tensor) or tuple(tensor.shape[1:]) != (side, side, 3) or side < SMALLEST_TILE or side % 4:
        raise InputError(
            f"{required}, but got the shape {tuple(images.shape)}. Crop or resize the images, "
            "and give grey images three equal channels."
        )
    return tensor.contiguous()


def _as_labels(labels: ArrayLike | Tensor, count: int) -> Tensor:
    given = labels.detach() if isinstance(labels, Tensor) else np.array(labels)
    if isinstance(given, Tensor):
        whole = not (given.is_floating_point() or given.is_complex() or given.dtype == torch.bool)
    else:
        whole = given.dtype.kind in "iu"
    if not whole or given.shape != (count,):
        raise InputError(
            f"`labels` must be whole numbers of shape ({count},), one per image, but got {given.dtype} of shape "
            f"{tuple(given.shape)}. Give the classes' names as `classes`, and each label as a position among them."
        )
    return given.to(torch.int64) if isinstance(given, Tensor) else torch.from_numpy(given.astype(np.int64))


def _fingerprint(images: Tensor, labels: Tensor) -> str:
    digest = hashlib.sha256(f"{tuple(images.shape)}".encode())
    digest.update(images.cpu().numpy().tobytes())
    digest.update(labels.cpu().numpy().astype("<i8").tobytes())
    return digest.hexdigest()

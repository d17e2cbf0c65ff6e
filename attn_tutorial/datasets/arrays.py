"""From a user's own arrays to an image set."""

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
    """Make an image set of arrays, as input for `Clutter.render`, `ClutterDataset`, `AddClutter`, `export_canvases`.

    Args:
        images: uint8 (N, H, H, 3) or (N, 3, H, H), H a multiple of 4 from 16 up; copied.
        labels: whole numbers (N,), 0 to the number of classes - 1. Without them all images are of one class, and
            fragments are drawn from all images alike; with them from each class alike, which must have at least 2.
        classes: their names; by default the numbers.
        split: "train", "val", "test" or "bank"; clutter draws other numbers for each, so name your test images "test".
            Their fragments come from the set itself, unless you give others where canvases are made.
        name: what the set is called, in messages and data cards.
        source: where the images come from, for people.

    Raises InputError where images or labels are of another type, shape or range.
    """
    check_choice("split", split, SPLITS)
    tensor = _as_tensor(images)
    count = len(tensor)
    if labels is None:
        if classes is not None:
            raise InputError(f"classes {classes!r} were given without labels; give both, or none for a single class")
        labels, classes = np.zeros(count, dtype=np.int64), ("image",)
    numbers = _as_labels(labels, count).to(tensor.device)
    lowest, highest = int(numbers.min()), int(numbers.max())
    names = tuple(map(str, range(highest + 1) if classes is None else classes))
    if lowest < 0 or highest >= len(names):
        raise InputError(
            f"labels from {lowest} to {highest} were given; allowed are 0 to the number of classes - 1"
            + ("" if classes is None else f", here 0 to {len(names) - 1}")
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
    """Images as a tensor of (N, H, H, 3) without gaps, its own unless it was one."""
    allowed = (
        f"allowed are uint8 arrays or tensors (N, H, H, 3) or (N, 3, H, H) with at least one image, "
        f"whose side H is a multiple of 4 from {SMALLEST_TILE} up"
    )
    if not isinstance(images, np.ndarray | Tensor):
        raise InputError(
            f"images as a {type(images).__name__} were given; {allowed}: numpy.stack makes one array of many"
        )
    if images.dtype not in (np.uint8, torch.uint8):
        raise InputError(
            f"images of type {images.dtype} were given; {allowed}: scale them to 0–255, round, and convert to uint8"
        )
    # A copy of an array, as torch takes neither every order of one nor, without a warning, one that is read-only.
    tensor = torch.from_numpy(np.array(images, order="C")) if isinstance(images, np.ndarray) else images.detach()
    if tensor.ndim == 4 and tensor.shape[1] == 3:
        tensor = tensor.permute(0, 2, 3, 1)
    side = tensor.shape[1] if tensor.ndim == 4 else 0
    if not len(tensor) or tuple(tensor.shape[1:]) != (side, side, 3) or side < SMALLEST_TILE or side % 4:
        raise InputError(
            f"images of shape {tuple(images.shape)} were given; {allowed}: crop or resize them, "
            "and give grey images three equal channels"
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
            f"labels of type {given.dtype} and shape {tuple(given.shape)} were given with {count} images; "
            f"allowed are whole numbers, one an image: shape ({count},). Give the classes' names as `classes`, and "
            "each label as a place among them"
        )
    return given.to(torch.int64) if isinstance(given, Tensor) else torch.from_numpy(given.astype(np.int64))


def _fingerprint(images: Tensor, labels: Tensor) -> str:
    digest = hashlib.sha256(f"{tuple(images.shape)}".encode())
    digest.update(images.cpu().numpy().tobytes())
    digest.update(labels.cpu().numpy().astype("<i8").tobytes())
    return digest.hexdigest()

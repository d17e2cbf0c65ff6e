"""What may be given to the renderer, and the errors that name anything else."""

from collections.abc import Sequence

import torch
from torch import Tensor

from attn_tutorial.datasets.images import ImageSet
from attn_tutorial.datasets.names import SMALLEST_TILE
from attn_tutorial.errors import InputError


def check_number(name: str, given: object, least: int, most: int, unit: str = "") -> None:
    """Raise InputError unless `given` is a whole number from `least` to `most`."""
    if type(given) is not int or not least <= given <= most:
        raise InputError(f"`{name}` must be a whole number from {least} to {most}{unit}, but got {given!r}.")


def check_epoch(epoch: object) -> None:
    """Raise InputError unless `epoch` fits into a word of the random generator's counter."""
    check_number("epoch", epoch, 0, 2**32 - 1)


def positions(indices: Tensor | Sequence[int], image_set: ImageSet) -> Tensor:
    """Return what the user gave as positions, int64 (batch,) on the images' device; negative ones count from the end.

    That they lie within the set is checked only where this does not make a GPU's host wait.
    """
    device, count = image_set.images.device, len(image_set)
    given = torch.as_tensor(indices, device=device, dtype=None if len(indices) else torch.int64)
    if given.ndim != 1 or given.dtype not in (torch.int16, torch.int32, torch.int64):
        raise InputError(
            "`indices` must be whole numbers of shape (batch,), positions in the image set, but got "
            f"{given.dtype} of shape {tuple(given.shape)}. For a mask give torch.nonzero(mask)[:, 0]."
        )
    if device.type == "cpu" and not torch.compiler.is_compiling() and len(given):
        lowest, highest = int(given.min()), int(given.max())
        if lowest < -count or highest >= count:
            raise InputError(
                f"`indices` must be positions from {-count} to {count - 1}, but got {lowest} to {highest}."
            )
    return torch.where(given < 0, given + count, given).to(torch.int64)


def pool_of(image_set: ImageSet, given: ImageSet | None) -> ImageSet:
    """Return the images that distractors are cut from: the ones that were given, or else the split's own source."""
    if given is not None:
        return given
    return image_set if image_set.fragments is None else image_set.fragments


def check_images(image_set: ImageSet, pool: ImageSet, canvas: int, other_classes: bool) -> None:
    """Raise InputError unless clutter can be drawn around the images of `image_set`, cut from those of `pool`.

    Args:
        image_set: the targets.
        pool: the images that distractors are cut from.
        canvas: side of the canvas in pixels.
        other_classes: whether fragments are of other classes than the label.

    """
    for images in (image_set.images, pool.images):
        side = images.shape[1] if images.ndim == 4 else 0
        wanted = (len(images), side, side, 3)
        if images.dtype != torch.uint8 or tuple(images.shape) != wanted or side < SMALLEST_TILE or side % 4:
            raise InputError(
                "Images must be square and uint8, of shape (N, H, H, 3) with H a multiple of 4 and at least "
                f"{SMALLEST_TILE}, but got {images.dtype} of shape {tuple(images.shape)}. Convert or resize them."
            )
    if other_classes and len(pool.classes) < 2:
        raise InputError(
            "`fragment_classes` must be 'any' for images of a single class, but got 'other'. "
            "Give images of at least two classes."
        )
    side, lent = image_set.images.shape[1], pool.images.shape[1]
    if lent != side:
        raise InputError(
            f"Images and the images that distractors are cut from must have the same size, but got {side} px and "
            f"{lent} px. Resize one of the two sets."
        )
    if canvas < side:
        raise InputError(f"`canvas` must be at least as large as the images, which have {side} px, but got {canvas}.")

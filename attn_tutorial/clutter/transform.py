"""Clutter as a transform of batches, like the ones of `torchvision.transforms.v2`."""

from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from attn_tutorial.clutter.renderer import Clutter
from attn_tutorial.datasets.images import ImageSet
from attn_tutorial.errors import InputError

_REQUIRED = "A sample must contain one uint8 tensor (..., 3, H, H), plain or a tv_tensors.Image"


class AddClutter(v2.Transform):
    """Puts each image of a batch on a canvas of its own, among clutter cut from a pool of images.

    Takes one uint8 tensor (..., 3, H, H), plain or a `tv_tensors.Image`, alone or within a sample such as (images,
    labels). Replaces it by canvases (..., 3, C, C) of the same kind, and passes everything else through. Of several
    plain tensors the first must be the images, as for all transforms of v2.

    Args:
        pool: images of the same side and on the same device, from `as_image_set` or `load_images`. The transform does
            not know whether an image is in the pool as well, and may then cut a fragment from it.
        clutter: what is drawn around the images.
        masks: if True, gives pairs (canvas, visible mask) where there was an image, so that (images, labels) becomes
            ((canvases, masks), labels). Masks are a `tv_tensors.Mask`, bool (..., C, C), which later transforms move.

    Randomness: a transform knows no image index, so each call draws one for each image from torch's default generator,
    like other v2 transforms. `torch.manual_seed` before the call reproduces it. Workers of a `DataLoader` draw
    different numbers, and another number of workers gives other clutter; use `ClutterDataset` to avoid this.

    Raises InputError for images of another type or shape, for several of them in one sample, for masks, boxes or key
    points given with them (which would not follow the image), and in the cases in which `Clutter.render` raises it.

    """

    _transformed_types = (Tensor,)

    def __init__(self, pool: ImageSet, clutter: Clutter, masks: bool = False):
        super().__init__()
        if clutter.fragment_classes == "other":
            raise InputError(
                "`fragment_classes` must be 'any' in AddClutter, which does not see labels, but got 'other'. "
                "Use ClutterDataset for this control."
            )
        self.pool, self.clutter, self.masks = pool, clutter, masks
        clutter.render(pool, [0], fragments=pool)  # a trial, so that images that the renderer refuses are named here

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        """Refuse a sample in which the first plain tensor, the one that is taken for the images, is something else."""
        if any(isinstance(value, tv_tensors.Image | tv_tensors.Video | Image.Image) for value in flat_inputs):
            return  # then plain tensors are passed through
        plain = [(place, value) for place, value in enumerate(flat_inputs, 1) if type(value) is Tensor]
        if not plain or _is_image(plain[0][1]):
            return
        place, first = plain[0]
        images = [_in_words(value, place, flat_inputs) for place, value in plain[1:] if _is_image(value)]
        if images or first.ndim < 2 or (first.ndim == 2 and first.dtype != torch.uint8):
            given = " before ".join([_in_words(first, place, flat_inputs), *images[:1]])
            raise InputError(
                f"The first plain tensor of a sample must be its images, uint8 (..., 3, H, H), but got {given}. Put "
                "images before labels and other tensors, such as (images, labels), or wrap them in tv_tensors.Image."
            )

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw a number for each image."""
        if len(flat_inputs) != 1 or type(flat_inputs[0]) not in (Tensor, tv_tensors.Image):
            given = ", ".join(type(value).__name__ for value in flat_inputs) or "no tensor"
            raise InputError(f"{_REQUIRED}, but got {given}. Put v2.ToImage() before AddClutter for PIL images.")
        image = flat_inputs[0]
        if not _is_image(image):
            raise InputError(
                f"{_REQUIRED}, but got {image.dtype} of shape {tuple(image.shape)}. Put AddClutter before v2.ToDtype, "
                "and v2.RGB() before AddClutter for grey images."
            )
        if image.device != self.pool.images.device:
            raise InputError(
                f"Images must be on the pool's device, {self.pool.images.device}, but got images on {image.device}. "
                f'Give AddClutter pool.to("{image.device}").'
            )
        return {"index": torch.randint(2**32, (image.shape[:-3].numel(),)).to(image.device)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Render the canvases of one tensor of images."""
        index = params["index"]
        images = ImageSet(
            images=inpt.as_subclass(Tensor).reshape(-1, *inpt.shape[-3:]).permute(0, 2, 3, 1).contiguous(),
            labels=torch.zeros_like(index),
            classes=self.pool.classes,
            split=self.pool.split,
            index=index,
            name="batch",
            source="",
            fingerprint="",
            masks=None,
            fragments=self.pool,
        )
        batch = self.clutter.render(images, torch.arange(len(index), device=index.device))
        side, leading = self.clutter.canvas, inpt.shape[:-3]
        canvas = tv_tensors.wrap(batch.canvas.reshape(*leading, 3, side, side), like=inpt)
        if not self.masks:
            return canvas
        return canvas, tv_tensors.Mask(batch.visible_mask.reshape(*leading, side, side))


def _is_image(tensor: Tensor) -> bool:
    return tensor.dtype == torch.uint8 and tensor.ndim >= 3 and tensor.shape[-3] == 3


def _in_words(tensor: Tensor, place: int, sample: list[Any]) -> str:
    """Say what a tensor is, and where in a flattened sample it is, counted from 1."""
    where = f" (value {place} of {len(sample)})" if len(sample) > 1 else ""
    return f"{tensor.dtype} of shape {tuple(tensor.shape)}{where}"

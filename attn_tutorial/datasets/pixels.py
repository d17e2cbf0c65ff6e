"""Pixels as single 32-bit words: red, green, blue and a byte that pads, so that a pixel moves in one piece."""

import torch
from torch import Tensor
from torch.nn import functional

from attn_tutorial.datasets.tables import table


def padded(images: Tensor) -> Tensor:
    """Return uint8 images (N, H, W, 3) as a view of storage with four bytes a pixel; a copy, unless they are one."""
    count, height, width, _ = images.shape
    # The last pixel's fourth byte must be there, too: a view of pictures with four channels may end before it.
    end = images.storage_offset() + count * height * width * 4
    if images.stride() == (height * width * 4, width * 4, 4, 1) and end <= images.untyped_storage().nbytes():
        return images
    return functional.pad(images, (0, 1))[..., :3]


def packed(images: Tensor) -> Tensor:
    """Return images as words, int32 (N, H, W); without a copy if they are padded."""
    if images.stride(2) != 4:  # `padded` asks for the storage's end, which a compiled graph cannot
        images = padded(images)
    count, height, width, _ = images.shape
    return images.as_strided((count, height, width, 4), images.stride()).view(torch.int32).squeeze(-1)


def unpacked(words: Tensor) -> Tensor:
    """Return words, int32 (B, H, W), as bytes, uint8 (B, H, W, 4), without a copy."""
    return words.view(torch.uint8).view(*words.shape, 4)


def mixed(below: Tensor, above: Tensor, weight: Tensor) -> Tensor:
    """Lay words over words with a weight in 1/256, rounding to the nearest; all broadcast to int32 (B, H, W).

    `weight` int32: 0 leaves what is below as it is, 256 replaces it.
    """
    under, over = (unpacked(words).to(torch.int32) for words in torch.broadcast_tensors(below, above.contiguous()))
    return joined((under * (256 - weight[..., None]) + over * weight[..., None] + 128) >> 8)


def joined(channels: Tensor) -> Tensor:
    """Return bytes held as int32 (..., 4) as words, int32 (...)."""
    return channels.to(torch.uint8).view(torch.int32).squeeze(-1)


def span(low: Tensor, size: Tensor | int, side: int) -> Tensor:
    """Whether each of `side` places lies in low..low+size-1: bool, one axis more than `low`."""
    at = table(range(side), low.device, torch.int32)
    edge = size[..., None] if isinstance(size, Tensor) else size
    return (at >= low[..., None]) & (at < low[..., None] + edge)


def ramp(low: Tensor, size: Tensor | int, side: int, feather: int) -> Tensor:
    """Weight in 1/256 of a patch at each of `side` places along an axis: it fades in over `feather` pixels.

    The outermost pixel weighs 1/(feather+1), the next 2/(feather+1), and so on; int32, one axis more than `low`.
    """
    at = table(range(side), low.device, torch.int32) - low[..., None]
    edge = size[..., None] if isinstance(size, Tensor) else size
    depth = torch.minimum(at, edge - 1 - at)
    return ((depth + 1).clamp(0, feather + 1) * 256) // (feather + 1)

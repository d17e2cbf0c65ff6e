"""What layers draw with: pixel words mixed with others, and the weights of a patch along an axis."""

import torch
from torch import Tensor

from attn_tutorial.clutter.tables import table
from attn_tutorial.datasets.pixels import unpacked


def mixed(below: Tensor, above: Tensor, weight: Tensor) -> Tensor:
    """Mix pixel words with a weight in 1/256, rounded to the nearest value; all broadcast to one shape.

    Args:
        below: int32 (batch, height, width), pixel words.
        above: int32 (batch, height, width), the pixel words over them.
        weight: int32 (batch, height, width): 0 leaves what is below as it is, 256 replaces it.

    """
    under, over = (unpacked(words).to(torch.int32) for words in torch.broadcast_tensors(below, above.contiguous()))
    return joined((under * (256 - weight[..., None]) + over * weight[..., None] + 128) >> 8)


def joined(channels: Tensor) -> Tensor:
    """Return bytes, stored as int32 (..., 4), as pixel words, int32 (...)."""
    return channels.to(torch.uint8).view(torch.int32).squeeze(-1)


def span(low: Tensor, size: Tensor | int, side: int) -> Tensor:
    """Return whether each of `side` places lies in low..low+size-1: bool, with one axis more than `low`."""
    at = table(range(side), low.device, torch.int32)
    edge = size[..., None] if isinstance(size, Tensor) else size
    return (at >= low[..., None]) & (at < low[..., None] + edge)


def ramp(low: Tensor, size: Tensor | int, side: int, feather: int) -> Tensor:
    """Return the weight in 1/256 of a patch at each of `side` places along an axis: it fades in over `feather` pixels.

    The outermost pixel has the weight 1/(feather+1), the next one 2/(feather+1), and so on; int32, with one axis more
    than `low`.
    """
    at = table(range(side), low.device, torch.int32) - low[..., None]
    edge = size[..., None] if isinstance(size, Tensor) else size
    depth = torch.minimum(at, edge - 1 - at)
    return ((depth + 1).clamp(0, feather + 1) * 256) // (feather + 1)

"""What a block sees and how it starts, found out by trying it."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from attn_tutorial.blocks.base import AttentionBlock
from attn_tutorial.blocks.registry import build_block

# Wider than twice the reach of any block's kernel, so that a kernel differs from the whole image.
_SIDE = 21
_NOISE = 0.3
_IMAGES = 8
_ROUNDING = 1e-9
_STARTS = 20

Shuffle = Literal["any", "whole rows and columns", "none"]


@dataclass(frozen=True)
class Sight:
    """What a block sees."""

    weighs: tuple[str, ...]
    """The kinds of its attention maps: "channel", "spatial", "full", "pairwise"."""
    looks: bool
    """Whether its maps differ from image to image."""
    places: str
    """The places that one number of the output depends on, apart from its own."""
    channels: str
    """The channels that it depends on, apart from its own."""
    shuffled_places: Shuffle
    """The widest shuffle of places that the block does not notice: its output is then the same, shuffled."""
    shuffled_channels: bool
    """Whether the block does not notice a shuffle of the channels."""


def sight_of(block: AttentionBlock) -> Sight:
    """Find out what a block sees: from its maps, from gradients, and by shuffling its input.

    This tries a copy of the block, in evaluation mode and double precision. The copy has noise on its weights, so that
    a start as the identity hides nothing.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tried = copy.deepcopy(block).double().eval()
        with torch.no_grad():
            for parameter in tried.parameters():
                parameter.add_(_NOISE * torch.randn_like(parameter))
        # Means and spreads differ: otherwise a hidden unit could be off for all images, which hides what it depends on.
        mean, spread = torch.randn(2, _IMAGES, block.channels, 1, 1, dtype=torch.float64)
        x = mean + spread.exp() * torch.randn(_IMAGES, block.channels, _SIDE, _SIDE, dtype=torch.float64)
        maps = tried.attention(x)
        places, channels = _heard(tried, x)
        return Sight(
            weighs=tuple(maps),
            looks=any(not torch.equal(each[:1].expand_as(each), each) for each in maps.values()),
            places=_name_places(places),
            channels=_name_channels(channels),
            shuffled_places=_unnoticed_shuffle(tried, x),
            shuffled_channels=_unnoticed(tried, x, _shuffle_channels),
        )


def start_of(name: str, channels: int, **options: Any) -> tuple[float, bool]:
    """Measure what a block does before it is trained, on normal random features.

    Returns:
        the standard deviation of the output divided by the input's, as a mean over 20 starts; and whether every start
        is exactly the identity

    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        x = torch.randn(8, channels, 6, 6)
        outputs = [build_block(name, channels, **options)(x) for _ in range(_STARTS)]
        ratios = [(output.std() / x.std()).item() for output in outputs]
        return sum(ratios) / _STARTS, all(torch.equal(output, x) for output in outputs)


def _heard(block: AttentionBlock, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the places (H, W) and channels (C,) from which the number in the middle has a gradient, in any image."""
    x = x.clone().requires_grad_()
    _, channels, height, width = x.shape
    block(x)[:, channels // 2, height // 2, width // 2].sum().backward()
    assert x.grad is not None
    heard = (x.grad != 0).any(0)  # C, H, W
    return heard.any(0), heard.flatten(1).any(1)


def _unnoticed_shuffle(block: AttentionBlock, x: Tensor) -> Shuffle:
    if _unnoticed(block, x, _shuffle_places):
        return "any"
    return "whole rows and columns" if _unnoticed(block, x, _shuffle_rows_and_columns) else "none"


def _unnoticed(block: AttentionBlock, x: Tensor, shuffle: Callable[[Tensor], Tensor]) -> bool:
    with torch.no_grad():
        return bool((block(shuffle(x)) - shuffle(block(x))).abs().max() < _ROUNDING)


def _order(count: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(count))  # the same at each call


def _shuffle_places(x: Tensor) -> Tensor:
    return x.flatten(2)[:, :, _order(x[0, 0].numel())].reshape(x.shape)


def _shuffle_rows_and_columns(x: Tensor) -> Tensor:
    return x[:, :, _order(x.shape[2])][..., _order(x.shape[3])]


def _shuffle_channels(x: Tensor) -> Tensor:
    return x[:, _order(x.shape[1])]


def _name_places(heard: Tensor) -> str:
    if heard.all():
        return "all"
    middle = _SIDE // 2
    away = (torch.arange(_SIDE) - middle).abs()
    rows, columns = away[:, None], away[None, :]
    for reach in range(middle):
        if torch.equal(heard, (rows <= reach) & (columns <= reach)):
            return f"within {reach}" if reach else "none"
        if torch.equal(heard, (rows <= reach) | (columns <= reach)):
            return "its row and column" + f", ± {reach}" * (reach > 0)
    return f"{int(heard.sum()) - 1} of {heard.numel() - 1}"


def _name_channels(heard: Tensor) -> str:
    if heard.all():
        return "all"
    middle, count = len(heard) // 2, int(heard.sum())
    reach = int((heard.nonzero() - middle).abs().max())
    if count == 2 * reach + 1:
        return f"within {reach}" if reach else "none"
    first = middle // count * count
    if heard[first : first + count].all():
        return f"its group of {count}"
    return f"{count - 1} of {len(heard) - 1}"

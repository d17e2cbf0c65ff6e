"""Bottleneck Attention Module: one gate for each channel at each place, from two small networks."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from attn_tutorial.blocks.base import AttentionBlock, Features, Maps
from attn_tutorial.blocks.float16 import as_gate, in_float32, mean
from attn_tutorial.blocks.options import BAMOptions, Combine

JOIN: dict[Combine, Callable[[Tensor, Tensor], Tensor]] = {
    "sum": torch.add,
    "product": torch.mul,
    "max": torch.maximum,
}


class BAM(AttentionBlock):
    """Bottleneck Attention Module: M = σ(channel(x) + spatial(x)), out = x + M · x.

    The channel branch is a perceptron on the mean of each channel. The spatial branch is two dilated 3×3 convolutions
    between two 1×1 convolutions. The hidden layers of both have h = ⌊C / r⌋ units. The norms are where the authors'
    code has them, on the hidden layers; the paper's equations have one after each branch.

    Parameters: 2Ch + 3h + C for the channels, Ch + 3h + 2(9h² + 3h) + h + 1 for the places. Raises `ValueError` if
    C < r. Training needs more than one image in the batch, as batch normalisation of the channel branch does.

    In float16 both branches are computed in float32. M is at most 1, so the output fits if x is at most half of the
    largest number.

    Source: Park, Woo, Lee, Kweon, BAM, 2018, section 3, equations 1–4; combine is ablated in section 4.1
    (arXiv 1807.06514).

    Args:
        channels: C
        reduction: r
        dilation: dilation of the 3×3 convolutions, in places
        combine: how the branches become one before σ, by their sum, product or maximum

    """

    name = "bam"
    chosen: BAMOptions

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(channels, **options)
        hidden, dilation = channels // self.chosen.reduction, self.chosen.dilation
        self.channel = nn.Sequential(
            nn.Linear(channels, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, channels)
        )
        self.spatial = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            *_norm_relu(hidden),
            nn.Conv2d(hidden, hidden, 3, padding=dilation, dilation=dilation),
            *_norm_relu(hidden),
            nn.Conv2d(hidden, hidden, 3, padding=dilation, dilation=dilation),
            *_norm_relu(hidden),
            nn.Conv2d(hidden, 1, 1),
        )

    def attention(self, x: Features) -> Maps:
        """Return `full`: one weight per channel and place, (B, C, H, W), in (0, 1)."""
        self.check_input(x)
        channel = in_float32(self.channel, mean(x, (2, 3)))[:, :, None, None]  # B, C, 1, 1
        spatial = in_float32(self.spatial, x)  # B, 1, H, W
        return {"full": as_gate(torch.sigmoid(JOIN[self.chosen.combine](channel, spatial)), x)}

    def apply_attention(self, x: Features, maps: Maps) -> Features:
        """Return `x` plus its product with the given weights."""
        return (x + x * maps["full"]).to(x.dtype)


def _norm_relu(hidden: int) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm2d(hidden), nn.ReLU()

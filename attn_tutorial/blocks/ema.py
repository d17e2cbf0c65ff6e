"""Efficient multi-scale attention: strips and a 3×3 convolution within groups of channels, each weighing the other."""

from typing import Any

import torch
from torch import Tensor, nn

from attn_tutorial.blocks.base import AttentionBlock, Features, Maps, sigmoid_gate, zero_
from attn_tutorial.blocks.float16 import as_gate, in_float32, without_float16
from attn_tutorial.blocks.norm import GroupNorm
from attn_tutorial.blocks.options import EMAOptions


class EMA(AttentionBlock):
    """Efficient multi-scale attention: in each group of channels, out = σ(s(a) · b + s(b) · a) · x.

    a = norm(σ(W mean rows) · σ(W mean columns) · x), b = conv3×3(x). s(·) is the softmax over the group's channels of
    their means over the places, and s(a) · b the sum of b's channels with these weights. So all channels of a group
    share one map. W, norm and the convolution are the same for all groups.

    The norm has one channel in each of its groups. So each channel of a has its bias as its mean, whatever the image
    is: s(a) is learned, but never looks at the image. This is so in the authors' code, too.

    Parameters: with c = C / G channels in a group, c² + c (W), 9c² + c (convolution) and 2c (norm). Raises `ValueError`
    unless G divides C and leaves at least 2 channels in a group.

    Source: Ouyang, He, Zhang, Luo, Guo, Zhan, Huang, Efficient Multi-Scale Attention Module with Cross-Spatial
    Learning, 2023, section 3 (arXiv 2305.13563).

    Args:
        channels: C
        groups: G, the number of groups (`factor` in the authors' code, where it is 32; 8 suits narrow networks)
        at_start: "half", the paper's σ; "identity", 2σ with convolution and norm at zero, exactly 1

    """

    name = "ema"
    chosen: EMAOptions

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(channels, **options)
        groups = self.chosen.groups
        width = channels // groups
        if channels < 2:
            raise ValueError(f"block 'ema' needs at least 2 channels, but got {channels}. Give more channels.")
        if channels % groups or width < 2:
            raise ValueError(
                f"`groups` of block 'ema' must divide the number of channels and leave at least 2 in a group, but got "
                f"{groups} for {channels} channels. Give a divisor of {channels} that is at most {channels // 2}."
            )
        self.strips = nn.Conv2d(width, width, 1)
        self.norm = GroupNorm(width, width)
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        if self.chosen.at_start == "identity":
            zero_(self.norm)
            zero_(self.conv)

    def attention(self, x: Features) -> Maps:
        """Return `full`: one gate per group and place, (B, C, H, W), the same for all channels of a group."""
        self.check_input(x)
        with without_float16(x) as wide:
            grouped = wide.unflatten(1, (self.chosen.groups, -1)).flatten(0, 1)  # B·G, c, H, W
            a, b = self._of_strips(grouped), in_float32(self.conv, grouped)
            logits = _weighed(b, a) + _weighed(a, b)  # B·G, 1, H, W
            gates = sigmoid_gate(logits, self.chosen.at_start)
            gates = gates.expand(-1, grouped.shape[1], -1, -1).unflatten(0, (-1, self.chosen.groups)).flatten(1, 2)
        return {"full": as_gate(gates, x)}

    def _of_strips(self, x: Tensor) -> Tensor:
        rows, columns = x.mean(3, keepdim=True), x.mean(2, keepdim=True)  # B·G, c, H, 1 and B·G, c, 1, W
        both = in_float32(self.strips, torch.cat([rows, columns.mT], 2))
        rows, columns = both.split([x.shape[2], x.shape[3]], 2)
        return in_float32(self.norm, x * rows.sigmoid() * columns.mT.sigmoid())


def _weighed(x: Tensor, by: Tensor) -> Tensor:
    """Return the sum of the channels of `x`, (B, 1, H, W), weighed by the softmax of the means of `by`."""
    weights = by.mean((2, 3)).softmax(1)  # B, c
    return torch.einsum("bc,bchw->bhw", weights, x).unsqueeze(1)

"""Gates from strips: the means of rows and of columns, each looked at by a convolution along the strip."""

import math
from typing import Any

from torch import Tensor, nn

from attn_tutorial.blocks.base import AttentionBlock, Features, Maps, sigmoid_gate, zero_
from attn_tutorial.blocks.float16 import as_gate, in_float32, mean
from attn_tutorial.blocks.norm import GroupNorm
from attn_tutorial.blocks.options import ELAOptions, StripOptions


class ELA(AttentionBlock):
    """Efficient Local Attention: out = σ(norm(F mean rows)) · σ(norm(F mean columns)) · x.

    F is a convolution of k places along the strip, and norm a group normalisation. There is no hidden layer: each
    channel keeps its own strip, unlike in coordinate attention. The paper's four sizes are T: kernel 5, norm_groups 32;
    B: kernel 7, norm_groups 16; S: kernel 5, mixed 8, norm_groups 16; L: kernel 7, mixed 8, norm_groups 16.

    Most public code shares one convolution and one norm between rows and columns, which is the default here. timm has
    two of each. We found no code by the authors, and know the sizes from several copies that agree.

    Parameters: k·m·C + 2C, twice as many if not shared. Raises `ValueError` if m or the number of norm groups does not
    divide C.

    Source: Xu, Wan, ELA: Efficient Local Attention for Deep Convolutional Neural Networks, 2024
    (arXiv 2403.01123).

    Args:
        channels: C
        kernel: k, odd
        mixed: m, how many channels one output of the convolution reads; 1 is depthwise
        norm_groups: groups of the normalisation; by default 16, or the greatest common divisor of 16 and C
        shared: whether rows and columns share convolution and norm
        at_start: "half", the paper's σ, each gate near 1/2 before training; "identity", 2σ with the norm's weights at
            zero, exactly 1

    """

    name = "ela"
    chosen: ELAOptions

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(channels, **options)
        for option, parts in (("mixed", self.chosen.mixed), ("norm_groups", self.chosen.norm_groups or 1)):
            if channels % parts:
                raise ValueError(
                    f"`{option}` of block 'ela' must divide the number of channels, but got {parts} for {channels} "
                    f"channels. Give a divisor of {channels}."
                )
        self.rows = self._look()
        self.columns = None if self.chosen.shared else self._look()

    def attention(self, x: Features) -> Maps:
        """Return `full`: the product of a row's and a column's gate, (B, C, H, W)."""
        self.check_input(x)
        rows = in_float32(self.rows, mean(x, (3,), keepdim=True))  # B, C, H, 1
        columns = in_float32(self.columns or self.rows, mean(x, (2,), keepdim=True).mT).mT  # B, C, 1, W
        gates = [as_gate(sigmoid_gate(each, self.chosen.at_start), x) for each in (rows, columns)]
        return {"full": gates[0] * gates[1]}

    def _look(self) -> nn.Sequential:
        channels, kernel = self.channels, self.chosen.kernel
        conv = _along(channels, kernel, channels // self.chosen.mixed)
        norm = GroupNorm(self.chosen.norm_groups or math.gcd(16, channels), channels)
        if self.chosen.at_start == "identity":
            zero_(norm)
        return nn.Sequential(conv, norm)


class StripAttention(AttentionBlock):
    """Minimal strip attention: out = σ(F mean rows + G mean columns) · x, with depthwise convolutions along the strips.

    Row and column are added before the sigmoid, so a place needs one of the two, where ELA and coordinate attention
    multiply two gates and need both.

    Parameters: 2kC; none without `conv`.

    Source: `StripAttn` of timm 1.0.31 (`timm/layers/coord_attn.py`), "Minimal Strip Attention". We found no paper.

    Args:
        channels: C
        conv: whether there are convolutions; without them the block has no parameters
        kernel: k, odd
        at_start: "half", σ, near 1/2 before training; "identity", 2σ with the convolutions at zero, exactly 1

    """

    name = "strip"
    chosen: StripOptions

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(channels, **options)
        self.rows, self.columns = self._look(), self._look()

    def attention(self, x: Features) -> Maps:
        """Return `full`: one gate per channel and place, (B, C, H, W)."""
        self.check_input(x)
        rows: Tensor = in_float32(self.rows, mean(x, (3,), keepdim=True))  # B, C, H, 1
        columns: Tensor = in_float32(self.columns, mean(x, (2,), keepdim=True).mT).mT  # B, C, 1, W
        return {"full": as_gate(sigmoid_gate(rows + columns, self.chosen.at_start), x)}

    def _look(self) -> nn.Module:
        if not self.chosen.conv:
            return nn.Identity()
        conv = _along(self.channels, self.chosen.kernel, self.channels)
        if self.chosen.at_start == "identity":
            zero_(conv)
        return conv


def _along(channels: int, kernel: int, groups: int) -> nn.Conv2d:
    """Build a convolution along strips (B, C, length, 1). In two dimensions it keeps the memory format of images."""
    return nn.Conv2d(channels, channels, (kernel, 1), padding=(kernel // 2, 0), groups=groups, bias=False)

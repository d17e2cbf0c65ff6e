"""Coordinate attention: a gate for each row and one for each column, channel by channel."""

from typing import Any

import torch
from torch import nn

from attn_tutorial.blocks.base import AttentionBlock, Features, Maps, sigmoid_gate, zero_
from attn_tutorial.blocks.float16 import as_gate, in_float32, mean
from attn_tutorial.blocks.options import CoordinateOptions


class CoordinateAttention(AttentionBlock):
    """Coordinate attention: out = σ(W_h u_h) · σ(W_w u_w) · x, with u = hardswish(norm(W [mean rows; mean columns])).

    Rows and columns share W and the norm, which reduce C channels to m = max(8, ⌊C / r⌋).

    Parameters: 3Cm + 3m + 2C.

    Source: Hou, Zhou, Feng, Coordinate Attention for Efficient Mobile Network Design, 2021, section 3.2, equations 4–9
    (arXiv 2103.02907).

    Args:
        channels: C
        reduction: r
        at_start: "half", the paper's σ, each gate near 1/2 before training; "identity", 2σ with W_h and W_w at zero,
            exactly 1

    """

    name = "coordinate"
    least_hidden = 0
    chosen: CoordinateOptions

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(channels, **options)
        hidden = max(8, channels // self.chosen.reduction)
        self.reduce = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.BatchNorm2d(hidden), nn.Hardswish())
        self.row = nn.Conv2d(hidden, channels, 1)
        self.column = nn.Conv2d(hidden, channels, 1)
        if self.chosen.at_start == "identity":
            zero_(self.row)
            zero_(self.column)

    def attention(self, x: Features) -> Maps:
        """Return `full`: the product of a row's and a column's gate, (B, C, H, W)."""
        self.check_input(x)
        rows, columns = mean(x, (3,), keepdim=True), mean(x, (2,), keepdim=True)  # B, C, H, 1 and B, C, 1, W
        both = in_float32(self.reduce, torch.cat([rows, columns.transpose(2, 3)], 2))  # B, m, H + W, 1
        rows, columns = both.split(x.shape[2:], 2)
        row_gate = sigmoid_gate(in_float32(self.row, rows), self.chosen.at_start)  # B, C, H, 1
        column_gate = sigmoid_gate(in_float32(self.column, columns.transpose(2, 3)), self.chosen.at_start)  # B, C, 1, W
        return {"full": as_gate(row_gate, x) * as_gate(column_gate, x)}

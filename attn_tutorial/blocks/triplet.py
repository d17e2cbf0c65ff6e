"""Triplet attention: three spatial gates, each with another axis summarised."""

from typing import Any

import torch
from torch import Tensor, nn

from attn_tutorial.blocks.base import AttentionBlock, Features, Maps, sigmoid_gate
from attn_tutorial.blocks.float16 import as_gate, in_float32, mean
from attn_tutorial.blocks.options import AtStart, TripletOptions


class TripletAttention(AttentionBlock):
    """Triplet attention: out = (g₁ + g₂ + g₃)/3 · x, with g = σ(norm(conv([maximum; mean]))) over one axis each.

    One gate summarises the channels, one the rows, and one the columns; its convolution slides over the two other axes.

    Parameters: 3(2k² + 2). Training needs more than one place in the batch, as batch normalisation does.

    Source: Misra, Nalamada, Arasanipalai, Hou, Rotate to Attend, 2021, section 3.2 (arXiv 2010.03045).

    Args:
        channels: C; nothing depends on it
        kernel: k, the side of the convolutions
        at_start: "half", the paper's σ, near 1/2 before training; "identity", 2σ with the norms' scale at zero,
            exactly 1

    """

    name = "triplet"
    chosen: TripletOptions

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(channels, **options)
        branches = (_branch(self.chosen.kernel, self.chosen.at_start) for _ in range(3))
        self.over_channels, self.over_rows, self.over_columns = branches

    def attention(self, x: Features) -> Maps:
        """Return `full`: the mean of the three gates, (B, C, H, W)."""
        self.check_input(x)
        places = self._gate(self.over_channels, x, 1)  # B, 1, H, W
        columns = self._gate(self.over_rows, x, 2)  # B, C, 1, W
        rows = self._gate(self.over_columns, x, 3)  # B, C, H, 1
        return {"full": (places + columns + rows) / 3}

    def _gate(self, branch: nn.Module, x: Features, axis: int) -> Tensor:
        turned = x.transpose(1, axis)
        summary = torch.cat([turned.amax(1, keepdim=True), mean(turned, (1,), keepdim=True)], 1)
        gate = sigmoid_gate(in_float32(branch, summary), self.chosen.at_start)
        return as_gate(gate, x).transpose(1, axis)


def _branch(kernel: int, at_start: AtStart) -> nn.Sequential:
    norm = nn.BatchNorm2d(1)
    if at_start == "identity":
        nn.init.zeros_(norm.weight)
    return nn.Sequential(nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False), norm)

"""Efficient Channel Attention: each channel's gate looks at its neighbours in the list of channels."""

import math
from typing import Any

from torch import nn

from attn_tutorial.blocks.base import AttentionBlock, Features, Maps, sigmoid_gate, zero_
from attn_tutorial.blocks.float16 import as_gate, in_float32, mean
from attn_tutorial.blocks.options import ECAOptions


class ECA(AttentionBlock):
    """Efficient Channel Attention: s = σ(z ∗ w), out = s · x, where z is the mean of each channel.

    The convolution runs along the channels, in the order in which they are stored, with zeros beyond both ends.

    Parameters: k.

    Source: Wang, Wu, Zhu, Li, Zuo, Hu, ECA-Net, 2020, equations 7–9; the adaptive k is equation 12 with γ = 2 and
    b = 1 (arXiv 1910.03151).

    Args:
        channels: C
        kernel: k, odd; by default |log₂(C)/2 + 1/2|, rounded down and, if even, up by one (as in the authors' code)
        at_start: "half", the paper's σ, near 1/2 before training; "identity", 2σ with the weights at zero,
            exactly 1

    """

    name = "eca"
    chosen: ECAOptions

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(channels, **options)
        kernel = self.chosen.kernel or int((math.log2(channels) + 1) / 2) // 2 * 2 + 1
        self.conv = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)
        if self.chosen.at_start == "identity":
            zero_(self.conv)

    def attention(self, x: Features) -> Maps:
        """Return `channel`: one gate per channel, (B, C, 1, 1)."""
        self.check_input(x)
        z = mean(x, (2, 3)).unsqueeze(1)  # B, 1, C
        logits = in_float32(self.conv, z).squeeze(1)  # B, C
        return {"channel": as_gate(sigmoid_gate(logits, self.chosen.at_start), x)[:, :, None, None]}

"""CBAM and its halves: which channels matter, and which places."""

from typing import Any

import torch
from torch import nn

from attn_tutorial.blocks.base import AttentionBlock, Features, Maps, bottleneck, largest, sigmoid_gate
from attn_tutorial.blocks.float16 import as_gate, in_float32, mean
from attn_tutorial.blocks.options import CBAMOptions, ChannelOptions, SpatialOptions


class ChannelAttention(AttentionBlock):
    """CBAM's channel half: gate = σ(mlp(mean of a channel) + mlp(maximum of a channel)), out = gate · x.

    Parameters: 2C²/r, and C + C/r with bias. Raises `ValueError` if C < r.

    Source: Woo, Park, Lee, Kweon, CBAM, 2018, section 3.1, equation 2 (arXiv 1807.06521).

    Args:
        channels: C
        reduction: r; the perceptron's hidden layer has ⌊C / r⌋ units
        pools: which of the two summaries of a channel to use
        bias: whether the perceptron has biases
        at_start: "half", the paper's σ, near 1/2 before training; "identity", 2σ with the last layer at
            zero, exactly 1

    """

    name = "channel"
    chosen: ChannelOptions

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(channels, **options)
        self.mlp = bottleneck(channels, self.chosen.reduction, self.chosen.bias, self.chosen.at_start)

    def attention(self, x: Features) -> Maps:
        """Return `channel`: one gate per channel, (B, C, 1, 1)."""
        self.check_input(x)
        summaries = []  # each B, C
        if self.chosen.pools != "max":
            summaries.append(mean(x, (2, 3)))
        if self.chosen.pools != "avg":
            summaries.append(largest(x))
        logits = torch.stack([in_float32(self.mlp, z) for z in summaries]).sum(0)  # B, C
        return {"channel": as_gate(sigmoid_gate(logits, self.chosen.at_start), x)[:, :, None, None]}


class SpatialAttention(AttentionBlock):
    """CBAM's spatial half: gate = σ(norm(conv([mean over channels; maximum over channels]))), out = gate · x.

    Parameters: 2k² (k² with one summary), and 2 with norm. With norm, training needs more than one place in
    the batch.

    Source: Woo, Park, Lee, Kweon, CBAM, 2018, section 3.1, equation 3 (arXiv 1807.06521). The summaries stand
    in the equation's order, mean first; the authors' code has the maximum first.

    Args:
        channels: C; nothing depends on it
        pools: which of the two summaries of a place to use
        kernel: k, the side of the convolution
        norm: batch normalisation of the map, as in the authors' code; the equation has none
        at_start: "half", the paper's σ, near 1/2 before training; "identity", 2σ with the last layer at
            zero, exactly 1

    """

    name = "spatial"
    chosen: SpatialOptions

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(channels, **options)
        summaries, kernel = 2 if self.chosen.pools == "both" else 1, self.chosen.kernel
        self.conv = nn.Conv2d(summaries, 1, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(1) if self.chosen.norm else nn.Identity()
        if self.chosen.at_start == "identity":
            nn.init.zeros_(self.norm.weight if isinstance(self.norm, nn.BatchNorm2d) else self.conv.weight)

    def attention(self, x: Features) -> Maps:
        """Return `spatial`: one gate per place, (B, 1, H, W)."""
        self.check_input(x)
        summaries = []  # each B, 1, H, W
        if self.chosen.pools != "max":
            summaries.append(mean(x, (1,), keepdim=True))
        if self.chosen.pools != "avg":
            summaries.append(x.amax(1, keepdim=True))
        logits = in_float32(self.norm, in_float32(self.conv, torch.cat(summaries, 1)))  # B, 1, H, W
        return {"spatial": as_gate(sigmoid_gate(logits, self.chosen.at_start), x)}


class CBAM(AttentionBlock):
    """Convolutional Block Attention Module: a channel gate and a spatial gate.

    "channel-spatial": y = channel(x), out = spatial(y). "spatial-channel": the reverse. "parallel": both
    gates read x and both multiply it (section 4.1 compares the three without saying how the parallel one
    joins).

    In sequence, the features between the gates have the type of x. In float16 they must fit, too. They always do with
    at_start "half"; with "identity" a gate may be 2, so x should be at most 32,752.

    Parameters: those of the halves. Raises `ValueError` if C < reduction.

    Source: Woo, Park, Lee, Kweon, CBAM, 2018, section 3, equation 1 (arXiv 1807.06521).

    Args:
        channels: C
        order: how the halves are arranged
        reduction, channel_pools, bias: reduction, pools and bias of `ChannelAttention`
        spatial_pools, kernel, norm: pools, kernel and norm of `SpatialAttention`
        at_start: at_start of both halves

    """

    name = "cbam"
    chosen: CBAMOptions

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(channels, **options)
        chosen = self.chosen
        self.channel = ChannelAttention(
            channels,
            reduction=chosen.reduction,
            pools=chosen.channel_pools,
            bias=chosen.bias,
            at_start=chosen.at_start,
        )
        self.spatial = SpatialAttention(
            channels,
            pools=chosen.spatial_pools,
            kernel=chosen.kernel,
            norm=chosen.norm,
            at_start=chosen.at_start,
        )

    def attention(self, x: Features) -> Maps:
        """Return `channel` (B, C, 1, 1) and `spatial` (B, 1, H, W); in sequence, the second is read after the first."""
        self.check_input(x)
        if self.chosen.order == "parallel":
            return self.channel.attention(x) | self.spatial.attention(x)
        first, second = self._in_order()
        maps = first.attention(x)
        return maps | second.attention(first.apply_attention(x, maps))

    def forward(self, x: Features) -> Features:
        """Return the gated features, in sequence with one product less than `apply_attention(x, attention(x))`."""
        if self.chosen.order == "parallel":
            return super().forward(x)
        self.check_input(x)
        first, second = self._in_order()
        return second(first(x))

    def _in_order(self) -> tuple[AttentionBlock, AttentionBlock]:
        halves = (self.channel, self.spatial)
        return halves if self.chosen.order == "channel-spatial" else halves[::-1]

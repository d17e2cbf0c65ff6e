"""Controls of the ablation: what a gate does without looking."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attn_tutorial.blocks.base import AttentionBlock, Features, Maps, sigmoid_gate
from attn_tutorial.blocks.float16 import as_gate, widened
from attn_tutorial.blocks.options import StaticGateOptions, StaticSpatialOptions


class StaticGate(AttentionBlock):
    """One learned gate per channel that ignores the input: out = σ(w) · x, with w zero before training.

    Parameters: C.

    Source: a control of this project's study; compare ASR, arXiv 2304.06345, 2023.

    Args:
        channels: C
        at_start: "half", σ(w), 1/2 before training; "identity", 2σ(w), exactly 1

    """

    name = "static_gate"
    chosen: StaticGateOptions

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(channels, **options)
        self.logits = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def attention(self, x: Features) -> Maps:
        """Return `channel`: the same gates for every image, (B, C, 1, 1)."""
        self.check_input(x)
        return {"channel": as_gate(sigmoid_gate(self.logits, self.chosen.at_start), x).expand(x.shape[0], -1, -1, -1)}


class StaticSpatial(AttentionBlock):
    """One learned gate per place that ignores the input: out = σ(w) · x, with w zero before training.

    w is a learned grid of `cells` × `cells` numbers that lies over the whole features. It is resized to their height
    and width by bilinear interpolation, so one block takes features of any size. The default of 6 cells is the side of
    the last stage in the smallest backbone on canvases of 48 pixels: there each place has a number of its own. In
    larger features neighbouring places share numbers, and the map is smooth. Features smaller than the grid read only
    some of its numbers.

    All channels and all images have the same map. So it can learn where targets usually are on a canvas, but not where
    the target of one image is: it is the attention-free counterpart of `spatial`.

    Parameters: cells².

    Source: a control of this project's study.

    Args:
        channels: C
        cells: numbers of the grid along each side
        at_start: "half", σ(w), 1/2 before training; "identity", 2σ(w), exactly 1

    """

    name = "static_spatial"
    chosen: StaticSpatialOptions

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(channels, **options)
        self.logits = nn.Parameter(torch.zeros(1, 1, self.chosen.cells, self.chosen.cells))

    def attention(self, x: Features) -> Maps:
        """Return `spatial`: the same gates for every image, (B, 1, H, W)."""
        self.check_input(x)
        logits = F.interpolate(widened(self.logits), x.shape[2:], mode="bilinear", align_corners=False)
        return {"spatial": as_gate(sigmoid_gate(logits, self.chosen.at_start), x).expand(x.shape[0], -1, -1, -1)}


class RandomGate(AttentionBlock):
    """One random gate per channel, drawn from [0, 1) when the block is built, and kept: out = u · x.

    Parameters: none; the gates are a buffer, saved with the weights.

    Source: a control of this project's study.

    Args:
        channels: C

    """

    name = "random_gate"
    gates: Tensor

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(channels, **options)
        self.register_buffer("gates", torch.rand(1, channels, 1, 1))

    def attention(self, x: Features) -> Maps:
        """Return `channel`: the same gates for every image, (B, C, 1, 1)."""
        self.check_input(x)
        return {"channel": as_gate(self.gates, x).expand(x.shape[0], -1, -1, -1)}


class Identity(AttentionBlock):
    """No attention: out = x.

    Parameters: none.

    Source: a control of this project's study: the network with its slots and nothing in them.

    Args:
        channels: C

    """

    name = "identity"

    def attention(self, x: Features) -> Maps:
        """Return no map."""
        self.check_input(x)
        return {}

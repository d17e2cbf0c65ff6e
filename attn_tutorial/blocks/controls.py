"""Controls of the ablation: what a gate does without looking."""

from typing import Any

import torch
from torch import Tensor, nn

from attn_tutorial.blocks.base import AttentionBlock, Features, Maps, sigmoid_gate
from attn_tutorial.blocks.float16 import as_gate
from attn_tutorial.blocks.options import StaticGateOptions


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

"""Controls of the ablation: what a gate does without looking."""

import torch
from torch import Tensor, nn

from attn_tutorial.blocks.base import AttentionBlock, Features, Maps, sigmoid_gate
from attn_tutorial.blocks.options import AtStart


class StaticGate(AttentionBlock):
    """One learned gate a channel that ignores the input: out = σ(w) · x, with w zero before training.

    Parameters: C.

    Source: a control of this project's study; compare ASR, arXiv 2304.06345, 2023.

    Args:
        channels: C
        at_start: "half", σ(w), 1/2 before training; "identity", 2σ(w), exactly 1

    """

    name = "static_gate"

    def __init__(self, channels: int, at_start: AtStart = "half") -> None:
        super().__init__(channels, at_start=at_start)
        self.at_start: AtStart = at_start
        self.logits = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def attention(self, x: Features) -> Maps:
        """`channel`: the same gates for every image, (B, C, 1, 1)."""
        self.check_input(x)
        return {"channel": sigmoid_gate(self.logits, self.at_start).expand(x.shape[0], -1, -1, -1)}


class RandomGate(AttentionBlock):
    """One random gate a channel, drawn from [0, 1) when the block is built and kept: out = u · x.

    Parameters: none; the gates are a buffer, saved with the weights.

    Source: a control of this project's study.

    Args:
        channels: C

    """

    name = "random_gate"
    gates: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.register_buffer("gates", torch.rand(1, channels, 1, 1))

    def attention(self, x: Features) -> Maps:
        """`channel`: the same gates for every image, (B, C, 1, 1)."""
        self.check_input(x)
        return {"channel": self.gates.expand(x.shape[0], -1, -1, -1)}


class Identity(AttentionBlock):
    """No attention: out = x.

    Parameters: none.

    Source: a control of this project's study: the network with its slots and nothing in them.

    Args:
        channels: C

    """

    name = "identity"

    def __init__(self, channels: int) -> None:
        super().__init__(channels)

    def attention(self, x: Features) -> Maps:
        """No map."""
        self.check_input(x)
        return {}

"""Squeeze-and-Excitation: which channels matter, judged from their means."""

from typing import Any

import torch

from attn_tutorial.blocks.base import AttentionBlock, Features, Maps, bottleneck, largest, sigmoid_gate
from attn_tutorial.blocks.float16 import as_gate, in_float32, mean
from attn_tutorial.blocks.options import SEOptions


class SE(AttentionBlock):
    """Squeeze-and-Excitation: s = σ(W₂ relu(W₁ z)), out = s · x, where z is the mean of each channel.

    Parameters: 2C²/r, and C + C/r with bias. Raises `ValueError` if C < r.

    Source: Hu, Shen, Albanie, Sun, Wu, Squeeze-and-Excitation Networks, 2020, equations 2–4; squeeze and gate
    are ablated in section 6 (arXiv 1709.01507).

    Args:
        channels: C
        reduction: r; the hidden layer has ⌊C / r⌋ units
        squeeze: how a channel becomes one number, by its mean ("avg") or its maximum ("max")
        gate: the last non-linearity; "tanh" and "relu" are for the ablation
        bias: whether the two linear layers have biases
        at_start: "half", the paper's σ, near 1/2 before training; "identity", 2σ with the last layer at
            zero, exactly 1 (only with the sigmoid)

    """

    name = "se"
    chosen: SEOptions

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(channels, **options)
        self.mlp = bottleneck(channels, self.chosen.reduction, self.chosen.bias, self.chosen.at_start)

    def attention(self, x: Features) -> Maps:
        """Return `channel`: one gate per channel, (B, C, 1, 1)."""
        self.check_input(x)
        z = mean(x, (2, 3)) if self.chosen.squeeze == "avg" else largest(x)  # B, C
        logits = in_float32(self.mlp, z)[:, :, None, None]  # B, C, 1, 1
        if self.chosen.gate == "sigmoid":
            return {"channel": as_gate(sigmoid_gate(logits, self.chosen.at_start), x)}
        # A relu has no largest value: in float16 its gates stay in float32.
        return {"channel": as_gate(torch.tanh(logits), x) if self.chosen.gate == "tanh" else torch.relu(logits)}

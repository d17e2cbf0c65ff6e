"""Global context: what Non-local collects, once for the whole image instead of for each place."""

from typing import Any

import torch
from torch import nn

from attn_tutorial.blocks.base import AttentionBlock, Features, Maps, sigmoid_gate, zero_
from attn_tutorial.blocks.float16 import as_gate, in_float32, without_float16
from attn_tutorial.blocks.options import GlobalContextOptions


class GlobalContext(AttentionBlock):
    """Global context block: c = Σ_j a_j x_j over the places j, t = W₂ relu(norm(W₁ c)), out = x + t.

    With pool "attention", a = softmax_j(w · x_j); with "avg", a_j = 1/N. With fusion "scale", out = σ(t) · x. The norm
    is a layer norm over the ⌊C / r⌋ hidden units; W₂ and its bias start at zero, as in the authors' code.

    Parameters: 2C²/r + C/r + C + 2C/r, and C + 1 for the attention pooling. Raises `ValueError` if C < 2r: a layer
    norm of a single unit forgets its input, and one of two units keeps little more than a sign. Give a smaller r where
    there are few channels.

    In float16 the context is computed in float32. The layer norm squares it, which overflows in bfloat16 and float32
    from about 10¹⁹.

    Source: Cao, Xu, Lin, Wei, Hu, GCNet, 2019, section 4.3, equation 5; pool and fusion are ablated in section 5.1
    (arXiv 1904.11492).

    Args:
        channels: C
        reduction: r
        pool: how the places are weighted
        fusion: how the context acts on every place
        at_start: "identity", t = 0 added, or a gate 2σ(t) = 1; "half", for fusion "scale" only, a gate σ(t) = 1/2

    """

    name = "global_context"
    least_hidden = 2
    chosen: GlobalContextOptions

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(channels, **options)
        self.score = nn.Conv2d(channels, 1, 1) if self.chosen.pool == "attention" else None
        hidden = channels // self.chosen.reduction
        last = nn.Linear(hidden, channels)
        zero_(last)
        self.transform = nn.Sequential(nn.Linear(channels, hidden), nn.LayerNorm(hidden), nn.ReLU(), last)

    def attention(self, x: Features) -> Maps:
        """Return `spatial`: each place's share in the context, (B, 1, H, W), with sum 1 over the places."""
        self.check_input(x)
        batch, _, height, width = x.shape
        if self.score is None:
            kind = torch.float32 if x.dtype == torch.float16 else x.dtype
            return {"spatial": x.new_full((batch, 1, height, width), 1 / (height * width), dtype=kind)}
        return {"spatial": in_float32(self.score, x).flatten(2).softmax(2).unflatten(2, (height, width))}

    def apply_attention(self, x: Features, maps: Maps) -> Features:
        """Return `x` with the context of the given shares added to every place, or gating it."""
        with without_float16(x) as wide:
            context = wide.flatten(2) @ maps["spatial"].flatten(2).transpose(1, 2).to(wide.dtype)  # B, C, 1
            t = in_float32(self.transform, context.squeeze(2))[:, :, None, None]  # B, C, 1, 1
        if self.chosen.fusion == "add":
            return (x + t).to(x.dtype)
        return x * as_gate(sigmoid_gate(t, self.chosen.at_start), x)

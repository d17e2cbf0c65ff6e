"""Global response normalisation: channels that answer more strongly than the others are raised."""

from typing import Any

import torch
from torch import nn

from attn_tutorial.blocks.base import AttentionBlock, Features, Maps
from attn_tutorial.blocks.float16 import weights_like, widened
from attn_tutorial.blocks.options import GRNOptions


class GRN(AttentionBlock):
    """Global response normalisation: out = (1 + γ n) · x + β, where n = ‖x_c‖ / (mean over channels of ‖x_c‖ + ε).

    ‖x_c‖ is the Euclidean norm of a channel over all places. γ and β are learned, one number a channel, and start at
    zero, so the block starts as the identity. The gate has no sigmoid: it may be negative and has no largest value.

    Parameters: 2C.

    Source: Woo, Debnath, Hu, Chen, Liu, Kweon, Xie, ConvNeXt V2, 2023, section 3, equations 1 to 3 and algorithm 1
    (arXiv 2301.00808). There it stands on the widened features inside a ConvNeXt unit, after the GELU.

    Args:
        channels: C
        eps: ε, which keeps the quotient finite where all features are zero

    """

    name = "grn"
    chosen: GRNOptions

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(channels, **options)
        self.gamma = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def attention(self, x: Features) -> Maps:
        """Return `channel`: one gate per channel, (B, C, 1, 1), of any size."""
        self.check_input(x)
        # The squares of 256 are more than float16 can hold.
        kind = torch.float32 if x.dtype == torch.float16 else None
        norms = torch.linalg.vector_norm(x, dim=(2, 3), keepdim=True, dtype=kind)  # B, C, 1, 1
        share = norms / (norms.mean(1, keepdim=True) + self.chosen.eps)
        return {"channel": 1 + weights_like(self.gamma, share)[:, None, None] * share}

    def apply_attention(self, x: Features, maps: Maps) -> Features:
        """Return `x` times the given gates, plus β."""
        wide = widened(x)
        return torch.addcmul(self.beta.to(wide.dtype)[:, None, None], wide, maps["channel"].to(wide.dtype)).to(x.dtype)

"""SimAM: a gate without parameters, for what stands out from its channel."""

import torch

from attn_tutorial.blocks.base import AttentionBlock, Features, Maps
from attn_tutorial.blocks.float16 import as_gate, widened
from attn_tutorial.blocks.options import SimAMOptions


class SimAM(AttentionBlock):
    """SimAM: out = σ(1/e) · x with 1/e = (x − μ)² / (4(s² + λ)) + 1/2, for mean μ and variance s² of each channel.

    The variance divides by the number of places, as in the paper. The authors' code divides by one less, which is zero
    where there is only one place.

    In float16 the gates are computed in float32. In bfloat16 and float32, squares overflow from about 10¹⁹ on.

    Parameters: none.

    Source: Yang, Zhang, Li, Xie, SimAM, 2021, section 3.2, equations 5 and 6 (PMLR 139).

    Args:
        channels: C; nothing depends on it
        lam: λ, in units of the variance; the larger, the less the gates differ

    """

    name = "simam"
    chosen: SimAMOptions

    def attention(self, x: Features) -> Maps:
        """Return `full`: one gate per channel and place, (B, C, H, W), at least σ(1/2)."""
        self.check_input(x)
        wide = widened(x)  # because the square of 256 is more than float16 can hold
        squared = (wide - wide.mean((2, 3), keepdim=True)).square()  # B, C, H, W
        variance = squared.mean((2, 3), keepdim=True)  # B, C, 1, 1
        return {"full": as_gate(torch.sigmoid(squared / (4 * (variance + self.chosen.lam)) + 0.5), x)}

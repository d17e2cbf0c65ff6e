"""SimAM: a gate without parameters, for what stands out from its channel."""

import torch

from attn_tutorial.blocks.base import AttentionBlock, Features, Maps


class SimAM(AttentionBlock):
    """SimAM: out = σ(1/e) · x with 1/e = (x − μ)² / (4(s² + λ)) + 1/2, for mean μ and variance s² of each channel.

    The variance divides by the number of places, as the paper has it; the authors' code divides by one less, and so by
    zero where there is one place.

    Parameters: none.

    Source: Yang, Zhang, Li, Xie, SimAM, 2021, section 3.2, equations 5 and 6 (PMLR 139).

    Args:
        channels: C; nothing depends on it
        lam: λ, in units of the variance; the larger, the less the gates differ

    """

    name = "simam"

    def __init__(self, channels: int, lam: float = 1e-4) -> None:
        super().__init__(channels, lam=lam)
        self.lam = lam

    def attention(self, x: Features) -> Maps:
        """`full`: one gate a channel and place, (B, C, H, W), at least σ(1/2)."""
        self.check_input(x)
        squared = (x - x.mean((2, 3), keepdim=True)).square()  # B, C, H, W
        variance = squared.mean((2, 3), keepdim=True)  # B, C, 1, 1
        return {"full": torch.sigmoid(squared / (4 * (variance + self.lam)) + 0.5)}

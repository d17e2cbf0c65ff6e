"""The oracle gate: a network that is told where the target is, the upper control of the study."""

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from attn_tutorial.blocks.base import Features

Mask = Float[Tensor, "batch 1 height width"] | Bool[Tensor, "batch 1 height width"]
Shares = Float[Tensor, "batch 1 rows columns"]


def shares(mask: Mask, size: tuple[int, int]) -> Shares:
    """Return the share of each cell that a mask covers, 0 to 1: (B, 1, H, W) pixels -> float32 (B, 1, *size)."""
    return F.adaptive_avg_pool2d(mask.float(), size)


def gated(x: Features, mask: Mask) -> Features:
    """Return features times the share of each place that the mask covers, in the features' own number format."""
    return x * shares(mask, (x.shape[2], x.shape[3])).to(x.dtype)


def mean_under(x: Features, mask: Mask) -> Float[Tensor, "batch channel"]:
    """Return the mean of `gated` features over the mask: their sum over places, divided by the mask's.

    It is 0 under an empty mask. Under a mask that covers everything it equals `x.mean((2, 3))` bit for bit.
    """
    covered = shares(mask, (x.shape[2], x.shape[3])).sum((2, 3)) / x[0, 0].numel()  # batch, 1; exactly 1 if all is
    return x.mean((2, 3)) / covered.masked_fill(covered == 0, 1.0)

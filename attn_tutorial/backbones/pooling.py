"""The last pooling of a network: from features at all places to one vector for each image."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attn_tutorial.blocks.base import Features

Pooling = Literal["mean", "max", "attention"]
Vectors = Float[Tensor, "batch channel"]


class MeanPool(nn.Module):
    """Mean over the places: (B, C, H, W) -> (B, C). It has no parameters."""

    def forward(self, x: Features) -> Vectors:
        """Return each channel's mean."""
        return x.mean((2, 3))


class MaxPool(nn.Module):
    """Largest value over the places: (B, C, H, W) -> (B, C). It has no parameters."""

    def forward(self, x: Features) -> Vectors:
        """Return each channel's largest value; places that share it share its gradient."""
        return x.amax((2, 3))


class AttentionPool(nn.Module):
    """Weighted mean over the places: one learned query says how much each place counts. (B, C, H, W) -> (B, C).

    The weights are the softmax over the places of the product of the query and the features there. The query starts at
    zero, so the pooling starts as the mean. It has C parameters. Scores, weights and the sum are computed in float32
    (in float64 if x is), under autocast too; the output has the type of x.

    Source: the pooling of GCNet's block (Cao et al., 2019, section 3.3, arXiv 1904.11492) at the network's end.

    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(channels))

    def weights(self, x: Features) -> Float[Tensor, "batch 1 height width"]:
        """Return how much each place counts, in float32 (float64 if `x` is); they sum to 1."""
        wide = torch.promote_types(x.dtype, torch.float32)
        scores = (x.to(wide) * self.query.to(wide)[:, None, None]).sum(1, keepdim=True)
        return scores.flatten(2).softmax(2).unflatten(2, x.shape[2:])

    def forward(self, x: Features) -> Vectors:
        """Return each channel's weighted mean."""
        return (x * self.weights(x)).sum((2, 3)).to(x.dtype)


def build_pooling(kind: Pooling, channels: int) -> nn.Module:
    """Return the pooling called `kind` for features of so many channels."""
    return {"mean": MeanPool, "max": MaxPool}[kind]() if kind != "attention" else AttentionPool(channels)

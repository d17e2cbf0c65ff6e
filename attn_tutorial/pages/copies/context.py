# ruff: noqa: D102
"""Copies of blocks that use a summary of the whole image: global context and GRN."""

import torch
from torch import Tensor, nn

from attn_tutorial.blocks import build_block
from attn_tutorial.pages.copies.copy import CHANGZY, TIMM, Copy, Measure, difference, features, fixed_weights, outcome


class BiasedContext(nn.Module):
    """Global context whose last weights start at zero, but not its last bias."""

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        hidden = channels // reduction
        self.where = nn.Conv2d(channels, 1, 1)
        self.last = nn.Conv2d(hidden, channels, 1)
        self.first = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.LayerNorm([hidden, 1, 1]), nn.ReLU())
        nn.init.zeros_(self.last.weight)  # and self.last.bias is forgotten

    def forward(self, x: Tensor) -> Tensor:
        share = self.where(x).flatten(2).softmax(2)  # B, 1, N
        context = (x.flatten(2) * share).sum(2)[:, :, None, None]
        return x + self.last(self.first(context))


class UnnormalisedContext(nn.Module):
    """The pooling of global context, with a softmax that is built and never called."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.where = nn.Conv2d(channels, 1, 1)
        self.softmax = nn.Softmax(2)

    def shares(self, x: Tensor) -> Tensor:
        return self.where(x).flatten(2)  # B, 1, N

    def forward(self, x: Tensor) -> Tensor:
        return (x.flatten(2) * self.shares(x)).sum(2)[:, :, None, None]


def _biased() -> list[Measure]:
    x = features()
    with fixed_weights():
        moved = [(block(x) - x).abs().max().item() for block in (BiasedContext(64), build_block("global_context", 64))]
    return [Measure("largest change of a number, before training", *moved)]


def _unnormalised() -> list[Measure]:
    with fixed_weights():
        copy = UnnormalisedContext(64)
        shares = copy.shares(features())
        right = copy.softmax(shares)
    return [
        Measure("sum of the weights of all places", shares[0].sum().item(), right[0].sum().item()),
        Measure("smallest weight of a place", shares.min().item(), right.min().item()),
    ]


class BatchGRN(nn.Module):
    """GRN whose norm runs over the places of all images of a batch."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        norms = torch.linalg.vector_norm(x, dim=(0, 2, 3), keepdim=True)
        return self.gamma * x * norms / (norms.mean(1, keepdim=True) + 1e-6) + x


class LastGRN(nn.Module):
    """GRN for features (B, H, W, C)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        norms = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)
        return self.gamma * x * norms / (norms.mean(-1, keepdim=True) + 1e-6) + x


def _trained(block: nn.Module) -> nn.Module:
    """Set γ to 1, as if it had been learned: at its start, zero, GRN does nothing."""
    nn.init.ones_(block.gamma)  # type: ignore[arg-type]
    return block.eval()


def _batch() -> list[Measure]:
    images = features()
    images = images * (1 + torch.arange(64) % 7)[:, None, None]  # channels of different size
    others = images.clone()
    others[1] = images[1].flip(0)
    blocks = _trained(BatchGRN(64)), _trained(build_block("grn", 64))
    moved = [difference(block(others)[0], block(images)[0]) for block in blocks]
    return [Measure("change of an image when another image of the batch changes (γ = 1)", *moved)]


def _last() -> list[Measure]:
    x = features(2, 8, 8, 8) * torch.arange(1, 9)[:, None, None]
    right = _trained(build_block("grn", 8))
    error = outcome(lambda: _trained(LastGRN(64))(features()))
    return [
        Measure("64 channels, 8 × 8", error, outcome(lambda: _trained(build_block("grn", 64))(features()))),
        Measure("8 channels, 8 × 8: difference from the equation", difference(_trained(LastGRN(8))(x), right(x)), 0),
    ]


COPIES = (
    Copy(
        block="global_context",
        key="gc-biased",
        kind="A step is missing",
        where=((TIMM, "timm/layers/global_context.py"),),
        paper_says="The block starts as the identity: in mmcv's code the last layer starts at zero, with its bias.",
        wrong="The last weights start at zero and the last bias does not. The option `init_last_zero` is never read.",
        one_line="(BiasedContext(64)(x) - x).abs().max()",
        right='`build_block("global_context", 64)`, or zero `mlp_add.fc2.bias` too',
        code=(BiasedContext,),
        measure=_biased,
    ),
    Copy(
        block="global_context",
        key="gc-unnormalised",
        kind="A step is missing",
        where=((CHANGZY, "attention_mechanisms/gc_module.py"),),
        paper_says="A softmax over all places gives weights that add up to 1.",
        wrong="The softmax is built and never called. The weights may be negative and add up to anything.",
        one_line="UnnormalisedContext(64).shares(x).sum(2)",
        right='`build_block("global_context", 64)`',
        code=(UnnormalisedContext,),
        measure=_unnormalised,
    ),
    Copy(
        block="grn",
        key="grn-batch",
        kind="Axes, images or memory are mixed up",
        where=(("facebookresearch/ConvNeXt-V2", "models/utils.py"),),
        paper_says="A norm for each channel of each image.",
        wrong=(
            "The authors' version for sparse tensors takes the norm over the points of all images of a batch (issue 86 "
            "there). Their version for dense tensors, in the same file, is right."
        ),
        one_line="torch.linalg.vector_norm(x, dim=(0, 2, 3), keepdim=True).shape",
        right='`build_block("grn", 64)`',
        code=(BatchGRN,),
        measure=_batch,
    ),
    Copy(
        block="grn",
        key="grn-last",
        kind="Axes, images or memory are mixed up",
        where=(
            (TIMM, "timm/layers/grn.py"),
            ("SegmentationBLWX/sssegmentation", "ssseg/modules/models/backbones/bricks/normalization/grn.py"),
        ),
        paper_says="A norm over height and width, then a mean over channels.",
        wrong=(
            "Both expect (batch, height, width, channels), timm unless you say otherwise. Features of a usual "
            "CNN raise an error, or run along the wrong axes where width and channels are equal."
        ),
        one_line="LastGRN(64)(x)",
        right='`build_block("grn", 8)`; in timm give `channels_last=False`',
        code=(LastGRN,),
        measure=_last,
    ),
)

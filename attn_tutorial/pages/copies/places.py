# ruff: noqa: D102
"""Copies of blocks that weigh channels and places together: BAM, triplet attention and SimAM."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attn_tutorial.blocks import build_block
from attn_tutorial.pages.copies.copy import (
    CHANGZY,
    EXTERNAL,
    JONGCHAN,
    PPRP,
    Copy,
    Measure,
    features,
    fixed_weights,
    outcome,
)
from attn_tutorial.pages.copies.halves import summaries


class UndefinedBAM(nn.Module):
    """BAM that stores a name which nothing defines."""

    def __init__(self) -> None:
        super().__init__()
        self.gate_activation = gate_activation  # type: ignore[name-defined,unused-ignore] # noqa: F821


class SquareBAM(nn.Module):
    """BAM's channel branch, which pools with a square window as high as the features."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(channels, 4), nn.ReLU(), nn.Linear(4, channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(F.avg_pool2d(x, x.shape[2], stride=x.shape[2]))


def joined(channel: Tensor, spatial: Tensor) -> Tensor:
    """Join BAM's branches by a product, where the paper has a sum."""
    return (channel * spatial).sigmoid()


class ShrinkingBAM(nn.Module):
    """BAM's spatial branch with a dilation of 2 and a padding of 1: each convolution takes 2 places away."""

    def __init__(self, channels: int, padding: int = 1) -> None:
        super().__init__()
        convs = [nn.Conv2d(channels, channels, 3, padding=padding, dilation=2) for _ in range(3)]
        self.layers = nn.Sequential(*convs, nn.Conv2d(channels, 1, 1))

    def gate(self, x: Tensor) -> Tensor:
        return self.layers(x).expand_as(x).sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return x * (1 + self.gate(x))


def _undefined() -> list[Measure]:
    return [Measure("building the block", outcome(UndefinedBAM), outcome(lambda: build_block("bam", 64)))]


def _square() -> list[Measure]:
    with fixed_weights():
        copy, right = SquareBAM(64), build_block("bam", 64).eval()
        x = features(2, 64, 8, 12).requires_grad_()
        unread = []
        for out in (copy(x), right.channel(x.mean((2, 3)))):  # type: ignore[operator]
            (grad,) = torch.autograd.grad(out.sum(), x)
            unread.append((grad.abs().sum((0, 1, 2)) == 0).float().mean().item())
        runs = {
            size: [outcome(lambda s=size, m=module: m(features(2, 64, *s))) for module in (copy, right)]  # type: ignore[misc]
            for size in ((8, 16), (12, 8))
        }
    return [
        Measure("share of columns that the gate never reads, 8 × 12", *unread),
        *(Measure(f"features of {h} × {w}", *run) for (h, w), run in runs.items()),
    ]


def _joined() -> list[Measure]:
    values = {"both branches say −2: the gate": (-2.0, -2.0), "channel 4, place 0: the gate": (4.0, 0.0)}
    measures = []
    for what, pair in values.items():
        channel, spatial = map(torch.tensor, pair)
        measures.append(Measure(what, joined(channel, spatial).item(), (channel + spatial).sigmoid().item()))
    return measures


def _shrinking() -> list[Measure]:
    with fixed_weights():
        copy, right = ShrinkingBAM(64), ShrinkingBAM(64, padding=2)
        x = features(1, 64, 7, 7)
        values = [float(each.gate(x)[0, 0].unique().numel()) for each in (copy, right)]
        runs = [outcome(lambda m=module: m(features())) for module in (copy, right)]  # type: ignore[misc]
    return [
        Measure("different weights of places, 7 × 7", *values),
        Measure("features of 8 × 8", *runs),
    ]


class RectifiedGate(nn.Module):
    """A gate of triplet attention with a ReLU before the sigmoid."""

    def __init__(self, kernel: int = 7) -> None:
        super().__init__()
        conv = nn.Conv2d(2, 1, kernel, padding=kernel // 2)
        self.layers = nn.Sequential(conv, nn.BatchNorm2d(1), nn.ReLU())

    def gate(self, x: Tensor) -> Tensor:
        return self.layers(summaries(x)).sigmoid()


def _rectified() -> list[Measure]:
    with fixed_weights():
        copy, x = RectifiedGate(), features()
        gates = copy.gate(x), copy.layers[:2](summaries(x)).sigmoid()
    return [
        Measure("smallest gate", *(each.min().item() for each in gates)),
        Measure("share of gates of exactly one half", *((each == 0.5).float().mean().item() for each in gates)),
    ]


class SampleSimAM(nn.Module):
    """SimAM with a variance that divides by the number of places minus one."""

    def forward(self, x: Tensor) -> Tensor:
        squared = (x - x.mean((2, 3), keepdim=True)).square()
        variance = squared.sum((2, 3), keepdim=True) / (x.shape[2] * x.shape[3] - 1)
        return x * (squared / (4 * (variance + 1e-4)) + 0.5).sigmoid()


def _sample() -> list[Measure]:
    x = features(2, 64, 1, 1)
    outs = SampleSimAM()(x), build_block("simam", 64)(x)
    return [Measure("share of NaN, 1 × 1", *(each.isnan().float().mean().item() for each in outs))]


COPIES = (
    Copy(
        block="bam",
        key="bam-undefined",
        kind="It stops with an error, or gives NaN",
        where=((JONGCHAN, "MODELS/bam.py"),),
        paper_says="",
        wrong="The authors' code stores `gate_activation`, which is defined nowhere. It cannot be built.",
        one_line="UndefinedBAM()",
        right='`build_block("bam", 64)`, or delete the line',
        code=(UndefinedBAM,),
        measure=_undefined,
    ),
    Copy(
        block="bam",
        key="bam-square",
        kind="It ignores a part of its input",
        where=((JONGCHAN, "MODELS/bam.py"), (PPRP, "AttentionModule/BAM/bam.py")),
        paper_says="The mean of each channel over all places.",
        wrong=(
            "The pooling window is a square as high as the features. In wide features the columns at the right are "
            "never read. In features twice as wide, or higher than wide, it stops with an error."
        ),
        one_line="SquareBAM(64)(torch.randn(2, 64, 8, 16))",
        right='`x.mean((2, 3))`; `build_block("bam", 64)`',
        code=(SquareBAM,),
        measure=_square,
    ),
    Copy(
        block="bam",
        key="bam-product",
        kind="Other sizes or operations than the paper's",
        where=((JONGCHAN, "MODELS/bam.py"), (PPRP, "AttentionModule/BAM/bam.py")),
        paper_says="σ(channel + place).",
        wrong=(
            "The code has σ(channel · place). Two branches that both say no make a yes. The paper tried the product "
            "too, but its equation is the sum."
        ),
        one_line="joined(torch.tensor(-2.0), torch.tensor(-2.0))",
        right='`build_block("bam", 64)`; the code\'s form is `combine="product"`',
        code=(joined,),
        measure=_joined,
    ),
    Copy(
        block="bam",
        key="bam-shrinking",
        kind="It stops with an error, or gives NaN",
        where=((EXTERNAL, "fightingcv/attention/BAM.py"),),
        paper_says="Dilated convolutions that keep the size.",
        wrong=(
            "A padding of 1 with a dilation of 2 takes 2 places away, three times. Only 7 × 7 runs: one number is "
            "left, and all places get the same weight. Later versions of the repository pad correctly."
        ),
        one_line="ShrinkingBAM(64)(x)",
        right='`padding=dilation`; `build_block("bam", 64)`',
        code=(ShrinkingBAM,),
        measure=_shrinking,
    ),
    Copy(
        block="triplet",
        key="triplet-rectified",
        kind="A step too many",
        where=((CHANGZY, "attention_mechanisms/triplet_attention.py"),),
        paper_says="Convolution, batch normalisation, sigmoid.",
        wrong="A ReLU stands before the sigmoid. No gate can be below one half.",
        one_line="RectifiedGate().gate(x).min()",
        right='`build_block("triplet", 64)`',
        code=(summaries, RectifiedGate),
        measure=_rectified,
    ),
    Copy(
        block="simam",
        key="simam-sample",
        kind="It stops with an error, or gives NaN",
        where=(
            ("ZjjConan/SimAM", "mmdetection/mmdet/models/backbones/attentions/simam_module.py"),
            (EXTERNAL, "model/attention/SimAM.py"),
        ),
        paper_says="The variance divides by the number of places.",
        wrong="The code divides by one less. With one place this is 0 / 0, and all numbers become NaN.",
        one_line="SampleSimAM()(torch.randn(2, 64, 1, 1)).isnan().any()",
        right='`build_block("simam", 64)`',
        code=(SampleSimAM,),
        measure=_sample,
    ),
)

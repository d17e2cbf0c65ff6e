# ruff: noqa: D102
"""Copies of blocks that look along strips or through a large kernel: coordinate attention, ELA and LKA."""

import torch
from torch import Tensor, nn

from attn_tutorial.blocks import build_block
from attn_tutorial.pages.copies.copy import CHANGZY, TIMM, Copy, Measure, difference, features, fixed_weights, outcome


class LinearCoordinate(nn.Module):
    """Coordinate attention without its two sigmoids, and with a ReLU inside."""

    def __init__(self, channels: int, hidden: int = 8) -> None:
        super().__init__()
        self.reduce = nn.Sequential(nn.Conv1d(channels, hidden, 1), nn.BatchNorm1d(hidden), nn.ReLU())
        self.row, self.column = nn.Conv1d(hidden, channels, 1), nn.Conv1d(hidden, channels, 1)

    def gate(self, x: Tensor) -> Tensor:
        both = self.reduce(torch.cat([x.mean(3), x.mean(2)], 2))
        rows, columns = both.split(x.shape[2:], 2)
        return self.row(rows)[..., None] * self.column(columns)[:, :, None]

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)


def _linear() -> list[Measure]:
    x = features()
    with fixed_weights():
        copy, right = LinearCoordinate(64), build_block("coordinate", 64)
        gates = copy.gate(x), right.attention(x)["full"]
    return [
        Measure("share of numbers whose sign is turned", *((each < 0).float().mean().item() for each in gates)),
        Measure("smallest gate", *(each.min().item() for each in gates)),
        Measure("largest gate", *(each.max().item() for each in gates)),
    ]


class SwishELA(nn.Module):
    """ELA with a SiLU before each sigmoid, a norm of one group, and two convolutions."""

    def __init__(self, channels: int, kernel: int = 7) -> None:
        super().__init__()
        self.rows, self.columns = (
            nn.Sequential(
                nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False),
                nn.GroupNorm(1, channels),
                nn.SiLU(),
            )
            for _ in range(2)
        )

    def gate(self, x: Tensor) -> Tensor:
        return self.rows(x.mean(3)).sigmoid()[..., None] * self.columns(x.mean(2)).sigmoid()[:, :, None]


class TwiceRows(nn.Module):
    """ELA whose gate of the columns is laid out along the rows."""

    def __init__(self, channels: int, kernel: int = 7) -> None:
        super().__init__()
        conv = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=32, bias=False)
        self.look = nn.Sequential(conv, nn.GroupNorm(16, channels))

    def gate(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        rows = self.look(x.mean(3)).sigmoid().view(b, c, h, 1)
        return rows * self.look(x.mean(2)).sigmoid().view(b, c, w, 1)  # (b, c, 1, w) was meant


def _swish() -> list[Measure]:
    x = features()
    with fixed_weights():
        gates = SwishELA(64).gate(x), build_block("ela", 64).attention(x)["full"]
        least = torch.nn.functional.silu(torch.linspace(-4, 0, 1001)).min().sigmoid().item() ** 2
    return [
        Measure("smallest gate that is possible", least, 0),
        Measure("smallest gate here", *(each.min().item() for each in gates)),
    ]


def _twice() -> list[Measure]:
    with fixed_weights():
        copy, right, x = TwiceRows(64), build_block("ela", 64), features()
        gates = copy.gate(x), right.attention(x)["full"]
        wide = features(2, 64, 8, 12)
        runs = outcome(lambda: wide * copy.gate(wide)), outcome(lambda: right(wide))
    return [
        Measure("how much a gate differs along a row", *((each + 0 * x).std(3).mean().item() for each in gates)),
        Measure("features of 8 × 12", *runs),
    ]


ELA_FORMS: tuple[tuple[str, int, int, int, int], ...] = (
    ("size T", 5, 1, 32, 1),
    ("size B", 7, 1, 16, 1),
    ("size S", 5, 8, 16, 1),
    ("size L", 7, 8, 16, 1),
    ("HZAI-ZJNU/SCSA", 7, 1, 16, 1),
    ("timm", 7, 1, 1, 2),
    ("zhxqaq/yolov8pose-ela", 7, 2, 16, 1),
)
"""Forms of ELA in public code: name, kernel, channels read by one output (of 64), groups of the norm, convolutions."""


def ela_parameters(kernel: int, mixed: int, convolutions: int, channels: int = 64) -> int:
    """Return the number of parameters of a form of ELA."""
    return convolutions * (kernel * mixed * channels + 2 * channels)


class PointwiseFirst(nn.Module):
    """Large kernel attention with its 1 × 1 convolution first, and a smaller kernel."""

    def __init__(self, channels: int, side: int = 5) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 1)
        self.near = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.far = nn.Conv2d(channels, channels, side, padding=side // 2 * 3, dilation=3, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.far(self.near(self.mix(x)))


def _pointwise() -> list[Measure]:
    with fixed_weights():
        copy, right = PointwiseFirst(8), build_block("lka", 8)
        same = PointwiseFirst(8, side=7)
        same.near, same.far, same.mix = right.gate  # type: ignore[misc]
        x = features(1, 8, 25, 25)
        gap = difference(same(x), right(x))
        reaches = [_reach(block, x) for block in (copy, right)]
    return [
        Measure("how many places away a gate still looks", *reaches),
        Measure("change of the output by the order alone, same weights", gap, 0),
    ]


def _reach(block: nn.Module, x: Tensor) -> int:
    x = x.clone().requires_grad_()
    middle = x.shape[3] // 2
    (grad,) = torch.autograd.grad(block(x)[0, 0, middle, middle], x)
    return int(grad[0].abs().sum((0, 1)).nonzero().max()) - middle


COPIES = (
    Copy(
        block="coordinate",
        key="coordinate-linear",
        kind="A step is missing",
        where=((CHANGZY, "attention_mechanisms/coordatten.py"),),
        paper_says="A sigmoid for rows and one for columns; a hard swish inside.",
        wrong="Both sigmoids are missing, so a gate may be negative or very large. Inside is a ReLU.",
        one_line="(LinearCoordinate(64).gate(x) < 0).float().mean()",
        right='`build_block("coordinate", 64)`',
        code=(LinearCoordinate,),
        measure=_linear,
    ),
    Copy(
        block="ela",
        key="ela-swish",
        kind="A step too many",
        where=((TIMM, "timm/layers/coord_attn.py"),),
        paper_says="Convolution, group normalisation, sigmoid.",
        wrong=(
            "A SiLU stands between the norm and the sigmoid, so no gate can come near zero. The norm has one group. "
            "The docstring names the title of another paper."
        ),
        one_line="SwishELA(64).gate(x).min()",
        right='`build_block("ela", 64)`',
        code=(SwishELA,),
        measure=_swish,
    ),
    Copy(
        block="ela",
        key="ela-twice",
        kind="Axes, images or memory are mixed up",
        where=(("zhxqaq/yolov8pose-ela", "ultralytics/nn/modules/ELA.py"),),
        paper_says="One gate for rows, one for columns.",
        wrong=(
            "The gate of the columns is shaped (B, C, W, 1), so it weighs rows. Square features run, and all "
            "places of a row get the same gate. Others stop with an error. The convolution has 32 groups."
        ),
        one_line="TwiceRows(64).gate(x).shape",
        right='`build_block("ela", 64)`',
        code=(TwiceRows,),
        measure=_twice,
    ),
    Copy(
        block="lka",
        key="lka-pointwise",
        kind="Other sizes or operations than the paper's",
        where=(("stella-von/LKDN", "basicsr/archs/lkdn_blocks.py"),),
        paper_says="5 × 5, then 7 × 7 with dilation 3, then 1 × 1.",
        wrong=(
            "The 1 × 1 convolution comes first, and the dilated kernel is 5 × 5. This is a design of its own that "
            "is also called LKA (issue 3 there): do not load weights from one into the other."
        ),
        one_line="[layer.kernel_size for layer in PointwiseFirst(64).children()]",
        right='`build_block("lka", 64)`',
        code=(PointwiseFirst,),
        measure=_pointwise,
    ),
)

# ruff: noqa: D102
"""Copies of blocks that weigh channels: SE, ECA and Gather-Excite."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from attn_tutorial.blocks import build_block
from attn_tutorial.pages.copies.copy import (
    CHANGZY,
    EXTERNAL,
    TIMM,
    Copy,
    Measure,
    features,
    fixed_weights,
    outcome,
    weights,
)


class EmptySE(nn.Module):
    """SE that does not look whether a hidden unit is left."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = channels // reduction  # 0 for fewer than 16 channels
        self.layers = nn.Sequential(
            nn.Linear(channels, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, channels, bias=False)
        )

    def gate(self, x: Tensor) -> Tensor:
        return self.layers(x.mean((2, 3))).sigmoid()[:, :, None, None]

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)


class RoundedSE(EmptySE):
    """SE whose hidden width is rounded to a multiple of 8, and is never less than 8."""

    def __init__(self, channels: int, reduction: int = 16, multiple: int = 8) -> None:
        super().__init__(channels)
        hidden = max(multiple, int(channels / reduction + multiple / 2) // multiple * multiple)
        self.layers = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))


def _empty() -> list[Measure]:
    with fixed_weights():
        copy, right = EmptySE(8), build_block("se", 8, reduction=2)
        x = features(2, 8, 8, 8)
        gates = [copy.gate(x), right.attention(x)["channel"]]
    spreads = [(each[0] - each[1]).abs().max().item() for each in gates]
    return [
        Measure("hidden units, 8 channels", copy.layers[0].out_features, 4),  # type: ignore[arg-type]
        Measure("largest difference between the gates of two images", *spreads),
        Measure("build_block, 8 channels and reduction 16", "–", outcome(lambda: build_block("se", 8))),
    ]


def _rounded() -> list[Measure]:
    with fixed_weights():
        copies, rights = [RoundedSE(c) for c in (32, 64)], [build_block("se", c) for c in (32, 64)]
    return [
        *(
            Measure(f"hidden units, {channels} channels", copy.layers[0].out_features, channels // 16)  # type: ignore[arg-type]
            for channels, copy in zip((32, 64), copies, strict=True)
        ),
        Measure("parameters, 64 channels", weights(copies[1]), weights(rights[1])),
    ]


class FixedECA(nn.Module):
    """ECA that takes the number of channels and does not use it."""

    def __init__(self, channels: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.conv(x.mean((2, 3)).unsqueeze(1)).sigmoid()
        return x * gate.squeeze(1)[:, :, None, None]


def _eca() -> list[Measure]:
    sizes = (64, 128, 256, 512)
    with fixed_weights():
        copies = [FixedECA(channels).conv.kernel_size[0] for channels in sizes]
        rights = [_kernel(build_block("eca", channels)) for channels in sizes]
    return [
        Measure(f"channels that a gate reads, of {size}", copy, right)
        for size, copy, right in zip(sizes, copies, rights, strict=True)
    ]


def _kernel(block: nn.Module) -> int:
    return next(each.kernel_size[0] for each in block.modules() if isinstance(each, nn.Conv1d))


def perceptron(channels: int, hidden: int, out: int | None = None, act: Any = nn.ReLU, device: Any = None) -> nn.Module:
    """Build a perceptron of 1×1 convolutions: a helper that takes `device` by name."""
    first = nn.Conv2d(channels, hidden, 1, device=device)
    return nn.Sequential(first, act(), nn.Conv2d(hidden, out or channels, 1, device=device))


class StarredGather(nn.Module):
    """Gather-Excite that unpacks a dict with one star: its keys become positional arguments."""

    def __init__(self, channels: int, mlp: bool = True) -> None:
        super().__init__()
        settings: Any = {"device": None, "dtype": None}
        self.mlp = nn.Identity()
        if mlp:
            self.mlp = perceptron(channels, channels // 16, *settings, act=nn.ReLU)  # type: ignore[misc,assignment]

    def forward(self, x: Tensor) -> Tensor:
        return x * self.mlp(x.mean((2, 3), keepdim=True)).sigmoid()


class FixedGather(nn.Module):
    """Gather-Excite whose gate is resized to its own size, and not to the size of the features."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.gather = nn.Sequential(
            nn.Conv2d(channels, channels, side, groups=channels, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        gate = self.gather(x)
        return x * F.interpolate(gate, gate.shape[-1]).sigmoid()


def _starred() -> list[Measure]:
    return [
        Measure("with a perceptron (the default)", outcome(lambda: StarredGather(64)), _ge(64, reduction=16)),
        Measure("without", outcome(lambda: StarredGather(64, mlp=False)), _ge(64)),
    ]


def _ge(channels: int, **options: Any) -> str:
    return outcome(lambda: build_block("gather_excite", channels, **options)(features()))


def _resized() -> list[Measure]:
    with fixed_weights():
        copy, right = FixedGather(64, 8), build_block("gather_excite", 64, extent=8, gather="conv")
        sides = (8, 10)
        runs = [
            [outcome(lambda s=side, m=module: m(features(2, 64, s, s))) for module in (copy, right)]  # type: ignore[misc]
            for side in sides
        ]
    return [Measure(f"features of {side} × {side}", *run) for side, run in zip(sides, runs, strict=True)]


COPIES = (
    Copy(
        block="se",
        key="se-empty",
        kind="It ignores a part of its input",
        where=((EXTERNAL, "model/attention/SEAttention.py"), (CHANGZY, "attention_mechanisms/se_module.py")),
        paper_says="C / r hidden units; the paper uses r = 16 with hundreds of channels.",
        wrong="With fewer channels than r no unit is left. PyTorch only warns, and all gates stay at one half.",
        one_line="EmptySE(8).layers[0].out_features",
        right='`build_block("se", 8, reduction=2)`; with reduction 16 it refuses',
        code=(EmptySE,),
        measure=_empty,
    ),
    Copy(
        block="se",
        key="se-rounded",
        kind="Other sizes or operations than the paper's",
        where=((TIMM, "timm/layers/squeeze_excite.py"),),
        paper_says="C / r hidden units.",
        wrong="The number of units is rounded to a multiple of 8, and never less than 8. So 64 channels have r = 8.",
        one_line="RoundedSE(64).layers[0].out_features",
        right='`build_block("se", 64)`; in timm give `rd_channels=4`',
        code=(RoundedSE,),
        measure=_rounded,
    ),
    Copy(
        block="eca",
        key="eca-fixed",
        kind="Other sizes or operations than the paper's",
        where=(("BangguWu/ECANet", "models/eca_module.py"), (EXTERNAL, "model/attention/ECAAttention.py")),
        paper_says="The kernel grows with the channels: the odd number near (log₂ C + 1) / 2.",
        wrong=(
            "The layer takes the number of channels and never uses it, so the kernel stays at 3 unless you choose it. "
            "Other repositories copy this file. The second one also has a bias."
        ),
        one_line="FixedECA(256).conv.kernel_size",
        right='`build_block("eca", 256)`',
        code=(FixedECA,),
        measure=_eca,
    ),
    Copy(
        block="gather_excite",
        key="ge-starred",
        kind="It stops with an error, or gives NaN",
        where=((TIMM, "timm/layers/gather_excite.py"),),
        paper_says="Means or strided convolutions, with or without a perceptron.",
        wrong=(
            "`*dd` stands where `**dd` is meant. In timm 1.0.31 the block builds only with `use_mlp=False` and without "
            "`extra_params`. A type checker finds it."
        ),
        one_line="StarredGather(64)",
        right='`build_block("gather_excite", 64, reduction=16)`',
        code=(perceptron, StarredGather),
        measure=_starred,
    ),
    Copy(
        block="gather_excite",
        key="ge-resized",
        kind="It stops with an error, or gives NaN",
        where=(("pprp/awesome-attention-mechanism-in-cv", "AttentionModule/GENet/genet.py"),),
        paper_says="The gate is resized to the size of the features.",
        wrong=(
            "The gate is resized to the size that it has already. So features must be exactly as large as the kernel."
        ),
        one_line="FixedGather(64, 8)(torch.randn(2, 64, 10, 10))",
        right='`F.interpolate(gate, x.shape[-2:])`; `build_block("gather_excite", 64, extent=8, gather="conv")`',
        code=(FixedGather,),
        measure=_resized,
    ),
)

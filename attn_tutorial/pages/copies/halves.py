# ruff: noqa: D102
"""Copies of CBAM and of its halves."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from attn_tutorial.blocks import build_block
from attn_tutorial.pages.copies.copy import (
    EXTERNAL,
    Copy,
    Measure,
    brighter_place,
    features,
    fixed_weights,
    kept,
    weights,
)


def summaries(x: Tensor) -> Tensor:
    """Return mean and maximum over the channels."""
    return torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)


class WideCBAM(nn.Module):
    """CBAM with a 49 × 49 kernel and an addition that the paper does not have."""

    def __init__(self, channels: int, reduction: int = 16, kernel: int = 49) -> None:
        super().__init__()
        hidden = channels // reduction
        self.mlp = nn.Sequential(
            nn.Linear(channels, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, channels, bias=False)
        )
        self.spatial = nn.Conv2d(2, 1, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        gate = (self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3)))).sigmoid()
        y = x * gate[:, :, None, None]
        return y * self.spatial(summaries(y)).sigmoid() + x


class MeanOnly(nn.Module):
    """CBAM's channel half without the maximum, and with one layer instead of two."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = nn.Linear(channels, channels)

    def gate(self, x: Tensor) -> Tensor:
        return self.layer(x.mean((2, 3))).sigmoid()


class TwiceMean(nn.Module):
    """CBAM's channel half that adds the answer for the mean twice, and forgets the one for the maximum."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = channels // reduction
        self.of_mean, self.of_maximum = (
            nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels)) for _ in range(2)
        )

    def gate(self, x: Tensor) -> Tensor:
        mean, _largest = self.of_mean(x.mean((2, 3))), self.of_maximum(x.amax((2, 3)))
        return (mean + mean).sigmoid()  # mean + _largest was meant


class LinearMap(nn.Module):
    """CBAM's spatial half without its sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def gate(self, x: Tensor) -> Tensor:
        return self.conv(summaries(x))


class MapOnly(LinearMap):
    """CBAM's spatial half that returns the gate, and not the gated features."""

    def forward(self, x: Tensor) -> Tensor:
        return self.gate(x).sigmoid()


def _wide() -> list[Measure]:
    side, kernel = 14, 49
    with fixed_weights():
        copy, right = WideCBAM(64), build_block("cbam", 64)
        x = features(2, 64, side, side)
        ratios = [kept(block, x) for block in (copy, right)]
    return [
        Measure("weights of the spatial half", weights(copy.spatial), weights(right.spatial)),  # type: ignore[arg-type]
        Measure(f"share of its kernel that meets features of {side} × {side}", ((2 * side - 1) / kernel) ** 2, 1),
        Measure("output / input (standard deviation), before training", *ratios),
    ]


def _gate_change(gate: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """Return the largest change of a gate when the maximum of each channel changes, and its mean does not."""
    return round((gate(brighter_place(x)) - gate(x)).abs().max().item(), 6)


def _channel_half(copy: MeanOnly | TwiceMean) -> tuple[nn.Module, list[float]]:
    right = build_block("channel", 64).double()
    x = features().double()
    gates: list[Callable[[Tensor], Tensor]] = [copy.double().gate, lambda x: right.attention(x)["channel"]]
    return right, [_gate_change(gate, x) for gate in gates]


def _mean_only() -> list[Measure]:
    with fixed_weights():
        copy = MeanOnly(64)
        right, changes = _channel_half(copy)
    return [
        Measure("change of a gate when only the maximum changes", *changes),
        Measure("parameters of the channel half, 64 channels", weights(copy), weights(right)),
    ]


def _twice_mean() -> list[Measure]:
    with fixed_weights():
        copy = TwiceMean(64)
        right, changes = _channel_half(copy)
        learning = []
        for gates, block in ((copy.gate(features().double()), copy), (right(features().double()), right)):
            found = torch.autograd.grad(gates.sum(), list(block.parameters()), allow_unused=True)
            pairs = list(zip(found, block.parameters(), strict=True))
            learning.append(sum(each.numel() for grad, each in pairs if grad is None) / weights(block))
    return [
        Measure("change of a gate when only the maximum changes", *changes),
        Measure("share of the half's parameters that never learn", *learning),
    ]


def _linear_map() -> list[Measure]:
    with fixed_weights():
        copy, right = LinearMap(), build_block("spatial", 64)
        gates = copy.gate(features()), right.attention(features())["spatial"]
    return [
        Measure("smallest gate", *(each.min().item() for each in gates)),
        Measure("share of places whose sign is turned", *((each < 0).float().mean().item() for each in gates)),
    ]


def _map_only() -> list[Measure]:
    x = features()
    with fixed_weights():
        copy, right = MapOnly(), build_block("spatial", 64)
        outs = copy(x), right(x)
    return [
        Measure("shape for features of 2 × 64 × 8 × 8", *(" × ".join(map(str, each.shape)) for each in outs)),
        Measure("shape of x + block(x)", *(" × ".join(map(str, (x + each).shape)) for each in outs)),
        Measure("how much block(x) differs between channels", *(_between(each) for each in outs)),
    ]


def _between(added: Tensor) -> float:
    return 0.0 if added.shape[1] == 1 else added.std(1).mean().item()


COPIES = (
    Copy(
        block="cbam",
        key="cbam-wide",
        kind="A step too many",
        where=((EXTERNAL, "model/attention/CBAM.py"), ("Peachypie98/CBAM", "cbam.py")),
        paper_says="A 7 × 7 kernel; a channel gate times a spatial gate, and no addition.",
        wrong=(
            "The first file's kernel is 49 × 49 by default. Both files add the input at the end, so features cannot be "
            "switched off, and inside a residual unit they are added twice."
        ),
        one_line="WideCBAM(64).spatial.kernel_size",
        right='`build_block("cbam", 64)`',
        code=(summaries, WideCBAM),
        measure=_wide,
    ),
    Copy(
        block="cbam",
        key="cbam-mean",
        kind="A step is missing",
        where=(("ultralytics/ultralytics", "ultralytics/nn/modules/conv.py"),),
        paper_says="The channel half reads mean *and* maximum, with two layers that share their weights.",
        wrong="The channel half reads only the mean, with one layer of C × C weights. So two steps are gone.",
        one_line="sum(p.numel() for p in MeanOnly(64).parameters())",
        right='`build_block("cbam", 64)`',
        code=(MeanOnly,),
        measure=_mean_only,
    ),
    Copy(
        block="cbam",
        key="cbam-twice",
        kind="It ignores a part of its input",
        where=(
            ("MenghaoGuo/Awesome-Vision-Attentions", "code/channel_spatial_attentions/cbam.py"),
            ("nikhilroxtomar/Attention-Mechanism-Implementation", "PyTorch/cbam.py"),
        ),
        paper_says="The answers for mean and maximum are added.",
        wrong=(
            "The answer for the mean is added to itself. The maximum is computed and dropped (issue 32 of the first "
            "repository; the second one had the same line and corrected it)."
        ),
        one_line="torch.autograd.grad((half := TwiceMean(64)).gate(x).sum(), [*half.of_maximum.parameters()])",
        right='`build_block("channel", 64)`',
        code=(TwiceMean,),
        measure=_twice_mean,
    ),
    Copy(
        block="cbam",
        key="cbam-linear",
        kind="A step is missing",
        where=(("Peachypie98/CBAM", "cbam.py"),),
        paper_says="A sigmoid makes gates between 0 and 1.",
        wrong=(
            "Until December 2023 the spatial half had no sigmoid (issue 2 there, now corrected). Copies made before "
            "still turn signs."
        ),
        one_line="LinearMap().gate(x).min()",
        right='`build_block("spatial", 64)`',
        code=(LinearMap,),
        measure=_linear_map,
    ),
    Copy(
        block="spatial",
        key="spatial-map",
        kind="A step is missing",
        where=(("", "the short article that this book starts from"),),
        paper_says="The features are multiplied by the map.",
        wrong=(
            "`SpatialAttention` returns the map. `x + sa(x)` still has the right shape, because PyTorch stretches the "
            "map over all channels. So it adds one number to all channels of a place."
        ),
        one_line="MapOnly()(x).shape == x.shape",
        right='`build_block("spatial", 64)`, or `x * sa(x)`',
        code=(summaries, LinearMap, MapOnly),
        measure=_map_only,
    ),
)

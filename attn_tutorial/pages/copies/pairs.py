# ruff: noqa: D102
"""Copies of blocks that compare places or channels with each other: Non-local, EMA, SCSA and two called PSA."""

import torch
from torch import Tensor, nn

from attn_tutorial.blocks import build_block
from attn_tutorial.pages.copies.copy import (
    EXTERNAL,
    TIMM,
    Copy,
    Measure,
    difference,
    features,
    fixed_weights,
    outcome,
)


class UnturnedNonLocal(nn.Module):
    """Non-local whose queries are never transposed."""

    def __init__(self, channels: int, reduction: int = 2) -> None:
        super().__init__()
        inner = channels // reduction
        self.theta, self.phi, self.g = (nn.Conv2d(channels, inner, 1) for _ in range(3))
        self.out = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        theta, phi, g = (layer(x).flatten(2) for layer in (self.theta, self.phi, self.g))  # each B, inner, N
        shares = (torch.bmm(theta, phi) / x.shape[1] ** 0.5).softmax(-1)
        return x + self.out(torch.bmm(shares, g).unflatten(2, x.shape[2:]))


class ChannelScale(nn.Module):
    """The scores of Non-local, divided by √C where the products have C / 8 terms."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.theta, self.phi = nn.Conv2d(channels, channels // 8, 1), nn.Conv2d(channels, channels // 8, 1)
        self.scale = channels**-0.5

    def scores(self, x: Tensor) -> Tensor:
        return self.theta(x).flatten(2).mT @ self.phi(x).flatten(2) * self.scale  # B, N, N


def _unturned() -> list[Measure]:
    with fixed_weights():
        copy, right = UnturnedNonLocal(12), build_block("non_local", 12)
        runs = [
            [outcome(lambda m=module, s=size: m(features(2, 12, *s))) for module in (copy, right)]  # type: ignore[misc]
            for size in ((4, 5), (2, 3))
        ]
        x = features(2, 12, 2, 3)
        order = torch.arange(6).flip(0)
        right_inner = build_block("non_local", 12, zero_init=False).eval()
        gaps = [difference(block(_shuffled(x, order)), _shuffled(block(x), order)) for block in (copy, right_inner)]
    return [
        Measure("12 channels, 4 × 5 (20 places)", *runs[0]),
        Measure("12 channels, 2 × 3 (6 places, as many as inner channels)", *runs[1]),
        Measure("there: change when the places are shuffled and shuffled back", *gaps),
    ]


def _shuffled(x: Tensor, order: Tensor) -> Tensor:
    return x.flatten(2)[:, :, order].unflatten(2, x.shape[2:])


def _scaled() -> list[Measure]:
    with fixed_weights():
        for layer in (copy := ChannelScale(64)).children():
            nn.init.kaiming_normal_(layer.weight, mode="fan_out")  # type: ignore[arg-type]
        scores = copy.scores(features())
        right = scores / copy.scale * (64 // 8) ** -0.5
    largest = [each.softmax(2).amax(2).mean().item() for each in (scores, right)]
    return [
        Measure("standard deviation of the scores", scores.std().item(), right.std().item()),
        Measure("largest of the 64 weights of a place, on average", *largest),
    ]


class BlindWeights(nn.Module):
    """The first softmax of EMA: the means of channels that a norm has just brought to a mean of zero."""

    def __init__(self, width: int, norm_groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(norm_groups, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x).mean((2, 3)).softmax(1)  # B · groups, width


def _blind() -> list[Measure]:
    x = features(2, 8, 8, 8)
    weights = [BlindWeights(8, groups)(x + x.mean((2, 3), keepdim=True)) for groups in (8, 1)]
    return [
        Measure(
            "largest difference between the weights of two images",
            *(round((each[0] - each[1]).abs().max().item(), 6) for each in weights),
        ),
        Measure("largest of the 8 weights", *(each.max().item() for each in weights)),
    ]


class LooselyChecked(nn.Module):
    """SCSA's split into four parts, and its windows."""

    def __init__(self, channels: int, window: int = 7) -> None:
        super().__init__()
        assert channels // 4, "channels must be divisible by 4"  # % is meant
        self.part = channels // 4
        self.pool = nn.AvgPool2d(window, stride=window)

    def forward(self, x: Tensor) -> Tensor:
        _a, _b, _c, _d = x.split(self.part, 1)
        return self.pool(x)


def _loose() -> list[Measure]:
    copy = outcome(lambda: LooselyChecked(66)(features(2, 66, 8, 8)))
    small = [
        outcome(lambda: LooselyChecked(64)(features(2, 64, 6, 6))),
        outcome(lambda: build_block("scsa", 64)(features(2, 64, 6, 6))),
    ]
    return [
        Measure("66 channels", copy, outcome(lambda: build_block("scsa", 66))),
        Measure("features of 6 × 6", *small),
    ]


class WritingPSA(nn.Module):
    """The first step of pyramid split attention, which writes into a view of its input."""

    def __init__(self, channels: int, parts: int = 4) -> None:
        super().__init__()
        width = channels // parts
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 2 * i + 3, padding=i + 1) for i in range(parts))

    def forward(self, x: Tensor) -> Tensor:
        parts = x.view(x.shape[0], len(self.convs), -1, *x.shape[2:])
        for i, conv in enumerate(self.convs):
            parts[:, i] = conv(parts[:, i])
        return parts.flatten(1, 2)


class FlatPSA(nn.Module):
    """The gate of places of polarized self-attention, with the softmax after the product."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.value = nn.Conv2d(channels, channels // 2, 1, bias=False)

    def gate(self, x: Tensor, right: bool = False) -> Tensor:
        query, value = self.query(x).mean((2, 3)).unsqueeze(1), self.value(x).flatten(2)
        logits = query.softmax(2) @ value if right else (query @ value).softmax(2)
        return logits.sigmoid().unflatten(2, x.shape[2:])


def _writing() -> list[Measure]:
    with fixed_weights():
        copy, x = WritingPSA(64), features()
        before = x.clone()
        right = torch.cat([conv(part) for conv, part in zip(copy.convs, x.chunk(4, 1), strict=True)], 1)
        untouched = (x != before).float().mean().item()
        with torch.no_grad():
            assert torch.equal(copy(x), right.detach())  # the output itself is right
        layers = nn.Sequential(nn.Conv2d(64, 64, 1), copy)
        error = outcome(lambda: layers(before).sum().backward())
    return [
        Measure("share of the input that the call changes", (x != before).float().mean().item(), untouched),
        Measure("training, after a convolution", error, "works"),
    ]


def _flat() -> list[Measure]:
    with fixed_weights():
        copy, x = FlatPSA(64), features(2, 64, 12, 12)
        gates = copy.gate(x), copy.gate(x, right=True)
    return [
        Measure("smallest gate of a place", *(each.min().item() for each in gates)),
        Measure("largest gate of a place", *(each.max().item() for each in gates)),
        Measure("their spread (standard deviation)", *(each.std().item() for each in gates)),
    ]


COPIES = (
    Copy(
        block="non_local",
        key="non-local-unturned",
        kind="It stops with an error, or gives NaN",
        where=(("", "the short article that this book starts from"),),
        paper_says="Scores between places: N × N.",
        wrong=(
            "Nothing is transposed. It runs only if there are as many places as inner channels. Then it mixes channels "
            "with places. It also divides by √C, has no zero start, and has batch normalisation and a ReLU on g."
        ),
        one_line="UnturnedNonLocal(12)(torch.randn(2, 12, 4, 5))",
        right='`theta.mT @ phi`; `build_block("non_local", 12)`',
        code=(UnturnedNonLocal,),
        measure=_unturned,
    ),
    Copy(
        block="non_local",
        key="non-local-scale",
        kind="Other sizes or operations than the paper's",
        where=((TIMM, "timm/layers/non_local_attn.py"),),
        paper_says="The paper divides by nothing. Scaled attention divides by the root of the number of terms.",
        wrong="It divides by √C, but each score has only C / 8 terms. So the weights are more even.",
        one_line="ChannelScale(64).scale * ChannelScale(64).theta.out_channels ** 0.5",
        right='`build_block("non_local", 64, inner=8)`; timm\'s form is `scale="channels"`',
        code=(ChannelScale,),
        measure=_scaled,
    ),
    Copy(
        block="ema",
        key="ema-blind",
        kind="It ignores a part of its input",
        where=(
            ("YOLOonMe/EMA-attention-module", "EMA_attention_module"),
            ("HZAI-ZJNU/SCSA", "mmpretrain/models/attentions/EMA.py"),
        ),
        paper_says="The means of one branch's channels weigh the other branch's channels.",
        wrong=(
            "The norm of the first branch has one channel in each group, so the mean of each channel is fixed. Half of "
            "the weighing never looks at the image. Our block follows this code, and says so. What the name calls "
            "multi-scale is one 3 × 3 convolution beside strips (issue 5 there)."
        ),
        one_line="BlindWeights(64, 64).norm(x).mean((2, 3)).abs().max()",
        right="`nn.GroupNorm(1, width)` would let it look; this is not the authors' block any more",
        code=(BlindWeights,),
        measure=_blind,
    ),
    Copy(
        block="scsa",
        key="scsa-loose",
        kind="It stops with an error, or gives NaN",
        where=(("HZAI-ZJNU/SCSA", "mmpretrain/models/attentions/SCSA.py"),),
        paper_says="Four equal groups of channels, and windows of 7 × 7 places.",
        wrong=(
            "The check is `dim // 4` where `dim % 4 == 0` is meant, so it lets every width above 3 pass. Features "
            "smaller than a window stop with an error."
        ),
        one_line="LooselyChecked(66)(torch.randn(2, 66, 8, 8))",
        right='`build_block("scsa", 64)`',
        code=(LooselyChecked,),
        measure=_loose,
    ),
    Copy(
        block="psa",
        key="psa-writing",
        kind="Axes, images or memory are mixed up",
        where=((EXTERNAL, "model/attention/PSA.py"),),
        paper_says="Pyramid split attention: four parts of the channels, a convolution for each.",
        wrong=(
            "The results are written into a view of the input, so the caller's features change. `x + block(x)` adds "
            "the wrong x, and training stops with an error."
        ),
        one_line="torch.equal(x.clone(), (WritingPSA(64)(x), x)[1])",
        right="`torch.cat([conv(part) for conv, part in zip(convs, x.chunk(4, 1))], 1)`",
        code=(WritingPSA,),
        measure=_writing,
    ),
    Copy(
        block="psa",
        key="psa-flat",
        kind="It ignores a part of its input",
        where=(("DeLightCMU/PSA", "semantic-segmentation/network/PSA.py"),),
        paper_says="Polarized self-attention: a softmax over the channels of the query, a product, a sigmoid.",
        wrong=(
            "In the authors' `PSA_p` the softmax comes after the product and runs over all places. With many places "
            "its values are near zero, and every gate is near one half. The names are swapped: `spatial_pool` makes "
            "the gate of channels, and `channel_pool` the gate of places (issue 5 there)."
        ),
        one_line="FlatPSA(64).gate(x).std()",
        right="`(query.softmax(2) @ value).sigmoid()`",
        code=(FlatPSA,),
        measure=_flat,
    ),
)

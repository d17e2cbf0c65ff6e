"""The CIFAR ResNet of basic units, with a slot for an attention block in each unit."""

import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from attn_tutorial.backbones.oracle import Mask, gated, mean_under
from attn_tutorial.backbones.pooling import Pooling, build_pooling
from attn_tutorial.blocks.base import AttentionBlock, Features
from attn_tutorial.blocks.registry import build_block
from attn_tutorial.errors import check_choice

Position = Literal["standard", "pre", "post", "identity"]
Stem = Literal["conv3", "whiten4"]
STAGES = (1, 2, 3)

Images = Float[Tensor, "batch 3 height width"]
Inputs = Images | Float[Tensor, "batch 4 height width"]
"""Images; for an oracle network with the target's mask as a fourth channel, 1 where the target is visible, else 0."""
Logits = Float[Tensor, "batch classes"]


class BasicUnit(nn.Module):
    """Two 3×3 convolutions and a shortcut, with a slot: (B, C, H, W) -> (B, C', ⌈H/stride⌉, ⌈W/stride⌉).

    Where the slot acts (Hu et al. 2018, figure 5): "standard", on the branch before the addition; "pre", on
    the branch before its first convolution; "post", after the addition and its ReLU; "identity", on the
    shortcut, after its projection if it has one.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, position: Position) -> None:
        super().__init__()
        self.position = position
        self.slot_channels = in_channels if position == "pre" else out_channels
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )
        self.slot: nn.Module = nn.Identity()

    def forward(self, x: Features) -> Features:
        """Return the unit's output."""
        branch = self.slot(x) if self.position == "pre" else x
        branch = F.relu(self.norm1(self.conv1(branch)), inplace=True)
        branch = self.norm2(self.conv2(branch))
        shortcut = self.shortcut(x)
        if self.position == "standard":
            branch = self.slot(branch)
        elif self.position == "identity":
            shortcut = self.slot(shortcut)
        out = F.relu(branch + shortcut, inplace=True)
        return self.slot(out) if self.position == "post" else out


class GatedStage(nn.Sequential):
    """The stage of an oracle network: basic units one after the other, each of them gated by the mask of the target."""

    def forward(self, x: Features, mask: Mask) -> Features:  # type: ignore[override]
        """Return the last unit's gated output."""
        for unit in self:
            x = gated(unit(x), mask)
        return x


class ResNet(nn.Module):
    """A CIFAR ResNet: stem, three stages of basic units, pooling over places, linear layer. `resnet` builds it."""

    def __init__(
        self,
        units: int,
        widths: tuple[int, int, int],
        stem: Stem,
        position: Position,
        num_classes: int,
        oracle: bool = False,
        pooling: Pooling = "mean",
    ) -> None:
        super().__init__()
        self.oracle = oracle
        self.in_channels = 4 if oracle else 3
        width = widths[0]
        if stem == "whiten4":
            conv = nn.Conv2d(3, width, 4, stride=2, padding=1, bias=False)
            conv.weight.requires_grad_(False)
        else:
            conv = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.stem = nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        stage = GatedStage if oracle else nn.Sequential
        self.stage1 = stage(*_units(units, width, width, 1, position))
        self.stage2 = stage(*_units(units, width, widths[1], 2, position))
        self.stage3 = stage(*_units(units, widths[1], widths[2], 2, position))
        self.pool = build_pooling(pooling, widths[2])
        self.head = nn.Linear(widths[2], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def slots(self) -> dict[str, AttentionBlock]:
        """Return the attention blocks in order, by module name ("stage1.0.slot" is in the first unit of stage 1)."""
        return {
            name: module
            for name, module in self.named_modules()
            if name.endswith(".slot") and isinstance(module, AttentionBlock)
        }

    def forward(self, x: Inputs) -> Logits:
        """Return the logits of images that the caller has normalised; an oracle network takes their masks, too."""
        if self.oracle:
            return self._told(x)
        x = self.stage3(self.stage2(self.stage1(self.stem(x))))  # B, 4·width, h, w
        return self.head(self.pool(x))

    def classify(self, features: Features, x: Inputs) -> Logits:
        """Return the logits for the last stage's output `features`; of the network's input `x` only a mask is read."""
        return self.head(mean_under(features, x[:, 3:]) if self.oracle else self.pool(features))

    def _told(self, x: Inputs) -> Logits:
        if x.shape[1] != 4:
            raise ValueError(
                "an oracle network must be told where the target is: its input must have 4 channels, of which the last "
                f"is the target's mask, but got {x.shape[1]}. Build the input with `training.network_input`."
            )
        x, mask = x[:, :3], x[:, 3:]
        x = self.stem(x)
        for stage in (self.stage1, self.stage2, self.stage3):
            x = stage(x, mask)  # at last B, 4·width, h, w
        return self.head(mean_under(x, mask))


def resnet(
    depth: int,
    width: int,
    stem: Stem = "conv3",
    block: str | None = None,
    stages: tuple[int, ...] | None = None,
    position: Position = "standard",
    block_options: Mapping[str, Any] | None = None,
    num_classes: int = 10,
    widths: tuple[int, int, int] | None = None,
    oracle: bool = False,
    pooling: Pooling = "mean",
    norm_gain: float = 1.0,
) -> ResNet:
    """Build a CIFAR ResNet, with an attention block in the slots of the given stages.

    The stages are `width`, 2·`width` and 4·`width` wide, or as wide as `widths` says; the second and the third halve
    height and width. A unit that changes the shape has a 1×1 projection on its shortcut (option B of the paper).
    `resnet(20, 16)` is ResNet-20, with 272,474 parameters. `resnet(8, 32, stem="whiten4")` is the smallest backbone
    here: 309,322 parameters, of which the stem's 1,536 are frozen.

    With one seed, the backbone's weights are the same whatever the block is, and PyTorch's generator is left in the
    same state: the blocks draw their weights last, from a fork of it.

    Raises `ValueError` if an argument is not allowed; the message says what is allowed.

    Source: He, Zhang, Ren, Sun, Deep Residual Learning, 2016, section 4.2 (arXiv 1512.03385); positions: Hu
    et al., Squeeze-and-Excitation Networks, 2018, figure 5 (arXiv 1709.01507).

    Args:
        depth: 6n + 2, for n units per stage
        width: channels of the first stage
        stem: "conv3", a 3×3 convolution; "whiten4", a frozen 4×4 convolution of stride 2, which
            `whiten_stem_` fills
        block: the block's name in `BLOCKS`, or None for the plain network
        stages: the stages, counted from 1, whose units get the block; None for all
        position: where in a unit the block sits, see `BasicUnit`
        block_options: the block's options
        num_classes: the width of the output
        widths: channels of the three stages instead of those that follow from `width` (the stem is as wide as the first
            stage): for a plain network with as many parameters as one with blocks
        oracle: whether the network is told where the target is, as an upper control. Its input then has a fourth
            channel (B, 4, H, W): the mask of the target, 1 where it is visible, else 0. The stem does not read it.
            After every unit (its addition, its ReLU and its slot) the features are multiplied by the share of each
            place that the mask covers. The last mean is taken over the mask: the sum of the gated features over
            places, divided by the mask's sum; it is 0 if no pixel is visible. The weights are the same as without an
            oracle, and under a mask of ones the logits are, too, bit for bit. `forward` raises `ValueError` without
            the mask
        pooling: how the last features become one vector: "mean" over the places; "max", their largest value;
            "attention", a mean that a learned query weighs, see `pooling.AttentionPool`. An oracle needs "mean"
        norm_gain: γ of each unit's last BatchNorm (`norm2`) at the start, above 0. 0.5 damps every branch as a gate of
            one half does, in a network without gates. It draws no random number and changes no other weight

    """
    units, rest = divmod(depth - 2, 6)
    if units < 1 or rest:
        nearest = 6 * max(units, 1) + 2
        raise ValueError(f"depth must be 6n + 2 for a whole n of at least 1, but got {depth}. Try {nearest}.")
    check_choice("stem", stem, get_args(Stem))
    check_choice("position", position, get_args(Position))
    check_choice("pooling", pooling, get_args(Pooling))
    if oracle and pooling != "mean":
        raise ValueError(
            f"pooling must be 'mean' for an oracle, whose mean is taken over the mask, but got {pooling!r}."
        )
    if not 0 < norm_gain < math.inf:
        raise ValueError(f"norm_gain must be a finite number above 0, but got {norm_gain}. 1.0 is the usual start.")
    stages = STAGES if stages is None else stages
    for number in stages:
        check_choice("stage", number, STAGES)
    if not stages:
        raise ValueError("stages must name at least one stage, but got none. Give stages from 1 to 3, or None for all.")
    if block is None and block_options:
        raise ValueError(f"block_options need a block, but got {dict(block_options)} without one. Name the block too.")
    model = ResNet(units, widths or (width, 2 * width, 4 * width), stem, position, num_classes, oracle, pooling)
    for unit in model.modules():
        if isinstance(unit, BasicUnit):
            nn.init.constant_(unit.norm2.weight, norm_gain)
    if block is not None:
        with torch.random.fork_rng(devices=[]):
            for number in stages:
                _fill_slots(model.get_submodule(f"stage{number}"), block, dict(block_options or {}))
    return model


def _fill_slots(stage: nn.Module, block: str, options: dict[str, Any]) -> None:
    for unit in stage.children():
        if isinstance(unit, BasicUnit):
            unit.slot = build_block(block, unit.slot_channels, **options)


def _units(units: int, in_channels: int, out_channels: int, stride: int, position: Position) -> list[BasicUnit]:
    first = BasicUnit(in_channels, out_channels, stride, position)
    return [first, *(BasicUnit(out_channels, out_channels, 1, position) for _ in range(units - 1))]

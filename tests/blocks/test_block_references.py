"""The blocks against timm's, with copied weights, and against the published parameter counts."""

import functools

import pytest
import timm.layers
import torch
from timm.layers.cbam import CbamModule
from timm.layers.coord_attn import CoordAttn, EfficientLocalAttn, StripAttn
from timm.layers.grn import GlobalResponseNorm
from torch import nn
from torchvision.models import resnet50

from attn_tutorial.backbones import resnet
from attn_tutorial.blocks import build_block

CHANNELS = 64


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def copy_(target, source):
    with torch.no_grad():
        target.copy_(source.reshape(target.shape))


def copy_norm_(target, source):
    for ours, theirs in zip(target.state_dict().values(), source.state_dict().values(), strict=True):
        copy_(ours, theirs)


def randomise_(module):
    """Every weight and running statistic away from zero and one, where mistakes hide."""
    for each in module.state_dict().values():
        if each.is_floating_point():
            each.copy_(0.2 + 0.5 * torch.rand(each.shape))


@pytest.fixture(params=[False, True], ids=["eval", "train"])
def training(request):
    torch.manual_seed(0)
    return request.param


def assert_same(ours, theirs, training):
    x = torch.randn(3, CHANNELS, 7, 5, dtype=torch.float64, requires_grad=True)
    out = ours.double().train(training)(x)
    reference = theirs.double().train(training)(x)
    torch.testing.assert_close(out, reference)
    weights = torch.randn_like(x)
    (ours_grad,) = torch.autograd.grad(out, x, weights)
    (theirs_grad,) = torch.autograd.grad(reference, x, weights)
    torch.testing.assert_close(ours_grad, theirs_grad)


def test_se_equals_timm(training):
    ours, theirs = build_block("se", CHANNELS), timm.layers.SEModule(CHANNELS, rd_channels=CHANNELS // 16)
    for linear, conv in ((ours.mlp[0], theirs.fc1), (ours.mlp[2], theirs.fc2)):
        copy_(linear.weight, conv.weight)
        copy_(linear.bias, conv.bias)
    assert_same(ours, theirs, training)


def test_cbam_equals_timm(training):
    ours, theirs = build_block("cbam", CHANNELS), CbamModule(CHANNELS)
    randomise_(theirs)
    copy_(ours.channel.mlp[0].weight, theirs.channel.fc1.weight)
    copy_(ours.channel.mlp[2].weight, theirs.channel.fc2.weight)
    copy_(ours.spatial.conv.weight, theirs.spatial.conv.conv.weight)
    copy_norm_(ours.spatial.norm, theirs.spatial.conv.bn)
    assert_same(ours, theirs, training)


def test_non_local_with_timms_scale_equals_timm(training):
    inner = 24
    ours = build_block("non_local", CHANNELS, inner=inner, scale="channels")
    theirs = timm.layers.NonLocalAttn(CHANNELS, rd_channels=inner)
    theirs.norm.weight.data.fill_(0.7)
    theirs.norm.running_mean.fill_(0.1)
    for linear, conv in (
        (ours.theta, theirs.t),
        (ours.phi, theirs.p),
        (ours.g, theirs.g),
        (ours.out, theirs.z),
    ):
        conv.bias.data.normal_()
        copy_(linear.weight, conv.weight)
        copy_(linear.bias, conv.bias)
    copy_norm_(ours.norm, theirs.norm)
    assert_same(ours, theirs, training)


def test_eca_equals_timm(training):
    ours, theirs = build_block("eca", CHANNELS), timm.layers.EcaModule(CHANNELS)
    copy_(ours.conv.weight, theirs.conv.weight)
    assert_same(ours, theirs, training)


@pytest.mark.parametrize("fusion", ["add", "scale"])
@pytest.mark.parametrize("pool", ["attention", "avg"])
def test_global_context_equals_timm(training, fusion, pool):
    at_start = "half" if fusion == "scale" else "identity"
    ours = build_block("global_context", CHANNELS, reduction=8, fusion=fusion, pool=pool, at_start=at_start)
    flags = {"fuse_add": fusion == "add", "fuse_scale": fusion == "scale", "use_attn": pool == "attention"}
    theirs = timm.layers.GlobalContext(CHANNELS, rd_ratio=1 / 8, **flags)
    randomise_(theirs)
    perceptron = theirs.mlp_add if fusion == "add" else theirs.mlp_scale
    perceptron.norm.eps = 1e-5  # that of the authors' code
    for linear, conv in ((ours.transform[0], perceptron.fc1), (ours.transform[3], perceptron.fc2)):
        copy_(linear.weight, conv.weight)
        copy_(linear.bias, conv.bias)
    copy_norm_(ours.transform[1], perceptron.norm)
    if pool == "attention":
        copy_(ours.score.weight, theirs.conv_attn.weight)
        copy_(ours.score.bias, theirs.conv_attn.bias)
    assert_same(ours, theirs, training)


def test_coordinate_attention_equals_timm(training):
    ours = build_block("coordinate", CHANNELS, reduction=4)
    theirs = CoordAttn(CHANNELS, rd_channels=16, bias=True)
    randomise_(theirs)
    for conv, other in ((ours.reduce[0], theirs.conv1), (ours.row, theirs.conv_h), (ours.column, theirs.conv_w)):
        copy_(conv.weight, other.weight)
        copy_(conv.bias, other.bias)
    copy_norm_(ours.reduce[1], theirs.bn1)
    assert_same(ours, theirs, training)


@pytest.mark.parametrize("extent", [None, 2, 4, 8])
@pytest.mark.parametrize("shape", [(3, CHANNELS, 16, 8), (2, CHANNELS, 7, 5)], ids=str)
def test_gather_excite_without_parameters_equals_timm(extent, shape):
    """The only form that timm 1.0.31 builds."""
    x = torch.randn(shape, dtype=torch.float64)
    theirs = timm.layers.GatherExcite(CHANNELS, extent=extent or 0, use_mlp=False)
    torch.testing.assert_close(build_block("gather_excite", CHANNELS, extent=extent)(x), theirs(x))


def test_ela_equals_timm_without_its_activation(training):
    ours = build_block("ela", CHANNELS, shared=False)
    theirs = EfficientLocalAttn(CHANNELS, act_layer=nn.Identity, norm_layer=functools.partial(nn.GroupNorm, 16))
    randomise_(theirs)
    for (conv, norm), their_conv, their_norm in (
        (ours.rows, theirs.conv_h, theirs.norm_h),
        (ours.columns, theirs.conv_w, theirs.norm_w),
    ):
        copy_(conv.weight, their_conv.weight)
        copy_norm_(norm, their_norm)
    assert_same(ours, theirs, training)


@pytest.mark.parametrize("conv", [True, False])
def test_strip_equals_timm(training, conv):
    ours, theirs = build_block("strip", CHANNELS, conv=conv), StripAttn(CHANNELS, use_conv=conv)
    if conv:
        copy_(ours.rows.weight, theirs.conv_h.weight)
        copy_(ours.columns.weight, theirs.conv_w.weight)
    assert_same(ours, theirs, training)


def test_grn_equals_timm(training):
    ours, theirs = build_block("grn", CHANNELS), GlobalResponseNorm(CHANNELS, channels_last=False)
    randomise_(theirs)
    copy_(ours.gamma, theirs.weight)
    copy_(ours.beta, theirs.bias)
    assert_same(ours, theirs, training)


def bam_parameters(c, r, k):
    h = c // r
    return (2 * c * h + 3 * h + c) + (c * h + 3 * h + 2 * (9 * h * h + 3 * h) + h + 1)


def coordinate_parameters(c, r, k):
    m = max(8, c // 32)
    return 3 * c * m + 3 * m + 2 * c


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("eca", {"kernel": 9}, lambda c, r, k: 9),
        ("bam", {}, bam_parameters),
        ("non_local", {"pairwise": "concat"}, lambda c, r, k: 2 * c * c + 5 * c // 2 + 2 * c + 2 * (c // 2)),
        ("non_local", {"sub_sample": True}, lambda c, r, k: 2 * c * c + 5 * c // 2 + 2 * c),
        ("global_context", {}, lambda c, r, k: 2 * c * c // r + c // r + c + 2 * c // r + c + 1),
        ("global_context", {"pool": "avg"}, lambda c, r, k: 2 * c * c // r + c // r + c + 2 * c // r),
        ("simam", {}, lambda c, r, k: 0),
        ("coordinate", {}, coordinate_parameters),
        ("gather_excite", {}, lambda c, r, k: 0),
        ("gather_excite", {"reduction": 16}, lambda c, r, k: 2 * c * c // r + c + c // r),
        ("gather_excite", {"extent": 8, "gather": "conv"}, lambda c, r, k: 3 * 11 * c),
        ("ela", {}, lambda c, r, k: k * c + 2 * c),
        ("ela", {"mixed": 8, "shared": False}, lambda c, r, k: 2 * (8 * k * c + 2 * c)),
        ("strip", {"kernel": 5}, lambda c, r, k: 10 * c),
        ("strip", {"conv": False}, lambda c, r, k: 0),
        ("ema", {}, lambda c, r, k: 10 * (c // 8) ** 2 + 4 * (c // 8)),
        ("scsa", {}, lambda c, r, k: 16 * c),
        ("lka", {}, lambda c, r, k: c * c + 77 * c),
        ("grn", {}, lambda c, r, k: 2 * c),
        ("triplet", {}, lambda c, r, k: 3 * (2 * k * k + 2)),
        ("se+spatial", {}, lambda c, r, k: 2 * c * c // r + c + c // r + 2 * k * k + 2),
        ("se+non_local", {}, lambda c, r, k: 2 * c * c // r + c + c // r + 2 * c * c + 5 * c // 2 + 2 * c),
        ("cbam+non_local", {}, lambda c, r, k: 2 * c * c // r + 2 * k * k + 2 + 2 * c * c + 5 * c // 2 + 2 * c),
        ("random_gate", {}, lambda c, r, k: 0),
        ("identity", {}, lambda c, r, k: 0),
        ("se", {}, lambda c, r, k: 2 * c * c // r + c + c // r),
        ("se", {"bias": False}, lambda c, r, k: 2 * c * c // r),
        ("channel", {}, lambda c, r, k: 2 * c * c // r),
        ("channel", {"bias": True}, lambda c, r, k: 2 * c * c // r + c + c // r),
        ("spatial", {}, lambda c, r, k: 2 * k * k + 2),
        ("spatial", {"norm": False, "pools": "max"}, lambda c, r, k: k * k),
        ("cbam", {}, lambda c, r, k: 2 * c * c // r + 2 * k * k + 2),
        ("non_local", {}, lambda c, r, k: 2 * c * c + 5 * c // 2 + 2 * c),
        ("non_local", {"pairwise": "dot"}, lambda c, r, k: 2 * c * c + 5 * c // 2 + 2 * c),
        ("non_local", {"pairwise": "gaussian"}, lambda c, r, k: c * c + c // 2 + c + 2 * c),
        ("non_local", {"pairwise": "uniform"}, lambda c, r, k: c * c + c // 2 + c + 2 * c),
        ("static_gate", {}, lambda c, r, k: c),
        ("static_spatial", {}, lambda c, r, k: 6 * 6),
        ("static_spatial", {"cells": 4}, lambda c, r, k: 16),
    ],
)
def test_parameter_formulas(name, options, expected):
    for channels in (32, 128):
        assert count(build_block(name, channels, **options)) == expected(channels, 16, 7)


def test_se_on_cifar_resnets_adds_the_known_counts():
    for depth, added in ((20, 2_373), (56, 7_119)):
        assert count(resnet(depth, 16, block="se")) - count(resnet(depth, 16)) == added


@pytest.mark.parametrize(
    ("name", "options", "millions", "added"),
    [
        ("se", {}, 28.09, 2_530_992),
        ("cbam", {"bias": True}, 28.09, None),
        ("cbam", {}, 28.07, None),
    ],
)
def test_blocks_on_resnet50_give_the_published_counts(name, options, millions, added):
    with torch.device("meta"):
        model = resnet50()
        widths = [module.num_features for key, module in model.named_modules() if key.endswith("bn3")]
        blocks = nn.ModuleList(build_block(name, width, **options) for width in widths)
    assert round((count(model) + count(blocks)) / 1e6, 2) == millions
    assert added is None or count(blocks) == added

"""Features in float16 and bfloat16: outputs of their type, finite wherever they fit it, near to double precision."""

import contextlib
from typing import Literal, get_args, get_origin

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from attn_tutorial.blocks import BLOCK_NAMES, BLOCK_OPTIONS, build_block

CHANNELS = 32
SHAPE = (2, CHANNELS, 6, 5)
LARGEST = 6e4  # near the largest number of float16, 65,504
SHARES = {"out": 0.002, "x": 0.01, "parameters": 0.05}
"""How far float16 may be from double precision, as a share of the largest number: outputs and gradients."""


def alternatives():
    """Every block with its defaults, with each value of each option, and with pairs of options that matter here."""
    for name in BLOCK_NAMES:
        yield name, {}
        for option, field in BLOCK_OPTIONS[name].model_fields.items():
            choices = {bool: (False, True)}.get(field.annotation, ())
            if get_origin(field.annotation) is Literal:
                choices = get_args(field.annotation)
            for choice in choices:
                # These need other options, see below.
                alone = (name == "global_context" and choice == "half") or (
                    name == "gather_excite" and choice in ("conv", "identity")
                )
                if choice != field.default and not alone:
                    yield name, {option: choice}
    yield "se", {"squeeze": "max", "gate": "relu"}
    yield "eca", {"kernel": 5, "at_start": "identity"}
    yield "cbam", {"order": "parallel", "at_start": "identity"}
    yield "bam", {"combine": "product", "reduction": 8}
    yield "global_context", {"fusion": "scale", "at_start": "half", "reduction": 4}
    yield "non_local", {"pairwise": "gaussian", "scale": "none", "inner": 5}
    yield "non_local", {"pairwise": "dot", "scale": "none", "sub_sample": True}
    yield "non_local", {"pairwise": "concat", "sub_sample": True}
    yield "non_local", {"pairwise": "uniform", "sub_sample": True}
    yield "gather_excite", {"extent": 4, "gather": "conv"}
    yield "gather_excite", {"extent": 2, "gather": "conv", "reduction": 4, "at_start": "identity"}
    yield "ela", {"mixed": 2, "shared": False, "norm_groups": 4, "at_start": "identity"}
    yield "scsa", {"window": 2, "heads": 4}
    yield "static_spatial", {"cells": 3, "at_start": "identity"}
    yield "se+spatial", {"arrangement": "parallel", "at_start": "identity"}
    yield "cbam+non_local", {"arrangement": "parallel", "at_start": "identity"}


VARIANTS = list(alternatives())
variants = pytest.mark.parametrize(("name", "options"), VARIANTS, ids=lambda part: str(part))
ways = pytest.mark.parametrize("way", ["module", "autocast"])


def features(dtype, largest=1.0, seed=0):
    """Random features whose largest number has the given size."""
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))
    return (x * (largest / x.abs().max())).to(dtype)


def build(name, options, noise=0.3):
    """A block with noise on its weights, as if it was trained."""
    torch.manual_seed(1)
    block = build_block(name, CHANNELS, **options)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(noise * torch.randn_like(parameter))
    return block


def again(block, dtype):
    """The same block in another precision."""
    made = build_block(block.name, CHANNELS, **block.options).to(dtype).train(block.training)
    made.load_state_dict(block.state_dict())
    return made


def passed(block, x, upstream, precision=None):
    """Output and gradients of a forward and a backward pass, the latter under the autocast of the former."""
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", precision) if precision else contextlib.nullcontext():
        out = block(x)
    parameters = [each for each in block.parameters() if each.requires_grad]
    of_x, *others = torch.autograd.grad(out, [x, *parameters], upstream.to(out.dtype), allow_unused=True)
    return {"out": [out.detach()], "x": [of_x], "parameters": [each for each in others if each is not None]}


def compared(block, x, way):
    """What the block gives for `x` as a module in its type or under autocast, in double precision, and in float32."""
    if way == "module":
        block.to(x.dtype)
    # With gradients of this size, those of gates (sums of their products with x) fit float16, too.
    upstream = features(x.dtype, 4 / max(1, x.abs().max().item()), seed=1)
    double, single = again(block, torch.float64), again(block, torch.float32)
    given = passed(block, x, upstream, x.dtype if way == "autocast" else None)
    return given, passed(double, x.double(), upstream.double()), passed(single, x.float(), upstream.float())


def uses(name, options, *forms):
    return "non_local" in name and options.get("pairwise", "embedded") in forms


def assert_finite(given, exact, what):
    """Every number is finite whose exact value the type can hold."""
    for ours, right in zip(given, exact, strict=True):
        fits = right.abs() <= 0.999 * torch.finfo(ours.dtype).max
        assert ours[fits].isfinite().all(), f"{what}: NaN or infinite where the exact number fits {ours.dtype}"


def assert_near(given, exact, single, share, what):
    """The difference is at most a share of the largest exact number, or of the size of float32's own error."""
    largest = max((right.abs().max().item() for right in exact), default=0)
    for ours, right, theirs in zip(given, exact, single, strict=True):
        seen = ours.isfinite()
        least = torch.finfo(ours.dtype).smallest_normal * torch.finfo(ours.dtype).eps
        limit = share * min(largest, torch.finfo(ours.dtype).max) + 4 * least
        if seen.any():
            limit += 4 * (theirs - right)[seen].abs().max().item()
            gap = (ours - right)[seen].abs().max().item()
            assert gap <= limit, f"{what}: differs by {gap:.2g}, of at most {limit:.2g}"


@variants
@ways
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_float16_is_finite_and_near(name, options, way, training):
    for largest in (1e-4, 1.0, 300.0, LARGEST):
        sequence = name == "cbam" and options.get("order") != "parallel"
        if sequence and options.get("at_start") == "identity":
            largest /= 2  # gates of up to 2: the features between the halves must fit, too
        given, exact, single = compared(build(name, options).train(training), features(torch.float16, largest), way)
        assert given["out"][0].dtype == torch.float16
        for what, share in SHARES.items():
            # Where scores have ten digits, the rounding of float32 spoils the gradients of their softmax.
            if what == "out" or largest < LARGEST or not uses(name, options, "embedded", "gaussian"):
                assert_finite(given[what], exact[what], f"{what} at {largest:g}")
                # Once the features between CBAM's halves are rounded, another one may be the largest.
                if not sequence or what == "out":
                    share *= 10 if sequence else 1
                    assert_near(given[what], exact[what], single[what], share, f"{what} at {largest:g}")


@variants
@ways
def test_the_start_is_finite_and_the_identity_exact(name, options, way):
    """Even near the largest number, where the products that weights of zero annul would not fit."""
    block, x = build(name, options, noise=0).eval(), features(torch.float16, LARGEST)
    exact = again(block, torch.float64)(x.double())
    if way == "module":
        block.half()
    with torch.autocast("cpu", torch.float16, enabled=way == "autocast"):
        out = block(x)
    assert_finite([out], [exact], "out")
    assert torch.equal(out, x) == torch.equal(exact, x.double())


@variants
def test_float32_features_under_autocast_to_float16(name, options):
    """They may be larger than float16 can hold."""
    x, upstream = features(torch.float32, 1e6), features(torch.float32, 1e-6, seed=1)
    block = build(name, options).eval()
    double = again(block, torch.float64)
    given, single = passed(block, x, upstream, torch.float16), passed(block, x, upstream)
    exact = passed(double, x.double(), upstream.double())
    assert given["out"][0].dtype == torch.float32
    assert_finite(given["out"], exact["out"], "out")
    assert_near(given["out"], exact["out"], single["out"], 1e-5, "out")


@variants
@ways
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_bfloat16_is_finite_and_of_its_type(name, options, way, training):
    """Up to 1e18, the square root of float32's largest number; "dot" multiplies three features."""
    for largest in (1e-4, 300.0, 1e9 if uses(name, options, "dot") else 1e18):
        given, exact, _ = compared(build(name, options).train(training), features(torch.bfloat16, largest), way)
        assert given["out"][0].dtype == torch.bfloat16
        for what in given:
            if what == "out" or largest < LARGEST or not uses(name, options, "embedded", "gaussian"):
                assert_finite(given[what], exact[what], f"{what} at {largest:g}")


@pytest.mark.parametrize("name", ["se", "eca", "channel", "static_gate", "static_spatial", "random_gate", "identity"])
@ways
def test_bfloat16_gates_without_norms_or_squares_are_finite_far_beyond(name, way):
    given, exact, _ = compared(build(name, {}), features(torch.bfloat16, 1e36), way)
    for what in given:
        assert_finite(given[what], exact[what], what)


@variants
@ways
def test_bfloat16_is_near(name, options, way):
    block = build(name, options).eval()
    given, exact, single = compared(block, features(torch.bfloat16, 4), way)
    assert_near(given["out"], exact["out"], single["out"], 0.03, "out")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", BLOCK_NAMES)
@ways
def test_a_given_map_keeps_the_type_of_the_features(name, dtype, way):
    """Whatever the type of the map: its own maps, and the same in float32."""
    block, x = build(name, {}).eval(), features(dtype)
    if way == "module":
        block.to(dtype)
    with torch.autocast("cpu", dtype, enabled=way == "autocast"):
        maps = block.attention(x)
        out = block(x)
        for given in (maps, {kind: each.float() for kind, each in maps.items()}):
            replaced = block.apply_attention(x, given)
            assert replaced.dtype == out.dtype == dtype
            assert (replaced - out).abs().max() <= 0.02 * out.abs().max()


@pytest.mark.parametrize("way", ["module", "autocast"])
def test_simam_squares_no_float16(way):
    x = torch.zeros(1, 4, 6, 6, dtype=torch.float16)
    x[0, 0, 0, 0] = 300
    block = build_block("simam", 4)
    exact = block(x.double())
    with torch.autocast("cpu", torch.float16, enabled=way == "autocast"):
        out = block.half()(x)
    assert out.dtype == torch.float16
    assert (out - exact).abs().max() <= 0.001 * 300


@ways
def test_a_gate_may_be_larger_than_float16(way):
    """A relu has no largest value, so zeros must stay zeros beside it."""
    x = torch.zeros(1, CHANNELS, 6, 6, dtype=torch.float16)
    x[:, :, 0, 0] = LARGEST
    block = build("se", {"squeeze": "max", "gate": "relu", "reduction": 2}, noise=1)
    if way == "module":
        block.half()
    with torch.autocast("cpu", torch.float16, enabled=way == "autocast"):
        assert block.attention(x)["channel"].max() > torch.finfo(torch.float16).max
        out = block(x)
    assert out.dtype == torch.float16
    assert (out[:, :, 1:] == 0).all()


@pytest.mark.parametrize(
    "name", ["spatial", "bam", "non_local", "coordinate", "triplet", "ela", "ema", "scsa", "lka", "grn"]
)
def test_weights_and_statistics_in_float16_stay_so_and_are_trained(name):
    half = build(name, {}).half().train()
    single = again(half, torch.float32)
    x = features(torch.float16, 8)
    for block in (half, single):
        block(x.to(next(block.parameters()).dtype)).square().mean().backward()
    assert all(each.dtype == each.grad.dtype == torch.float16 for each in half.parameters())
    expected, moved = single.state_dict(), 0
    for key, each in half.state_dict().items():
        if "num_batches" in key:
            assert each == expected[key] == 1
        else:
            assert each.dtype == torch.float16
        if "running" in key:
            moved += not torch.equal(each, torch.full_like(each, float("var" in key)))
            torch.testing.assert_close(each.float(), expected[key], rtol=2e-3, atol=1e-5)
    assert moved == 2 * sum(isinstance(each, nn.modules.batchnorm._BatchNorm) for each in half.modules())


@pytest.mark.parametrize("name", [name for name in BLOCK_NAMES if "+" not in name])
def test_bfloat16_needs_no_features_in_float32(name):
    """So that training under autocast takes neither more memory nor more time."""
    wide = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
            result = function(*arguments, **(keywords or {}))
            for each in result if isinstance(result, tuple) else (result,):
                if isinstance(each, torch.Tensor) and each.dtype == torch.float32 and each.numel() >= x.numel():
                    wide.append(function)
            return result

    x = features(torch.bfloat16).requires_grad_()
    block = build(name, {}).train()
    with Watch(), torch.autocast("cpu", torch.bfloat16):
        block(x).sum().backward()
    assert not wide


@pytest.mark.parametrize("name", BLOCK_NAMES)
def test_float16_compiles_and_exports(name):
    x = features(torch.float16, 4)
    block = build(name, {}).eval()
    torch.compiler.reset()
    with torch.autocast("cpu", torch.float16):
        expected = block(x)
        out = torch.compile(block, backend="aot_eager", fullgraph=True)(x)
    assert out.dtype == torch.float16
    assert (out - expected).abs().max() <= 0.002 * expected.abs().max()
    block.half()
    free = torch.export.Dim.DYNAMIC
    exported = torch.export.export(block, (x,), dynamic_shapes=({0: free, 2: free, 3: free},)).module()
    other = torch.randn(3, CHANNELS, 4, 7).half()
    assert (exported(other) - block(other)).abs().max() <= 0.002 * block(other).abs().max()

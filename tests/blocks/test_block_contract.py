"""What every block keeps, whatever its options: shapes, maps, precision, memory format, export, gradients."""

import inspect

import pytest
import torch

from attn_tutorial.blocks import BLOCK_NAMES, BLOCK_OPTIONS, BLOCKS, build_block

CHANNELS = 32
VARIANTS = [
    ("se", {}),
    ("se", {"squeeze": "max", "gate": "tanh", "bias": False}),
    ("se", {"gate": "relu", "reduction": 4}),
    ("se", {"at_start": "identity"}),
    ("eca", {}),
    ("eca", {"kernel": 5, "at_start": "identity"}),
    ("channel", {}),
    ("channel", {"pools": "avg", "bias": True}),
    ("channel", {"pools": "max", "at_start": "identity"}),
    ("spatial", {}),
    ("spatial", {"pools": "avg", "kernel": 3}),
    ("spatial", {"pools": "max", "norm": False, "at_start": "identity"}),
    ("cbam", {}),
    ("cbam", {"order": "spatial-channel", "kernel": 3}),
    ("cbam", {"order": "parallel", "at_start": "identity"}),
    ("bam", {}),
    ("bam", {"combine": "product", "dilation": 2}),
    ("bam", {"combine": "max", "reduction": 8}),
    ("non_local", {"zero_init": False}),
    ("non_local", {"zero_init": False, "pairwise": "gaussian", "inner": 5}),
    ("non_local", {"zero_init": False, "pairwise": "dot", "scale": "none"}),
    ("non_local", {"zero_init": False, "pairwise": "concat"}),
    ("non_local", {"zero_init": False, "pairwise": "uniform"}),
    ("non_local", {"zero_init": False, "sub_sample": True}),
    ("non_local", {"zero_init": False, "sub_sample": True, "pairwise": "gaussian"}),
    ("non_local", {"zero_init": False, "sub_sample": True, "pairwise": "dot"}),
    ("non_local", {"zero_init": False, "sub_sample": True, "pairwise": "concat", "inner": 5}),
    ("non_local", {"zero_init": False, "sub_sample": True, "pairwise": "uniform"}),
    ("global_context", {"reduction": 4}),
    ("global_context", {"pool": "avg", "reduction": 8}),
    ("global_context", {"fusion": "scale", "reduction": 4}),
    ("global_context", {"fusion": "scale", "at_start": "half", "reduction": 2}),
    ("simam", {}),
    ("simam", {"lam": 0.1}),
    ("coordinate", {}),
    ("coordinate", {"reduction": 2, "at_start": "identity"}),
    ("triplet", {}),
    ("triplet", {"kernel": 3, "at_start": "identity"}),
    ("gather_excite", {}),
    ("gather_excite", {"reduction": 4, "at_start": "identity"}),
    ("gather_excite", {"extent": 2}),
    ("gather_excite", {"extent": 8, "gather": "conv"}),
    ("gather_excite", {"extent": 4, "gather": "conv", "reduction": 8, "at_start": "identity"}),
    ("ela", {}),
    ("ela", {"kernel": 5, "mixed": 2, "norm_groups": 2, "shared": False, "at_start": "identity"}),
    ("strip", {}),
    ("strip", {"conv": False}),
    ("strip", {"kernel": 5, "at_start": "identity"}),
    ("ema", {"groups": 2}),
    ("ema", {"groups": 4, "at_start": "identity"}),
    ("scsa", {"heads": 2}),
    ("scsa", {"heads": 4, "window": 2, "at_start": "identity"}),
    ("lka", {}),
    ("lka", {"kernel": 9, "dilation": 2, "at_start": "identity"}),
    ("grn", {}),
    ("se+spatial", {}),
    ("se+spatial", {"arrangement": "parallel", "at_start": "identity"}),
    ("se+non_local", {"reduction": 8}),
    ("se+non_local", {"arrangement": "parallel"}),
    ("cbam+non_local", {}),
    ("cbam+non_local", {"arrangement": "parallel", "at_start": "identity"}),
    ("static_gate", {}),
    ("static_gate", {"at_start": "identity"}),
    ("static_spatial", {}),
    ("static_spatial", {"cells": 4, "at_start": "identity"}),
    ("random_gate", {}),
    ("identity", {}),
]
SHAPES = [(2, CHANNELS, 6, 6), (1, CHANNELS, 5, 3), (3, CHANNELS, 1, 1), (1, CHANNELS, 4, 4)]
MAP_SHAPES = {
    "channel": lambda b, c, h, w: (b, c, 1, 1),
    "spatial": lambda b, c, h, w: (b, 1, h, w),
    "full": lambda b, c, h, w: (b, c, h, w),
    "pairwise": lambda b, c, h, w: (b, h * w, h * w),
    "sub-sampled pairwise": lambda b, c, h, w: (b, h * w, -(-h // 2) * -(-w // 2)),
}
MAPS = {
    "eca": {"channel"},
    "cbam": {"channel", "spatial"},
    "bam": {"full"},
    "global_context": {"spatial"},
    "simam": {"full"},
    "coordinate": {"full"},
    "triplet": {"full"},
    "ela": {"full"},
    "strip": {"full"},
    "ema": {"full"},
    "scsa": {"full", "channel"},
    "lka": {"full"},
    "grn": {"channel"},
    "non_local": {"pairwise"},
    "se+spatial": {"channel", "spatial"},
    "se+non_local": {"channel", "pairwise"},
    "cbam+non_local": {"channel", "spatial", "pairwise"},
    "se": {"channel"},
    "channel": {"channel"},
    "spatial": {"spatial"},
    "static_gate": {"channel"},
    "static_spatial": {"spatial"},
    "random_gate": {"channel"},
    "identity": set(),
}

variants = pytest.mark.parametrize(("name", "options"), VARIANTS, ids=lambda part: str(part))


def features(shape=(2, CHANNELS, 6, 5), dtype=torch.float32, seed=0):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def assert_near(given, expected, share=1e-5):
    """Every difference at most a share of the largest value expected."""
    assert (given.float() - expected.float()).abs().max() <= share * expected.abs().max()


def build(name, options, channels=CHANNELS):
    """A block with no parameter left at a start that hides mistakes (zeros in a norm, a bias or a gate)."""
    torch.manual_seed(1)
    block = build_block(name, channels, **options)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return block


def test_every_block_is_among_the_variants():
    assert set(BLOCKS) == set(BLOCK_NAMES) == {name for name, _ in VARIANTS}
    assert all(cls.name == name for name, cls in BLOCKS.items())


@pytest.mark.parametrize("name", BLOCK_NAMES)
def test_the_signature_of_a_class_shows_its_options_with_types_and_defaults(name):
    channels, *options = inspect.signature(BLOCKS[name]).parameters.values()
    assert str(channels) == "channels: int"
    assert {each.name: each.default for each in options} == BLOCK_OPTIONS[name]().model_dump()
    assert all(each.kind is each.KEYWORD_ONLY and each.annotation is not each.empty for each in options)


@variants
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_forward_equals_apply_attention_and_keeps_the_shape(name, options, shape, training):
    block = build(name, options).train(training)
    x = features(shape)
    single = shape[0] == 1 and options.get("gather") == "conv" and max(shape[2:]) <= options["extent"]
    if training and ((name == "bam" and len(x) == 1) or single):
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            block(x)
        return
    out = block(x)
    maps = block.attention(x)
    assert out.shape == x.shape
    # One image collects one mean at all its places. BatchNorm in training then magnifies what is left: rounding.
    alone = options.get("pairwise") == "uniform" and training and len(x) == 1
    assert_near(out, block.apply_attention(x, maps), 1e-4 if alone else 1e-5)
    assert set(maps) == MAPS.get(name, {"full" if options.get("extent") else "channel"})  # of gather_excite
    for kind, each in maps.items():
        assert tuple(each.shape) == MAP_SHAPES["sub-sampled " * ("sub_sample" in options) + kind](*shape)


@variants
def test_a_given_map_replaces_the_blocks_own(name, options):
    """Without any weight a gate lets nothing through; what is added is the same in every place, as biases are."""
    block, x = build(name, options).eval(), features()
    maps = block.attention(x)
    given = block.apply_attention(x, {kind: torch.zeros_like(each) for kind, each in maps.items()})
    if name == "identity":
        assert given is x
        return
    kept = {"bam": 1, "non_local": 1, "global_context": 1}.get(name, 0)
    if options.get("arrangement") == "parallel" and "non_local" in name:
        kept = 0.5
    rest = given / x - 1 if options.get("fusion") == "scale" else given - kept * x
    torch.testing.assert_close(rest, rest[:1, :, :1, :1].expand_as(rest), atol=1e-5, rtol=1e-4)
    assert ("global_context" in name or "non_local" in name or name == "grn") == bool(rest.abs().max() > 1e-3)
    assert not torch.allclose(given, block(x), atol=1e-3)


@variants
def test_gradients_are_right(name, options):
    reduced = "reduction" in BLOCK_OPTIONS[name].model_fields and name != "gather_excite"
    block = build(name, {**options, **({"reduction": 2} if reduced else {})}, 8).double().eval()
    x = features((2, 8, 3, 2), torch.float64).requires_grad_()
    parameters = tuple(block.parameters())
    assert torch.autograd.gradcheck(lambda x, *_: block(x), (x, *parameters))


@variants
@pytest.mark.parametrize(("dtype", "share"), [(torch.bfloat16, 0.03), (torch.float64, 1e-5)], ids=str)
def test_other_precisions(name, options, dtype, share):
    block, x = build(name, options).eval(), features()
    expected = block(x)
    out = block.to(dtype)(x.to(dtype))
    assert out.dtype == dtype
    assert_near(out, expected, share)


@variants
def test_autocast_to_bfloat16_stays_close(name, options):
    block, x = build(name, options).eval(), features()
    with torch.autocast("cpu", torch.bfloat16):
        out = block(x)
    assert_near(out, block(x), 0.03)


@variants
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
def test_the_memory_format_is_kept(name, options, memory_format):
    block, x = build(name, options), features()
    out = block(x.to(memory_format=memory_format))
    assert out.is_contiguous(memory_format=memory_format)
    assert_near(out, block(x))


@variants
def test_compiled_equals_eager(name, options):
    block, x = build(name, options).eval(), features()
    torch.compiler.reset()
    compiled = torch.compile(block, backend="aot_eager", fullgraph=True)
    assert_near(compiled(x), block(x))


@variants
def test_exports_with_free_batch_and_size(name, options):
    # An export of strided convolutions that leave more than one summary serves only sizes that do so, too.
    scale = 4 if options.get("gather") == "conv" else 1
    block, x = build(name, options).eval(), features((2, CHANNELS, 6 * scale, 5 * scale))
    free = torch.export.Dim.DYNAMIC
    exported = torch.export.export(block, (x,), dynamic_shapes=({0: free, 2: free, 3: free},)).module()
    other = features((5, CHANNELS, 4 * scale, 7 * scale))
    assert_near(exported(other), block(other))


@variants
def test_runs_without_data_on_a_fake_gpu(name, options):
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode(), torch.device("cuda"):
        out = build_block(name, CHANNELS, **options)(torch.randn(2, CHANNELS, 6, 5))
    assert out.device.type == "cuda"
    assert out.shape == (2, CHANNELS, 6, 5)

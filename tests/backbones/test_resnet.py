"""The backbone: its sizes, its slots, and that a block changes nothing of it but the slot."""

import pytest
import torch
from torch import nn

from attn_tutorial.backbones import resnet
from attn_tutorial.blocks import BLOCK_NAMES, BLOCK_OPTIONS, build_block

POSITIONS = ("standard", "pre", "post", "identity")
SMALL = {"reduction": 4}
NEEDED = {"gather_excite": {"reduction": 4}}  # it has no parameters otherwise
IDENTITIES = [
    (name, {"at_start": "identity", **NEEDED.get(name, {})} if "at_start" in model.model_fields else {})
    for name, model in BLOCK_OPTIONS.items()
    if name not in ("bam", "simam", "random_gate")
]


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


def seeded(**arguments):
    torch.manual_seed(7)
    return resnet(8, 16, **arguments)


def images(size=(12, 12)):
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))


def test_resnet20_has_its_known_size():
    """0.27 million in the paper's table 6; option B adds two 1×1 projections and their norms to 269,722."""
    assert count(resnet(20, 16)) == 269_722 + (16 * 32 + 2 * 32) + (32 * 64 + 2 * 64) == 272_474


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
def test_published_sizes(depth, millions):
    digits = 1 if depth == 110 else 2
    projections = 2752
    assert round((count(resnet(depth, 16)) - projections) / 1e6, digits) == millions


def test_the_smallest_backbone():
    model = resnet(8, 32, stem="whiten4")
    assert count(model) == 309_322
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    assert frozen == ["stem.0.weight"]
    assert model.stem[0].weight.numel() == 1_536
    shapes = {}
    for name in ("stem", "stage1", "stage2", "stage3"):
        model.get_submodule(name).register_forward_hook(
            lambda module, inputs, out, name=name: shapes.update({name: tuple(out.shape[1:])})
        )
    assert model(torch.randn(2, 3, 48, 48)).shape == (2, 10)
    assert shapes == {
        "stem": (32, 24, 24),
        "stage1": (32, 24, 24),
        "stage2": (64, 12, 12),
        "stage3": (128, 6, 6),
    }


@pytest.mark.parametrize("size", [(12, 12), (9, 13), (1, 1)], ids=str)
@pytest.mark.parametrize("stem", ["conv3", "whiten4"])
def test_any_image_size_and_number_of_classes(size, stem):
    if stem == "whiten4" and size == (1, 1):
        size = (2, 2)  # the least that a 4×4 filter with padding 1 fits
    assert seeded(stem=stem, num_classes=7).eval()(images(size)).shape == (2, 7)


def test_slots_are_named_by_module_and_in_order():
    model = resnet(14, 16, block="static_gate", stages=(2, 3))
    assert list(model.slots()) == ["stage2.0.slot", "stage2.1.slot", "stage3.0.slot", "stage3.1.slot"]
    assert [slot.channels for slot in model.slots().values()] == [32, 32, 64, 64]
    assert all(model.get_submodule(name) is slot for name, slot in model.slots().items())
    assert resnet(14, 16).slots() == {}
    assert len(resnet(14, 16, block="static_gate").slots()) == 6


def test_slots_do_not_list_the_parts_of_a_block():
    assert list(resnet(8, 16, block="cbam", stages=(1,)).slots()) == ["stage1.0.slot"]


@pytest.mark.parametrize("name", BLOCK_NAMES)
def test_one_seed_gives_one_backbone_whatever_the_block(name):
    plain = seeded()
    after_plain = torch.rand(3)
    model = seeded(block=name, block_options=SMALL if name == "global_context" else {})
    after_block = torch.rand(3)
    weights = model.state_dict()
    assert all(torch.equal(weights[key], value) for key, value in plain.state_dict().items())
    assert {key for key in weights if ".slot." not in key} == set(plain.state_dict())
    assert torch.equal(after_plain, after_block)


def test_one_seed_gives_one_block_and_another_seed_another():
    first, again = (seeded(block="se").stage1[0].slot.mlp[0].weight for _ in range(2))
    torch.manual_seed(8)
    other = resnet(8, 16, block="se").stage1[0].slot.mlp[0].weight
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize(("name", "options"), IDENTITIES, ids=str)
def test_a_block_that_starts_as_the_identity_leaves_the_output_unchanged(position, name, options):
    if name == "global_context":
        options = {**options, **SMALL}
    plain, model = seeded(), seeded(block=name, position=position, block_options=options)
    assert torch.equal(model.eval()(images()), plain.eval()(images()))


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("stage", [1, 2])
def test_where_the_slot_acts(position, stage):
    """Against the unit written out: stage 1 has a bare shortcut, stage 2 a projection."""
    model = seeded(block="se", position=position, block_options=SMALL).eval()
    unit = model.get_submodule(f"stage{stage}")[0]
    x = torch.randn(2, 16, 6, 6)

    def branch(x):
        return unit.norm2(unit.conv2(torch.relu(unit.norm1(unit.conv1(x)))))

    expected = {
        "standard": lambda: torch.relu(unit.slot(branch(x)) + unit.shortcut(x)),
        "pre": lambda: torch.relu(branch(unit.slot(x)) + unit.shortcut(x)),
        "post": lambda: unit.slot(torch.relu(branch(x) + unit.shortcut(x))),
        "identity": lambda: torch.relu(branch(x) + unit.slot(unit.shortcut(x))),
    }[position]()
    torch.testing.assert_close(unit(x), expected)
    assert isinstance(unit.shortcut, nn.Identity) == (stage == 1)


def test_the_four_positions_differ():
    outputs = [seeded(block="se", position=position).eval()(images()) for position in POSITIONS]
    gaps = [(a - b).abs().max() for i, a in enumerate(outputs) for b in outputs[:i]]
    assert min(gaps) > 1e-4


def test_the_pre_position_takes_the_units_input_channels():
    slots = resnet(8, 16, block="static_gate", position="pre").slots()
    assert [slot.channels for slot in slots.values()] == [16, 16, 32]


@pytest.mark.parametrize("name", BLOCK_NAMES)
@pytest.mark.parametrize("position", POSITIONS)
def test_everything_but_the_frozen_stem_gets_a_gradient(name, position):
    options = {"zero_init": False} if name == "non_local" else {}
    model = resnet(8, 32, stem="whiten4", block=name, position=position, block_options=options)
    model(images()).square().sum().backward()
    missing = [key for key, parameter in model.named_parameters() if parameter.grad is None]
    assert missing == ["stem.0.weight"]


@pytest.mark.parametrize("block", [None, "cbam"])
@pytest.mark.parametrize("depth", [8, 14])
def test_norm_gain_starts_the_last_norm_of_every_unit_and_nothing_else(block, depth):
    def build(**arguments):
        torch.manual_seed(7)
        model = resnet(depth, 16, stem="whiten4", block=block, **arguments)
        return model.state_dict(), torch.rand(3)

    (usual, drawn), (same, _), (half, drawn_too) = build(), build(norm_gain=1.0), build(norm_gain=0.5)
    assert torch.equal(drawn, drawn_too)
    gains = [key for key in usual if key.endswith(".norm2.weight")]
    assert len(gains) == (depth - 2) // 2
    assert all(torch.equal(same[key], value) for key, value in usual.items())
    assert all((half[key] == 0.5).all() and (usual[key] == 1).all() for key in gains)
    assert all(torch.equal(half[key], value) for key, value in usual.items() if key not in gains)


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_a_gain_of_one_half_starts_as_a_gate_of_one_half(training):
    """On the branch before the addition: `static_gate` is σ(0) = 1/2 there. Halving loses no bit."""
    gated = seeded(block="static_gate", position="standard").train(training)
    assert torch.equal(seeded(norm_gain=0.5).train(training)(images()), gated(images()))
    assert not torch.equal(seeded().train(training)(images()), gated(images()))


def test_channels_last_stays_channels_last_through_the_network():
    model = seeded(block="cbam").to(memory_format=torch.channels_last)
    formats = []
    for module in model.modules():
        if len(list(module.children())) == 0:
            module.register_forward_hook(
                lambda module, inputs, out: formats.append(
                    out.ndim != 4 or out.is_contiguous(memory_format=torch.channels_last)
                )
            )
    x = images().to(memory_format=torch.channels_last)
    torch.testing.assert_close(model.eval()(x), seeded(block="cbam").eval()(images()), atol=1e-5, rtol=1e-4)
    assert formats
    assert all(formats)


def test_compiled_network_equals_eager():
    torch.compiler.reset()
    model = seeded(block="non_local", block_options={"zero_init": False}).eval()
    torch.testing.assert_close(torch.compile(model, backend="aot_eager", fullgraph=True)(images()), model(images()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 10}, r"depth must be 6n \+ 2 .* but got 10. Try 8"),
        ({"depth": 2}, r"depth must be 6n \+ 2 .* but got 2. Try 8"),
        ({"stem": "whiten"}, "stem must be one of conv3, whiten4, but got 'whiten'. Did you mean 'whiten4'"),
        ({"position": "after"}, "position must be one of standard, pre, post, identity, but got 'after'"),
        ({"position": "pots"}, "Did you mean 'post'"),
        ({"stages": (0, 1)}, "stage must be one of 1, 2, 3, but got 0"),
        ({"stages": (4,)}, "stage must be one of 1, 2, 3, but got 4"),
        ({"stages": ()}, "stages must name at least one stage, but got none"),
        ({"block": "sse"}, "but got 'sse'. Did you mean 'se'"),
        ({"block": "se", "block_options": {"reductoin": 4}}, "Did you mean 'reduction'"),
        ({"block_options": {"reduction": 4}}, "block_options need a block, but got .* without one"),
        ({"width": 8, "block": "se"}, "8 channels with reduction 16"),
        ({"norm_gain": 0.0}, "norm_gain must be a finite number above 0, but got 0.0"),
        ({"norm_gain": -1.0}, "norm_gain must be a finite number above 0, but got -1.0"),
        ({"norm_gain": float("inf")}, "norm_gain must be a finite number above 0, but got inf"),
        ({"norm_gain": float("nan")}, "norm_gain must be a finite number above 0, but got nan"),
        ({"pooling": "avg"}, "pooling must be one of mean, max, attention, but got 'avg'"),
    ],
    ids=str,
)
def test_what_is_not_allowed_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        resnet(**{"depth": 8, "width": 16, **arguments})


def test_blocks_of_a_network_are_the_registered_ones():
    slot = seeded(block="se", block_options=SMALL).slots()["stage3.0.slot"]
    alone = build_block("se", 64, **SMALL)
    assert type(slot) is type(alone)
    assert slot.options == alone.options

import pytest
import torch
from torch import nn

from attn_tutorial.backbones import insert_blocks, resnet
from attn_tutorial.blocks import BLOCK_NAMES, build_block
from attn_tutorial.evaluation import Seen, acting, attention_blocks, attention_maps


def noisy(model: nn.Module) -> nn.Module:
    """Add noise to the weights, because a block that starts as the identity would hide errors."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


@pytest.mark.parametrize("block", BLOCK_NAMES)
@torch.no_grad()
def test_all_maps_of_one_pass_are_those_of_the_slots_own_inputs(block):
    model = noisy(resnet(8, 32, stem="whiten4", block=block))
    inputs = {}
    hooks = [
        slot.register_forward_pre_hook(lambda _, args, name=name: inputs.update({name: args[0]}))
        for name, slot in model.slots().items()
    ]
    x = torch.randn(2, 3, 32, 32)
    expected = model(x)
    for hook in hooks:
        hook.remove()
    logits, seen = attention_maps(model, x)
    assert torch.allclose(logits, expected, atol=1e-4)
    assert list(seen) == list(model.slots()) == list(attention_blocks(model))
    for name, each in seen.items():
        assert each.size == inputs[name].shape[2:]
        own = model.slots()[name].attention(inputs[name])
        assert each.maps.keys() == own.keys()
        for kind, gate in own.items():
            assert torch.allclose(each.maps[kind], gate, atol=1e-4)
        for where in each.by_place().values():
            assert where.shape == (2, *each.size)
    assert torch.equal(model(x), expected), "the network is unchanged"


def test_which_maps_say_where():
    def places(name):
        x = torch.randn(2, 32, 6, 6)
        return list(Seen(build_block(name, 32).attention(x), (6, 6)).by_place())

    assert places("spatial") == ["spatial"]
    assert places("bam") == places("simam") == places("coordinate") == places("triplet") == ["full"]
    assert places("cbam+non_local") == ["spatial", "received"]
    assert places("se") == places("eca") == places("static_gate") == places("identity") == []


def test_a_full_map_is_averaged_over_the_channels():
    gate = torch.rand(2, 5, 3, 4)
    assert torch.equal(Seen({"full": gate}, (3, 4)).by_place()["full"], gate.sum(1) / 5)


@pytest.mark.parametrize(("keys", "shape"), [((5, 7), (5, 7)), ((3, 4), (3, 4))], ids=["all", "sub-sampled"])
def test_received_is_what_all_places_take_from_one_of_them(keys, shape):
    pairwise = torch.zeros(1, 35, keys[0] * keys[1])
    place = 2 * keys[1] + 1  # row 2, column 1
    pairwise[0, :14, place] = 1.0  # 14 of the 35 places take all that they take from there
    received = Seen({"pairwise": pairwise}, (5, 7)).by_place()["received"]
    assert received.shape == (1, *shape)
    assert received[0, 2, 1] == pytest.approx(14 / 35)
    assert received.sum() == received[0, 2, 1]


def test_sub_sampled_keys_of_a_real_block():
    block = build_block("non_local", 8, sub_sample=True).eval()
    seen = Seen(block.attention(torch.randn(2, 8, 5, 7)), (5, 7))
    assert seen.by_place()["received"].shape == (2, 3, 4)
    assert torch.allclose(seen.by_place()["received"].sum((1, 2)), torch.ones(2))


def test_a_pairwise_map_over_other_places_gives_no_map_over_places():
    assert Seen({"pairwise": torch.rand(1, 35, 9)}, (5, 7)).by_place() == {}


def test_any_network_with_blocks_and_only_outermost_blocks():
    model = resnet(8, 32)
    names = insert_blocks(model, "stage*.0.norm2", "cbam", torch.zeros(1, 3, 32, 32))
    assert list(attention_blocks(model)) == [f"{name}.attention_block" for name in names]
    _, seen = attention_maps(model.eval(), torch.randn(2, 3, 32, 32))
    assert [each.size for each in seen.values()] == [(32, 32), (16, 16), (8, 8)]


def test_a_block_on_its_own_is_a_network_too():
    block = build_block("cbam", 32)
    assert list(attention_blocks(block)) == [""]


def test_blocks_act_as_given_only_inside_the_context():
    model = resnet(8, 32, block="se").eval()
    x = torch.randn(2, 3, 32, 32)
    before = model(x)
    with acting(model, lambda name, block, x: 0 * x):
        assert not torch.allclose(model(x), before)
    assert torch.equal(model(x), before)


def test_blocks_act_as_before_after_an_error():
    model = resnet(8, 32, block="se").eval()
    x = torch.randn(2, 3, 32, 32)
    before = model(x)

    def fail(name, block, features):
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"), acting(model, fail):
        model(x)
    assert torch.equal(model(x), before)

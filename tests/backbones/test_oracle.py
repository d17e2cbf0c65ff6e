"""The network that is told where the target is: what it sees, and that it is the plain network otherwise."""

import pytest
import torch
from torch.nn import functional

from attn_tutorial.backbones import resnet
from attn_tutorial.backbones.oracle import gated, mean_under, shares
from attn_tutorial.blocks.measure import count_flops, count_parameters

SIDE = 48
STEMS = ("conv3", "whiten4")
POSITIONS = ("standard", "pre", "post", "identity")


def seeded(seed=7, **arguments):
    torch.manual_seed(seed)
    return resnet(8, 16, **arguments)


def images(count=3):
    return torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def square(top=16, left=16, side=16, count=3):
    """A mask, 1 in a square and 0 around it."""
    mask = torch.zeros(count, 1, SIDE, SIDE)
    mask[:, :, top : top + side, left : left + side] = 1
    return mask


def told(pixels, mask):
    return torch.cat((pixels, mask), 1)


@pytest.mark.parametrize("form", [torch.channels_last, torch.contiguous_format], ids=str)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("stem", STEMS)
def test_under_a_mask_of_ones_it_is_the_plain_network(stem, training, form):
    plain, oracle = (
        seeded(stem=stem, oracle=oracle).to(memory_format=form).train(training) for oracle in (False, True)
    )
    x = images().contiguous(memory_format=form)
    everything = told(x, torch.ones(3, 1, SIDE, SIDE)).contiguous(memory_format=form)
    first, second = plain(x), oracle(everything)
    assert torch.equal(first, second)
    for logits in (first, second):
        logits.square().sum().backward()
    for (name, weight), same in zip(plain.named_parameters(), oracle.parameters(), strict=True):
        assert weight.grad is same.grad is None or torch.equal(weight.grad, same.grad), name


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("block", ["cbam", "non_local"])
def test_slots_work_as_in_the_plain_network(block, position):
    plain, oracle = (seeded(block=block, position=position, oracle=oracle).eval() for oracle in (False, True))
    assert list(oracle.slots()) == list(plain.slots())
    assert torch.equal(oracle(told(images(), torch.ones(3, 1, SIDE, SIDE))), plain(images()))


def test_under_autocast_features_stay_in_bfloat16_and_ones_change_nothing():
    plain, oracle = (seeded(oracle=oracle).eval() for oracle in (False, True))
    kept = []
    oracle.stage3.register_forward_hook(lambda module, inputs, out: kept.append(out.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(oracle(told(images(), torch.ones(3, 1, SIDE, SIDE))), plain(images()))
    assert kept == [torch.bfloat16]


@pytest.mark.parametrize("block", [None, "cbam"])
def test_one_seed_gives_the_plain_networks_weights(block):
    plain, oracle = (seeded(block=block, oracle=oracle).state_dict() for oracle in (False, True))
    assert list(plain) == list(oracle)
    assert all(torch.equal(oracle[name], weight) for name, weight in plain.items())


@pytest.mark.parametrize(("stem", "reach"), [("conv3", 3), ("whiten4", 5)])
def test_what_lies_beyond_the_first_units_reach_of_the_mask_has_no_influence(stem, reach):
    """The first unit's cells on the mask see `reach` pixels around it: 2 cells by its convolutions, the rest by the
    stem."""
    model = seeded(stem=stem, oracle=True).eval()
    mask, x = square(), images()
    before = model(told(x, mask))

    def after(margin):
        inside = square(16 - margin, 16 - margin, 16 + 2 * margin)
        return model(told(torch.where(inside > 0, x, 9.0), mask))

    assert torch.equal(after(reach), before)
    assert not torch.equal(after(reach - 1), before)
    plain = seeded(stem=stem).eval()
    assert not torch.equal(plain(torch.where(square() > 0, x, 9.0)), plain(x)), "the plain network sees it"


def test_the_mask_itself_is_not_read_by_the_stem():
    model = seeded(oracle=True).eval()
    seen = []
    model.stem.register_forward_hook(lambda module, inputs, out: seen.append(out))
    for mask in (square(), 1 - square()):
        model(told(images(), mask))
    assert torch.equal(*seen)


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize(("block", "options"), [(None, {}), ("non_local", {"zero_init": False})])
def test_no_unit_passes_on_anything_off_the_mask(block, options, position):
    about = {"block": block, "block_options": options, "position": position} if block else {}
    model = seeded(oracle=True, **about).eval()
    found = {}
    for name in ("stage1", "stage2", "stage3"):
        model.get_submodule(name).register_forward_hook(
            lambda module, inputs, out, name=name: found.update({name: out})
        )
    mask = square(13, 5, 20)
    model(told(images(), mask))
    for out in found.values():
        off = shares(mask, out.shape[2:]).expand_as(out) == 0
        assert off.any()
        assert (out[off] == 0).all()
        assert (out[~off] != 0).any()


def test_features_are_weighted_in_each_resolution_and_averaged_over_the_mask():
    """Against the network written out, under a mask whose border cuts cells of every stage."""
    model = seeded(stem="whiten4", oracle=True).eval()
    mask = square(13, 5, 20)
    x = model.stem(images())
    for stage, cell in ((model.stage1, 2), (model.stage2, 4), (model.stage3, 8)):
        weight = functional.avg_pool2d(mask, cell)
        x = stage[0](x) * weight
    expected = model.head(x.sum((2, 3)) / weight.sum((2, 3)))
    torch.testing.assert_close(model(told(images(), mask)), expected)


def test_the_share_of_the_mask_in_each_cell():
    mask = torch.zeros(1, 1, 4, 4)
    mask[0, 0, 1:, 1] = 1
    assert shares(mask, (2, 2)).tolist() == [[[[0.25, 0.0], [0.5, 0.0]]]]
    assert torch.equal(shares(mask.bool(), (2, 2)), shares(mask, (2, 2)))
    assert shares(torch.ones(2, 1, 9, 13), (5, 7)).eq(1).all()


def test_the_mean_under_a_mask_is_that_of_the_features_there():
    mask = square(8, 8, 16, count=2)
    x = torch.full((2, 4, SIDE, SIDE), 3.0)
    assert torch.equal(mean_under(gated(x, mask), mask), torch.full((2, 4), 3.0))


@pytest.mark.parametrize("training", [True, False])
def test_an_empty_mask_gives_finite_logits_and_gradients(training):
    model = seeded(oracle=True).train(training)
    empty = square()
    empty[0] = 0
    logits = model(told(images(), empty))
    assert torch.equal(logits[0], model.head.bias), "nothing is pooled"
    assert torch.isfinite(logits).all()
    logits.square().sum().backward()
    assert all(torch.isfinite(weight.grad).all() for weight in model.parameters())


def test_a_single_visible_pixel_is_enough():
    logits = seeded(oracle=True).eval()(told(images(), square(20, 20, 1)))
    assert torch.isfinite(logits).all()
    assert not torch.equal(logits[0], logits[1])


@pytest.mark.parametrize("channels", [3, 5])
def test_an_input_without_the_mask_is_refused(channels):
    with pytest.raises(ValueError, match=f"must have 4 channels, of which the last is .*, but got {channels}"):
        seeded(oracle=True)(torch.zeros(1, channels, 12, 12))


def test_it_costs_the_same_operations_and_no_parameters():
    plain, oracle = (seeded(oracle=oracle) for oracle in (False, True))
    assert count_parameters(oracle) == count_parameters(plain)
    everything = told(images(), torch.ones(3, 1, SIDE, SIDE))
    assert count_flops(oracle, everything) == count_flops(plain, images())


@pytest.mark.parametrize("oracle", [False, True])
def test_it_compiles_as_one_graph(oracle):
    model = seeded(stem="whiten4", block="cbam", oracle=oracle).eval()
    x = told(images(), square()) if oracle else images()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    assert torch.equal(compiled(x), model(x))

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from attn_tutorial.backbones import resnet
from attn_tutorial.blocks import BLOCK_NAMES, AttentionBlock
from attn_tutorial.clutter import Clutter
from attn_tutorial.evaluation import LESIONS, attention_maps, groups_of, harms, mean_gates
from attn_tutorial.evaluation.lesions import RECALIBRATED, Lesions, _harm, possible_lesions, replaced, under
from attn_tutorial.evaluation.maps import intact_pass
from attn_tutorial.evaluation.recalibration import collecting_statistics

NO_SHUFFLE = tuple(lesion for lesion in LESIONS if lesion != "shuffle")
PARTS = (
    "mean (channel)", "other_clutter (channel)", "other_image (channel)",
    "mean (spatial)", "other_clutter (spatial)", "other_image (spatial)", "shuffle (spatial)",
)  # fmt: skip


def gates_of(model, x):
    return {slot: each.maps for slot, each in attention_maps(model, x)[1].items()}


def make(block: str, **options) -> nn.Module:
    torch.manual_seed(0)
    model = resnet(8, 32, stem="whiten4", block=block, **options).eval()
    with torch.no_grad():
        for slot in model.slots().values():
            for parameter in slot.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model


@pytest.fixture
def others(train):
    return groups_of(train, 60, Clutter(severity=5))


@pytest.mark.parametrize("block", ["static_gate", "random_gate"])
@torch.no_grad()
def test_the_mean_of_a_gate_that_ignores_its_input_changes_nothing(block, groups, others):
    model = make(block)
    mean = mean_gates(model, others)
    for group in groups:
        assert torch.equal(under(model, group.input(), mean), model(group.input()))
    for row in harms(model, groups, others):
        if row["lesion"] != "identity":
            assert (row["harm"], row["low"], row["high"]) == (0.0, 0.0, 0.0)


@torch.no_grad()
def test_mean_gates_are_means_of_all_canvases_by_channel_and_place(others):
    model = make("cbam")
    mean = mean_gates(model, others)
    passes = [attention_maps(model, group.input())[1] for group in others]
    for slot, kinds in mean.items():
        for kind, gate in kinds.items():
            every = torch.cat([seen[slot].maps[kind] for seen in passes])
            assert len(every) == 60
            assert torch.allclose(gate, every.mean(0, keepdim=True), atol=1e-6)


@torch.no_grad()
def test_the_identity_is_the_network_without_blocks(groups):
    model = make("cbam")
    plain = resnet(8, 32, stem="whiten4").eval()
    plain.load_state_dict({name: each for name, each in model.state_dict().items() if ".slot." not in name})
    x = next(iter(groups)).input()
    assert torch.equal(under(model, x, None), plain(x))
    assert not torch.allclose(model(x), plain(x))


@torch.no_grad()
def test_donors_are_another_canvas_and_the_same_target_in_other_clutter(groups):
    model = make("cbam")
    group = next(iter(groups))
    own, elsewhere = gates_of(model, group.input()), gates_of(model, group.input_elsewhere())
    assert replaced("other_clutter", own, elsewhere, {}) == elsewhere
    other = replaced("other_image", own, elsewhere, {})
    for slot, maps in other.items():
        for kind, gate in maps.items():
            assert torch.equal(gate[1:], own[slot][kind][:-1])
            assert torch.equal(gate[0], own[slot][kind][-1])
    again = group.clutter.render(group.images, group.positions, 1)
    assert torch.equal(again.label, group.batch.label)
    assert not torch.equal(again.tile_box, group.batch.tile_box)


@torch.no_grad()
def test_a_part_is_replaced_by_itself(groups):
    model = make("cbam")
    group = next(iter(groups))
    own, elsewhere = gates_of(model, group.input()), gates_of(model, group.input_elsewhere())
    for kind, kept in (("channel", "spatial"), ("spatial", "channel")):
        given = replaced(f"other_clutter ({kind})", own, elsewhere, {})
        for slot in own:
            assert torch.equal(given[slot][kind], elsewhere[slot][kind])
            assert torch.equal(given[slot][kept], own[slot][kept])


@pytest.mark.parametrize("block", BLOCK_NAMES)
@pytest.mark.parametrize("options", [{}, {"stages": (2, 3), "position": "post"}, {"position": "pre"}], ids=str)
@torch.no_grad()
def test_what_comes_before_the_first_block_need_not_be_computed_again(block, options, groups):
    """To the bit, and every module before the first block is left out."""
    model = make(block, **options)
    group = next(iter(groups))
    passed = intact_pass(model, group.input())
    assert torch.equal(passed.logits, under(model, passed.x, gates_of(model, passed.x)))
    gates = replaced("other_image", gates_of(model, passed.x), {}, {}) if block != "identity" else None
    first = "stage2.0" if "stages" in options else "stage1.0"
    before = {"stem"} if options.get("position") == "pre" else {"stem", f"{first}.conv1", f"{first}.conv2"}
    run = []
    hooks = [
        module.register_forward_pre_hook(lambda *_, name=name: run.append(name))
        for name, module in model.named_modules()
        if name.startswith(("stem.", f"{first}.conv1."))
    ]
    assert torch.equal(under(model, passed.x, gates, passed.kept), under(model, passed.x, gates))
    assert before <= set(passed.kept)
    assert not any("slot" in name for name in passed.kept)
    run.clear()
    under(model, passed.x, gates, passed.kept)
    assert not run
    for hook in hooks:
        hook.remove()
    torch.testing.assert_close(model(passed.x), passed.logits)  # the network is left as it was


def test_neighbours_are_of_random_classes(train, test_images):
    """A donor of the same class would tell the network the class, and one of another class would, too."""
    for images, count in ((test_images, 50), (test_images, 20), (train, 60)):
        labels = torch.cat([group.batch.label for group in groups_of(images, count, Clutter(severity=0))])
        assert torch.bincount(labels, minlength=10).tolist() == [count // 10] * 10
        assert (labels == labels.roll(1)).float().mean() < 0.35
        assert len(set(((labels - labels.roll(1)) % 10).tolist())) > 5, "as many kinds of neighbours as at random"
    order = [groups_of(train, 60, Clutter(severity=severity)).positions for severity in (0, 5)]
    assert torch.equal(*order)


def test_groups_hold_many_canvases_but_not_all(make_images):
    sizes = [len(group) for group in groups_of(make_images(250), 230, Clutter(severity=0))]
    assert sum(sizes) == 230
    assert all(40 <= size <= 50 for size in sizes)


def test_a_class_without_images_leaves_nothing_to_look_at(make_images, others):
    groups = groups_of(make_images(9), 9, Clutter(severity=0))
    assert len(groups) == 0
    assert harms(make("se"), groups, others) == []


def test_a_shuffle_keeps_the_weights_and_not_their_places(groups):
    gates = {
        "channel": torch.rand(50, 4, 1, 1),
        "spatial": torch.rand(50, 1, 5, 6),
        "full": torch.rand(50, 4, 5, 6),
        "pairwise": torch.rand(50, 30, 30),
    }
    found = replaced("shuffle", {"slot": gates}, {}, {})["slot"]
    assert torch.equal(found["channel"], gates["channel"])
    for kind in ("spatial", "full", "pairwise"):
        assert found[kind].shape == gates[kind].shape
        before, after = (each.flatten(2) for each in (gates[kind], found[kind]))
        assert not torch.equal(before, after)
        assert torch.equal(before.sort(2).values, after.sort(2).values)
        # All channels, or all places that collect, are shuffled in the same way, and each canvas in a different way.
        orders = (after[:, :, None, :] == before[:, :, :, None]).float().argmax(2)
        assert (orders == orders[:, :1]).all()
        assert not torch.equal(orders[0], orders[1])
    again = replaced("shuffle", {"slot": gates}, {}, {})["slot"]
    assert all(torch.equal(again[kind], found[kind]) for kind in gates)


def test_only_what_has_places_is_shuffled():
    gate = torch.rand(1, 1, 1, 1)
    assert possible_lesions({"slot": {"channel": gate}}) == NO_SHUFFLE
    assert possible_lesions({"slot": {"spatial": gate}}) == LESIONS
    assert possible_lesions({"slot": {"channel": gate, "spatial": gate}}) == (*LESIONS, *PARTS)
    assert possible_lesions({"slot": {}}) == ()


class Tells(AttentionBlock):
    """Returns its gate as its output, so that the gate decides the class that its network predicts."""

    name = "tells"

    def attention(self, x):
        return {"channel": x.mean((2, 3), keepdim=True)}

    def apply_attention(self, x, maps):
        return maps["channel"].expand_as(x)


class NamesTheGrey(nn.Module):
    """Reads the label, which is the canvas's level of grey, through the gate only."""

    def __init__(self):
        super().__init__()
        self.block = Tells(10)

    def forward(self, x):
        level = ((x.mean((1, 2, 3)) + 2) * 63.75 / 20).round().long()
        return self.block(nn.functional.one_hot(level, 10).float()[:, :, None, None]).mean((2, 3))


def grey(batch):
    return (20 * batch.label)[:, None, None].expand(-1, 48, 48)


def test_a_lesion_that_must_hurt_does_and_one_that_must_not_does_not(own_block, groups, others, painted):
    own_block(Tells)
    model = NamesTheGrey()
    groups, others = painted(groups, grey), painted(others, grey)
    rows = {row["lesion"]: row for row in harms(model, groups, others)}
    assert list(rows) == ["none", *NO_SHUFFLE]
    accuracy = {lesion: row["accuracy"] for lesion, row in rows.items()}
    # All means are equal, so the first class is predicted.
    labels = torch.cat([group.batch.label for group in groups])
    by_luck = (labels == labels.roll(1)).float().mean().item()
    expected = {"none": 1.0, "mean": 0.1, "other_clutter": 1.0, "other_image": by_luck, "identity": 1.0}
    assert accuracy == pytest.approx(expected)
    assert {lesion: row["recalibrated"] for lesion, row in rows.items() if lesion in RECALIBRATED} == {
        "none": 1.0, "identity": 1.0,
    }  # fmt: skip
    assert rows["other_image"]["recalibrated"] is None
    assert rows["other_image"]["harm"] == pytest.approx(1 - by_luck)
    assert rows["mean"]["harm"] == pytest.approx(0.9)
    assert rows["mean"]["low"] < 0.9 < rows["mean"]["high"]
    assert (rows["none"]["harm"], rows["none"]["images"]) == (0.0, 50)


class DarkensAll(AttentionBlock):
    """A gate of 1/100 for everything."""

    name = "darkens"

    def attention(self, x):
        return {"channel": x.new_full((len(x), self.channels, 1, 1), 0.01)}


class SeesBrightness(nn.Module):
    """Distinguishes class 0 from class 1 by brightness, after a block and a norm that has seen the block's output."""

    def __init__(self):
        super().__init__()
        self.block = DarkensAll(3)
        self.norm = nn.BatchNorm2d(3, affine=False)

    def forward(self, x):
        return nn.functional.one_hot((self.norm(self.block(x + 4)).mean((1, 2, 3)) > 0).long(), 10).float()


def bright(batch):
    return (200 * (batch.label % 2))[:, None, None].expand(-1, 48, 48)


def test_new_statistics_are_collected_under_the_lesion(own_block, groups, others, painted):
    own_block(DarkensAll)
    groups, others = painted(groups, bright), painted(others, bright)
    model = collecting_statistics(SeesBrightness())
    for group in others:
        model(group.input())
    model.eval()
    rows = {row["lesion"]: row for row in harms(model, groups, others)}
    assert rows["none"]["accuracy"] == rows["none"]["recalibrated"] == 0.2  # 0 and 1 of the ten classes
    assert rows["identity"]["accuracy"] == 0.1, "a hundred times brighter, all are classified as class 1"
    assert rows["identity"]["recalibrated"] == 0.2
    assert (rows["identity"]["harm"], rows["identity"]["high"]) == (0.0, 0.0)


def test_the_harm_of_no_block_is_the_difference_between_recalibrated_networks(own_block, groups, others, painted):
    own_block(DarkensAll)
    groups, others = painted(groups, bright), painted(others, bright)
    model = SeesBrightness().eval()
    model.norm.running_mean += 1000  # as if training had seen far brighter canvases: all look dark
    rows = {row["lesion"]: row for row in harms(model, groups, others)}
    assert {row["accuracy"] for row in rows.values()} == {0.1}
    assert {rows[lesion]["recalibrated"] for lesion in RECALIBRATED} == {0.2}
    assert {row["harm"] for row in rows.values()} == {0.0}


def test_layers_before_the_first_block_keep_their_statistics(groups, others):
    model = make("spatial", stages=(2, 3), position="post")
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean += 0.5
    lesions = Lesions(model, others)
    for network in lesions._again.values():
        kept = {
            name: each for name, each in network.state_dict().items() if name.startswith(("stem", "stage1", "stage2"))
        }
        assert all(torch.equal(each, model.state_dict()[name]) for name, each in kept.items() if ".slot" not in name)
        assert not torch.equal(network.stage3[0].norm1.running_mean, model.stage3[0].norm1.running_mean)


def test_the_interval_is_a_paired_one():
    generator = np.random.default_rng(0)
    intact = (generator.random(500) < 0.7).astype(float)
    lesioned = np.where(generator.random(500) < 0.05, 1 - intact, intact)
    found = _harm(intact, lesioned)
    difference = intact - lesioned
    half = 1.96 * difference.std(ddof=1) / 500**0.5  # an unpaired interval would be four times as wide
    assert found["harm"] == pytest.approx(difference.mean(), abs=1e-6)
    assert found["low"] == pytest.approx(difference.mean() - half, abs=half / 4)
    assert found["high"] == pytest.approx(difference.mean() + half, abs=half / 4)
    assert found == _harm(intact, lesioned)


@pytest.mark.parametrize("block", BLOCK_NAMES)
def test_every_block_has_its_lesions_and_the_network_stays_as_it_is(block, test_images, train):
    model = make(block, stages=(3,))
    before = copy.deepcopy(model.state_dict())
    groups = groups_of(test_images, 20, Clutter(severity=3))
    others = groups_of(train, 20, Clutter(severity=3))
    rows = harms(model, groups, others)
    placeless = ("se", "eca", "channel", "gather_excite", "grn", "static_gate", "random_gate")
    shuffled = () if block in placeless else ("shuffle",)
    expected = [] if block == "identity" else ["none", *(each for each in LESIONS if each in NO_SHUFFLE + shuffled)]
    whole = [row["lesion"] for row in rows if "(" not in row["lesion"]]
    assert whole == expected
    assert (len(rows) > len(whole)) == (block in ("cbam", "scsa", "se+spatial", "se+non_local", "cbam+non_local"))
    assert all(row["low"] <= row["harm"] <= row["high"] for row in rows)
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not model.training


def test_it_stops_between_groups(groups, others):
    for stopped in (
        (replace(groups, should_stop=lambda: True), others),
        (groups, replace(others, should_stop=lambda: True)),
    ):
        with pytest.raises(InterruptedError):
            harms(make("se"), *stopped)

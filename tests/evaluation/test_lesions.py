import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from attn_tutorial.backbones import resnet
from attn_tutorial.blocks import BLOCK_NAMES, AttentionBlock
from attn_tutorial.clutter import Clutter
from attn_tutorial.evaluation import LESIONS, Seen, attention_maps, groups_of, harms, mean_gates
from attn_tutorial.evaluation.lesions import _harm, _passes, possible_lesions, replaced, under
from attn_tutorial.evaluation.recalibration import collecting_statistics

NO_SHUFFLE = tuple(lesion for lesion in LESIONS if lesion != "shuffle")


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
    for row in harms(model, mean, groups, others):
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
    x = groups.groups[0].input()
    assert torch.equal(under(model, x, None), plain(x))
    assert not torch.allclose(model(x), plain(x))


@pytest.mark.parametrize("lesion", ["other_same_class", "other_class"])
@torch.no_grad()
def test_another_images_gates_are_those_of_its_own_intact_pass(lesion, groups):
    model = make("cbam")
    [(group, logits)] = _passes(model, {lesion: model}, {}, groups)
    partner = group.same_class if lesion == "other_same_class" else group.other_class
    _, seen = attention_maps(model, group.input()[partner])
    expected = under(model, group.input(), {slot: each.maps for slot, each in seen.items()})
    assert torch.allclose(logits[lesion], expected, atol=1e-5)
    assert not torch.allclose(logits[lesion], logits["none"], atol=1e-3)


def test_partners_are_of_the_class_they_should_be(train, test_images):
    for images, count in ((test_images, 50), (test_images, 20), (train, 60)):
        groups = groups_of(images, count, Clutter(severity=0))
        assert sum(map(len, groups)) == count
        for group in groups:
            label, places = group.batch.label, torch.arange(len(group))
            assert (label[group.same_class] == label).all()
            assert (group.same_class != places).all()
            assert (label[group.other_class] != label).all()
            assert sorted(group.other_class.tolist()) == places.tolist()


def test_groups_hold_many_canvases_but_not_all(make_images):
    sizes = [len(group) for group in groups_of(make_images(250), 230, Clutter(severity=0))]
    assert sum(sizes) == 230
    assert all(50 <= size < 100 for size in sizes)


def test_other_classes_take_turns(make_images):
    [group, *_] = groups_of(make_images(90), 90, Clutter(severity=0))
    apart = (group.batch.label[group.other_class] - group.batch.label) % 10
    assert set(apart.tolist()) == set(range(1, 10))


def test_one_image_of_a_class_has_no_other_one(make_images, others):
    groups = groups_of(make_images(10), 10, Clutter(severity=0))
    rows = harms(make("se"), mean_gates(make("se"), others), groups, others)
    assert [row["lesion"] for row in rows] == ["none", "mean", "other_class", "identity"]


def test_a_class_without_images_leaves_nothing_to_look_at(make_images, others):
    groups = groups_of(make_images(9), 9, Clutter(severity=0))
    assert len(groups) == 0
    assert harms(make("se"), mean_gates(make("se"), others), groups, others) == []


def test_a_shuffle_keeps_the_weights_and_not_their_places(groups):
    group = groups.groups[0]
    gates = {
        "channel": torch.rand(50, 4, 1, 1),
        "spatial": torch.rand(50, 1, 5, 6),
        "full": torch.rand(50, 4, 5, 6),
        "pairwise": torch.rand(50, 30, 30),
    }
    found = replaced("shuffle", {"slot": Seen(gates, (5, 6))}, {}, group)["slot"]
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
    again = replaced("shuffle", {"slot": Seen(gates, (5, 6))}, {}, group)["slot"]
    assert all(torch.equal(again[kind], found[kind]) for kind in gates)


def test_only_what_has_places_is_shuffled():
    gate = torch.rand(1, 1, 1, 1)
    assert possible_lesions({"slot": {"channel": gate}}) == NO_SHUFFLE
    assert possible_lesions({"slot": {"channel": gate, "spatial": gate}}) == LESIONS
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
    rows = {row["lesion"]: row for row in harms(model, mean_gates(model, others), groups, others)}
    assert list(rows) == ["none", *NO_SHUFFLE]
    accuracy = {lesion: row["accuracy"] for lesion, row in rows.items()}
    # All means are equal, so the first class is predicted.
    assert accuracy == {"none": 1.0, "mean": 0.1, "other_same_class": 1.0, "other_class": 0.0, "identity": 1.0}
    assert {lesion: row["recalibrated"] for lesion, row in rows.items()} == accuracy
    assert (rows["other_class"]["harm"], rows["other_class"]["low"], rows["other_class"]["high"]) == (1.0, 1.0, 1.0)
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
    rows = {row["lesion"]: row for row in harms(model, mean_gates(model, others), groups, others)}
    assert rows["none"]["accuracy"] == rows["none"]["recalibrated"] == 0.2  # 0 and 1 of the ten classes
    assert rows["identity"]["accuracy"] == 0.1, "a hundred times brighter, all are classified as class 1"
    assert rows["identity"]["recalibrated"] == 0.2
    assert (rows["identity"]["harm"], rows["identity"]["high"]) == (0.0, 0.0)


def test_harm_is_the_difference_between_recalibrated_networks(own_block, groups, others, painted):
    own_block(DarkensAll)
    groups, others = painted(groups, bright), painted(others, bright)
    model = SeesBrightness().eval()
    model.norm.running_mean += 1000  # as if training had seen far brighter canvases: all look dark
    rows = harms(model, mean_gates(model, others), groups, others)
    assert {row["accuracy"] for row in rows} == {0.1}
    assert {row["recalibrated"] for row in rows} == {0.2}
    assert {row["harm"] for row in rows} == {0.0}


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
    rows = harms(model, mean_gates(model, others), groups, others)
    shuffled = () if block in ("se", "eca", "channel", "static_gate", "random_gate") else ("shuffle",)
    expected = [] if block == "identity" else ["none", *(each for each in LESIONS if each in NO_SHUFFLE + shuffled)]
    assert [row["lesion"] for row in rows] == expected
    assert all(row["low"] <= row["harm"] <= row["high"] for row in rows)
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not model.training


def test_it_stops_between_groups(groups, others):
    model = make("se")
    mean = mean_gates(model, others)
    with pytest.raises(InterruptedError):
        harms(model, mean, replace(groups, should_stop=lambda: True), others)

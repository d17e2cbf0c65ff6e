"""Trainings that are told where the target is."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from attn_tutorial.backbones import resnet
from attn_tutorial.clutter import Batches, Clutter
from attn_tutorial.spec import RunSpec
from attn_tutorial.training import Stopped, build_model, fit, network_input, weights_sha256
from attn_tutorial.training.loop import make_batches, step_input
from attn_tutorial.training.pace import seconds_per_image

ORACLES = ("gate", "wrong_gate")


def make_spec(oracle=None, **changes):
    training = {"samples": 96, "batch_size": 16, **changes.pop("training", {})}
    about = {"oracle": oracle} if oracle else {}
    backbone = {"depth": 8, "width": 16, "stem": "whiten4"}
    return RunSpec.parse({"data": {"name": "shapes"}, "training": training, "backbone": backbone, **about, **changes})


def stop_after(steps):
    left = iter(range(steps - 1))
    return lambda: next(left, None) is None


@pytest.fixture
def batch(train):
    batches = Batches(train, Clutter(severity=3), 16, masks=True)
    return batches.at(0)[0], batches.masks_at(0)


def test_without_an_oracle_the_input_is_the_canvases(batch):
    x, _ = batch
    assert network_input(x, None, None) is x


def test_the_fourth_channel_is_the_mask(batch):
    x, visible = batch
    told = network_input(x, visible, "gate")
    assert told.dtype == torch.float32
    assert told.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(told[:, :3], x)
    assert torch.equal(told[:, 3], visible.float())


def test_a_wrong_mask_is_the_next_canvass(batch):
    x, visible = batch
    told = network_input(x, visible, "wrong_gate")
    assert torch.equal(told[:, :3], x)
    for place in range(16):
        assert torch.equal(told[place, 3], visible[(place + 1) % 16].float())
        assert not torch.equal(told[place, 3], visible[place].float())


def test_what_an_oracle_needs_is_named(batch):
    x, visible = batch
    with pytest.raises(ValueError, match="must be told where the target is, but got no `visible_mask`"):
        network_input(x, None, "gate")
    with pytest.raises(ValueError, match=r"must have another canvas in the batch, .*, but the batch has 1"):
        network_input(x[:1], visible[:1], "wrong_gate")
    assert network_input(x[:1], visible[:1], "gate").shape == (1, 4, 48, 48)


def test_the_batches_of_an_oracle_are_the_plain_runs_with_their_masks(train):
    plain, told = make_spec(), make_spec("gate")
    assert not make_batches(plain, train).masks
    x, label, taught = step_input(plain, make_batches(plain, train), 2)
    with_mask, same, none = step_input(told, make_batches(told, train), 2)
    assert torch.equal(with_mask[:, :3], x)
    assert torch.equal(same, label)
    assert taught is none is None


@pytest.mark.parametrize("oracle", ORACLES)
def test_the_network_starts_as_the_plain_one(train, oracle):
    assert weights_sha256(build_model(make_spec(oracle), train)) == weights_sha256(build_model(make_spec(), train))


@pytest.mark.parametrize("block", [None, "cbam"])
@pytest.mark.parametrize("oracle", ORACLES)
def test_interrupted_or_not_the_bits_are_the_same(train, tmp_path, oracle, block):
    spec = make_spec(oracle, block=block)
    straight = fit(spec, train)
    with pytest.raises(Stopped):
        fit(spec, train, tmp_path, should_stop=stop_after(3))
    resumed = fit(spec, train, tmp_path)
    assert resumed.resumed_at == [3]
    assert weights_sha256(resumed.model) == weights_sha256(straight.model)


def test_each_control_is_a_training_of_its_own(train):
    specs = [make_spec(oracle) for oracle in (None, *ORACLES)]
    assert len({spec.run_id("f") for spec in specs}) == 3
    assert len({weights_sha256(fit(spec, train).model) for spec in specs}) == 3


def test_a_removed_target_trains_to_finite_weights(train):
    model = fit(make_spec("gate", clutter={"tile": "removed"}), train).model
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_it_trains_in_every_precision(train, precision):
    assert fit(make_spec("gate"), train, precision=precision).curve[-1]["loss"] < 4


def test_knowing_the_place_helps_and_a_wrong_place_does_not(make_images):
    """Targets and the distractors around them are all in the colours of their classes."""
    images = make_images(200)
    images.images[:] = (images.labels * 25).to(torch.uint8)[:, None, None, None]

    def accuracy(oracle):
        clutter = {"types": ["noise", "surround"], "severities": [5], "canvas": 64}
        spec = make_spec(oracle, clutter=clutter, training={"samples": 640, "batch_size": 32})
        points = fit(spec, images).curve[-5:]
        return sum(point["accuracy"] for point in points) / len(points)

    right, wrong = accuracy("gate"), accuracy("wrong_gate")
    assert right > 0.75
    assert wrong < right - 0.15


@pytest.mark.parametrize("oracle", ORACLES)
def test_its_pace_can_be_measured(oracle):
    assert all(seconds > 0 for seconds in seconds_per_image(make_spec(oracle), "cpu", batch=4, steps=1))


@pytest.mark.parametrize("oracle", ORACLES)
def test_a_step_never_waits_for_the_device(no_copy_to_host, oracle):
    with FakeTensorMode(), torch.device("cuda"):
        model = resnet(8, 32, stem="whiten4", block="cbam", oracle=True).train()
        x, visible = torch.empty(16, 3, 48, 48), torch.empty(16, 48, 48, dtype=torch.bool)
        with no_copy_to_host():
            logits = model(network_input(x, visible, oracle))
        assert (logits.shape, logits.device.type) == ((16, 10), "cuda")

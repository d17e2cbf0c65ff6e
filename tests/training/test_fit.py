import itertools
import os
import signal
import subprocess
import sys
import textwrap
import time
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from attn_tutorial.errors import InputError
from attn_tutorial.spec import RunSpec
from attn_tutorial.training import Diverged, OutOfMemory, Stopped, build_model, fit, thread_count, weights_sha256
from attn_tutorial.training.loop import train_step
from attn_tutorial.training.optimisers import schedule

BACKBONE = {"depth": 8, "width": 16, "stem": "whiten4"}


def make_spec(**changes):
    training = {"samples": 160, "batch_size": 16, **changes.pop("training", {})}
    return RunSpec.parse({"data": {"name": "shapes"}, "training": training, "backbone": BACKBONE, **changes})


def stop_after(steps):
    left = iter(range(steps - 1))
    return lambda: next(left, None) is None


@pytest.mark.parametrize("optimizer", ["muon", "sgd"])
@pytest.mark.parametrize("block", [None, "cbam"])
def test_interrupted_or_not_the_bits_are_the_same(train, tmp_path, block, optimizer):
    spec = make_spec(block=block, training={"conv_optimizer": optimizer})
    straight = fit(spec, train)
    for steps in (3, 4):
        with pytest.raises(Stopped, match="continues from there"):
            fit(spec, train, tmp_path, should_stop=stop_after(steps))
    resumed = fit(spec, train, tmp_path)
    assert resumed.resumed_at == [3, 7]
    assert weights_sha256(resumed.model) == weights_sha256(straight.model)
    assert resumed.curve == straight.curve


def test_seed_changes_the_weights(train):
    hashes = {weights_sha256(fit(make_spec(seed=seed, training={"samples": 32}), train).model) for seed in (0, 0, 1)}
    assert len(hashes) == 2


def test_kill_9_loses_at_most_what_came_after_the_last_checkpoint(train, tmp_path):
    script = textwrap.dedent(
        f"""
        import sys, torch
        sys.path.insert(0, {os.path.dirname(os.path.dirname(__file__))!r})
        torch.set_num_threads({torch.get_num_threads()})
        from pathlib import Path
        from conftest import _make_images
        from attn_tutorial.spec import RunSpec
        from attn_tutorial.training import fit
        spec = RunSpec.model_validate_json({make_spec().model_dump_json()!r})
        fit(spec, _make_images(60, "train", masks=True), Path({str(tmp_path)!r}), checkpoint_every=0.0,
            on_progress=lambda p: print(p.step, flush=True))
        """
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if int(line) == 4:
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    assert list(tmp_path.glob("step-*.pt"))
    resumed = fit(make_spec(), train, tmp_path)
    assert resumed.resumed_at[0] >= 3
    assert weights_sha256(resumed.model) == weights_sha256(fit(make_spec(), train).model)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(train, tmp_path):
    with pytest.raises(Stopped):
        fit(make_spec(), train, tmp_path, checkpoint_every=0.0, should_stop=stop_after(5))
    older, newest = sorted(tmp_path.glob("step-*.pt"))
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    with pytest.warns(UserWarning, match="damaged"):
        resumed = fit(make_spec(), train, tmp_path)
    assert resumed.resumed_at == [4]
    assert older.exists()
    assert newest.with_name(f"aside-{newest.name}").read_bytes() == content
    assert weights_sha256(resumed.model) == weights_sha256(fit(make_spec(), train).model)


def test_a_resumed_run_goes_on_with_the_threads_and_the_precision_that_it_began_with(train, tmp_path):
    with pytest.raises(Stopped):
        fit(make_spec(), train, tmp_path, should_stop=stop_after(5), precision="float32")
    before = torch.get_num_threads()
    with thread_count(before + 1):
        resumed = fit(make_spec(), train, tmp_path, precision="bfloat16")
        assert torch.get_num_threads() == before + 1
    assert resumed.resumed_at == [5]
    assert (resumed.execution.threads, resumed.execution.precision) == (before, "float32")
    straight = fit(make_spec(), train, precision="float32")
    assert weights_sha256(resumed.model) == weights_sha256(straight.model)
    assert weights_sha256(straight.model) != weights_sha256(fit(make_spec(), train, precision="bfloat16").model)


def test_a_checkpoint_of_another_version_is_set_aside(train, tmp_path, monkeypatch):
    with pytest.raises(Stopped):
        fit(make_spec(), train, tmp_path, should_stop=stop_after(5))
    monkeypatch.setattr("attn_tutorial.training.checkpoint.__version__", "9.9")
    with pytest.warns(UserWarning, match="set aside as aside-step-000000005.pt. .* starts again"):
        again = fit(make_spec(), train, tmp_path)
    assert again.resumed_at == []
    assert (tmp_path / "aside-step-000000005.pt").exists()


def test_checkpoints_of_another_run_are_left_alone(train, tmp_path):
    with pytest.raises(Stopped):
        fit(make_spec(seed=1), train, tmp_path, should_stop=stop_after(5))
    with pytest.raises(InputError, match=r"contains checkpoints of run .* Give each run its own folder"):
        fit(make_spec(), train, tmp_path)
    assert fit(make_spec(seed=1), train, tmp_path).resumed_at == [5]


def test_a_full_disk_costs_the_checkpoint_and_not_the_training(train, tmp_path, monkeypatch):
    def no_room(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("attn_tutorial.training.checkpoint.write_whole", no_room)
    with pytest.warns(UserWarning, match="no checkpoint was written .*No space left on device.* Free some space"):
        trained = fit(make_spec(), train, tmp_path, checkpoint_every=0.0)
    assert weights_sha256(trained.model) == weights_sha256(fit(make_spec(), train).model)
    with (
        pytest.warns(UserWarning, match="No space left"),
        pytest.raises(Stopped, match="from its last checkpoint, or from the start if there is none"),
    ):
        fit(make_spec(), train, tmp_path, should_stop=stop_after(5))


class Noisy(nn.Module):
    """A stand-in for a block that draws random numbers, as dropout does."""

    def forward(self, x):
        return x * torch.rand(x.shape[0], 1, 1, 1)


def test_a_block_that_draws_random_numbers_resumes_to_the_same_bits_too(train, tmp_path, monkeypatch):
    def with_noise(spec, images):
        model = build_model(spec, images)
        model.stage1[0].slot = Noisy()
        return model

    monkeypatch.setattr("attn_tutorial.training.loop.build_model", with_noise)
    torch.manual_seed(1)
    straight = fit(make_spec(), train)
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.rand(1) == after  # the caller's random numbers are not touched
    with pytest.raises(Stopped):
        fit(make_spec(), train, tmp_path, should_stop=stop_after(5))
    torch.rand(7)
    assert weights_sha256(fit(make_spec(), train, tmp_path).model) == weights_sha256(straight.model)


def test_memory_that_ends_is_explained(train, monkeypatch):
    spec = make_spec(training={"samples": 32})

    def greedy(images, chosen, epoch=0, fragments=None):
        torch.empty(2**50)

    monkeypatch.setattr("attn_tutorial.training.loop.train_clutter", lambda _: SimpleNamespace(seed=0, render=greedy))
    with pytest.raises(OutOfMemory, match=r"cpu does not have enough memory for a step .*\. Lower the batch size"):
        fit(spec, train)


def test_variants_start_from_one_backbone_and_see_the_same_batches(train):
    baseline = build_model(make_spec(), train).state_dict()
    for block in ("se", "cbam", "non_local"):
        state = build_model(make_spec(block=block), train).state_dict()
        assert all(torch.equal(state[name], weight) for name, weight in baseline.items())
        assert len(state) > len(baseline)


def test_the_backbone_of_a_spec_is_the_one_that_is_built(train):
    plain = build_model(make_spec(), train)
    other = build_model(make_spec(backbone={**BACKBONE, "norm_gain": 0.5, "pooling": "attention"}), train)
    assert (other.stage2[0].norm2.weight == 0.5).all()
    assert (plain.stage2[0].norm2.weight == 1).all()
    assert other.get_parameter("pool.query").shape == (64,)
    assert not list(plain.pool.parameters())


def test_it_learns(make_images):
    images = make_images(200)
    images.images[:] = (images.labels * 25).to(torch.uint8)[:, None, None, None]
    spec = make_spec(training={"samples": 1600, "batch_size": 32}, clutter={"severities": [0]})
    assert fit(spec, images).curve[-1]["accuracy"] > 0.9


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(train, monkeypatch):
    steps = itertools.count(1)

    def spoilt(*arguments):
        result = train_step(*arguments)
        return result * float("nan") if next(steps) == 83 else result

    spec = make_spec(training={"samples": 1600})  # a hundred steps; the curve has a point at every second one
    monkeypatch.setattr("attn_tutorial.training.loop.train_step", spoilt)
    with pytest.raises(Diverged, match="became nan at step 83 of 100: lower the learning rates") as caught:
        fit(spec, train)
    assert caught.value.step == 83
    assert caught.value.trained.curve[-1]["samples"] == 82 * 16


def test_learning_rates_that_are_too_high_diverge(train):
    with pytest.raises(Diverged, match="lower the learning rates"):
        fit(make_spec(training={"lr": 1e30, "conv_lr": 1e30}), train)


def test_less_than_a_batch_is_refused(train):
    with pytest.raises(ValueError, match="`samples` must fill a batch of 16, but got 8"):
        fit(make_spec(training={"samples": 8}), train)
    with pytest.raises(ValueError, match="number of images, 60, but got 128"):
        fit(make_spec(training={"samples": 256, "batch_size": 128}), train)


def test_checkpoints_cost_no_more_often_than_asked(train, tmp_path):
    began = time.time()
    fit(make_spec(), train, tmp_path, checkpoint_every=3600)
    assert [path.name for path in tmp_path.glob("*")] == ["step-000000010.pt"]
    assert time.time() - began < 3600


def test_schedule_rises_to_the_peak_and_falls_to_zero():
    values = [schedule(step, 100, 0.2) for step in range(100)]
    assert values[0] == pytest.approx(1 / 20)
    assert max(values) == 1.0
    assert values.index(1.0) in (19, 20)
    assert values[-1] == pytest.approx(1 / 80)
    assert all(a < b for a, b in itertools.pairwise(values[:20]))
    assert all(a > b for a, b in itertools.pairwise(values[20:]))
    assert schedule(0, 10, 0.0) == 1.0


@pytest.mark.parametrize("trained", [False, True])
def test_a_whitening_stem_moves_only_where_the_spec_says_so(train, trained):
    spec = make_spec(backbone={**BACKBONE, "stem_trained": trained})
    before = build_model(spec, train).get_parameter("stem.0.weight")
    after = fit(spec, train).model.get_parameter("stem.0.weight")
    assert torch.equal(before, after) is not trained


def test_images_of_another_size_than_the_runs_are_refused(train):
    spec = make_spec(data={"name": "shapes", "size": 24})
    with pytest.raises(ValueError, match=r"images of 24 px .*, but got 32 px\. Load them with load_images"):
        fit(spec, train)

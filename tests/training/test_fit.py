import itertools
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import torch

from attn_tutorial.spec import RunSpec
from attn_tutorial.training import Diverged, Stopped, build_model, fit, weights_sha256
from attn_tutorial.training.loop import schedule

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
        with pytest.raises(Stopped, match="goes on from there"):
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
    assert not newest.exists()  # or it would be taken for the newest again
    assert weights_sha256(resumed.model) == weights_sha256(fit(make_spec(), train).model)


def test_a_checkpoint_of_another_number_of_threads_is_not_gone_on_from(train, tmp_path):
    with pytest.raises(Stopped):
        fit(make_spec(), train, tmp_path, should_stop=stop_after(5))
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        with pytest.warns(UserWarning, match=f"'threads': {before}.* to the start"):
            again = fit(make_spec(), train, tmp_path)
        assert again.resumed_at == []
        assert weights_sha256(again.model) == weights_sha256(fit(make_spec(), train).model)
    finally:
        torch.set_num_threads(before)


def test_variants_start_from_one_backbone_and_see_the_same_batches(train):
    baseline = build_model(make_spec(), train).state_dict()
    for block in ("se", "cbam", "non_local"):
        state = build_model(make_spec(block=block), train).state_dict()
        assert all(torch.equal(state[name], weight) for name, weight in baseline.items())
        assert len(state) > len(baseline)


def test_it_learns(make_images):
    images = make_images(200)
    images.images[:] = (images.labels * 25).to(torch.uint8)[:, None, None, None]
    spec = make_spec(training={"samples": 1600, "batch_size": 32}, clutter={"severities": [0]})
    assert fit(spec, images).curve[-1]["accuracy"] > 0.9


def test_a_loss_that_is_not_finite_stops_the_run(train):
    with pytest.raises(Diverged, match="between steps"):
        fit(make_spec(training={"lr": 1e30, "conv_lr": 1e30}), train)


def test_less_than_a_batch_is_refused(train):
    with pytest.raises(ValueError, match="less than one batch"):
        fit(make_spec(training={"samples": 8}), train)
    with pytest.raises(ValueError, match="batch_size 128 was given with 60 images"):
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

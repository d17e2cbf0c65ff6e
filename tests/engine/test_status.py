import os

import pytest
from filelock import FileLock

from attn_tutorial.engine.status import study_status
from attn_tutorial.ledger import Ledger


def checkpoint(folder, run, steps):
    path = folder / "work" / run.run_id / f"step-{steps:09d}.pt"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")


def test_every_run_is_in_one_state(tmp_path, runs, make_record):
    ledger = Ledger(tmp_path)
    done, diverged, failed, running, stopped, damaged, unreadable, _missing = runs
    ledger.add(make_record(done))
    ledger.add(make_record(diverged, status="diverged", error="NaN at step 3\nmore"))
    ledger.add(make_record(failed, status="failed", error="no memory"))
    for run in (damaged, unreadable):
        ledger.add(make_record(run))
        (tmp_path / f"{run.run_id}.json").write_text("{")
    checkpoint(tmp_path, running, 100)
    checkpoint(tmp_path, stopped, 50)
    (tmp_path / "work" / f"{stopped.run_id}.lock").touch()
    with FileLock(tmp_path / "work" / f"{running.run_id}.lock"):
        status = study_status(runs, ledger)
    assert [run.state for run in status.runs] == [
        "done", "diverged", "failed", "running", "stopped", "damaged", "damaged", "missing"
    ]  # fmt: skip
    by_run = {run.run.run_id: run.detail for run in status.runs}
    samples = running.spec.training.samples
    assert by_run[running.run_id] == f"{12_800 / samples:.0%} at its last checkpoint"
    assert by_run[diverged.run_id] == "NaN at step 3"
    assert by_run[failed.run_id] == "no memory"
    assert "not JSON" in by_run[damaged.run_id]
    assert status.counts()["damaged"] == 2


def test_the_time_left_follows_from_the_pace_of_what_is_done(tmp_path, runs, make_record):
    ledger = Ledger(tmp_path)
    assert study_status(runs, ledger).seconds_left is None
    samples = runs[0].spec.training.samples
    for run, seconds in zip(runs[:2], (100.0, 300.0), strict=True):
        ledger.add(make_record(run, samples=samples, training_seconds=seconds - 20, evaluation_seconds=20.0))
    checkpoint(tmp_path, runs[2], samples // 128 // 2)
    left = study_status(runs, ledger).seconds_left
    assert left == pytest.approx(5.5 * 180 + 6 * 20, rel=0.003)  # a half and five whole trainings, and six tests
    (folder,) = (tmp_path / "work").glob(runs[2].run_id)
    (folder / f"step-{samples // 128}.pt").touch()
    left = study_status(runs, ledger).seconds_left
    assert left == pytest.approx(5 * 180 + 6 * 20, rel=0.003), "what is trained still has to be tested"


def test_looking_writes_nothing(tmp_path, runs):
    study_status(runs, Ledger(tmp_path / "none"))
    assert os.listdir(tmp_path) == []

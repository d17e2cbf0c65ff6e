import threading
import time

import pytest
from filelock import FileLock

from attn_tutorial.spec import RunSpec, SpecError
from attn_tutorial.study import Ledger, PlannedRun, run_study, runner
from attn_tutorial.study.execute import Setting, execute
from attn_tutorial.study.images import prepare_images
from attn_tutorial.study.report import Report


@pytest.fixture(scope="module")
def prepared(tiny_cifar, tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    return prepare_images(str(tiny_cifar), root), root


@pytest.fixture
def setting(prepared, tmp_path):
    (images, source), root = prepared
    return Setting("headline", "smoke", images, root, source, tmp_path / "runs", "cpu", 60.0)


def plan(setting, **variants):
    runs = []
    for name, change in variants.items():
        spec = RunSpec.parse(
            {
                "data": {"name": "cifar10"},
                "training": {"samples": 128, "batch_size": 32, **change.pop("training", {})},
                "backbone": {"depth": 8, "width": 16, "stem": "whiten4"},
                "evaluation": {"images": 20, "types": ["fragments+noise"], "severities": [0, 5]},
                **change,
            }
        )
        runs.append(PlannedRun(spec.run_id(setting.images.fingerprint), name, spec))
    return runs


@pytest.mark.parametrize("way", ["serial", "processes"])
def test_missing_runs_are_trained_and_recorded(setting, way, capsys):
    runs = plan(setting, baseline={}, se={"block": "se"}, cbam={"block": "cbam"})
    ledger = Ledger(setting.results)
    assert run_study(runs[:1], setting, "serial") == {"done": 1}
    first = ledger.get(runs[0].run_id)
    assert run_study(runs, setting, way, workers=2) == {"done": 3}
    assert run_study(runs, setting, way) == {"done": 3}
    assert ledger.get(runs[0].run_id) == first  # not trained again
    for run in runs:
        record = ledger.get(run.run_id)
        assert record.status == "done"
        assert record.spec == run.spec
        assert record.samples == 128
        assert record.samples_per_second > 0
        assert len(record.weights_sha256) == 64
        assert [(row.types, row.severity) for row in record.accuracy] == [
            ("fragments+noise", 0),
            ("fragments+noise", 5),
        ]
        assert record.curve[-1].samples == 128
        assert record.data.fingerprint == setting.images.fingerprint
    assert not list((setting.results / "work").glob("*/step-*.pt"))
    assert "2 runs to train, 1 are in the ledger" in capsys.readouterr().out


def test_serial_and_processes_give_the_same_weights_on_the_same_threads(setting, tmp_path):
    from dataclasses import replace

    import torch

    (run,) = plan(setting, se={"block": "se"})
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        run_study([run], setting, "serial")
    finally:
        torch.set_num_threads(before)
    other = replace(setting, results=tmp_path / "other")
    import os

    two = plan(setting, se={"block": "se"}, extra={"seed": 9})
    run_study(two, other, "processes", workers=max(2, len(os.sched_getaffinity(0))))
    hashes = {Ledger(folder).get(run.run_id).weights_sha256 for folder in (setting.results, other.results)}
    assert len(hashes) == 1


def test_a_run_that_fails_or_diverges_is_recorded_and_the_rest_go_on(setting):
    runs = plan(
        setting,
        broken={"block": "se", "block_options": {"reduction": 999}},
        diverges={"training": {"lr": 1e30, "conv_lr": 1e30}},
        baseline={},
    )
    assert run_study(runs, setting, "serial") == {"failed": 1, "diverged": 1, "done": 1}
    ledger = Ledger(setting.results)
    assert "reduction 999" in ledger.get(runs[0].run_id).error
    assert "lower the learning rates" in ledger.get(runs[1].run_id).error
    # A failed run is tried again; one that diverged would do so again, and is not forgotten.
    assert run_study(runs, setting, "serial") == {"failed": 1, "diverged": 1, "done": 1}


def test_a_run_in_other_hands_is_left_to_them(setting):
    (run,) = plan(setting, baseline={"training": {"samples": 1280}})
    threads_outcomes = []
    holds = threading.Event()

    def first():
        threads_outcomes.append(execute(run, setting, lambda progress: holds.set(), lambda: False))

    thread = threading.Thread(target=first)
    thread.start()
    assert holds.wait(60)
    assert execute(run, setting, lambda progress: None, lambda: False) == "busy"
    thread.join()
    assert threads_outcomes == ["done"]
    began = time.monotonic()
    assert execute(run, setting, lambda progress: None, lambda: False) == "done"
    assert time.monotonic() - began < 1  # found in the ledger, not trained again


def test_runs_that_others_are_at_are_looked_at_now_and_then_only(setting, monkeypatch, capsys):
    runs = plan(setting, baseline={}, se={"block": "se"})
    work = setting.results / "work"
    work.mkdir(parents=True)
    # Not bound to a thread, as a timer lets go of them.
    locks = [FileLock(work / f"{run.run_id}.lock", thread_local=False) for run in runs]
    for lock in locks:
        lock.acquire()
    looks = []
    ended = Report.ended
    monkeypatch.setattr(Report, "ended", lambda report, *how: (looks.append(how[1]), ended(report, *how)))
    monkeypatch.setattr(runner, "_BUSY", 0.5)
    letting_go = threading.Timer(2.0, lambda: [lock.release() for lock in locks])
    letting_go.start()
    assert run_study(runs, setting, "serial") == {"done": 2}
    letting_go.join()
    assert 2 <= looks.count("busy") <= 12
    assert capsys.readouterr().out.count("another process is training it") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("quick",), "allowed are auto, serial, processes"),
        (("serial", 0), "at least 1"),
        (("serial", "2"), "at least 1"),
    ],
)
def test_unknown_runners_and_workers_are_refused(setting, arguments, message):
    with pytest.raises(SpecError, match=message):
        run_study(plan(setting, baseline={}), setting, *arguments)


def test_a_line_says_how_each_run_ended(setting, capsys):
    runs = plan(setting, baseline={}, diverges={"training": {"lr": 1e30, "conv_lr": 1e30}})
    run_study(runs, setting, "serial")
    done, diverged = (Ledger(setting.results).get(run.run_id) for run in runs)
    said = capsys.readouterr().out
    mean = sum(row.accuracy for row in done.accuracy) / 2
    assert f"baseline seed 0: done; accuracy {100 * mean:.1f} % (fragments+noise, mean over severities)" in said
    assert f"at {done.samples_per_second:.0f} images/s in {done.precision}" in said
    assert f"diverges seed 0: diverged; {diverged.summary().partition('; ')[2]}" in said
    assert diverged.diverged_at >= 1
    assert f"at step {diverged.diverged_at} of 4" in diverged.error
    assert len(done.accuracy[0].per_class) == 10
    assert done.accuracy[0].ece is not None

import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace

import pytest
from filelock import FileLock

from attn_tutorial.engine import run_study, runner
from attn_tutorial.engine.execute import execute
from attn_tutorial.engine.options import RunOptions
from attn_tutorial.engine.study_progress import StudyProgress
from attn_tutorial.errors import InputError
from attn_tutorial.ledger import Ledger
from attn_tutorial.ledger.ledger import LedgerError
from attn_tutorial.spec import SEEN, SpecError
from attn_tutorial.study import Study
from attn_tutorial.training import Progress


@pytest.mark.parametrize("way", ["serial", "processes"])
def test_missing_runs_are_trained_and_recorded(setting, plan, way, capsys):
    runs = plan(setting, baseline={}, se={"block": "se"}, cbam={"block": "cbam"})
    ledger = Ledger(setting.results)
    assert run_study(runs[:1], setting.with_options(runner="serial")) == {"done": 1}
    first = ledger.get(runs[0].run_id)
    assert run_study(runs, setting.with_options(runner=way, workers=2)) == {"done": 3}
    assert run_study(runs, setting.with_options(runner=way)) == {"done": 3}
    assert ledger.get(runs[0].run_id) == first  # not trained again
    for run in runs:
        record = ledger.get(run.run_id)
        assert record.status == "done"
        assert record.spec == run.spec
        assert record.samples == 128
        assert record.samples_per_second > 0
        assert len(record.weights_sha256) == 64
        assert [(row.types, row.severity) for row in record.accuracy] == [
            (SEEN, 0),
            (SEEN, 5),
        ]
        assert record.curve[-1].samples == 128
        assert record.data.fingerprint == setting.images.fingerprint
    assert not list((setting.results / "work").glob("*/step-*.pt"))
    assert "2 runs to train, 1 are in the ledger" in capsys.readouterr().out


def test_serial_and_processes_give_the_same_weights_on_the_same_threads(setting, plan, tmp_path):
    import torch

    (run,) = plan(setting, se={"block": "se"})
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        run_study([run], setting.with_options(runner="serial"))
    finally:
        torch.set_num_threads(before)
    other = replace(setting, results=tmp_path / "other")
    import os

    two = plan(setting, se={"block": "se"}, extra={"seed": 9})
    run_study(two, other.with_options(runner="processes", workers=max(2, len(os.sched_getaffinity(0)))))
    hashes = {Ledger(folder).get(run.run_id).weights_sha256 for folder in (setting.results, other.results)}
    assert len(hashes) == 1


def test_a_run_that_fails_or_diverges_is_recorded_and_the_rest_go_on(setting, plan):
    runs = plan(
        setting,
        broken={"block": "se", "block_options": {"reduction": 999}},
        diverges={"training": {"lr": 1e30, "conv_lr": 1e30}},
        baseline={},
    )
    assert run_study(runs, setting.with_options(runner="serial")) == {"failed": 1, "diverged": 1, "done": 1}
    ledger = Ledger(setting.results)
    assert "reduction 999" in ledger.get(runs[0].run_id).error
    assert "lower the learning rates" in ledger.get(runs[1].run_id).error
    # A failed run is tried again; one that diverged would do so again, and is not forgotten.
    assert run_study(runs, setting.with_options(runner="serial")) == {"failed": 1, "diverged": 1, "done": 1}


def test_a_run_in_other_hands_is_left_to_them(setting, plan):
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


def test_runs_that_others_are_at_are_looked_at_now_and_then_only(setting, plan, monkeypatch, capsys):
    runs = plan(setting, baseline={}, se={"block": "se"})
    work = setting.results / "work"
    work.mkdir(parents=True)
    # Not bound to a thread, as a timer lets go of them.
    locks = [FileLock(work / f"{run.run_id}.lock", thread_local=False) for run in runs]
    for lock in locks:
        lock.acquire()
    looks = []
    ended = StudyProgress.ended
    monkeypatch.setattr(StudyProgress, "ended", lambda report, *how: (looks.append(how[1]), ended(report, *how)))
    monkeypatch.setattr(runner, "_BUSY", 0.5)
    letting_go = threading.Timer(2.0, lambda: [lock.release() for lock in locks])
    letting_go.start()
    assert run_study(runs, setting.with_options(runner="serial")) == {"done": 2}
    letting_go.join()
    assert 2 <= looks.count("busy") <= 12
    assert capsys.readouterr().out.count("another process is training it") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"runner": "quick"}, "runner: must be 'auto', 'serial', 'processes' or 'ray', but got 'quick'"),
        ({"runner": "serial", "workers": 0}, "workers: must be greater than 0, but got 0"),
        ({"runner": "serial", "workers": "2"}, "workers: must be a valid integer, but got '2'"),
        ({"runner": "serial", "address": "10.0.0.1:6379"}, "must be left out unless runner is 'ray'"),
        ({"gpus_per_run": 0.5}, "must be left out unless runner is 'ray'"),
        ({"runner": "ray", "gpus_per_run": 0}, "gpus_per_run: must be greater than 0, but got 0"),
        ({"runner": "ray", "gpus_per_run": -1.0}, "must be greater than 0"),
        ({"runner": "ray", "gpus_per_run": 2}, "must be less than or equal to 1, but got 2"),
        ({"runner": "ray", "gpus_per_run": float("nan")}, "but got nan"),
    ],
    ids=str,
)
def test_ways_to_run_that_there_are_not_are_refused(setting, plan, arguments, message):
    with pytest.raises(SpecError, match=message):
        run_study(plan(setting, baseline={}), setting.with_options(**arguments))
    assert not setting.results.exists()


def test_without_ray_one_message_says_how_to_get_it(setting, plan, monkeypatch):
    monkeypatch.setattr(runner, "find_spec", lambda name: None)
    with pytest.raises(SpecError, match=r"Ray, which is not installed: pip install -e \"\.\[cluster\]\""):
        run_study(plan(setting, baseline={}), setting.with_options(runner="ray"))


@pytest.mark.parametrize("way", ["auto", "serial", "processes"])
def test_a_device_that_is_not_there_is_refused_before_work_starts(setting, plan, way, monkeypatch, capsys):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="torch finds here"):
        run_study(plan(setting, baseline={}), setting.with_options(device="cuda", runner=way))
    assert "to train" not in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_to_is_refused(setting, plan, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError, match="must be writable, but it is not"):
        run_study(plan(setting, baseline={}), replace(setting, results=tmp_path / "file" / "runs"))


def test_a_block_known_to_this_process_only_is_trained_in_it(setting, plan, monkeypatch):
    from attn_tutorial.blocks import BLOCK_OPTIONS, BLOCK_VERSIONS, BLOCKS

    monkeypatch.delenv("ATTN_TUTORIAL_PLUGINS", raising=False)
    monkeypatch.setitem(BLOCKS, "own", BLOCKS["se"])
    monkeypatch.setitem(BLOCK_OPTIONS, "own", BLOCK_OPTIONS["se"])
    monkeypatch.setitem(BLOCK_VERSIONS, "own", 1)
    runs = plan(setting, first={"block": "own"}, second={"block": "own", "seed": 1})
    for way in ("processes", "ray"):
        with pytest.raises(SpecError, match=r"blocks that only this process knows \(own\)"):
            run_study(runs, setting.with_options(runner=way, workers=2))
    assert run_study(runs, setting.with_options(runner="auto", workers=2)) == {"done": 2}
    monkeypatch.setenv("ATTN_TUTORIAL_PLUGINS", "mine")
    assert runner._choose(RunOptions(device="cpu", workers=2), runs) == "processes"


def test_the_starter_of_processes_does_without_torch(setting, plan, tmp_path):
    script = tmp_path / "starter.py"
    words = str(setting.source), str(setting.results), str(setting.root)
    script.write_text(
        textwrap.dedent(
            f"""
            import sys
            from attn_tutorial.engine.start import start_study
            from attn_tutorial.study import Study
            study = Study.parse({{
                "name": "own", "title": "Own", "question": "Does it load torch?",
                "fixed": {{"training": {{"samples": 128}}, "evaluation": {{
                    "types": ["surround+noise"], "severities": [0], "recalibrated": [], "images": 20, "look": None}}}},
                "variants": {{"baseline": {{}}}},
            }})
            data, results, root = {words!r}
            if __name__ == "__main__":
                start_study(study, "smoke", 2, data, results, root=root, device="cpu", runner="processes", workers=2)
                print("with torch" if "torch" in sys.modules else "without torch")
            """
        )
    )
    said = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True, timeout=200).stdout
    assert len(list(setting.results.glob("*.json"))) == 2
    assert said.endswith("without torch\n")


def test_the_time_left_counts_training_only(setting, plan, monkeypatch, capsys):
    """Not the starting, nor what a resumed run had seen before, nor a run that failed at once."""
    from attn_tutorial.engine import study_progress as report

    runs = plan(setting, **{name: {"block": name, "training": {"samples": 6400}} for name in ("se", "eca", "cbam")})
    now = 1000.0
    monkeypatch.setattr(report.time, "monotonic", lambda: now)
    with report.StudyProgress(runs, already=0) as shown:
        shown.time_left = report.TimeLeft({run.run_id: 6400 for run in runs}, lambda: now)
        shown.time_left.places = 2
        for seconds, run, step in ((100, 0, 5), (1, 1, 100), (59, 0, 65)):  # of 200: 60 steps of 32 in a minute
            now += seconds
            shown.progress(runs[run].run_id, Progress(step, 200, 2.0, 0.1, 32.0))
        shown.ended(runs[2].run_id, "failed", None)
        now += 60
        shown.progress(runs[1].run_id, Progress(160, 200, 2.0, 0.1, 32.0))
    first, *_, last = (line for line in capsys.readouterr().out.splitlines() if "of training left" in line)
    assert "about 4 min of training left" in first  # 135 + 100 + 200 steps, at 60 a minute, two at a time
    assert "about 2 min of training left" in last  # 135 + 40 steps, at 120 in 60 + 119 seconds


def test_a_line_says_how_each_run_ended(setting, plan, capsys):
    runs = plan(setting, baseline={}, diverges={"training": {"lr": 1e30, "conv_lr": 1e30}})
    run_study(runs, setting.with_options(runner="serial"))
    done, diverged = (Ledger(setting.results).get(run.run_id) for run in runs)
    said = capsys.readouterr().out
    mean = sum(row.accuracy for row in done.accuracy) / 2
    assert f"baseline seed 0: done; accuracy {100 * mean:.1f} % ({SEEN}, mean over severities)" in said
    assert f"at {done.samples_per_second:.0f} images/s in {done.precision}" in said
    assert f"diverges seed 0: diverged; {diverged.summary().partition('; ')[2]}" in said
    assert diverged.diverged_at >= 1
    assert f"at step {diverged.diverged_at} of 4" in diverged.error
    assert len(done.accuracy[0].per_class) == 10
    assert done.accuracy[0].ece is not None


@pytest.mark.parametrize("size", [24, 32])
def test_a_run_is_trained_and_tested_on_images_of_its_size(setting, plan, monkeypatch, size):
    from attn_tutorial.engine import execute as module

    loaded = []

    def spy(*names, **options):
        images = load_images(*names, **options)
        loaded.append((images.split, tuple(images.images.shape[1:]), tuple(images.fragments.images.shape[1:3])
                       if images.fragments else None))  # fmt: skip
        return images

    load_images = module.load_images
    monkeypatch.setattr(module, "load_images", spy)
    (run,) = plan(setting, baseline={"data": {"name": "cifar10", "size": size}})
    assert run_study([run], setting.with_options(runner="serial")) == {"done": 1}
    assert loaded == [("train", (size, size, 3), None), ("test", (size, size, 3), (size, size))]
    record = Ledger(setting.results).get(run.run_id)
    assert record.spec.data.size == size
    assert record.versions_trained.get("resize") == (1 if size == 24 else None)
    # Both sizes come from the same images, whose fingerprint is in the record; the size is in the spec and in the id.
    assert record.data.fingerprint == setting.images.fingerprint
    assert run.run_id != plan(setting, baseline={"data": {"name": "cifar10", "size": 16}})[0].run_id


def test_the_smoke_preset_trains_on_the_primary_geometry(setting):
    study = Study.load("headline")
    (run, *_) = study.plan("smoke", setting.images)
    assert (run.spec.data.size, run.spec.clutter.canvas) == (24, 48)
    assert run_study([run], setting.with_options(runner="serial")) == {"done": 1}
    record = Ledger(setting.results).get(run)
    assert record.spec == run.spec
    assert {row.types for row in record.accuracy} == set(run.spec.evaluation.types)

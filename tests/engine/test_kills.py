"""A study killed again and again ends with the records of one that was left alone."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from attn_tutorial.ledger import Ledger

STUDY = """
import sys
from attn_tutorial.study import Study
from attn_tutorial.engine.start import start_study
from attn_tutorial.training import machine

# It is chosen by time, which on a busy machine may go either way.
machine._faster_memory_format = lambda *how: "channels_last"
data, results, runner, seeds = *sys.argv[1:4], int(sys.argv[4])
study = Study.parse({
    "name": "killed", "title": "Killed", "question": "Is anything lost?",
    "fixed": {
        "training": {"samples": 640, "batch_size": 16},
        "backbone": {"width": 16},
        "evaluation": {
            "images": 20, "types": ["surround+noise"], "severities": [0, 5], "recalibrated": [], "look": None,
        },
    },
    "variants": {"baseline": {}, "se": {"block": "se"}},
})
if __name__ == "__main__":  # its workers start by reading this file, too
    start_study(study, "smoke", seeds, data, results, runner=runner, workers=2, checkpoint_every=0.0)
"""


def checkpoint_since(began, results):
    """Whether a training has written a checkpoint since then; before that a kill hits nothing but imports."""
    times = []
    for path in results.glob("work/*/step-*.pt"):
        with contextlib.suppress(FileNotFoundError):
            times.append(path.stat().st_mtime)
    return any(time > began for time in times)


def one_worker(parent):
    """A process that a study started and that trains, not a helper of Python's."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            started_by = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if started_by == parent and b"spawn_main" in (folder / "cmdline").read_bytes():
                return int(folder.name)
    return parent  # it has none: it trains itself


@pytest.mark.parametrize(
    ("runner", "kills", "seeds"),
    [
        ("processes", 3, 2),
        pytest.param("processes", 20, 12, marks=pytest.mark.soak),
        pytest.param("serial", 10, 4, marks=pytest.mark.soak),
    ],
)
def test_killed_at_random_moments_nothing_is_lost_harmed_nor_done_twice(tmp_path, tiny_cifar, runner, kills, seeds):
    script = tmp_path / "study.py"
    script.write_text(STUDY)

    def start(results):
        words = [sys.executable, str(script), str(tiny_cifar), str(results), runner, str(seeds)]
        return subprocess.Popen(
            words, cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    alone, results = tmp_path / "alone", tmp_path / "killed"
    assert start(alone).wait() == 0
    chance = random.Random(0)
    ways = {
        "all": lambda process: os.killpg(process.pid, signal.SIGKILL),
        "starter": lambda process: process.kill(),
        "worker": lambda process: os.kill(one_worker(process.pid), signal.SIGKILL),
    }
    whole = {}  # each record's bytes and time, when it was first seen
    for kill in range(kills):
        process = start(results)
        began = time.time()
        while not checkpoint_since(began, results):
            assert process.poll() is None, f"the study ended after {kill} kills: too short for this test"
            time.sleep(0.02)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=chance.uniform(0, 2))
        ways[chance.choice(list(ways))](process)
        process.wait()
        for path in results.glob("*.json"):
            whole.setdefault(path, (path.read_bytes(), path.stat().st_mtime_ns))
    assert start(results).wait() == 0
    assert len(list(results.glob("*.json"))) == len(list(Ledger(results))) == 2 * seeds
    assert all((path.read_bytes(), path.stat().st_mtime_ns) == first for path, first in whole.items())
    records = list(Ledger(results))
    assert any(record.resumed_at for record in records)
    assert {record.run_id: record.weights_sha256 for record in records} == {
        record.run_id: record.weights_sha256 for record in Ledger(alone)
    }
    measured = "samples_per_second|_seconds$|^finished_at$"
    tables = [
        (frame := Ledger(folder).frame()).drop(columns=frame.filter(regex=measured)) for folder in (results, alone)
    ]
    assert tables[0].equals(tables[1])

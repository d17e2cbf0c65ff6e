"""Long: a study killed again and again ends with the records of one that was left alone."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from attn_tutorial.study import Ledger

COMMAND = [sys.executable, "-c", "from attn_tutorial.cli import main; main()"]


def steps_since(began, results):
    """Whether a training has written a checkpoint since then; before that a kill hits nothing but imports."""
    times = []
    for path in results.glob("work/*/step-*.pt"):
        with contextlib.suppress(FileNotFoundError):
            times.append(path.stat().st_mtime)
    return any(time > began for time in times)


@pytest.mark.soak
@pytest.mark.parametrize("runner", ["serial", "processes"])
def test_killed_at_random_moments_nothing_is_lost_nor_harmed(tmp_path, tiny_cifar, runner):
    words = ["study", "run", "headline", "--preset", "smoke", "--seeds", "3", "--data", str(tiny_cifar)]
    how = ["--runner", runner, "--workers", "2", "--checkpoint-every", "0"]

    def call(results):
        return [*COMMAND, *words, *how, "--results", str(tmp_path / results)]

    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(call("alone"), cwd=tmp_path, env=environment, check=True, capture_output=True)
    chance = random.Random(0)
    killed = 0
    while killed < 10:
        process = subprocess.Popen(
            call("killed"), cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        began = time.time()
        while process.poll() is None and not steps_since(began, tmp_path / "killed"):
            time.sleep(0.05)
        try:
            process.wait(timeout=chance.uniform(0, 3))
            break
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
    time.sleep(1)
    subprocess.run(call("killed"), cwd=tmp_path, env=environment, check=True, capture_output=True)
    alone, after = ({record.run_id: record for record in Ledger(tmp_path / name)} for name in ("alone", "killed"))
    assert len(after) == len(list((tmp_path / "killed").glob("*.json")))  # none that cannot be read
    assert killed >= 3
    assert any(record.resumed_at for record in after.values())
    assert {run: record.weights_sha256 for run, record in after.items()} == {
        run: record.weights_sha256 for run, record in alone.items()
    }
    assert {run: record.accuracy for run, record in after.items()} == {
        run: record.accuracy for run, record in alone.items()
    }

"""A run killed at random moments, mid-write included, ends with the weights of one that was left alone."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
SCRIPT = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    import torch
    sys.path.insert(0, sys.argv[1])
    torch.set_num_threads(1)
    from conftest import _make_images
    from attn_tutorial.spec import RunSpec
    from attn_tutorial.training import fit, weights_sha256
    spec = RunSpec.parse({
        "data": {"name": "shapes"},
        "training": {"samples": 16 * 60, "batch_size": 16},
        "backbone": {"depth": 8, "width": 16, "stem": "whiten4"},
        "block": "cbam",
    })
    folder = Path(sys.argv[2]) if sys.argv[2:] else None
    trained = fit(spec, _make_images(60, "train", masks=True), folder, checkpoint_every=0.0)
    print(weights_sha256(trained.model), trained.resumed_at)
    """
)


def start(*folder: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(TESTS), *map(str, folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)


def newest(folder: Path) -> str:
    return max((path.name for path in folder.glob("step-*.pt")), default="")


def kill_again_and_again(folder: Path, kills: int) -> None:
    """Kill runs, each a random time after it wrote its own checkpoint, so that every run makes progress."""
    alone, _, _ = start().communicate()[0].partition(" ")
    chance = random.Random(0)
    killed = round_ = 0
    while killed < kills:
        place = folder / str(round_)
        resumed = 0
        while True:
            process, before = start(place), newest(place)
            while process.poll() is None and newest(place) <= before:
                time.sleep(0.005)
            time.sleep(chance.uniform(0, 0.15))
            if process.poll() is not None:
                break
            process.send_signal(signal.SIGKILL)
            process.communicate()
            killed, resumed = killed + 1, resumed + 1
        weights, _, points = process.communicate()[0].partition(" ")
        assert weights == alone
        assert process.returncode == 0
        assert points.count(",") + ("[]" not in points) == resumed
        assert resumed >= 1
        round_ += 1


@pytest.mark.timeout(900)  # a dozen processes one after another: minutes on a busy machine
def test_a_few_kills(tmp_path):
    kill_again_and_again(tmp_path, kills=3)


@pytest.mark.soak
def test_many_kills(tmp_path):
    kill_again_and_again(tmp_path, kills=30)

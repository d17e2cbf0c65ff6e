"""Measure the speed of training, in one call and as ratios.

1. The whole step against the model alone on a fixed batch: the cost of rendering, normalising and logging.
2. The gain from precision and memory format, and the cost of a checkpoint.
3. Against the loop that users start from (`naive.py`), on one core and on the whole machine.
4. Two runs at a time on one thread each, against one run on two threads.

Run by `make bench`. Results are medians over interleaved rounds, so that a machine whose speed drifts does not favour
one side.
"""

import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import click
import pandas as pd
import torch

from attn_tutorial.datasets import ImageSet, load_images
from attn_tutorial.spec import BackboneSpec, Images, RunSpec
from attn_tutorial.study import Study
from attn_tutorial.training import Execution, build_model, keep_memory
from attn_tutorial.training.checkpoint import Checkpoints
from attn_tutorial.training.loop import make_batches, step_input, train_step
from attn_tutorial.training.optimisers import make_optimisers
from attn_tutorial.training.supervision import Supervision

CPU = torch.device("cpu")


def seconds_of(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def rounds_of(works: dict[str, Callable[[], object]], rounds: int) -> pd.DataFrame:
    """Return the seconds of each piece of work, one row per round; the pieces take turns.

    Ratios are taken within a round, and then their median.
    """
    for work in works.values():
        work()
    return pd.DataFrame([{name: seconds_of(work) for name, work in works.items()} for _ in range(rounds)])


class Training:
    """The package's training step; call it to make one. Every fiftieth reads the losses, like a learning curve."""

    def __init__(self, images: ImageSet, spec: RunSpec, execution: Execution | None = None):
        self.execution = execution or Execution.choose(CPU, "auto", spec.backbone, spec.clutter.canvas)
        self.spec = spec
        self.model = self.execution.place(build_model(spec, images), CPU).train()
        self.optimisers = make_optimisers(self.model, spec.training)
        self.batches = make_batches(spec, images)
        self.recent = torch.zeros(50, 2)
        self.step = 0

    def __call__(self) -> None:
        """Make a step on the next batch."""
        self.on(*step_input(self.spec, self.batches, self.step))
        self.step += 1
        if self.step % len(self.recent) == 0:
            self.recent.mean(0).tolist()

    def on(self, x: torch.Tensor, label: torch.Tensor, taught: Supervision | None = None) -> None:
        """Make a step on a given batch."""
        smoothing = self.spec.training.label_smoothing
        row = train_step(self.model, self.optimisers, x, label, smoothing, self.execution, taught)
        self.recent[self.step % len(self.recent)] = row


def four_of(work: Callable[[], object]) -> Callable[[], object]:
    return lambda: [work() for _ in range(4)]


def measure(spec: RunSpec, images: ImageSet, rounds: int) -> dict[str, float]:
    """Measure the whole step of one network against its parts."""
    training = Training(images, spec)
    fixed = step_input(spec, training.batches, 0)
    others = make_batches(spec, images)

    # Four steps at a time, because that many batches are rendered at once.
    works: dict[str, Callable[[], object]] = {
        "model only": lambda: [training.on(*fixed) for _ in range(4)],
        "whole": four_of(training),
        "rendering": lambda: [step_input(spec, others, training.step + i) for i in range(4)],
    }
    taken = rounds_of(works, rounds)
    return {
        "images/s, whole step": 4 * spec.training.batch_size / taken["whole"].median(),
        "model only ÷ whole step": (taken["model only"] / taken["whole"]).median(),
        "rendering ÷ whole step": (taken["rendering"] / taken["whole"]).median(),
    }


def by_execution(spec: RunSpec, images: ImageSet, rounds: int) -> pd.DataFrame:
    """Measure the same network in each precision and memory format."""
    threads = torch.get_num_threads()
    works: dict[str, Callable[[], object]] = {
        f"{precision}, {layout}": four_of(Training(images, spec, Execution(precision, layout, threads, compiled=False)))
        for precision in ("float32", "bfloat16")
        for layout in ("contiguous", "channels_last")
    }
    speeds = 4 * spec.training.batch_size / rounds_of(works, rounds)
    ratios = speeds.div(speeds.iloc[:, 0], axis=0)
    return pd.DataFrame({"images/s": speeds.median().round(), "÷ first": ratios.median().round(2)})


def checkpoint_share(spec: RunSpec, images: ImageSet, every: float) -> float:
    """Return the share of the time that checkpoints take if one is written every `every` seconds."""
    training = Training(images, spec)
    training()
    state: dict[str, Any] = {
        "model": training.model.state_dict(),
        "optimisers": [optimiser.state_dict() for optimiser in training.optimisers],
    }
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder), "run", CPU, every)
        taken = [seconds_of(lambda step=step: checkpoints.save({**state, "step": step})) for step in range(9)]
    return statistics.median(taken) / every


def _serve(pipe: Connection, side: str, threads: int, spec: RunSpec) -> None:
    """Run a process of one side: make as many steps as the pipe asks for, and send back how long they took."""
    torch.set_num_threads(threads)
    images = load_images("auto", "train")
    work: Callable[[], object]
    if side == "ours":
        keep_memory()
        work = Training(images, spec)
    else:
        from naive import NaiveTraining

        work = NaiveTraining(images, spec, workers=int(side.split()[1]))
    work()
    pipe.send("ready")
    while steps := pipe.recv():
        pipe.send(seconds_of(lambda n=steps: [work() for _ in range(n)]))


class Side:
    """One way to train, in its own process or in several at once."""

    def __init__(self, side: str, threads: int, spec: RunSpec, processes: int = 1):
        context = multiprocessing.get_context("spawn")
        self.spec, self.pipes = spec, []
        for _ in range(processes):
            ours, theirs = context.Pipe()
            context.Process(target=_serve, args=(theirs, side, threads, spec), daemon=False).start()
            self.pipes.append(ours)
        for pipe in self.pipes:
            pipe.recv()

    def images_per_second(self, steps: int) -> float:
        """Make this many steps in all processes at once, and return the images per second of all together."""
        for pipe in self.pipes:
            pipe.send(steps)
        return sum(steps * self.spec.training.batch_size / pipe.recv() for pipe in self.pipes)

    def close(self) -> None:
        """End the processes."""
        for pipe in self.pipes:
            pipe.send(0)


def compare(sides: dict[str, Side], rounds: int, steps: int) -> pd.DataFrame:
    """Return the images per second of each side, and the median of the rounds' ratios to the first side."""
    try:
        speeds = pd.DataFrame(
            [{name: side.images_per_second(steps) for name, side in sides.items()} for _ in range(rounds)]
        )
    finally:
        for side in sides.values():
            side.close()
    ratios = speeds.div(speeds.iloc[:, 0], axis=0)
    return pd.DataFrame({"images/s": speeds.median().round(), "÷ first": ratios.median().round(2)})


@click.command(help=__doc__)
@click.option("--rounds", default=15, show_default=True, help="Interleaved rounds; medians are reported.")
@click.option("--steps", default=8, show_default=True, help="Steps per round where processes are compared.")
def main(rounds: int, steps: int) -> None:
    keep_memory()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    images = load_images("auto", "train")
    about = Images(name=images.name, source=images.source, fingerprint=images.fingerprint, archive_sha256=None)
    runs = Study.load("headline").plan("quick", about, seeds=1)
    spec = runs[0].spec
    resnet20 = spec.model_copy(update={"backbone": BackboneSpec(depth=20, width=16, stem="conv3")})
    print(f"{images.source}; batch {spec.training.batch_size}, {rounds} rounds")

    print("\nThe whole step, one thread")
    told = spec.model_copy(update={"oracle": "gate"})
    specs = {**{run.variant: run.spec for run in runs}, "oracle gate": told, "ResNet-20, no block": resnet20}
    table = pd.DataFrame({name: measure(each, images, rounds) for name, each in specs.items()}).T
    table["time ÷ baseline's"] = table["images/s, whole step"].iloc[0] / table["images/s, whole step"]
    print(table.round(3).to_string())

    print("\nPrecision and memory format, one thread, whole step")
    print(by_execution(spec, images, rounds).to_string())
    print(f"\nA checkpoint every 60 s takes {checkpoint_share(spec, images, 60.0):.2%} of the time")

    print("\nAgainst the loop that users start from, one core")
    alone = {"naive, 0 workers": Side("naive 0", 1, spec), "ours": Side("ours", 1, spec)}
    print(compare(alone, rounds, steps).to_string())
    print("\nThe whole machine, two cores")
    whole = {
        "naive, 2 threads, 2 workers": Side("naive 2", 2, spec),
        "ours, one run, 2 threads": Side("ours", 2, spec),
        "ours, two runs, 1 thread each": Side("ours", 1, spec, processes=2),
    }
    print(compare(whole, rounds, steps).to_string())


if __name__ == "__main__":
    main()

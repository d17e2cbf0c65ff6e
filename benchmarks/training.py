"""Measure, in one process and as ratios: the whole training step against the model alone on a fixed batch.

Run by `make bench`. Medians over interleaved rounds, so that a machine whose speed drifts does not favour one side.
"""

import statistics
import time

import click
import pandas as pd
import torch

from attn_tutorial.datasets import Batches, load_images
from attn_tutorial.spec import RunSpec
from attn_tutorial.study import Study
from attn_tutorial.study.record import Images
from attn_tutorial.training import build_model, keep_memory
from attn_tutorial.training.loop import make_optimisers, train_step
from attn_tutorial.training.model import train_clutter


def seconds_of(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(spec: RunSpec, images, rounds: int) -> dict[str, float]:
    model = build_model(spec, images).train()
    optimisers = make_optimisers(model, spec.training)
    batches = Batches(images, train_clutter(spec), spec.training.batch_size)
    fixed = batches.at(0)
    steps = iter(range(1, 10_000))

    def alone():
        train_step(model, optimisers, *fixed, spec.training.label_smoothing)

    def whole():
        train_step(model, optimisers, *batches.at(next(steps)), spec.training.label_smoothing)

    def rendering():
        batches.at(next(steps))

    works = (alone, whole, rendering)
    for work in works:
        work()
    taken = [[seconds_of(work) for work in works] for _ in range(rounds)]
    model_only, step, render = (statistics.median(column) for column in zip(*taken, strict=True))
    return {
        "images/s, whole step": spec.training.batch_size / step,
        "model only ÷ whole step": model_only / step,
        "rendering ÷ whole step": render / step,
    }


@click.command(help=__doc__)
@click.option("--rounds", default=15, show_default=True, help="Interleaved rounds; the median is reported.")
@click.option("--threads", default=1, show_default=True, help="Threads of torch.")
def main(rounds: int, threads: int) -> None:
    keep_memory()
    torch.set_num_threads(threads)
    images = load_images("auto", "train")
    about = Images(name=images.name, source=images.source, fingerprint=images.fingerprint, archive_sha256=None)
    runs = Study.load("headline").plan("quick", about, seeds=1)
    table = pd.DataFrame({run.variant: measure(run.spec, images, rounds) for run in runs}).T
    table["time ÷ baseline's"] = table["images/s, whole step"].iloc[0] / table["images/s, whole step"]
    print(f"{images.source}; {threads} thread(s), batch {runs[0].spec.training.batch_size}, {rounds} rounds")
    print(table.round(3).to_string())


if __name__ == "__main__":
    main()

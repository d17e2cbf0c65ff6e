"""Show what each part of a network's test costs, and how much that is beside its training, on one thread.

The parts are measured on some images of one condition, as seconds of processor time for an image, so that waiting for
other processes does not count: rendering; the pass for accuracy; localisation; lesions, once the mean gates are known.
From these and from the number of images in each part follow the times at each preset, and the share of the training.
The networks are those of the study `headline`, untrained, which takes the same time.

Run by `make bench`.
"""

import time
from collections.abc import Callable
from typing import Any

import click
import pandas as pd
import torch

from attn_tutorial.datasets import ImageSet, load_images
from attn_tutorial.evaluation import clutter_of_test, evaluate, groups_of
from attn_tutorial.evaluation.lesions import Lesions
from attn_tutorial.spec import SEEN, Images, RunSpec
from attn_tutorial.study import Study
from attn_tutorial.training import build_model, fit, keep_memory
from attn_tutorial.training.model import train_clutter

PRESETS = ("quick", "full-cpu", "published")
SEVERITY = 5
TIMED = 10
"""Training steps that are timed."""


def seconds(work: Callable[[], object]) -> float:
    """Return the processor time of some work."""
    began = time.process_time()
    work()
    return time.process_time() - began


def measure(spec: RunSpec, test: ImageSet, train: ImageSet, images: int) -> dict[str, float]:
    """Return what each part costs: seconds for an image, and for "mean gates" in all."""
    model = build_model(spec, train).to(memory_format=torch.channels_last).eval()

    def tested(look: dict[str, Any] | None) -> float:
        wanted = {"types": [SEEN], "severities": [SEVERITY], "images": images, "look": look}
        part = RunSpec.parse({**spec.model_dump(mode="json"), "evaluation": wanted})
        return seconds(lambda: evaluate(model, part, test, train)) / images

    def trained(steps: int) -> float:
        samples = steps * spec.training.batch_size
        part = spec.model_copy(update={"training": spec.training.model_copy(update={"samples": samples})})
        return seconds(lambda: fit(part, train, precision="float32"))

    def gates() -> Lesions:
        with torch.no_grad():
            return Lesions(model, groups_of(train, images, train_clutter(spec), oracle=spec.oracle))

    tested(None)  # the first use of everything takes longer
    trained(1)
    clutter = clutter_of_test(spec, SEEN, SEVERITY)
    accuracy, look = tested(None), {"images": images, "severities": [SEVERITY], "types": None}
    setup = seconds(gates) if spec.block else 0.0
    lesioned = tested({**look, "localisation": False}) if spec.block else accuracy
    return {
        "training": (trained(TIMED + 2) - trained(2)) / TIMED / spec.training.batch_size,
        "rendering": seconds(lambda: [clutter.render(test, part) for part in test.first(images).split(250)]) / images,
        "accuracy": accuracy,
        "localisation": tested({**look, "lesions": False}) - accuracy,
        "lesions": lesioned - accuracy - setup / images,
        "mean gates": setup,
    }


def at_preset(spec: RunSpec, costs: dict[str, float], available: int) -> dict[str, float]:
    """Return a run's minutes by part, and the share of its training that its test takes."""
    test, look = spec.evaluation, spec.evaluation.look
    assert look is not None
    images = {cell: test.images_of(*cell, available) for cell in test.cells()}
    looked = [min(count, look.images) for cell, count in images.items() if test.looks_at(*cell)]
    parts = {
        "accuracy": costs["accuracy"] * sum(images.values()),
        "localisation": costs["localisation"] * sum(looked),
        "lesions": costs["lesions"] * sum(looked) + costs["mean gates"],
    }
    training = costs["training"] * spec.training.samples
    minutes = {name: part / 60 for name, part in {"training": training, **parts}.items()}
    return {**minutes, "test ÷ training": sum(parts.values()) / training}


@click.command(help=__doc__)
@click.option("--images", default=1000, show_default=True, help="Number of test images on which the parts are timed.")
@click.option("--variant", "variants", multiple=True, help="Only this variant; may be repeated.")
def main(images: int, variants: tuple[str, ...]) -> None:
    keep_memory()
    torch.set_num_threads(1)
    train, test = (load_images("auto", split, size=24) for split in ("train", "test"))
    about = Images(name=test.name, source=test.source, fingerprint=test.fingerprint, archive_sha256=None)
    costs: dict[str, dict[str, float]] = {}
    shares: dict[tuple[str, str], dict[str, float]] = {}
    for preset in PRESETS:
        for run in Study.load("headline").plan(preset, about, seeds=1):
            if variants and run.variant not in variants:
                continue
            if run.variant not in costs:
                costs[run.variant] = measure(run.spec, test, train, images)
            shares[preset, run.variant] = at_preset(run.spec, costs[run.variant], len(test))
    print(f"{test.source}; milliseconds for an image, one thread, and for the mean gates of {images} images in all")
    print((1000 * pd.DataFrame(costs).T).round(3).to_string())
    print("\nMinutes of a run at each preset")
    print(pd.DataFrame(shares).T.round(2).to_string())


if __name__ == "__main__":
    main()

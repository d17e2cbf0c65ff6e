"""Measure the time of evaluating a trained network, relative to its forward passes alone, on one thread.

By default one run of each variant of the study `headline` is evaluated, untrained, which takes the same time. All
images that pass the network count: for accuracy, recalibration, attention maps, Grad-CAM and lesions. Passes of a ready
batch are timed in between, so that a machine whose speed drifts does not favour one side; their time is not counted.
Times are processor times, so that waiting for other processes does not count; the clock's times are also given.

Run by `make bench`.
"""

import time
from dataclasses import dataclass, field

import click
import pandas as pd
import torch
from torch import Tensor, nn

from attn_tutorial.clutter import Clutter, to_input
from attn_tutorial.datasets import ImageSet, load_images
from attn_tutorial.evaluation import evaluate
from attn_tutorial.spec import Images, RunSpec
from attn_tutorial.study import Study
from attn_tutorial.training import build_model, keep_memory

READY = 250
EVERY = 25


@dataclass
class Probe:
    """Called between batches of an evaluation; at every 25th call it times a pass of a ready batch."""

    model: nn.Module
    ready: Tensor
    asked: int = 0
    passes: list[float] = field(default_factory=list)

    def __call__(self) -> bool:
        """Return False, so that the evaluation never stops."""
        self.asked += 1
        if self.asked % EVERY == 1:
            began = time.process_time()
            with torch.inference_mode():
                self.model(self.ready)
            self.passes.append(time.process_time() - began)
        return False

    def pass_of_one(self) -> float:
        """Return the seconds per image, the median of the passes."""
        return float(pd.Series(self.passes).median()) / len(self.ready)


def measure(spec: RunSpec, test: ImageSet, train: ImageSet) -> dict[str, float]:
    """Evaluate one network, and return how long it took."""
    model = build_model(spec, train).to(memory_format=torch.channels_last).eval()
    alone = build_model(spec, train).to(memory_format=torch.channels_last).eval()
    passed = [0]

    def count(module: nn.Module, inputs: tuple[Tensor]) -> None:
        passed[0] += len(inputs[0])

    model.register_forward_pre_hook(count)  # copies of the network have it too
    probe = Probe(alone, to_input(Clutter().render(train, train.spread(READY)).canvas))
    with torch.inference_mode():
        alone(probe.ready)
    began, clock = time.process_time(), time.perf_counter()
    evaluate(model, spec, test, train, probe)
    seconds = time.process_time() - began - sum(probe.passes)
    return {
        "images passed": passed[0],
        "images/s, pass alone": 1 / probe.pass_of_one(),
        "minutes": seconds / 60,
        "by the clock": (time.perf_counter() - clock) / 60,
        "evaluation ÷ its passes": seconds / (passed[0] * probe.pass_of_one()),
    }


@click.command(help=__doc__)
@click.option("--images", type=int, help="Number of test images; all by default.")
@click.option("--variant", "variants", multiple=True, help="Only this variant; may be repeated.")
def main(images: int | None, variants: tuple[str, ...]) -> None:
    keep_memory()
    torch.set_num_threads(1)
    train, test = load_images("auto", "train"), load_images("auto", "test")
    about = Images(name=test.name, source=test.source, fingerprint=test.fingerprint, archive_sha256=None)
    runs = Study.load("headline").plan("full-cpu", about, seeds=1)
    rows = {}
    for run in runs:
        if not variants or run.variant in variants:
            wanted = run.spec.evaluation.model_copy(update={"images": images})
            rows[run.variant] = measure(run.spec.model_copy(update={"evaluation": wanted}), test, train)
            print(pd.DataFrame(rows).T.tail(1).round(3).to_string(), flush=True)
    print(f"\n{test.source}; {images or len(test)} test images, one thread")
    print(pd.DataFrame(rows).T.round(3).to_string())


if __name__ == "__main__":
    main()

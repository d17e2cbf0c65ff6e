"""Measure the clutter renderer, in one process and as ratios: against Pillow, by type and severity, beside training.

Run by `make bench`. Targets of 24 px on canvases of 48 px, the benchmark's primary geometry, in one thread. Medians
of CPU time over interleaved rounds, so that other work on the machine favours no side. Also counts the pixels that
differ from Pillow's.
"""

import ctypes
import platform
import re
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import click
import pandas as pd
import torch
from clutter_pil import PilClutter
from tqdm import tqdm
from training import measure

from attn_tutorial.clutter import BACKGROUND_TYPES, CLUTTER_TYPES, SEEN_TYPES, SEVERITIES, Clutter
from attn_tutorial.clutter.layers.noise import noise_fields
from attn_tutorial.datasets import ImageSet, load_images
from attn_tutorial.spec import ClutterSpec, Images
from attn_tutorial.study import Study
from attn_tutorial.training import keep_memory

SIZE = 24
BATCH = 512
"""Number of canvases rendered at once, as in training."""
ONE_BY_ONE = 64
"""Number of canvases of each round that Pillow draws."""
COMPOSITIONS = (SEEN_TYPES, *((name,) for name in CLUTTER_TYPES), BACKGROUND_TYPES, CLUTTER_TYPES)
TRAINED = "surround+noise, compiled"


def batches_of(images: ImageSet, rounds: int) -> Iterator[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (torch.randint(len(images), (BATCH,), generator=generator) for _ in range(rounds))


def seconds_of(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def name_of(types: tuple[str, ...]) -> str:
    return {BACKGROUND_TYPES: "all background types", CLUTTER_TYPES: "all types"}.get(types, "+".join(types))


def compiled(clutter: Clutter, images: ImageSet) -> Callable:
    """Return the renderer compiled into one graph, for batches of one size."""
    # The compiler would trace how the noise fields are made, once for all, and stop where the host reads a number.
    torch.compiler.assume_constant_result(noise_fields.__wrapped__)

    def render(indices: torch.Tensor):
        batch = clutter.render(images, indices)
        return batch.canvas, batch.visible_mask, batch.object_mask

    return torch.compile(render, fullgraph=True)


def differing(images: ImageSet, count: int) -> tuple[int, int]:
    """Count the canvases, and their pixels, that differ from Pillow's: all types, all severities.

    A pixel differs if a channel or the mask does.
    """
    images = images.take(count)
    clutter = Clutter(CLUTTER_TYPES, SEVERITIES, seed=1)
    oracle, canvases, pixels = PilClutter(images, clutter), 0, 0
    with tqdm(total=count, desc="compared", unit="canvas", disable=None) as bar:
        for rows in torch.arange(count).split(BATCH):
            batch = clutter.render(images, rows)
            canvas = batch.canvas.permute(0, 2, 3, 1).numpy()
            for i, row in enumerate(rows.tolist()):
                expected, visible, _ = oracle[row]
                wrong = (canvas[i] != expected).any(-1) | (batch.visible_mask[i].numpy() != visible)
                canvases, pixels = canvases + bool(wrong.any()), pixels + int(wrong.sum())
            bar.update(len(rows))
    return canvases, pixels


def against_pillow(images: ImageSet, rounds: int, severity: int, with_compiled: bool) -> pd.DataFrame:
    """Return canvases per second: Pillow one by one, ours in batches."""
    ours: dict[str, Callable] = {}
    pillow: dict[str, Callable] = {}
    for types in COMPOSITIONS:
        clutter = Clutter(types, severity)
        oracle = PilClutter(images, clutter)
        ours[name_of(types)] = lambda b, c=clutter: c.render(images, b)
        pillow[name_of(types)] = lambda b, o=oracle: [o[i] for i in b[:ONE_BY_ONE].tolist()]
    first, *others = batches_of(images, rounds + 1)
    if with_compiled:
        clutter = Clutter(severity=severity)
        ours[TRAINED], pillow[TRAINED] = compiled(clutter, images), pillow[name_of(SEEN_TYPES)]
        assert torch.equal(ours[TRAINED](first)[0], clutter.render(images, first).canvas)
    taken = {(side, name): [] for side, name in product((0, 1), ours)}
    for batch in (first, *others):
        for (side, name), seconds in taken.items():
            seconds.append(seconds_of(lambda w=(ours, pillow)[side][name], b=batch: w(b)))
    table = pd.DataFrame(
        {
            title: {name: count / statistics.median(taken[side, name][1:]) for name in ours}
            for side, title, count in ((1, "Pillow", ONE_BY_ONE), (0, "ours", BATCH))
        }
    )
    return table.round().astype(int).assign(**{"÷ Pillow": (table["ours"] / table["Pillow"]).round(1)})


def by_type(images: ImageSet, rounds: int) -> pd.DataFrame:
    works = {
        (name_of(types), severity): Clutter(types, severity) for types, severity in product(COMPOSITIONS, SEVERITIES)
    }
    taken = [
        [seconds_of(lambda c=c, b=b: c.render(images, b)) for c in works.values()]
        for b in batches_of(images, rounds + 1)
    ][1:]
    speeds = [BATCH / statistics.median(column) for column in zip(*taken, strict=True)]
    return pd.Series(speeds, index=pd.MultiIndex.from_tuples(works)).unstack(sort=False).round().astype(int)


def memory_of(images: ImageSet) -> pd.Series:
    """Return the MiB that the images take, and that rendering a batch adds at most (where glibc measures it)."""
    held = {"images, four bytes a pixel": images.images.untyped_storage().nbytes() / 2**20}
    if platform.libc_ver()[0] == "glibc":
        images.images.sum()  # maps what is read from the file
        for types in (SEEN_TYPES, ("crowd",), CLUTTER_TYPES):
            clutter = Clutter(types, SEVERITIES)
            clutter.render(images, [0, 1])  # makes what is made once
            ctypes.CDLL(None).malloc_trim(0)  # or what was freed above would be used again unseen
            before = resident("VmRSS")
            Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
            for indices in batches_of(images, 10):
                clutter.render(images, indices)
            held[f"more while {BATCH} canvases are rendered, {name_of(types)}"] = resident("VmHWM") - before
    held["smaller images of a crowd, all severities"] = sum(t.nbytes for t in images.kept.values()) / 2**20
    return pd.Series(held).round().astype(int)


def resident(what: str) -> float:
    return int(re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 2**10


def share_of_training(images: ImageSet, rounds: int) -> float:
    """Return rendering's share of a training step of the headline's baseline, in the primary geometry."""
    about = Images(name=images.name, source=images.source, fingerprint=images.fingerprint, archive_sha256=None)
    spec = Study.load("headline").plan("quick", about, seeds=1)[0].spec
    spec = spec.model_copy(update={"clutter": ClutterSpec(), "data": spec.data.model_copy(update={"size": SIZE})})
    print(f"\n{spec.backbone.label()}, stem {spec.backbone.stem}, batch {spec.training.batch_size}", end="")
    return measure(spec, images, rounds)["rendering ÷ whole step"]


@click.command(help=__doc__)
@click.option("--rounds", default=15, show_default=True, help="Interleaved rounds; the median is reported.")
@click.option("--compile/--no-compile", "with_compiled", default=True, help="Measure torch.compile, too (a minute).")
@click.option("--compare", default=10_000, show_default=True, help="Number of canvases to compare with Pillow's.")
def main(rounds: int, with_compiled: bool, compare: int) -> None:
    torch.set_num_threads(1)
    train, test = (load_images("auto", split, size=SIZE) for split in ("train", "test"))
    print(f"{train.source}; one thread, batches of {BATCH}, {SIZE} px on 48, masks included, {rounds} rounds")
    print("\nMiB of memory, training images")
    print(memory_of(train).to_string())
    keep_memory()  # as training does
    if compare:
        canvases, pixels = differing(train, compare)
        print(f"\n{pixels} pixels differ from Pillow's, on {canvases} of {compare:,} canvases: all types, 0 to 5")
    for severity in (3, 5):
        print(f"\nCanvases/s at severity {severity}: Pillow draws one by one, ours a batch at once")
        print(against_pillow(test, rounds, severity, with_compiled and severity == 3).to_string())
    print("\nCanvases/s, ours, by type and severity")
    print(by_type(test, rounds).to_string())
    share = share_of_training(train, rounds)
    print(f": rendering takes {share:.1%} of a training step, surround+noise at severities 0 to 2")
    if compare and pixels:
        raise SystemExit("Canvases must be the same as Pillow's, but pixels differ.")


if __name__ == "__main__":
    main()

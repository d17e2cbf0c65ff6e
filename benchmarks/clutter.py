"""Measure the clutter renderer, in one process and as ratios: against Pillow, by type and severity, beside training.

Run by `make bench`. Medians over interleaved rounds, so that a machine whose speed drifts does not favour one side.
"""

import ctypes
import platform
import re
import statistics
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pandas as pd
import torch
from clutter_pil import PilClutter
from training import measure, seconds_of

from attn_tutorial.clutter import CLUTTER_TYPES, SEVERITIES, Clutter
from attn_tutorial.clutter.layers.noise import noise_fields
from attn_tutorial.clutter.names import SEEN_TYPES
from attn_tutorial.datasets import ImageSet, load_images
from attn_tutorial.spec import Images
from attn_tutorial.study import Study
from attn_tutorial.training import keep_memory

BATCH = 128


def batches_of(images: ImageSet, rounds: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(len(images), (BATCH,), generator=generator) for _ in range(rounds)]


def compiled(clutter: Clutter, images: ImageSet) -> Callable:
    """Return the renderer compiled into one graph, for batches of one size."""
    # The compiler would trace how the noise fields are made, once for all, and stop where the host reads a number.
    torch.compiler.assume_constant_result(noise_fields.__wrapped__)

    def render(indices: torch.Tensor):
        batch = clutter.render(images, indices)
        return batch.canvas, batch.visible_mask, batch.object_mask

    return torch.compile(render, fullgraph=True)


def against_pillow(images: ImageSet, rounds: int, with_compiled: bool) -> pd.DataFrame:
    clutter = Clutter(severity=3)
    oracle = PilClutter(images, clutter)
    works = {
        "Pillow, one by one": lambda indices: [oracle[i] for i in indices.tolist()],
        "eager": lambda indices: clutter.render(images, indices),
    }
    first, *others = batches_of(images, rounds + 1)
    batch = clutter.render(images, first)
    if with_compiled:
        works["compiled"] = compiled(clutter, images)
        assert torch.equal(works["compiled"](first)[0], batch.canvas)
    for i, (pixels, visible, _) in enumerate(works["Pillow, one by one"](first)):
        assert np.array_equal(batch.canvas[i].permute(1, 2, 0), pixels)
        assert np.array_equal(batch.visible_mask[i], visible)
    taken = [[seconds_of(lambda f=f, b=b: f(b)) for f in works.values()] for b in others]
    speed = pd.Series([BATCH / statistics.median(column) for column in zip(*taken, strict=True)], index=list(works))
    return pd.DataFrame({"canvases/s": speed.round(), "÷ Pillow": (speed / speed.iloc[0]).round(2)})


def by_type(images: ImageSet, rounds: int) -> pd.DataFrame:
    kinds = {"+".join(types): types for types in (SEEN_TYPES, *((name,) for name in CLUTTER_TYPES))}
    works = {
        (name, severity): Clutter(types, severity)
        for name, types in (kinds | {"all types": CLUTTER_TYPES}).items()
        for severity in SEVERITIES
    }
    taken = [
        [seconds_of(lambda c=c, b=b: c.render(images, b)) for c in works.values()]
        for b in batches_of(images, rounds + 1)
    ][1:]
    speeds = [BATCH / statistics.median(column) for column in zip(*taken, strict=True)]
    return pd.Series(speeds, index=pd.MultiIndex.from_tuples(works)).unstack(sort=False).round().astype(int)


def memory_of(images: ImageSet) -> str:
    """What the images take, and how much rendering a batch adds to what the process holds (where glibc measures it)."""
    held = f"{images.images.untyped_storage().nbytes() / 2**20:.0f} MiB of images, four bytes a pixel"
    if platform.libc_ver()[0] != "glibc":
        return held

    def resident(what: str) -> float:
        return int(re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 2**10

    images.images.sum()  # maps what is read from the file
    Clutter(severity=3).render(images, [0, 1])
    ctypes.CDLL(None).malloc_trim(0)  # or what was freed above would be used again unseen
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    for indices in batches_of(images, 20):
        Clutter(severity=3).render(images, indices)
    return f"{held}; {resident('VmHWM') - before:.0f} MiB more at most while rendering {BATCH} at once"


@click.command(help=__doc__)
@click.option("--rounds", default=30, show_default=True, help="Interleaved rounds; the median is reported.")
@click.option("--threads", default=1, show_default=True, help="Threads of torch.")
@click.option("--compile/--no-compile", "with_compiled", default=True, help="Measure torch.compile, too (a minute).")
def main(rounds: int, threads: int, with_compiled: bool) -> None:
    torch.set_num_threads(threads)
    images = load_images("auto", "train")
    print(f"{images.source}; {threads} thread(s), batches of {BATCH}, 48×48, masks included, {rounds} rounds")
    print(memory_of(images))
    keep_memory()  # as training does
    print("\nfragments+noise at severity 3")
    print(against_pillow(images, rounds, with_compiled).to_string())
    print("\nCanvases/s, eager, by type and severity")
    print(by_type(images, rounds).to_string())
    about = Images(name=images.name, source=images.source, fingerprint=images.fingerprint, archive_sha256=None)
    spec = Study.load("headline").plan("quick", about, seeds=1)[0].spec
    share = measure(spec, images, rounds)["rendering ÷ whole step"]
    print(f"\nRendering takes {share:.1%} of a training step of {spec.backbone.stem} ResNet-{spec.backbone.depth}")


if __name__ == "__main__":
    main()

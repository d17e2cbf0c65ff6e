"""Measure, in one process and as ratios: each block against its twin in timm, Non-local against the naive form.

Times are forward and backward, eager. Both sides take turns, and the ratio is the median of the rounds' ratios, so
that a machine whose speed drifts does not favour one side.
"""

import statistics
import time
import weakref

import click
import pandas as pd
import timm.layers
import torch
from timm.layers.cbam import CbamModule
from timm.layers.coord_attn import CoordAttn
from torch.utils._python_dispatch import TorchDispatchMode

from attn_tutorial.blocks import build_block

SHAPES = ((128, 64, 32, 32), (128, 256, 8, 8))
MANY_PLACES = (1, 64, 96, 96)
PAIRWISE = ("embedded", "gaussian", "dot", "concat")


def twins(channels: int) -> dict[str, tuple[torch.nn.Module, torch.nn.Module]]:
    """Block and twin, of the same sizes."""
    hidden = channels // 16
    context = {"fuse_add": True, "fuse_scale": False, "rd_channels": hidden}
    return {
        "se": (build_block("se", channels), timm.layers.SEModule(channels, rd_channels=hidden)),
        "eca": (build_block("eca", channels), timm.layers.EcaModule(channels)),
        "cbam": (build_block("cbam", channels), CbamModule(channels)),
        "non_local": (
            build_block("non_local", channels, zero_init=False),
            timm.layers.NonLocalAttn(channels, rd_channels=channels // 2),
        ),
        "global_context": (build_block("global_context", channels), timm.layers.GlobalContext(channels, **context)),
        "coordinate": (build_block("coordinate", channels), CoordAttn(channels, rd_channels=8, bias=True)),
    }


def naive(block):
    """The same block by way of its map."""
    return lambda x: block.apply_attention(x, block.attention(x))


def seconds(module, x) -> float:
    began = time.perf_counter()
    module(x).sum().backward()
    return time.perf_counter() - began


def ratio(ours, theirs, shape, rounds: int) -> dict[str, float]:
    x = torch.randn(shape, requires_grad=True)
    sides = (ours, theirs)
    for side in sides:
        seconds(side, x)
    taken = [[seconds(side, x) for side in sides] for _ in range(rounds)]
    mine, other = (1e3 * statistics.median(column) for column in zip(*taken, strict=True))
    return {"ms": mine, "other, ms": other, "ratio": statistics.median(first / second for first, second in taken)}


class LiveBytes(TorchDispatchMode):
    """The most bytes that tensors made inside held at one time."""

    def __init__(self):
        super().__init__()
        self.live = self.peak = 0
        self.known = weakref.WeakSet()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        torch.utils._pytree.tree_map_only(torch.Tensor, self._count, result)
        return result

    def _count(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage not in self.known:
            self.known.add(storage)
            self.live += storage.nbytes()
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._free, storage.nbytes())

    def _free(self, count: int) -> None:
        self.live -= count


def peak_mib(module, shape) -> float:
    x = torch.randn(shape, requires_grad=True)
    with LiveBytes() as memory:
        module(x).sum().backward()
    return memory.peak / 2**20


@click.command(help=__doc__)
@click.option("--rounds", default=21, show_default=True, help="Rounds; a third of them for Non-local by its map.")
@click.option("--threads", default=2, show_default=True, help="Threads of torch.")
@click.option("--only", help="One block's row only.")
def main(rounds: int, threads: int, only: str | None) -> None:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    print(f"{threads} thread(s), {rounds} rounds, forward and backward")
    for shape in SHAPES:
        pairs = twins(shape[1])
        rows = {f"{name} ÷ timm's": ratio(*pairs[name], shape, rounds) for name in pairs if only in (None, name)}
        for form in PAIRWISE if only in (None, "non_local") else ():
            block = build_block("non_local", shape[1], pairwise=form, zero_init=False)
            rows[f"non_local {form} ÷ by its map"] = ratio(block, naive(block), shape, max(rounds // 3, 1))
        print(f"\n{shape}\n{pd.DataFrame(rows).T.round(2).to_string()}")
    if only in (None, "non_local"):
        rows = {}
        for form in PAIRWISE:
            block = build_block("non_local", MANY_PLACES[1], pairwise=form, zero_init=False)
            rows[form] = ratio(block, naive(block), MANY_PLACES, 1)
            rows[form] |= {"MiB": peak_mib(block, MANY_PLACES), "other, MiB": peak_mib(naive(block), MANY_PLACES)}
        print(f"\nnon_local ÷ by its map, {MANY_PLACES}\n{pd.DataFrame(rows).T.round(2).to_string()}")


if __name__ == "__main__":
    main()

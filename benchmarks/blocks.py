"""Compare the speed of each block with its twin in timm, and of Non-local with its form that builds the map.

Times are those of an eager forward and backward pass, in milliseconds. Both sides take turns in one process, and the
ratio is the median of the rounds' ratios, so that a machine whose speed drifts does not favour one side. `make bench`
runs this, in about six minutes.
"""

import functools
import statistics

import click
import pandas as pd
import timm.layers
import torch
from timm.layers.cbam import CbamModule
from timm.layers.coord_attn import CoordAttn, EfficientLocalAttn, StripAttn
from timm.layers.grn import GlobalResponseNorm
from torch import nn

from attn_tutorial.blocks import build_block
from attn_tutorial.blocks.measure import Function, peak_bytes, seconds_in_turn
from attn_tutorial.training import keep_memory, thread_count

SHAPES = ((128, 64, 32, 32), (128, 256, 8, 8))
LAYOUTS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}
MANY_PLACES = (1, 64, 96, 96)
PAIRWISE = ("embedded", "gaussian", "dot", "concat")


class PlainLKA(nn.Module):
    """The three convolutions of large kernel attention, and the product: timm has no LKA."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.local = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.distant = nn.Conv2d(channels, channels, 7, padding=9, dilation=3, groups=channels)
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x times the three convolutions of x."""
        return x * self.mix(self.distant(self.local(x)))


def twins(channels: int) -> dict[str, tuple[nn.Module, nn.Module]]:
    """Return each block and its twin, of the same sizes: timm's, or for LKA its plain convolutions."""
    hidden = channels // 16
    context = {"fuse_add": True, "fuse_scale": False, "rd_channels": hidden}
    return {
        "se": (build_block("se", channels), timm.layers.SEModule(channels, rd_channels=hidden)),
        "eca": (build_block("eca", channels), timm.layers.EcaModule(channels)),
        "cbam": (build_block("cbam", channels), CbamModule(channels)),
        "non_local": (
            build_block("non_local", channels),
            timm.layers.NonLocalAttn(channels, rd_channels=channels // 2),
        ),
        "global_context": (build_block("global_context", channels), timm.layers.GlobalContext(channels, **context)),
        "coordinate": (build_block("coordinate", channels), CoordAttn(channels, rd_channels=8, bias=True)),
        "gather_excite": (
            build_block("gather_excite", channels, extent=4),
            timm.layers.GatherExcite(channels, extent=4, use_mlp=False),
        ),
        "ela": (
            build_block("ela", channels, shared=False),
            EfficientLocalAttn(channels, act_layer=nn.Identity, norm_layer=functools.partial(nn.GroupNorm, 16)),
        ),
        "strip": (build_block("strip", channels), StripAttn(channels)),
        "grn": (build_block("grn", channels), GlobalResponseNorm(channels, channels_last=False)),
        "lka": (build_block("lka", channels), PlainLKA(channels)),
    }


def with_and_without_map(channels: int) -> dict[str, tuple[Function, Function]]:
    """Return Non-local in each form, and the same block computed by its map."""
    blocks = {form: build_block("non_local", channels, pairwise=form) for form in PAIRWISE}
    return {form: (block, lambda x, b=block: b.apply_attention(x, b.attention(x))) for form, block in blocks.items()}


def compared(pair: tuple[Function, Function], x: torch.Tensor, rounds: int) -> dict[str, float]:
    taken = seconds_in_turn(dict(zip(("ours", "other"), pair, strict=True)), x, rounds)
    ratios = [ours / other for ours, other in zip(*taken.values(), strict=True)]
    return {name: 1e3 * statistics.median(each) for name, each in taken.items()} | {"ratio": statistics.median(ratios)}


def show(title: str, rows: dict[str, dict[str, float]]) -> None:
    print(f"\n{title}\n{pd.DataFrame(rows).T.round(2).to_string()}", flush=True)


@click.command(help=__doc__)
@click.option("--rounds", default=15, show_default=True, help="Number of rounds; a third for Non-local at 32 × 32.")
@click.option("--threads", default=2, show_default=True, help="Number of torch threads.")
@click.option("--keep-memory", "keep", is_flag=True, help="Keep freed memory, as in training (glibc only).")
@click.option("--bfloat16", "half", is_flag=True, help="Use autocast to bfloat16, as in training on newer processors.")
@click.option("--only", type=click.Choice(list(twins(64))), help="Measure only this block.")
def main(rounds: int, threads: int, keep: bool, half: bool, only: str | None) -> None:
    torch.manual_seed(0)
    if keep and not keep_memory():
        raise click.UsageError("--keep-memory needs glibc, but this machine has another C library: leave it out")
    precision = "autocast to bfloat16" if half else "float32"
    print(f"{threads} thread(s), {rounds} rounds, {precision}, freed memory {'kept' if keep else 'given back'}")
    # No cache, because a weight that was cast in one round has no graph in the next.
    with thread_count(threads), torch.autocast("cpu", torch.bfloat16, enabled=half, cache_enabled=False):
        for shape in SHAPES:
            slow = max(rounds // 3, 1) if shape[2] > 8 else rounds
            for layout, memory_format in LAYOUTS.items():
                x = torch.randn(shape).to(memory_format=memory_format).requires_grad_()
                rows = {}
                for name, pair in twins(shape[1]).items():
                    if only in (None, name):
                        pair = [module.to(memory_format=memory_format) for module in pair]
                        rows[f"{name} ÷ {'plain' if name == 'lka' else 'timm'}'s"] = compared(
                            pair, x, slow if name == "non_local" else rounds
                        )
                for form, pair in with_and_without_map(shape[1]).items():
                    if only in (None, "non_local"):
                        rows[f"non_local {form} ÷ by its map"] = compared(pair, x, slow)
                show(f"{shape}, {layout}; aim: at most 1.05 of timm's time, and 1.00 of the time by its map", rows)
        if only in (None, "non_local"):
            x = torch.randn(MANY_PLACES, requires_grad=True)
            rows = {
                form: compared(pair, x, 1)
                | {
                    f"{side}, MiB": peak_bytes(each, x) / 2**20
                    for side, each in zip(("ours", "other"), pair, strict=True)
                }
                for form, pair in with_and_without_map(MANY_PLACES[1]).items()
            }
            show(f"non_local ÷ by its map, {MANY_PLACES}, contiguous; aim: at most 80 MiB", rows)


if __name__ == "__main__":
    main()

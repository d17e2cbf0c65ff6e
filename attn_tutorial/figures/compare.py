"""All blocks side by side: what they see, what they start as, what they cost."""

from collections.abc import Iterable, Mapping
from itertools import accumulate
from statistics import median

import matplotlib.pyplot as plt
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import nn

from attn_tutorial.blocks import BLOCK_OPTIONS, build_block
from attn_tutorial.blocks.measure import count_flops, count_parameters, peak_bytes, seconds_in_turn
from attn_tutorial.blocks.traits import Sight, sight_of, start_of
from attn_tutorial.training import thread_count

Shape = tuple[int, int, int, int]
YARDSTICK = "3×3 convolution"
"""Beside the blocks in every table of costs: half of what they are added to, a basic unit."""
_KINDS = {"channel": "channels", "spatial": "places", "full": "each number", "pairwise": "pairs"}
_COLOURS = ("#0173b2", "#d55e00", "#029e73", "#8219f6")
_MARKERS = "osD^"


def sight_table(names: Iterable[str], channels: int = 64) -> pd.DataFrame:
    """What each block sees, found out by trying it: see `blocks.traits.sight_of`."""
    rows = {}
    for name in names:
        sight = sight_of(build_block(name, channels))
        rows[name] = {
            "weighs": _weighs(sight),
            "hears other places": sight.places,
            "hears other channels": sight.channels,
            "misses a shuffle of places": sight.shuffled_places,
            "misses a shuffle of channels": _yes(sight.shuffled_channels),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("block")


def start_table(names: Iterable[str], channels: int = 64) -> pd.DataFrame:
    """What each block does before training, by its defaults and with `at_start="identity"`: see `start_of`."""
    rows = {}
    for name in names:
        ratio, identity = start_of(name, channels)
        choice = "at_start" in BLOCK_OPTIONS[name].model_fields
        rows[name] = {
            "output SD ÷ input SD": f"{ratio:.2f}",
            "the identity": _yes(identity),
            'with at_start="identity"': _yes(start_of(name, channels, at_start="identity")[1]) if choice else "–",
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("block")


def cost_frame(names: Iterable[str], shapes: Mapping[str, Shape], rounds: int) -> pd.DataFrame:
    """Measure each block, and a 3×3 convolution, on random features of each shape, on one thread.

    Args:
        names: of blocks, "se" among them.
        shapes: (B, C, H, W) by a name for the reader.
        rounds: of timing; the blocks take turns in each.

    Returns:
        a row for each block and shape; columns: `block`, `shape`, `parameters`, `kFLOP` (of one image, forward), `ms`
        (of the batch, forward and backward), `time` (the median over the rounds of its time ÷ SE's), `memory` (the most
        that a forward and a backward pass hold, as a multiple of the features).

    """
    names = list(names)
    rows = []
    for label, shape in shapes.items():
        channels = shape[1]
        modules: dict[str, nn.Module] = {name: build_block(name, channels) for name in names}
        modules[YARDSTICK] = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).requires_grad_()
        with thread_count(1):
            seconds = seconds_in_turn(modules, x, rounds)
        for name, module in modules.items():
            ratios = (own / of_se for own, of_se in zip(seconds[name], seconds["se"], strict=True))
            rows.append(
                {
                    "block": name,
                    "shape": label,
                    "parameters": count_parameters(module),
                    "kFLOP": count_flops(module, x) / shape[0] / 1e3,
                    "ms": 1000 * median(seconds[name]),
                    "time": median(ratios),
                    "memory": peak_bytes(module, x) / x.nbytes,
                }
            )
    return pd.DataFrame(rows)


def cost_table(frame: pd.DataFrame, measure: str, digits: int) -> pd.DataFrame:
    """One measure of `cost_frame`: a row a block, a column a shape, cheapest first at the first shape."""
    table = frame.pivot(index="block", columns="shape", values=measure)[list(frame["shape"].unique())]
    table = table.sort_values(list(table.columns), kind="stable")
    return table.map(lambda value: f"{value:,.{digits}f}").rename_axis(columns=None)


def cost_figure(frame: pd.DataFrame, sights: pd.DataFrame) -> Figure:
    """Time of each block of `cost_frame`, a dot a shape, grouped by what `sight_table` says that the blocks weigh."""
    groups = _groups(frame, sights)
    names = [name for group in groups.values() for name in group]
    figure, axes = plt.subplots(figsize=(5.2, 0.3 * len(names) + 1.4))
    for (shape, rows), colour, marker in zip(frame.groupby("shape", sort=False), _COLOURS, _MARKERS, strict=False):
        values = rows.set_index("block")["time"].reindex(names)
        axes.plot(values, range(len(names)), marker, color=colour, label=shape)
    for (group, members), end in zip(groups.items(), accumulate(map(len, groups.values())), strict=True):
        axes.axhline(end - 0.5, color=plt.rcParams["text.color"], linewidth=0.8)
        axes.annotate(
            group, (1.02, end - 0.5 - len(members) / 2), xycoords=("axes fraction", "data"), va="center", fontsize=10
        )
    axes.set(xscale="log", xlabel="time, SE = 1", ylim=(len(names) - 0.5, -0.5))
    axes.set_yticks(range(len(names)), names)
    axes.xaxis.set_major_formatter("{x:g}")
    figure.legend(*axes.get_legend_handles_labels(), fontsize=10, loc="outside upper center", ncols=2)
    return figure


def describe_cost_figure(frame: pd.DataFrame, sights: pd.DataFrame) -> str:
    """Say in sentences what `cost_figure` shows, for readers who do not see it."""
    sentences = ["Dots for the time of each block at each shape, grouped by what the blocks weigh."]
    for group, names in _groups(frame, sights).items():
        rows = frame[frame["block"].isin(names)]
        sentences.append(
            f"{group} ({', '.join(names)}): {rows['time'].min():.1f} to {rows['time'].max():.1f} times SE's time."
        )
    return " ".join(sentences)


def _groups(frame: pd.DataFrame, sights: pd.DataFrame) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name in frame["block"].unique():
        groups.setdefault("no block" if name == YARDSTICK else str(sights["weighs"][name]), []).append(name)
    return groups


def _weighs(sight: Sight) -> str:
    kinds = ", ".join(_KINDS[kind] for kind in sight.weighs) or "nothing"
    return kinds if sight.looks or not sight.weighs else f"{kinds}, fixed"


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"

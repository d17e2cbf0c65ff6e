"""What modules and blocks cost, as tables and as a figure of all blocks."""

from itertools import accumulate

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from attn_tutorial.analysis.costs import YARDSTICK
from attn_tutorial.figures.colours import SERIES_STYLES
from attn_tutorial.figures.style import NARROW, SMALL_TEXT

_FORMATS = {"parameters": "{:,.0f}", "MFLOP": "{:,.2f}", "ms": "{:.2f}"}


def module_cost_table(costs: pd.DataFrame) -> pd.DataFrame:
    """Format the numbers of `analysis.costs.module_costs`: a row for each module."""
    return pd.DataFrame({name: costs[name].map(form.format) for name, form in _FORMATS.items()})


def block_cost_table(frame: pd.DataFrame, measure: str, digits: int) -> pd.DataFrame:
    """Lay out one measure of blocks: a row for each block, a column for each shape of features.

    Args:
        frame: the frame of `analysis.costs.block_costs`.
        measure: a column of the frame.
        digits: number of digits after the point.

    Returns:
        numbers as text; the block that is cheapest at the first shape comes first.

    """
    table = frame.pivot(index="block", columns="shape", values=measure)[list(frame["shape"].unique())]
    table = table.sort_values(list(table.columns), kind="stable")
    return table.map(lambda value: f"{value:,.{digits}f}").rename_axis(columns=None)


def block_cost_figure(frame: pd.DataFrame, sights: pd.DataFrame) -> Figure:
    """Draw the time of each block at each shape, grouped by what the blocks weigh.

    Args:
        frame: the frame of `analysis.costs.block_costs`.
        sights: `sight_table` of the same blocks.

    """
    groups = _groups(frame, sights)
    names = [name for group in groups.values() for name in group]
    figure, axes = plt.subplots(figsize=(NARROW, 0.3 * len(names) + 1.4))
    for (shape, rows), (colour, marker) in zip(frame.groupby("shape", sort=False), SERIES_STYLES, strict=False):
        values = rows.set_index("block")["time"].reindex(names)
        axes.plot(values, range(len(names)), marker, color=colour, label=shape)
    for (group, members), end in zip(groups.items(), accumulate(map(len, groups.values())), strict=True):
        axes.axhline(end - 0.5, color=plt.rcParams["text.color"], linewidth=0.8)
        axes.annotate(
            group,
            (1.02, end - 0.5 - len(members) / 2),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=SMALL_TEXT,
        )
    axes.set(xscale="log", xlabel="time, SE = 1", ylim=(len(names) - 0.5, -0.5))
    axes.set_yticks(range(len(names)), names)
    axes.xaxis.set_major_formatter("{x:g}")
    figure.legend(*axes.get_legend_handles_labels(), fontsize=SMALL_TEXT, loc="outside upper center", ncols=2)
    return figure


def describe_block_cost_figure(frame: pd.DataFrame, sights: pd.DataFrame) -> str:
    """Say in sentences what `block_cost_figure` shows, for readers who do not see it."""
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

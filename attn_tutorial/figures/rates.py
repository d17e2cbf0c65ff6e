"""Draw shares of canvases, or costs in points, over severity, with their intervals."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attn_tutorial.figures.colours import SERIES_STYLES
from attn_tutorial.figures.style import FULL


def rate_curves(frame: pd.DataFrame, chance: float, ylabel: str) -> Figure:
    """Draw a line over severity for each kind, with a bar for each interval, and chance as a dotted line.

    Args:
        frame: columns `kind`, `severity`, and in percent `rate`, `low` and `high`; at most four kinds.
        chance: the rate of guessing, in percent.
        ylabel: the label of the rate's axis.

    """
    figure, axes = _curves(frame, ylabel)
    axes.axhline(chance, color=plt.rcParams["text.color"], linestyle=":", linewidth=1.4, label="chance")
    axes.set_ylim(0, 102)
    figure.legend(loc="outside upper left", ncols=2)
    return figure


def cost_curves(frame: pd.DataFrame, ylabel: str) -> Figure:
    """Draw a line over severity for each kind, with a bar for each interval, and a thin line at a cost of 0.

    Args:
        frame: columns `kind`, `severity`, and in points `rate`, `low` and `high`; at most four kinds.
        ylabel: the label of the costs' axis.

    """
    figure, axes = _curves(frame, ylabel)
    axes.axhline(0, color=plt.rcParams["text.color"], linewidth=1)
    figure.legend(loc="outside upper left", ncols=2)
    return figure


def _curves(frame: pd.DataFrame, ylabel: str) -> tuple[Figure, Axes]:
    """Draw the lines with their bars; the legend is left to the caller."""
    rows = -(-(frame["kind"].nunique() + 1) // 2)  # of the legend above the axes, in two columns
    figure, axes = plt.subplots(figsize=(FULL, 2.9 + 0.25 * rows))
    for (kind, line), (colour, marker) in zip(frame.groupby("kind", sort=False), SERIES_STYLES, strict=False):
        below, above = line["rate"] - line["low"], line["high"] - line["rate"]
        axes.errorbar(
            line["severity"], line["rate"], yerr=(below.clip(0), above.clip(0)), label=kind, color=colour,
            marker=marker, capsize=3,
        )  # fmt: skip
    axes.set(xlabel="severity", ylabel=ylabel, xticks=sorted(frame["severity"].unique()))
    return figure, axes


def describe_rate_curves(frame: pd.DataFrame, ylabel: str) -> str:
    """Say in a sentence what `rate_curves` or `cost_curves` shows, for readers who do not see it."""
    severities = sorted(frame["severity"].unique())
    ends = "; ".join(
        f"{kind}: {', '.join(f'{rate:z.0f}' for rate in line['rate'])}"
        for kind, line in frame.groupby("kind", sort=False)
    )
    return f"{ylabel} over severity {severities[0]} to {severities[-1]}. {ends}."

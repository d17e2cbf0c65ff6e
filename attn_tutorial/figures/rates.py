"""Draw shares of canvases over severity, with their intervals."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from attn_tutorial.clutter import SEVERITIES
from attn_tutorial.figures.colours import SERIES_STYLES
from attn_tutorial.figures.style import FULL


def rate_curves(frame: pd.DataFrame, chance: float, ylabel: str) -> Figure:
    """Draw a line over severity for each kind, with a bar for each interval, and chance as a dotted line.

    Args:
        frame: columns `kind`, `severity`, and in percent `rate`, `low` and `high`.
        chance: the rate of guessing, in percent.
        ylabel: the label of the rate's axis.

    """
    figure, axes = plt.subplots(figsize=(FULL, 3.4))
    for (kind, line), (colour, marker) in zip(frame.groupby("kind", sort=False), SERIES_STYLES, strict=False):
        below, above = line["rate"] - line["low"], line["high"] - line["rate"]
        axes.errorbar(
            line["severity"], line["rate"], yerr=(below.clip(0), above.clip(0)), label=kind, color=colour,
            marker=marker, capsize=3,
        )  # fmt: skip
    axes.axhline(chance, color=plt.rcParams["text.color"], linestyle=":", linewidth=1.4, label="chance")
    axes.set(xlabel="severity", ylabel=ylabel, xticks=SEVERITIES, ylim=(0, 102))
    figure.legend(loc="outside upper left", ncols=2)
    return figure


def describe_rate_curves(frame: pd.DataFrame, ylabel: str) -> str:
    """Say in a sentence what `rate_curves` shows, for readers who do not see it."""
    ends = "; ".join(
        f"{kind}: {', '.join(f'{rate:.0f}' for rate in line['rate'])}"
        for kind, line in frame.groupby("kind", sort=False)
    )
    return f"{ylabel} over severity 0 to 5. {ends}."

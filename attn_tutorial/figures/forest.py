"""Draw a forest plot: each variant's difference from the baseline, with its interval, its seeds and the margin."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from attn_tutorial.analysis.outcomes import BASELINE
from attn_tutorial.analysis.statistics import MARGIN, paired_differences, seed_differences
from attn_tutorial.figures.colours import ROLE_COLOURS
from attn_tutorial.figures.style import NARROW, SMALL_TEXT


def forest_plot(
    outcomes: pd.DataFrame,
    baseline: str = BASELINE,
    controls: Sequence[str] = (),
    margin: float | None = MARGIN,
    measure: str = "points of mean accuracy above",
) -> Figure:
    """Draw paired differences with 95 % t intervals over seeds, the largest first, and the controls below the others.

    A hollow mark is a difference within noise, because its interval includes 0, or one without an interval, because it
    has one seed. Small dots are seeds. Differences inside the band count as equal.

    Args:
        outcomes: an outcome frame, see `analysis.outcomes`.
        baseline: the variant that the others are compared with.
        controls: variants that are not blocks under test.
        margin: the margin of equivalence in points, half the width of the band; None for no band.
        measure: what the differences are; the label of the axis is `measure` and the baseline's name.

    """
    rows = _ordered(outcomes, baseline, controls)
    seeds = seed_differences(outcomes, baseline)
    places = {variant: place for place, variant in enumerate(rows["variant"])}
    figure, axes = plt.subplots(figsize=(NARROW, 0.3 * len(rows) + 1.5))
    if margin is not None:
        axes.axvspan(
            -margin, margin, color=ROLE_COLOURS["noise"], alpha=0.25, linewidth=0, label=f"counts as equal: ±{margin:g}"
        )
    axes.axvline(0, color=plt.rcParams["text.color"], linewidth=1)
    axes.plot(
        seeds["difference"], seeds["variant"].map(places), ".", color=plt.rcParams["text.color"], alpha=0.5,
        label="seed", markersize=4,
    )  # fmt: skip
    for clear, name, colour in (
        (True, "interval excludes 0", ROLE_COLOURS["clear"]),
        (False, "within noise, or one seed", ROLE_COLOURS["noise"]),
    ):
        chosen = rows[_differs(rows) == clear]
        height = chosen["variant"].map(places)
        axes.hlines(height, chosen["low"], chosen["high"], color=colour, linewidth=2)
        axes.plot(
            chosen["difference"], height, "o", color=colour, label=name, markersize=7, markeredgewidth=1.6,
            markerfacecolor=colour if clear else plt.rcParams["axes.facecolor"],
        )  # fmt: skip
    if controls:
        axes.axhline(len(rows) - rows["control"].sum() - 0.5, color=plt.rcParams["text.color"], linewidth=0.8)
    axes.set(ylim=(len(rows) - 0.5, -0.5))
    # A label of the figure, because the names leave little width to the axes.
    figure.supxlabel(f"{measure} {baseline}")
    axes.set_yticks(range(len(rows)), rows["variant"])
    figure.legend(*axes.get_legend_handles_labels(), fontsize=SMALL_TEXT, loc="outside upper center", ncols=2)
    return figure


def describe_forest_plot(outcomes: pd.DataFrame, baseline: str = BASELINE, controls: Sequence[str] = ()) -> str:
    """Say in sentences what `forest_plot` shows, for readers who do not see it."""
    rows = _ordered(outcomes, baseline, controls)
    marks = [
        f"{row['variant']}{' (control)' if row['control'] else ''} {row['difference']:+.1f}"
        + ("" if pd.isna(row["low"]) else f" from {row['low']:+.1f} to {row['high']:+.1f}")
        for _, row in rows.iterrows()
    ]
    return f"Differences from {baseline} with their 95 % intervals, the largest first: {'; '.join(marks)}."


def _ordered(outcomes: pd.DataFrame, baseline: str, controls: Sequence[str]) -> pd.DataFrame:
    rows = paired_differences(outcomes, baseline)
    rows["control"] = rows["variant"].isin(controls)
    return rows.sort_values(["control", "difference"], ascending=[True, False])


def _differs(rows: pd.DataFrame) -> pd.Series:
    return ~rows["within_noise"].fillna(True).astype(bool)

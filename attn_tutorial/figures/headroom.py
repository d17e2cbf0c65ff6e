"""Draw what clutter costs the baseline, and how much of that a network wins back that is told where the target is."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from attn_tutorial.analysis.outcomes import (
    BASELINE,
    SEEN_COST,
    UNSEEN_COST,
    check_one_kind,
    distraction_costs,
    distraction_table,
    won_back,
)
from attn_tutorial.analysis.statistics import intervals
from attn_tutorial.figures.colours import markers, palette
from attn_tutorial.figures.style import SMALL_TEXT, SMALLEST_TEXT, WIDE
from attn_tutorial.figures.tables import interval_text

COMPOSITIONS = (*SEEN_COST, *UNSEEN_COST)
"""The background compositions: the one that training sees, then those that it does not see."""
_AXES = {"seen": SEEN_COST, "unseen": UNSEEN_COST}


def headroom_figure(frame: pd.DataFrame, baseline: str = BASELINE) -> Figure:
    """Draw accuracy over severity, a panel for each background composition; the baseline's cost is shaded.

    Thick lines are means over seeds, thin ones the seeds. The dashed line is the accuracy of the baseline at 0: what
    lies between it and the baseline's curve is lost to clutter.

    Args:
        frame: `Ledger.frame()` of the baseline and of its controls, at one preset on one image set.
        baseline: the variant whose cost is shaded.

    """
    check_one_kind(frame)
    shown = _tested(frame)
    colours, marks = palette(frame["variant"].unique()), markers(frame["variant"].unique())
    figure, panels = plt.subplots(1, len(shown), figsize=(WIDE, 3.3), sharey=True, squeeze=False)
    for axes, types in zip(panels[0], shown, strict=True):
        rows = frame[frame["types"] == types]
        for variant, curves in rows.groupby("variant", sort=False):
            colour = colours[str(variant)]
            for _, seed in curves.groupby("seed"):
                axes.plot(seed["severity"], seed["accuracy"], color=colour, linewidth=0.6, alpha=0.6)
            mean = curves.groupby("severity")["accuracy"].mean()
            axes.plot(mean.index, mean, color=colour, marker=marks[str(variant)], label=variant)
            if variant == baseline:
                axes.axhline(mean[0], color=colour, linestyle="--", linewidth=1)
                axes.fill_between(mean.index, mean, mean[0], color=colour, alpha=0.25, linewidth=0)
        axes.set_title(types, fontsize=SMALL_TEXT)
        axes.set(xticks=sorted(rows["severity"].unique()))
    panels[0, 0].set_ylabel("accuracy in %")
    figure.supxlabel("severity", fontsize=SMALL_TEXT)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=len(labels), fontsize=SMALL_TEXT)
    for axes in panels[0]:
        axes.tick_params(labelsize=SMALLEST_TEXT)
    return figure


def describe_headroom_figure(frame: pd.DataFrame) -> str:
    """Say in sentences what `headroom_figure` shows, for readers who do not see it."""
    means = frame.groupby(["types", "variant", "severity"], sort=False)["accuracy"].mean()
    texts = [
        f"{types}: "
        + ", ".join(f"{variant} {row.iloc[0]:.0f} to {row.iloc[-1]:.0f}" for variant, row in rows.iterrows())
        for types in _tested(frame)
        for rows in [means[types].unstack("severity")]
    ]
    return f"Accuracy in percent from severity 0 to 5, by the kind of background. {'; '.join(texts)}."


def headroom_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return what the figure shows as numbers: a row for each composition and variant, means over seeds.

    Columns: `severity 0` and `mean of 1 to 5` (accuracies in percent), `cost` (points), `seeds`.
    """
    table = distraction_table(frame, _tested(frame))
    groups = table.groupby(["types", "variant"], sort=False)
    means = groups[["severity_0", "clutter", "cost"]].mean().round(1)
    means = means.rename(columns={"severity_0": "severity 0", "clutter": "mean of 1 to 5"})
    return means.assign(seeds=groups["seed"].nunique()).reset_index().rename(columns={"types": "background"})


def headroom_sentences(frame: pd.DataFrame, baseline: str = BASELINE) -> list[str]:
    """Say how much the baseline loses to seen and to unseen backgrounds, and how much of it the others win back.

    Args:
        frame: see `headroom_figure`.
        baseline: the variant whose cost is the headroom.

    Returns:
        a sentence for each axis that all variants were tested on; none if there is no run of the baseline.

    """
    if baseline not in set(frame["variant"]):
        return []
    tested, sentences = set(_tested(frame)), []
    for axis, types in _AXES.items():
        if not set(types) <= tested:
            continue
        costs = distraction_costs(frame, types)
        lost = intervals(costs[costs["variant"] == baseline]).iloc[0]
        parts = [
            f"{row['variant']} wins back {_text(row, 'z.0f')} % of that"
            for _, row in intervals(won_back(frame, types, baseline)).iterrows()
            if row["seeds"]
        ]
        seeds = int(lost["seeds"])
        sentences.append(
            f"To {axis} backgrounds ({' and '.join(types)}) the {baseline} loses {_text(lost, 'z.1f')} points, "
            f"{seeds} seed{'s' if seeds > 1 else ''}" + "".join(f"; {part}" for part in parts) + "."
        )
    return sentences


def _tested(frame: pd.DataFrame) -> Sequence[str]:
    """Return the background compositions that all variants of a frame were tested on."""
    by_variant = [set(types) for _, types in frame.groupby("variant")["types"]]
    return [types for types in COMPOSITIONS if all(types in tested for tested in by_variant)]


def _text(row: pd.Series, form: str) -> str:
    return interval_text(row["mean"], row["low"], row["high"], form)

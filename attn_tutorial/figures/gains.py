"""Draw what networks gain in accuracy over what they cost."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from attn_tutorial.analysis.outcomes import BASELINE, check_baseline
from attn_tutorial.analysis.statistics import paired_differences, seed_differences
from attn_tutorial.figures.colours import markers, palette
from attn_tutorial.figures.style import NARROW, mark_legend

_MEASURES = {"parameters": "parameters", "MFLOP": "operations", "time": "time"}


def gain_figure(
    costs: pd.DataFrame,
    outcomes: pd.DataFrame,
    baseline: str = BASELINE,
    measure: str = "points of accuracy above",
) -> Figure:
    """Draw the gain in accuracy over the added cost, against the baseline: parameters, operations and time.

    Marks are means over seeds with 95 % t intervals, paired by seed; small dots are the seeds.

    Args:
        costs: the frame of `analysis.costs.network_costs`.
        outcomes: an outcome frame, see `analysis.outcomes`.
        baseline: the variant that costs and accuracies are compared with.
        measure: what the gains are; the label of the axis is `measure` and the baseline's name.

    Raises:
        InputError: the baseline has no costs, or no run.

    """
    table = _gains(costs, outcomes, baseline)
    seeds = seed_differences(outcomes, baseline)
    colours, marks = palette(table.index), markers(table.index)
    figure, panels = plt.subplots(
        len(_MEASURES), 1, figsize=(NARROW, 2.3 * len(_MEASURES) + 0.15 * len(table) + 0.4), sharey=True
    )
    for axes, (column, name) in zip(panels, _MEASURES.items(), strict=True):
        axes.axhline(0, color=plt.rcParams["text.color"], linewidth=1)
        for variant, row in table.iterrows():
            colour, x = colours[str(variant)], row[column]
            differences = seeds[seeds["variant"] == variant]["difference"]
            axes.plot([x] * len(differences), differences, ".", color=colour, alpha=0.6, markersize=4)
            axes.vlines(x, row["low"], row["high"], color=colour, linewidth=1.4)
            axes.plot(x, row["difference"], color=colour, marker=marks[str(variant)], markersize=8, zorder=3)
        if column != "time":
            axes.set_xscale("symlog", linthresh=0.1)  # from a few weights to a seventh of the network
            axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel(f"{name}, % above {baseline}")
    figure.supylabel(f"{measure} {baseline}")
    mark_legend(figure, colours, marks)
    return figure


def describe_gain_figure(
    costs: pd.DataFrame,
    outcomes: pd.DataFrame,
    baseline: str = BASELINE,
    measure: str = "points of accuracy above",
) -> str:
    """Say in sentences what `gain_figure` shows, for readers who do not see it."""
    texts = [
        f"{variant} {row['difference']:+.1f} points for "
        + ", ".join(f"{row[column]:+.1f} % {name}" for column, name in _MEASURES.items())
        for variant, row in _gains(costs, outcomes, baseline).iterrows()
    ]
    return f"Gain ({measure} {baseline}) over added cost: {'; '.join(texts)}."


def _gains(costs: pd.DataFrame, outcomes: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Return paired differences, and costs in percent above the baseline's, by variant."""
    check_baseline(baseline, costs["variant"], "network")
    measures = costs.set_index("variant")[list(_MEASURES)]
    added = 100 * (measures / measures.loc[baseline] - 1)
    return paired_differences(outcomes, baseline).set_index("variant").join(added, how="inner")

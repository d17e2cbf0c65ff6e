"""Draw what seen and unseen backgrounds cost the networks of a study: the book's main figure."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from attn_tutorial.analysis.outcomes import SEEN_COST, UNSEEN_COST, distraction_costs
from attn_tutorial.analysis.statistics import intervals
from attn_tutorial.figures.colours import markers, palette
from attn_tutorial.figures.style import SMALL_TEXT, WIDE
from attn_tutorial.study import Study

_OUTCOMES = {"unseen backgrounds": UNSEEN_COST, "seen backgrounds": SEEN_COST}


def outcome_figure(frame: pd.DataFrame, study: Study, variants: Sequence[str]) -> Figure:
    """Draw the distraction costs of some variants: a panel for unseen backgrounds, and one for seen backgrounds.

    Marks are means over seeds with 95 % t intervals, and small dots are the seeds. The line is the baseline's mean.

    Args:
        frame: `Ledger.frame()` of the study at one preset on one image set.
        study: gives the names that the figure shows.
        variants: what is drawn, from top to bottom.

    """
    there = _there(frame, variants)
    colours, marks = palette(there), markers(there)
    figure, panels = plt.subplots(1, len(_OUTCOMES), figsize=(WIDE, 0.36 * len(there) + 1.1), sharey=True)
    for axes, (name, types) in zip(panels, _OUTCOMES.items(), strict=True):
        costs = distraction_costs(frame, types)
        means = intervals(costs).set_index("variant")
        for place, variant in enumerate(there):
            own, mean = costs.loc[costs["variant"] == variant, "value"], means.loc[variant]
            axes.plot(own, [place + 0.22] * len(own), ".", color=colours[variant], alpha=0.6, markersize=4)
            axes.hlines(place, mean["low"], mean["high"], color=colours[variant], linewidth=2)
            axes.plot(mean["mean"], place, color=colours[variant], marker=marks[variant], markersize=7, zorder=3)
        axes.axvline(means.loc[study.baseline, "mean"], color=colours[study.baseline], linewidth=1)
        axes.set_title(name, fontsize=SMALL_TEXT)
        axes.set_xlim(left=min(0.0, costs["value"].min() - 0.3))
    panels[0].set_yticks(range(len(there)), [study.label(name) for name in there], fontsize=SMALL_TEXT)
    panels[0].set_ylim(len(there) - 0.4, -0.6)
    figure.supxlabel("accuracy lost to the background, in points", fontsize=SMALL_TEXT)
    return figure


def describe_outcome_figure(frame: pd.DataFrame, study: Study, variants: Sequence[str]) -> str:
    """Say in sentences what `outcome_figure` shows, for readers who do not see it."""
    texts = []
    for name, types in _OUTCOMES.items():
        means = intervals(distraction_costs(frame, types)).set_index("variant")["mean"]
        values = ", ".join(f"{study.label(variant)} {means[variant]:.1f}" for variant in _there(frame, variants))
        texts.append(f"{name}: {values}")
    return f"Points of accuracy lost to the background, means over seeds. {'; '.join(texts)}."


def _there(frame: pd.DataFrame, variants: Sequence[str]) -> list[str]:
    found = set(frame["variant"])
    return [name for name in variants if name in found]

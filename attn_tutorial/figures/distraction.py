"""Draw the distraction cost of networks: how much accuracy they lose to each kind of clutter."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from attn_tutorial.analysis.outcomes import BASELINE, distraction_table
from attn_tutorial.analysis.statistics import intervals
from attn_tutorial.clutter.names import axis_of
from attn_tutorial.figures.colours import markers, palette
from attn_tutorial.figures.style import SMALL_TEXT, SMALLEST_TEXT, WIDE
from attn_tutorial.figures.tables import by_axis, types_with_costs


def distraction_cost_figure(frame: pd.DataFrame, baseline: str = BASELINE) -> Figure:
    """Draw the distraction cost of each variant: a panel for each composition, and a row of panels for each axis.

    Marks are means over seeds with 95 % t intervals, small dots are the seeds, and the vertical line is the baseline's
    mean. Only the panels of one row have the same scale, because occlusion costs much more than backgrounds do.

    Args:
        frame: `Ledger.frame()` of one study at one preset on one image set.
        baseline: the variant whose mean is drawn through each panel.

    """
    table, means = _costs(frame)
    variants = list(dict.fromkeys(table["variant"]))
    axes_of_frame = {axis: [name for name in means if axis_of(name) == axis] for axis in map(axis_of, means)}
    columns = max(map(len, axes_of_frame.values()))
    colours, marks = palette(variants), markers(variants)
    figure, grid = plt.subplots(
        len(axes_of_frame), columns, figsize=(WIDE, len(axes_of_frame) * (0.2 * len(variants) + 0.9)), squeeze=False,
        sharex="row", sharey=True,
    )  # fmt: skip
    for (axis, compositions), row in zip(axes_of_frame.items(), grid, strict=True):
        for unused in row[len(compositions) :]:
            unused.set_axis_off()
        for types, axes in zip(compositions, row, strict=False):
            seeds, mean = table[table["types"] == types], means[types].set_index("variant")
            for place, variant in enumerate(variants):
                if variant not in mean.index:
                    continue
                own = seeds.loc[seeds["variant"] == variant, "cost"]
                axes.plot(own, [place] * len(own), ".", color=colours[variant], alpha=0.6, markersize=4)
                axes.hlines(place, *mean.loc[variant, ["low", "high"]], color=colours[variant], linewidth=1.4)
                axes.plot(mean.loc[variant, "mean"], place, color=colours[variant], marker=marks[variant], zorder=3)
            if baseline in mean.index:
                axes.axvline(mean.loc[baseline, "mean"], color=colours[baseline], linewidth=1)
            axes.set_title(types, fontsize=SMALL_TEXT)
            axes.tick_params(labelsize=SMALLEST_TEXT, labelbottom=True)
        row[0].set_yticks(range(len(variants)), variants, fontsize=SMALLEST_TEXT)
        row[0].set_ylabel(axis, fontsize=SMALL_TEXT)
    grid[0, 0].set_ylim(len(variants) - 0.5, -0.5)
    figure.supxlabel("distraction cost in points", fontsize=SMALL_TEXT)
    return figure


def describe_distraction_cost_figure(frame: pd.DataFrame) -> str:
    """Say in sentences what `distraction_cost_figure` shows, for readers who do not see it."""
    texts = [
        f"{axis_of(types)}, {types}: " + ", ".join(f"{row.variant} {row.mean:.1f}" for row in rows.itertuples())
        for types, rows in _costs(frame)[1].items()
    ]
    return f"Distraction cost in points, means over seeds. {'; '.join(texts)}."


def _costs(frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Return the costs of all runs, and by composition, background first, the means of the variants."""
    table = distraction_table(frame, types_with_costs(frame))
    means = {
        types: intervals(table[table["types"] == types].rename(columns={"cost": "value"}))
        for types in by_axis(table["types"])
    }
    return table, means

"""Tables and figures of the reader's runs beside the published ones."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from attn_tutorial.figures.colours import ROLE_COLOURS
from attn_tutorial.figures.style import NARROW
from attn_tutorial.figures.tables import interval_text

_SIDES = {
    "published": ("published", ROLE_COLOURS["published"], "o", -0.14),
    "own": ("yours", ROLE_COLOURS["yours"], "s", 0.14),
}


def rerun_table(comparison: pd.DataFrame) -> pd.DataFrame:
    """Lay out what `analysis.compare_ledgers` found: means with intervals, seeds, difference and verdict."""
    rows = {
        row["variant"]: {
            "verdict": row["verdict"] if row["published_seeds"] and row["own_seeds"] else "one side only",
            "difference": _interval(row, "difference", "", "+.2f"),
            "published": _interval(row, "published", "published_"),
            "yours": _interval(row, "own", "own_"),
            "seeds": row["published_seeds"],
            "your seeds": row["own_seeds"],
            "p (equivalent)": "–" if pd.isna(row["p"]) else f"{row['p']:.3f}",
        }
        for _, row in comparison.iterrows()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("variant")


def rerun_figure(comparison: pd.DataFrame) -> Figure:
    """Draw the means of both ledgers with their 95 % t intervals over seeds; one seed has none."""
    rows = comparison.reset_index(drop=True)
    figure, axes = plt.subplots(figsize=(NARROW, 0.4 * len(rows) + 1.3))
    for side, (label, colour, marker, shift) in _SIDES.items():
        heights = rows.index + shift
        axes.hlines(heights, rows[f"{side}_low"], rows[f"{side}_high"], color=colour, linewidth=2)
        axes.plot(rows[side], heights, marker, color=colour, label=label, markersize=7)
    axes.set(ylim=(len(rows) - 0.5, -0.5))
    axes.set_yticks(range(len(rows)), rows["variant"])
    figure.supxlabel("accuracy in %, mean over the severities")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def describe_rerun_figure(comparison: pd.DataFrame) -> str:
    """Say in sentences what `rerun_figure` shows, for readers who do not see it."""
    table = rerun_table(comparison)
    texts = [f"{name} published {row['published']}, yours {row['yours']}" for name, row in table.iterrows()]
    return f"Accuracy in percent, mean over the severities, with 95 % intervals: {'; '.join(texts)}."


def _interval(row: pd.Series, mean: str, prefix: str, form: str = ".2f") -> str:
    if pd.isna(row[mean]):
        return "–"
    return interval_text(row[mean], row[f"{prefix}low"], row[f"{prefix}high"], form)

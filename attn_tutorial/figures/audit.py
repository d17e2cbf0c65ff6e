"""Draw the figures and tables of the benchmark's audit from its report, with accuracies in percent."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from attn_tutorial.audit.report import AuditReport
from attn_tutorial.clutter.layers import level_table
from attn_tutorial.clutter.names import SEVERITIES
from attn_tutorial.datasets import ImageSet
from attn_tutorial.figures.colours import ROLE_COLOURS, palette
from attn_tutorial.figures.style import FULL, MEDIUM_TEXT, SMALL_TEXT, SMALLEST_TEXT, WIDE
from attn_tutorial.figures.tables import interval_text

_LEAK = {"tile_removed": "tile removed", "tile_removed_other_classes": "tile removed, other classes only"}
_BACKGROUND = {"severity_0_only": "weak background", "severity_0_only_blank": "blank"}
_COLUMNS = 3


def verdicts(report: AuditReport) -> str:
    """Say whether each promise is kept, and what was measured, as a list in Markdown."""
    return "\n".join(
        f"{number}. **{promise.title}: {'passed' if promise.passed else 'FAILED'}.** {promise.measured}"
        for number, promise in enumerate(report.promises, 1)
    )


def pixel_table(report: AuditReport) -> pd.DataFrame:
    """Tabulate promise 2: a row for each way of rendering, also for a way that was not run."""
    promise = report.same_pixels
    rows = {
        row.way: {
            "canvases": f"{promise.canvases:,}",
            "pixels that differ": "not run" if row.pixels is None else f"{row.pixels:,}",
            "of the masks": "not run" if row.mask_pixels is None else f"{row.mask_pixels:,}",
        }
        for row in promise.rows
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("rendered")


def decline_table(report: AuditReport) -> pd.DataFrame:
    """Tabulate promise 3: for each composition of types and severity the change as "change [low, high]", in points."""
    rows: dict[str, dict[str, str]] = {}
    for row in report.decline.rows:
        if row.change is not None and row.low is not None and row.high is not None:
            text = interval_text(100 * row.change, 100 * row.low, 100 * row.high, "+.1f")
            rows.setdefault(row.types, {})[str(row.severity)] = text
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("severity")


def duplicate_table(report: AuditReport) -> pd.DataFrame:
    """Tabulate promise 5: near-duplicates by kind, between images that fragments come from and images of the test."""
    rows = [row.model_dump() for row in report.no_test_image.duplicates]
    return pd.DataFrame(rows, columns=["between", "kind", "pairs", "images"])


def fragment_table(report: AuditReport) -> pd.DataFrame:
    """Tabulate promise 5: which images are cut into fragments on the canvases of a whole epoch."""
    rows = [
        {
            "canvases of": row.split,
            "canvases": f"{row.canvases:,}",
            "images cut up": f"{row.images:,}",
            "near-duplicates among them": f"{row.duplicates:,}",
            "near-duplicates not barred": f"{row.not_barred:,}",
        }
        for row in report.no_test_image.fragments
    ]
    return pd.DataFrame(rows)


def twins_figure(report: AuditReport, train: ImageSet, test: ImageSet) -> Figure:
    """Draw promise 5: training images above, and their near-duplicates in the test file below."""
    examples = report.no_test_image.examples
    figure, grid = plt.subplots(2, len(examples), figsize=(WIDE, 1.9), squeeze=False)
    bank = test.fragments
    assert bank is not None
    for column, twins in zip(grid.T, examples, strict=True):
        column[0].imshow(_at(twins.train, train))
        column[1].imshow(_at(twins.test, test, bank))
        column[0].set_title(twins.kind, fontsize=SMALLEST_TEXT)
        for axes in column:
            axes.set_axis_off()
    return figure


def describe_twins(report: AuditReport) -> str:
    """Say in a sentence what `twins_figure` shows."""
    kinds = pd.Series([twins.kind for twins in report.no_test_image.examples]).value_counts(sort=False)
    pairs = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    return f"Pairs of images that are nearly the same, a training image above and a test image below: {pairs}."


def severity_frame() -> pd.DataFrame:
    """Tabulate what each severity means for every clutter type, with a column for each severity."""
    columns = list(map(str, SEVERITIES))
    return pd.DataFrame.from_dict(level_table(), orient="index", columns=columns).rename_axis("severity")


def leak_figure(report: AuditReport) -> Figure:
    """Draw promise 1: accuracy of networks that never saw a tile, with its intervals, around chance."""
    frame = _frame(report.no_leak.rows, "accuracy", "low", "high")
    figure, axes = plt.subplots(figsize=(FULL, 3.2))
    colours = palette(_LEAK)
    for place, (variant, label) in enumerate(_LEAK.items()):
        rows = frame[frame["variant"] == variant]
        ends = (rows["accuracy"] - rows["low"], rows["high"] - rows["accuracy"])
        axes.errorbar(
            rows["severity"] + 0.1 * place, rows["accuracy"], ends, fmt="os"[place], capsize=3, linewidth=1.2,
            color=colours[variant], label=label,
        )  # fmt: skip
    axes.axhline(100 * report.no_leak.chance, color=plt.rcParams["text.color"], linestyle=":", linewidth=1)
    axes.annotate(
        "chance", (0.5, 100 * report.no_leak.chance), textcoords="offset points", xytext=(0, 3), fontsize=SMALLEST_TEXT
    )
    axes.set(xlabel="severity", ylabel="accuracy in %", ylim=(0, None), xticks=sorted(frame["severity"].unique()))
    _legend(figure, axes)
    return figure


def decline_figure(report: AuditReport) -> Figure:
    """Draw promise 3: accuracy of the baseline over severity, with a panel for each composition of types."""
    frame = _frame(report.decline.rows, "accuracy", "recalibrated")
    compositions = frame["types"].unique()
    rows = -(-len(compositions) // _COLUMNS)
    figure, grid = plt.subplots(rows, _COLUMNS, figsize=(WIDE, 2.1 * rows), sharex=True, sharey=True, squeeze=False)
    for axes, types in zip(grid.flat, compositions, strict=False):
        _curve(axes, frame[frame["types"] == types], ROLE_COLOURS["curve"], "as trained")
        axes.set_title(types, fontsize=SMALL_TEXT)
    for axes in grid.flat[len(compositions) :]:
        axes.set_axis_off()
    grid[0, 0].set(ylim=(0, 1.08 * grid[0, 0].get_ylim()[1]), xticks=sorted(frame["severity"].unique()))
    figure.supxlabel("severity", fontsize=MEDIUM_TEXT)
    figure.supylabel("accuracy in %", fontsize=MEDIUM_TEXT)
    _legend(figure, grid[0, 0])
    return figure


def background_figure(report: AuditReport) -> Figure:
    """Draw promise 4: accuracy over severity of networks trained at severity 0, with its weak background or without."""
    frame = _frame(report.weak_background.rows, "accuracy", "recalibrated")
    compositions = frame["types"].unique()
    figure, panels = plt.subplots(1, len(compositions), figsize=(WIDE, 3.0), sharey=True, squeeze=False)
    colours = palette(_BACKGROUND)
    for axes, types in zip(panels[0], compositions, strict=True):
        for variant, label in _BACKGROUND.items():
            rows = frame[(frame["types"] == types) & (frame["variant"] == variant)]
            _curve(axes, rows, colours[variant], label)
        axes.set_title(f"tested on {types}", fontsize=SMALL_TEXT)
        axes.set(xlabel="severity", xticks=sorted(frame["severity"].unique()))
    panels[0, 0].set(ylabel="accuracy in %", ylim=(0, None))
    _legend(figure, panels[0, 0])
    return figure


def describe_leak(report: AuditReport) -> str:
    """Say in a sentence what `leak_figure` shows."""
    return f"Accuracy in percent over severity with intervals; chance is {100 * report.no_leak.chance:g}. " + _ends(
        _frame(report.no_leak.rows, "accuracy"), "variant", _LEAK
    )


def describe_decline(report: AuditReport) -> str:
    """Say in a sentence what `decline_figure` shows."""
    frame = _frame(report.decline.rows, "accuracy")
    named = {types: types for types in frame["types"].unique()}
    return "Accuracy of the baseline in percent over severity. " + _ends(frame, "types", named)


def describe_background(report: AuditReport) -> str:
    """Say in a sentence what `background_figure` shows."""
    frame = _frame(report.weak_background.rows, "accuracy")
    parts = [
        f"Tested on {types}: {_ends(rows, 'variant', _BACKGROUND)}"
        for types, rows in frame.groupby("types", sort=False)
    ]
    return "Accuracy in percent over severity of two networks trained at severity 0. " + " ".join(parts)


def _frame(rows: list, *percent: str) -> pd.DataFrame:
    """Return the rows of a promise as a table, with the named shares in percent."""
    frame = pd.DataFrame([row.model_dump() for row in rows])
    return frame.assign(**{name: 100 * frame[name].astype(float) for name in percent})


def _at(place: int, *splits: ImageSet) -> NDArray[np.uint8]:
    """Return the image at a position in the file that the splits were cut from."""
    return next(split.images[split.index == place][0].numpy() for split in splits if (split.index == place).any())


def _curve(axes: Axes, rows: pd.DataFrame, colour: str, label: str) -> None:
    axes.plot(rows["severity"], rows["accuracy"], "o-", color=colour, markersize=3.5, linewidth=1.4, label=label)
    again = rows.dropna(subset="recalibrated")
    if not again.empty:
        axes.plot(
            again["severity"], again["recalibrated"], "--", color=colour, linewidth=1.4,
            label=f"{label}, BatchNorm recalibrated",
        )  # fmt: skip


def _legend(figure: Figure, axes: Axes) -> None:
    # Above the panels: the curves of other images may go anywhere in them.
    figure.legend(*axes.get_legend_handles_labels(), fontsize=SMALLEST_TEXT, loc="outside upper center", ncols=2)


def _ends(frame: pd.DataFrame, column: str, names: dict[str, str]) -> str:
    curves = ((label, frame[frame[column] == name]["accuracy"]) for name, label in names.items())
    return "; ".join(f"{label} from {c.iloc[0]:.1f} to {c.iloc[-1]:.1f}" for label, c in curves if len(c)) + "."

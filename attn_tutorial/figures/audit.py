"""Draw the figures of the benchmark's audit from its report, with accuracies in percent."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray
from pydantic import BaseModel

from attn_tutorial.audit.promises import ALL_BACKGROUNDS
from attn_tutorial.audit.report import AuditReport
from attn_tutorial.clutter.names import SEVERITIES
from attn_tutorial.datasets import ImageSet
from attn_tutorial.figures.audit_tables import searched
from attn_tutorial.figures.colours import ROLE_COLOURS, SERIES_STYLES, palette
from attn_tutorial.figures.style import MEDIUM_TEXT, SMALL_TEXT, SMALLEST_TEXT, WIDE

_LEAK = {"tile_removed": "target removed", "tile_removed_other_classes": "the same, distractors of other classes only"}
_BACKGROUND = {"severity_0_only": "weak background", "severity_0_only_blank": "blank"}
_TITLES = {ALL_BACKGROUNDS: "all background types"}
_COLUMNS = 3


def leak_figure(report: AuditReport) -> Figure:
    """Draw promise 1: accuracy of networks that never saw a target, with its intervals, around chance."""
    frame = _frame(report.no_leak.guesses, "accuracy", "low", "high")
    figure, panels = _panels(frame["types"], columns=2)
    colours = palette(_LEAK)
    chance = 100 * report.no_leak.chance
    for types, axes in panels.items():
        for place, (variant, label) in enumerate(_LEAK.items()):
            rows = frame[(frame["types"] == types) & (frame["variant"] == variant)]
            ends = (rows["accuracy"] - rows["low"], rows["high"] - rows["accuracy"])
            axes.errorbar(
                rows["severity"] + 0.15 * place, rows["accuracy"], ends, fmt="os"[place], markersize=4, capsize=2,
                linewidth=1.2, color=colours[variant], label=label,
            )  # fmt: skip
        axes.axhline(chance, color=plt.rcParams["text.color"], linestyle=":", linewidth=1, label="chance")
    _label(figure, panels)
    return figure


def detector_figure(report: AuditReport) -> Figure:
    """Draw promise 1: the share of targets that each detector finds, with its interval, and the share by chance."""
    rows = report.no_leak.detections
    kinds = list(dict.fromkeys(searched(row) for row in rows))
    detectors, severities = (sorted({getattr(row, name) for row in rows}) for name in ("detector", "severity"))
    figure, grid = plt.subplots(
        1, len(detectors), figsize=(WIDE, 0.45 * len(kinds) + 1.2), sharex=True, sharey=True, squeeze=False
    )
    for detector, axes in zip(detectors, grid[0], strict=True):
        for place, severity in enumerate(severities):
            colour, mark = SERIES_STYLES[place]
            chosen = [row for row in rows if (row.detector, row.severity) == (detector, severity)]
            at = [kinds.index(searched(row)) + 0.22 * (place - (len(severities) - 1) / 2) for row in chosen]
            rate = np.array([100 * row.rate for row in chosen])
            ends = np.array([[100 * row.low, 100 * row.high] for row in chosen]).T
            axes.errorbar(
                rate, at, xerr=abs(ends - rate), fmt=mark, markersize=4, linewidth=1.2, color=colour,
                label=f"severity {severity}",
            )  # fmt: skip
            axes.plot(
                [100 * row.chance for row in chosen], at, "|", color=plt.rcParams["text.color"], markersize=7,
                label="chance" if place == len(severities) - 1 else None,
            )  # fmt: skip
        axes.set_title(f"{detector} detector", fontsize=SMALL_TEXT)
        axes.set(xscale="log", yticks=range(len(kinds)), yticklabels=kinds)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.tick_params(labelsize=SMALLEST_TEXT)
    grid[0, 0].invert_yaxis()
    figure.supxlabel("targets found, in % (log scale)", fontsize=MEDIUM_TEXT)
    _legend(figure, grid[0, 0], columns=4)
    return figure


def fall_figure(report: AuditReport) -> Figure:
    """Draw promise 3: accuracy of the baseline over severity, with a panel for each composition of types."""
    frame = _frame(report.even_fall.rows, "accuracy", "recalibrated")
    figure, panels = _panels(frame["types"])
    for types, axes in panels.items():
        _curve(axes, frame[frame["types"] == types], ROLE_COLOURS["curve"], "as trained")
    first = next(iter(panels.values()))
    first.set(ylim=(0, 1.08 * first.get_ylim()[1]))
    _label(figure, panels)
    return figure


def background_figure(report: AuditReport) -> Figure:
    """Draw promise 6: accuracy over severity of networks trained at severity 0, with its weak background or without."""
    frame = _frame(report.weak_background.rows, "accuracy", "recalibrated")
    figure, panels = _panels(frame["types"], columns=2)
    colours = palette(_BACKGROUND)
    for types, axes in panels.items():
        for variant, label in _BACKGROUND.items():
            rows = frame[(frame["types"] == types) & (frame["variant"] == variant)]
            _curve(axes, rows, colours[variant], label)
    next(iter(panels.values())).set(ylim=(0, None))
    _label(figure, panels, legend_columns=2)
    return figure


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


def describe_leak(report: AuditReport) -> str:
    """Say in a sentence what `leak_figure` shows."""
    return (
        f"Accuracy in percent from severity 0 to 5, with intervals; chance is {100 * report.no_leak.chance:g}. "
        + _panel_ends(report.no_leak.guesses, _LEAK)
    )


def describe_detectors(report: AuditReport) -> str:
    """Say in a sentence what `detector_figure` shows."""
    found = [
        f"{row.detector} detector, {searched(row)}, severity {row.severity}: {100 * row.rate:.1f}, by chance "
        f"{100 * row.chance:.1f}"
        for row in report.no_leak.detections
    ]
    return f"Targets found, in percent, with intervals. {'; '.join(found)}."


def describe_fall(report: AuditReport) -> str:
    """Say in a sentence what `fall_figure` shows."""
    frame = _frame(report.even_fall.rows, "accuracy")
    named = {types: types for types in frame["types"].unique()}
    return "Accuracy of the baseline in percent over severity. " + _ends(frame, "types", named)


def describe_background(report: AuditReport) -> str:
    """Say in a sentence what `background_figure` shows."""
    return "Accuracy in percent from severity 0 to 5 of two networks trained at severity 0. " + _panel_ends(
        report.weak_background.rows, _BACKGROUND
    )


def describe_twins(report: AuditReport) -> str:
    """Say in a sentence what `twins_figure` shows."""
    kinds = pd.Series([twins.kind for twins in report.no_test_image.examples]).value_counts(sort=False)
    pairs = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    return f"Pairs of images that are nearly the same, a training image above and a test image below: {pairs}."


def _frame(rows: Sequence[BaseModel], *percent: str) -> pd.DataFrame:
    """Return the rows of a promise as a table, with the named shares in percent."""
    frame = pd.DataFrame([row.model_dump() for row in rows])
    return frame.assign(**{name: 100 * frame[name].astype(float) for name in percent})


def _at(place: int, *splits: ImageSet) -> NDArray[np.uint8]:
    """Return the image at a position in the file that the splits were cut from."""
    return next(split.images[split.index == place][0].numpy() for split in splits if (split.index == place).any())


def _panels(types_of_rows: pd.Series, columns: int = _COLUMNS) -> tuple[Figure, Mapping[str, Axes]]:
    """Make a panel for each composition of types."""
    compositions = types_of_rows.unique()
    rows = -(-len(compositions) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(WIDE, 2.0 * rows + 0.5), sharex=True, sharey=True, squeeze=False
    )
    for axes in grid.flat[len(compositions) :]:
        axes.set_axis_off()
    panels = dict(zip(compositions, grid.flat, strict=False))
    for types, axes in panels.items():
        axes.set_title(_TITLES.get(types, types), fontsize=SMALL_TEXT)
    return figure, panels


def _label(figure: Figure, panels: Mapping[str, Axes], legend_columns: int = 3) -> None:
    first = next(iter(panels.values()))
    first.set(xticks=SEVERITIES)
    figure.supxlabel("severity", fontsize=MEDIUM_TEXT)
    figure.supylabel("accuracy in %", fontsize=MEDIUM_TEXT)
    _legend(figure, first, legend_columns)


def _curve(axes: Axes, rows: pd.DataFrame, colour: str, label: str) -> None:
    axes.plot(rows["severity"], rows["accuracy"], "o-", color=colour, markersize=3.5, linewidth=1.4, label=label)
    again = rows.dropna(subset="recalibrated")
    if not again.empty:
        axes.plot(
            again["severity"], again["recalibrated"], "--", color=colour, linewidth=1.4,
            label=f"{label}, BatchNorm recalibrated",
        )  # fmt: skip


def _legend(figure: Figure, axes: Axes, columns: int) -> None:
    # Above the panels: the curves of other images may go anywhere in them.
    figure.legend(*axes.get_legend_handles_labels(), fontsize=SMALLEST_TEXT, loc="outside upper center", ncols=columns)


def _panel_ends(rows: Sequence[BaseModel], names: Mapping[str, str]) -> str:
    return " ".join(
        f"{_TITLES.get(str(types), types)}: {_ends(part, 'variant', names)}"
        for types, part in _frame(rows, "accuracy").groupby("types", sort=False)
    )


def _ends(frame: pd.DataFrame, column: str, names: Mapping[str, str]) -> str:
    curves = ((label, frame[frame[column] == name]["accuracy"]) for name, label in names.items())
    return "; ".join(f"{label} from {c.iloc[0]:.1f} to {c.iloc[-1]:.1f}" for label, c in curves if len(c)) + "."

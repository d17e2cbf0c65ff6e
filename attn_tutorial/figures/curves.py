"""Curves of a study from the ledger: accuracy over severity, loss over training."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attn_tutorial.analysis.outcomes import BASELINE, check_one_kind
from attn_tutorial.analysis.statistics import intervals
from attn_tutorial.figures.style import VARIANT_COLOURS, VARIANT_MARKERS, palette
from attn_tutorial.figures.tables import main_types
from attn_tutorial.ledger import Record

_MOST_LINES = 6
_COLUMNS = 3
_PANEL = VARIANT_COLOURS["se"]
"""Of the lines in a panel of their own."""


def severity_curves(frame: pd.DataFrame, chance: float, types: str | None = None, baseline: str = BASELINE) -> Figure:
    """Accuracy over severity, and the difference from the baseline: a line a variant, and a thin one for each seed.

    Bars are 95 % t intervals over seeds, of the difference paired by seed; one seed has none. Where there are more
    variants than lines can be told apart, each difference gets a panel of its own. Without a run of the baseline there
    are accuracies only.

    Args:
        frame: `Ledger.frame()` of one study at one preset on one image set.
        chance: accuracy of guessing, in percent.
        types: the composition of clutter types; `main_types` by default.
        baseline: the variant that the others are compared with.

    """
    check_one_kind(frame)
    types = types or main_types(frame)
    chosen = frame[frame["types"] == types]
    differences = _differences(chosen, baseline)
    if chosen["variant"].nunique() > _MOST_LINES and len(differences):
        return _difference_panels(differences)
    colours = palette(chosen["variant"])
    known = {name: VARIANT_MARKERS[name] for name in colours if name in VARIANT_MARKERS}
    markers = known if len(known) == len(colours) else True
    drawn = {"accuracy": chosen, "difference": differences} if len(differences) else {"accuracy": chosen}
    figure, grid = plt.subplots(1, len(drawn), figsize=(6.4, 3.4), squeeze=False)
    panels = grid[0]
    for axes, (measure, data) in zip(panels, drawn.items(), strict=True):
        _draw_seeds(axes, data, measure, colours)
        for place, (variant, rows) in enumerate(_intervals(data, measure).groupby("variant", sort=False)):
            # Beside each other, or they would hide each other.
            shift = 0.07 * (place - (data["variant"].nunique() - 1) / 2)
            _draw_bars(axes, rows["severity"] + shift, rows, colours[str(variant)])
        sns.lineplot(
            data, x="severity", y=measure, hue="variant", style="variant", palette=colours, dashes=False,
            markers=markers, errorbar=None, legend=measure == "accuracy", ax=axes,
        )  # fmt: skip
        axes.set(xlabel="severity", xticks=sorted(chosen["severity"].unique()))
    panels[0].axhline(chance, color=plt.rcParams["text.color"], linestyle=":", linewidth=1)
    panels[0].annotate("chance", (5, chance), textcoords="offset points", xytext=(0, 4), ha="right", fontsize=9)
    panels[0].set(ylabel=f"accuracy in %, {types}", ylim=(0, None))
    panels[0].legend(title=None, fontsize=9)
    for axes in panels[1:]:
        axes.axhline(0, color=colours.get(baseline, "grey"), linewidth=1)
        axes.set(ylabel=f"points above {baseline}")
    return figure


def _difference_panels(differences: pd.DataFrame) -> Figure:
    figure, panels = _panels([*differences["variant"].unique()])
    means = _intervals(differences, "difference")
    for variant, axes in panels.items():
        shown = means[means["variant"] == variant]
        _draw_seeds(axes, differences[differences["variant"] == variant], "difference", {variant: _PANEL})
        axes.plot(shown["severity"], shown["mean"], marker="o", color=_PANEL)
        _draw_bars(axes, shown["severity"], shown, _PANEL)
        axes.axhline(0, color=plt.rcParams["text.color"], linewidth=1)
        axes.set(xticks=sorted(differences["severity"].unique()))
    figure.supxlabel("severity", fontsize=12)
    figure.supylabel("points above the baseline", fontsize=12)
    return figure


def _panels(variants: Sequence[str]) -> tuple[Figure, dict[str, Axes]]:
    """A small panel for each variant, on shared axes."""
    rows = -(-len(variants) // _COLUMNS)
    figure, grid = plt.subplots(
        rows, _COLUMNS, figsize=(6.4, 1.5 * rows + 0.3), sharex=True, sharey=True, squeeze=False
    )
    for axes in grid.flat[len(variants) :]:
        axes.set_axis_off()
    panels = dict(zip(variants, grid.flat, strict=False))
    for variant, axes in panels.items():
        axes.set_title(textwrap.fill(variant, 20), fontsize=10)
    for axes in list(panels.values())[-_COLUMNS:]:
        axes.tick_params(labelbottom=True)  # the lowest of each column, also where the last row is not full
    return figure, panels


def _draw_seeds(axes: Axes, data: pd.DataFrame, measure: str, colours: Mapping[str, str]) -> None:
    for (variant, _), seed in data.groupby(["variant", "seed"]):
        axes.plot(seed["severity"], seed[measure], color=colours[str(variant)], linewidth=0.6, alpha=0.6)


def _draw_bars(axes: Axes, x: pd.Series, rows: pd.DataFrame, colour: str) -> None:
    axes.vlines(x, rows["low"], rows["high"], color=colour, linewidth=1.4)


def _intervals(data: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Means and t intervals over seeds, a row for each variant and severity."""
    tables = [
        intervals(rows.rename(columns={measure: "value"})).assign(severity=severity)
        for severity, rows in data.groupby("severity")
    ]
    return pd.concat(tables) if tables else pd.DataFrame(columns=["variant", "severity", "mean", "low", "high"])


def _differences(chosen: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Each variant's accuracy minus the baseline's, by seed and severity."""
    of_baseline = chosen[chosen["variant"] == baseline].set_index(["seed", "severity"])["accuracy"]
    others = chosen[chosen["variant"] != baseline].join(of_baseline.rename("baseline"), on=["seed", "severity"])
    return others.assign(difference=others["accuracy"] - others["baseline"]).dropna(subset="difference")


def learning_curves(records: Iterable[Record], baseline: str = BASELINE) -> Figure:
    """Training loss and training accuracy over the images seen: a line for each run.

    Where there are more variants than lines can be told apart, each gets a panel of its own, with the losses only and
    with the baseline's runs behind.

    Args:
        records: of the runs, each with a curve.
        baseline: the variant whose runs stand behind the others.

    """
    points = pd.DataFrame(
        [
            {
                "variant": record.variant,
                "run": record.run_id,
                "thousand images": point.samples / 1000,
                "loss": point.loss,
                "accuracy in %": 100 * point.accuracy,
            }
            for record in records
            for point in record.curve
        ]
    )
    if points["variant"].nunique() > _MOST_LINES:
        return _loss_panels(points, baseline)
    figure, panels = plt.subplots(1, 2, figsize=(6.4, 3.0))
    for axes, measure in zip(panels, ("loss", "accuracy in %"), strict=True):
        sns.lineplot(
            points, x="thousand images", y=measure, hue="variant", units="run", estimator=None,
            palette=palette(points["variant"]), linewidth=1.2, legend=measure == "loss", ax=axes,
        )  # fmt: skip
    panels[0].legend(title=None)
    return figure


def _loss_panels(points: pd.DataFrame, baseline: str) -> Figure:
    variants = [name for name in points["variant"].unique() if name != baseline]
    figure, panels = _panels(variants)
    behind = points[points["variant"] == baseline]
    for variant, axes in panels.items():
        for rows, colour in ((behind, VARIANT_COLOURS["baseline"]), (points[points["variant"] == variant], _PANEL)):
            for _, run in rows.groupby("run"):
                axes.plot(run["thousand images"], run["loss"], color=colour, linewidth=1)
    figure.supxlabel("thousand images", fontsize=12)
    figure.supylabel("loss in training" + (f"; grey: {baseline}" if len(behind) else ""), fontsize=12)
    return figure


def cost_curve(frame: pd.DataFrame) -> Figure:
    """Accuracy over what training cost: a point for each run, a line through the means of each length.

    Args:
        frame: `Ledger.frame()` of a study whose variants differ in the length of training.

    """
    runs = frame.groupby(["variant", "seed"], sort=False)[["accuracy", "samples"]].mean().reset_index()
    runs["thousand images"] = runs["samples"] / 1000
    figure, axes = plt.subplots(figsize=(6.0, 3.2))
    colour = palette(["baseline"])["baseline"]
    sns.lineplot(runs, x="thousand images", y="accuracy", errorbar=None, color=colour, ax=axes)
    sns.scatterplot(runs, x="thousand images", y="accuracy", color=colour, s=30, ax=axes)
    axes.set(xlabel="thousand images seen in training", ylabel="accuracy in %")
    return figure


def describe_severity_curves(frame: pd.DataFrame, types: str | None = None) -> str:
    """Say in a sentence what `severity_curves` shows, for readers who do not see it."""
    types = types or main_types(frame)
    means = frame[frame["types"] == types].groupby(["variant", "severity"], sort=False)["accuracy"].mean().unstack()
    ends = "; ".join(f"{variant} from {row.iloc[0]:.0f} to {row.iloc[-1]:.0f}" for variant, row in means.iterrows())
    return f"Accuracy in percent over severity 0 to 5 of {types}: {ends}."


def describe_learning_curves(records: Iterable[Record]) -> str:
    """Say in a sentence what `learning_curves` shows: how each variant's runs begin and end, on average."""
    ends = pd.DataFrame(
        [
            (record.variant, first.loss, last.loss, first.accuracy, last.accuracy)
            for record in records
            for first, last in [(record.curve[0], record.curve[-1])]
        ],
        columns=["variant", "loss", "to_loss", "accuracy", "to_accuracy"],
    )
    both = ends["variant"].nunique() <= _MOST_LINES  # panels have losses only
    means = "; ".join(
        f"{variant} ({len(rows)} {'run' if len(rows) == 1 else 'runs'}): "
        f"loss {rows['loss'].mean():.2f} to {rows['to_loss'].mean():.2f}"
        + (f", accuracy {rows['accuracy'].mean():.0%} to {rows['to_accuracy'].mean():.0%}" if both else "")
        for variant, rows in ends.groupby("variant", sort=False)
    )
    drawn = "Training loss and training accuracy" if both else "Training loss"
    return f"{drawn} over the images seen, from first to last, means over runs: {means}."

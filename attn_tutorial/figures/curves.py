"""Draw a study's curves: accuracy over severity, loss over training."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attn_tutorial.analysis.outcomes import BASELINE, check_one_kind
from attn_tutorial.analysis.statistics import intervals
from attn_tutorial.figures.colours import ROLE_COLOURS, markers, palette
from attn_tutorial.figures.style import FULL, SMALL_TEXT, SMALLEST_TEXT, WIDE
from attn_tutorial.figures.tables import main_types
from attn_tutorial.ledger import Record

_MOST_LINES = 6
_COLUMNS = 3
_MARK_EVERY = 8  # points of a learning curve


def severity_curves(frame: pd.DataFrame, chance: float, types: str | None = None, baseline: str = BASELINE) -> Figure:
    """Draw accuracy over severity, and the difference from the baseline, with thin lines for the seeds.

    Bars are 95 % t intervals over seeds, of differences paired by seed; one seed has none. With more variants than
    lines can be told apart, each difference gets its own panel. Without a run of the baseline, accuracies stand alone.

    Args:
        frame: `Ledger.frame()` of one study at one preset on one image set.
        chance: accuracy of guessing, in percent.
        types: the composition of clutter types to draw; `main_types` by default.
        baseline: the variant that the others are compared with.

    """
    check_one_kind(frame)
    types = types or main_types(frame)
    chosen = frame[frame["types"] == types]
    differences = _differences(chosen, baseline)
    if chosen["variant"].nunique() > _MOST_LINES and len(differences):
        return _difference_panels(differences)
    colours = palette(chosen["variant"].unique())
    drawn = {"accuracy": chosen, "difference": differences} if len(differences) else {"accuracy": chosen}
    figure, grid = plt.subplots(1, len(drawn), figsize=(WIDE, 3.4), squeeze=False)
    panels = grid[0]
    for axes, (measure, data) in zip(panels, drawn.items(), strict=True):
        _draw_seeds(axes, data, measure, colours)
        for place, (variant, rows) in enumerate(_intervals(data, measure).groupby("variant", sort=False)):
            # Beside each other, or they would hide each other.
            shift = 0.07 * (place - (data["variant"].nunique() - 1) / 2)
            _draw_bars(axes, rows["severity"] + shift, rows, colours[str(variant)])
        sns.lineplot(
            data, x="severity", y=measure, hue="variant", style="variant", palette=colours, dashes=False,
            markers=markers(colours), errorbar=None, legend=measure == "accuracy", ax=axes,
        )  # fmt: skip
        axes.set(xlabel="severity", xticks=sorted(chosen["severity"].unique()))
    panels[0].axhline(chance, color=plt.rcParams["text.color"], linestyle=":", linewidth=1)
    panels[0].annotate(
        "chance", (5, chance), textcoords="offset points", xytext=(0, 4), ha="right", fontsize=SMALLEST_TEXT
    )
    panels[0].set(ylabel=f"accuracy in %, {types}", ylim=(0, None))
    panels[0].legend(title=None, fontsize=SMALLEST_TEXT)
    for axes in panels[1:]:
        axes.axhline(0, color=palette([baseline])[baseline], linewidth=1)
        axes.set(ylabel=f"points above {baseline}")
    return figure


def _difference_panels(differences: pd.DataFrame) -> Figure:
    figure, panels = _panels([*differences["variant"].unique()])
    means = _intervals(differences, "difference")
    colour = ROLE_COLOURS["curve"]
    for variant, axes in panels.items():
        shown = means[means["variant"] == variant]
        _draw_seeds(axes, differences[differences["variant"] == variant], "difference", {variant: colour})
        axes.plot(shown["severity"], shown["mean"], marker="o", color=colour)
        _draw_bars(axes, shown["severity"], shown, colour)
        axes.axhline(0, color=plt.rcParams["text.color"], linewidth=1)
        axes.set(xticks=sorted(differences["severity"].unique()))
    figure.supxlabel("severity")
    figure.supylabel("points above the baseline")
    return figure


def _panels(variants: Sequence[str]) -> tuple[Figure, dict[str, Axes]]:
    """Make a small panel for each variant, with shared axes."""
    rows = -(-len(variants) // _COLUMNS)
    figure, grid = plt.subplots(
        rows, _COLUMNS, figsize=(WIDE, 1.5 * rows + 0.3), sharex=True, sharey=True, squeeze=False
    )
    for axes in grid.flat[len(variants) :]:
        axes.set_axis_off()
    panels = dict(zip(variants, grid.flat, strict=False))
    for variant, axes in panels.items():
        axes.set_title(textwrap.fill(variant, 20), fontsize=SMALL_TEXT)
    for axes in list(panels.values())[-_COLUMNS:]:
        axes.tick_params(labelbottom=True)  # the lowest of each column, also where the last row is not full
    return figure, panels


def _draw_seeds(axes: Axes, data: pd.DataFrame, measure: str, colours: Mapping[str, str]) -> None:
    for (variant, _), seed in data.groupby(["variant", "seed"]):
        axes.plot(seed["severity"], seed[measure], color=colours[str(variant)], linewidth=0.6, alpha=0.6)


def _draw_bars(axes: Axes, x: pd.Series, rows: pd.DataFrame, colour: str) -> None:
    axes.vlines(x, rows["low"], rows["high"], color=colour, linewidth=1.4)


def _intervals(data: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Return means and t intervals over seeds, a row for each variant and severity."""
    tables = [
        intervals(rows.rename(columns={measure: "value"})).assign(severity=severity)
        for severity, rows in data.groupby("severity")
    ]
    return pd.concat(tables) if tables else pd.DataFrame(columns=["variant", "severity", "mean", "low", "high"])


def _differences(chosen: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Return each variant's accuracy minus the baseline's, by seed and severity."""
    of_baseline = chosen[chosen["variant"] == baseline].set_index(["seed", "severity"])["accuracy"]
    others = chosen[chosen["variant"] != baseline].join(of_baseline.rename("baseline"), on=["seed", "severity"])
    return others.assign(difference=others["accuracy"] - others["baseline"]).dropna(subset="difference")


def learning_curves(records: Iterable[Record], baseline: str = BASELINE) -> Figure:
    """Draw training loss and training accuracy over the images seen: a line for each run.

    With more variants than lines can be told apart, each variant gets its own panel, which shows losses only, with the
    baseline's runs in the background.

    Args:
        records: records of runs that have a curve.
        baseline: the variant whose runs are drawn in the background.

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
    figure, panels = plt.subplots(1, 2, figsize=(WIDE, 3.0))
    variants = points["variant"].unique()
    for axes, measure in zip(panels, ("loss", "accuracy in %"), strict=True):
        sns.lineplot(
            points, x="thousand images", y=measure, hue="variant", style="variant", units="run", estimator=None,
            palette=palette(variants), markers=markers(variants), dashes=False, markevery=_MARK_EVERY, linewidth=1.2,
            legend=measure == "loss", ax=axes,
        )  # fmt: skip
    panels[0].legend(title=None)
    return figure


def _loss_panels(points: pd.DataFrame, baseline: str) -> Figure:
    variants = [name for name in points["variant"].unique() if name != baseline]
    figure, panels = _panels(variants)
    behind = points[points["variant"] == baseline]
    for variant, axes in panels.items():
        for role, rows in (("reference", behind), ("curve", points[points["variant"] == variant])):
            for _, run in rows.groupby("run"):
                axes.plot(run["thousand images"], run["loss"], color=ROLE_COLOURS[role], linewidth=1)
    figure.supxlabel("thousand images")
    figure.supylabel("loss in training" + (f"; grey: {baseline}" if len(behind) else ""))
    return figure


def cost_curve(frame: pd.DataFrame) -> Figure:
    """Draw accuracy over the length of training: a point for each run, a line through the means.

    Args:
        frame: `Ledger.frame()` of a study whose variants differ in the length of training.

    """
    runs = frame.groupby(["variant", "seed"], sort=False)[["accuracy", "samples"]].mean().reset_index()
    runs["thousand images"] = runs["samples"] / 1000
    figure, axes = plt.subplots(figsize=(FULL, 3.2))
    colour = ROLE_COLOURS["reference"]
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

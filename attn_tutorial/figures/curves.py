"""Curves of a study from the ledger: accuracy over severity, loss over training."""

from collections.abc import Iterable

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from attn_tutorial.figures.style import VARIANT_MARKERS, palette
from attn_tutorial.figures.tables import PRIMARY
from attn_tutorial.study import Record


def severity_curves(frame: pd.DataFrame, chance: float, types: str = PRIMARY) -> Figure:
    """Accuracy over severity: a line a variant through its seeds' mean, and a thin line for each seed.

    Args:
        frame: `Ledger.frame()` of one study at one preset on one image set.
        chance: accuracy of guessing, in percent.
        types: the composition of clutter types.

    """
    chosen = frame[frame["types"] == types]
    figure, axes = plt.subplots()
    colours = palette(chosen["variant"])
    for (variant, _), seed in chosen.groupby(["variant", "seed"]):
        axes.plot(seed["severity"], seed["accuracy"], color=colours[str(variant)], linewidth=0.6, alpha=0.6)
    known = {name: VARIANT_MARKERS[name] for name in colours if name in VARIANT_MARKERS}
    sns.lineplot(
        chosen, x="severity", y="accuracy", hue="variant", style="variant", palette=colours, dashes=False,
        markers=known if len(known) == len(colours) else True, errorbar=None, ax=axes,
    )  # fmt: skip
    axes.axhline(chance, color=plt.rcParams["text.color"], linestyle=":", linewidth=1)
    axes.annotate("chance", (5, chance), textcoords="offset points", xytext=(0, 4), ha="right", fontsize=9)
    axes.set(xlabel=f"severity ({types})", ylabel="accuracy in %", ylim=(0, None))
    axes.legend(title=None)
    return figure


def learning_curves(records: Iterable[Record]) -> Figure:
    """Training loss and training accuracy over the images seen: a line for each run."""
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
    figure, panels = plt.subplots(1, 2, figsize=(6.4, 3.0))
    for axes, measure in zip(panels, ("loss", "accuracy in %"), strict=True):
        sns.lineplot(
            points, x="thousand images", y=measure, hue="variant", units="run", estimator=None,
            palette=palette(points["variant"]), linewidth=1.2, legend=measure == "loss", ax=axes,
        )  # fmt: skip
    panels[0].legend(title=None)
    return figure


def describe_severity_curves(frame: pd.DataFrame, types: str = PRIMARY) -> str:
    """Say in a sentence what `severity_curves` shows, for readers who do not see it."""
    means = frame[frame["types"] == types].groupby(["variant", "severity"], sort=False)["accuracy"].mean().unstack()
    ends = "; ".join(f"{variant} from {row.iloc[0]:.0f} to {row.iloc[-1]:.0f}" for variant, row in means.iterrows())
    return f"Accuracy in percent over severity 0 to 5 of {types}: {ends}."

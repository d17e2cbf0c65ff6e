"""Tables and figures of looking: what lesions cost, and whether networks that look at the target recognise more.

Each is about one composition of clutter types, which its title names with its axis. Harms and maps in different clutter
are never averaged.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attn_tutorial.analysis.outcomes import BASELINE, areas, check_kinds
from attn_tutorial.analysis.statistics import intervals, seed_differences
from attn_tutorial.clutter.names import axis_of
from attn_tutorial.errors import InputError
from attn_tutorial.figures.colours import HARM_COLOURS, markers, palette
from attn_tutorial.figures.style import FULL, MEDIUM_TEXT, NARROW, SMALL_TEXT, TITLE_TEXT, mark_legend
from attn_tutorial.figures.tables import interval_text, main_types, with_interval

_INTACT = "none"
_LESIONS = {
    "mean": "mean",
    "other_clutter": "other\nclutter",
    "other_image": "other\nimage",
    "other_same_class": "same\nclass",
    "other_class": "other\nclass",
    "shuffle": "shuffle",
    "identity": "no\nblock",
}
_BY_LABEL = ("other_same_class", "other_class")
_MEASURES = ("enrichment", "pointing", "auc")
_MAPS = {"gate": "the blocks' own maps", "grad_cam": "Grad-CAM"}


def composition_of(frame: pd.DataFrame) -> str:
    """Return the composition of clutter types that all rows of a frame were measured in.

    Raises:
        InputError: the frame mixes compositions, or has no row.

    """
    found = frame["types"].unique().tolist()
    if len(found) != 1:
        raise InputError(
            f"Rows must be of one composition of clutter types, but are of {', '.join(found) or 'none'}. Choose one, "
            "for example frame[frame['types'] == 'mosaic']."
        )
    return str(found[0])


def by_donors(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Split lesions by how they were measured, because their harms must not be averaged.

    Args:
        frame: `ledger.frames.lesion_frame` of any runs.

    Returns:
        the rows of the runs measured in each way. "label": the pilot's way. A donor of gates had the true class of the
        canvas, or another one, and BatchNorm was recalibrated under every lesion. "random": today's way, see
        `evaluation.lesions`. A way without a run is left out.

    """
    labelled = frame["run_id"].isin(frame.loc[frame["lesion"].isin(_BY_LABEL), "run_id"])
    parts = {"label": frame[labelled], "random": frame[~labelled]}
    return {way: part for way, part in parts.items() if len(part)}


def harm_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return what each lesion costs in points of accuracy, as the records have it (see `ledger.record.Lesion`).

    The interval is Student's t over seeds at 95 %. With one seed it is a bootstrap interval over that seed's images: it
    says how well the harm to this one network is known, and nothing about other seeds.

    Args:
        frame: `ledger.frames.lesion_frame` of one study at one preset on one image set, in one composition.

    Returns:
        a row for each variant, lesion and severity; columns: `variant`, `lesion`, `severity`, `harm`, `low`, `high`,
        `seeds`, `clear` (whether the interval excludes 0).

    Raises:
        InputError: the frame mixes kinds, see `outcomes.check_kinds`; or compositions; or lesions that were measured in
            different ways, see `by_donors`.

    """
    check_kinds(frame)
    if len(frame):
        composition_of(frame)
    if len(by_donors(frame)) > 1:
        raise InputError(
            "Lesions must all be measured in one way to be averaged, but some runs chose the donors of gates by the "
            "label, and others did not. Choose one part of `by_donors(frame)`."
        )
    rows = []
    harmed = frame[frame["lesion"] != _INTACT]
    for lesion, severity in harmed[["lesion", "severity"]].drop_duplicates().itertuples(index=False):
        cell = harmed[(harmed["lesion"] == lesion) & (harmed["severity"] == severity)]
        table = intervals(cell.rename(columns={"harm": "value"})).drop(columns="sd").rename(columns={"mean": "harm"})
        alone = cell.drop_duplicates("variant").set_index("variant")
        one = table["seeds"] == 1
        for end in ("low", "high"):
            table[end] = table[end].mask(one, table["variant"].map(alone[end]))
        rows.append(table.assign(lesion=lesion, severity=severity, clear=(table["low"] > 0) | (table["high"] < 0)))
    columns = ["variant", "lesion", "severity", "harm", "low", "high", "seeds", "clear"]
    return pd.concat(rows)[columns].reset_index(drop=True) if rows else pd.DataFrame(columns=columns)


def harm_overview(frame: pd.DataFrame) -> pd.DataFrame:
    """Lay out `harm_table`: a row for each variant and lesion, a column for each severity, intervals as text."""
    table = harm_table(frame)
    texts = table.rename(columns={"harm": "mean"}).apply(with_interval, axis="columns")
    wide = table.assign(severity="severity " + table["severity"].astype(str), harm=texts).pivot(
        index=["variant", "lesion"], columns="severity", values="harm"
    )
    for level in ("lesion", "variant"):  # in their order in the table, not by the alphabet
        wide = wide.reindex(table[level].unique(), level=level)
    return wide.fillna("–").rename_axis(columns=None).reset_index()


def lesion_figure(frame: pd.DataFrame, label: Callable[[str], str] = str) -> Figure:
    """Draw `harm_table` as heat maps: a panel for each severity, a row for each variant, a column for each lesion.

    Below a variant is a row for each kind of its maps that was replaced by itself. A star marks an interval that
    excludes 0. A cell without a number is a lesion that the network cannot have.

    Args:
        frame: `ledger.frames.lesion_frame` of one study at one preset on one image set, in one composition.
        label: what readers call a variant, such as `Study.label`; its name by default.

    Raises:
        InputError: as for `harm_table`, or no lesion was measured.

    """
    table = harm_table(frame)
    if table.empty:
        raise InputError(
            "At least one run must have measured lesions, but no lesion was measured in these runs. Rerun the study "
            "with evaluation.look.lesions, which is on by default."
        )
    replaced = table["lesion"].str.extract(r"^(?P<lesion>[^ ]+)(?: \((?P<kind>.+)\))?$")
    called = table["variant"].map(label)
    names = called.where(replaced["kind"].isna(), called + ": " + replaced["kind"] + " map")
    order = dict.fromkeys(
        name for variant in table["variant"].unique() for name in sorted(names[table["variant"] == variant].unique())
    )
    table = table.assign(variant=names, lesion=replaced["lesion"])
    severities, variants = sorted(table["severity"].unique()), list(order)
    lesions = [name for name in _LESIONS if name in set(table["lesion"])]
    limit = max(1.0, table["harm"].abs().max())
    figure, grid = plt.subplots(
        len(severities),
        1,
        figsize=(FULL, len(severities) * (0.28 * len(variants) + 0.4) + 1.2),
        sharex=True,
        squeeze=False,
    )
    for axes, severity in zip(grid.flat, severities, strict=True):
        cells = table[table["severity"] == severity].set_index(["variant", "lesion"])
        harm = cells["harm"].unstack().reindex(index=variants, columns=lesions)
        stars = cells["clear"].map({True: "*", False: ""}).unstack().reindex(index=variants, columns=lesions)
        text = harm.map(lambda value: "" if np.isnan(value) else f"{round(value, 1) + 0.0:.1f}") + stars.fillna("")
        sns.heatmap(
            harm, annot=text, fmt="", cmap=HARM_COLOURS, vmin=-limit, vmax=limit, cbar=False, linewidths=1,
            linecolor=plt.rcParams["axes.facecolor"], annot_kws={"fontsize": SMALL_TEXT}, ax=axes,
        )  # fmt: skip
        axes.set(xlabel="", ylabel="")
        axes.set_title(f"severity {severity}", fontsize=MEDIUM_TEXT)
        axes.tick_params(length=0)
        axes.grid(visible=False)
    axes.set_xticklabels([_LESIONS[name] for name in lesions], rotation=0, fontsize=SMALL_TEXT)
    figure.suptitle(_title(frame), fontsize=TITLE_TEXT)
    return figure


def _title(frame: pd.DataFrame) -> str:
    types = composition_of(frame)
    return f"{types} (axis: {axis_of(types)})"


def describe_lesion_figure(frame: pd.DataFrame, label: Callable[[str], str] = str) -> str:
    """Say in sentences what `lesion_figure` shows, for readers who do not see it."""
    table = harm_table(frame)
    texts = []
    for variant, rows in table.groupby("variant", sort=False):
        worst = rows.nlargest(1, "harm").iloc[0]
        texts.append(
            f"{label(str(variant))}: {rows['clear'].sum()} of {len(rows)} harms have intervals that exclude 0, "
            f"the largest is {worst['harm']:.1f} points ({worst['lesion']} at severity {worst['severity']})"
        )
    return f"Loss of accuracy by lesion and severity in {_title(frame)}. {'; '.join(texts)}."


def looking_table(frame: pd.DataFrame, maps: str = "gate", mask: str = "tile") -> pd.DataFrame:
    """Return how much more of a map lies on the target than the place of the target explains, for each run.

    `value` is the enrichment on the canvas's own mask minus the enrichment on another canvas's mask, averaged over
    slots and severities. It is 0 for a map that always prefers the middle.

    Args:
        frame: `ledger.frames.localisation_frame` of one study at one preset on one image set, in one composition.
        maps: "gate" for the blocks' own maps, or "grad_cam", which every network has.
        mask: "tile" or "object".

    Returns:
        an outcome frame, see `analysis.outcomes`.

    Raises:
        InputError: the frame mixes kinds, see `outcomes.check_kinds`, or compositions; or there are no such maps.

    """
    check_kinds(frame)
    if len(frame):
        composition_of(frame)
    if maps not in _MAPS:
        raise InputError(f"`maps` must be one of {', '.join(map(repr, _MAPS))}, but got {maps!r}.")
    chosen = frame[((frame["map"] == "grad_cam") == (maps == "grad_cam")) & (frame["mask"] == mask)]
    beyond = chosen.assign(value=chosen["enrichment"] - chosen["enrichment_elsewhere"])
    return beyond.groupby(["variant", "seed", "run_id"], sort=False)["value"].mean().reset_index()


def looking_overview(frame: pd.DataFrame) -> pd.DataFrame:
    """Lay out `looking_table` for both kinds of maps: means over seeds with 95 % t intervals, and how to read them.

    Args:
        frame: see `looking_table`.

    Returns:
        a row for each kind of maps and variant; columns: `maps`, `variant`, `beyond elsewhere` (as text), `seeds`,
        `reading`: "above 0", "below 0", "within noise", "one seed" or "the seeds do not differ". The last two have no
        interval.

    """
    rows = [
        {
            "maps": title,
            "variant": row["variant"],
            "beyond elsewhere": interval_text(row["mean"], row["low"], row["high"], "+.3f"),
            "seeds": row["seeds"],
            "reading": _reading(row),
        }
        for maps, title in _MAPS.items()
        for row in intervals(looking_table(frame, maps)).to_dict("records")
    ]
    return pd.DataFrame(rows, columns=["maps", "variant", "beyond elsewhere", "seeds", "reading"])


def _reading(row: Mapping[Hashable, Any]) -> str:
    if row["seeds"] == 1:
        return "one seed"
    if pd.isna(row["low"]):
        return "the seeds do not differ"
    return "above 0" if row["low"] > 0 else "below 0" if row["high"] < 0 else "within noise"


def own_and_elsewhere(frame: pd.DataFrame, digits: int = 2) -> dict[str, list[str]]:
    """Return each measure of some maps as text: its value on the own target, and on another canvas's.

    Args:
        frame: `ledger.frames.localisation_frame`, means over such rows, or a frame of `evaluation.localise`.
        digits: the number of decimals.

    Returns:
        by measure, a text such as "1.33 / 1.22" for each row.

    """
    return {
        name: [f"{own:.{digits}f} / {there:.{digits}f}" for own, there in frame[[name, f"{name}_elsewhere"]].to_numpy()]
        for name in _MEASURES
    }


def looking_figure(
    frame: pd.DataFrame,
    accuracies: pd.DataFrame,
    baseline: str = BASELINE,
    label: Callable[[str], str] = str,
) -> Figure:
    """Draw localisation against the gain in accuracy: a panel for the blocks' own maps, and one for Grad-CAM.

    A large mark is a variant's mean over seeds, with 95 % t intervals; the small dots are the seeds. The gain is the
    difference in mean accuracy over severities in the same composition, or in `tables.main_types` if that composition
    was not tested.

    Args:
        frame: `ledger.frames.localisation_frame` of one study at one preset on one image set, in one composition.
        accuracies: `Ledger.frame` of the same runs.
        baseline: the variant that the others are compared with.
        label: what readers call a variant, such as `Study.label`; its name by default.

    Raises:
        InputError: a frame mixes kinds, see `analysis.outcomes.check_one_kind`, or compositions; there are runs, but
            none of the baseline; or no run has both a measured map and a run of the baseline with the same seed.

    """
    points = _points(frame, accuracies, baseline)
    drawn = set(pd.concat(points.values())["variant"])
    names = [name for name in accuracies["variant"].unique() if name in drawn]
    colours, marks = palette(names), markers(names)
    figure, panels = plt.subplots(
        len(points), 1, figsize=(NARROW, 3 * len(points) + 0.3 * len(names) / 2 + 0.4), sharex=True, sharey=True,
        squeeze=False,
    )  # fmt: skip
    for axes, (maps, seeds) in zip(panels.flat, points.items(), strict=True):
        axes.axhline(0, color=plt.rcParams["text.color"], linewidth=1)
        axes.axvline(0, color=plt.rcParams["text.color"], linewidth=1)
        _draw_points(axes, seeds, colours, marks)
        axes.set_title(_MAPS[maps], fontsize=MEDIUM_TEXT)
    axes.set_xlabel("enrichment on the own tile minus elsewhere")
    mark_legend(
        figure,
        {label(name): colour for name, colour in colours.items()},
        {label(name): mark for name, mark in marks.items()},
    )
    types = _types_of_gain(frame, accuracies)
    where = "" if types == composition_of(frame) else f" in {types}"
    figure.supylabel(f"points of accuracy above {label(baseline)}{where}")
    figure.suptitle(_title(frame), fontsize=TITLE_TEXT)
    return figure


def describe_looking_figure(
    frame: pd.DataFrame,
    accuracies: pd.DataFrame,
    baseline: str = BASELINE,
    label: Callable[[str], str] = str,
) -> str:
    """Say in sentences what `looking_figure` shows, for readers who do not see it."""
    texts = []
    for maps, seeds in _points(frame, accuracies, baseline).items():
        means = seeds.groupby("variant", sort=False)[["value", "difference"]].mean()
        marks = [
            f"{label(str(name))} {row['value']:+.2f} and {row['difference']:+z.1f} points"
            for name, row in means.iterrows()
        ]
        texts.append(f"{_MAPS[maps]}: {', '.join(marks)}")
    return f"Enrichment beyond the place of the tile, and gain in accuracy, in {_title(frame)}. {'; '.join(texts)}."


def _types_of_gain(frame: pd.DataFrame, accuracies: pd.DataFrame) -> str:
    types = composition_of(frame)
    return types if types in set(accuracies["types"]) else main_types(accuracies)


def _points(frame: pd.DataFrame, accuracies: pd.DataFrame, baseline: str) -> dict[str, pd.DataFrame]:
    """Return localisation and gain of each run, by maps. The baseline gains 0 and has only Grad-CAM's maps."""
    outcomes = areas(accuracies, _types_of_gain(frame, accuracies))
    gains = seed_differences(outcomes, baseline)
    nothing = outcomes[outcomes["variant"] == baseline][["variant", "seed"]].assign(difference=0.0)
    gains = pd.concat([nothing, gains])
    points = {maps: looking_table(frame, maps).merge(gains, on=["variant", "seed"]) for maps in _MAPS}
    if not any(map(len, points.values())):
        raise InputError(
            f"At least one run must have measured maps and a partner of {baseline} with the same seed, but none of "
            "these runs has both. Rerun the study with evaluation.look.localisation, which is on by default."
        )
    return {maps: seeds for maps, seeds in points.items() if len(seeds)}


def _draw_points(axes: Axes, seeds: pd.DataFrame, colours: Mapping[str, str], marks: Mapping[str, str]) -> None:
    across = intervals(seeds).set_index("variant")
    upward = intervals(seeds.assign(value=seeds["difference"])).set_index("variant")
    for variant, rows in seeds.groupby("variant", sort=False):
        name = str(variant)
        x, y, colour = across.loc[name], upward.loc[name], colours[name]
        axes.plot(rows["value"], rows["difference"], ".", color=colour, alpha=0.6, markersize=4)
        axes.hlines(y["mean"], x["low"], x["high"], color=colour, linewidth=1)
        axes.vlines(x["mean"], y["low"], y["high"], color=colour, linewidth=1)
        axes.plot(x["mean"], y["mean"], color=colour, marker=marks[name], markersize=8, zorder=3)

"""Parts of the page "Where does it look?": what a study's records say about its networks' maps."""

import pandas as pd

from attn_tutorial.figures.looking import (
    describe_looking_figure,
    looking_figure,
    looking_overview,
    own_and_elsewhere,
)
from attn_tutorial.figures.style import show, show_table
from attn_tutorial.ledger.frames import localisation_frame
from attn_tutorial.pages.measured import Measured, Section, show_lines, show_sections

_OWN = "the blocks' own maps"
_WORDS = {
    "above 0": "above 0 for",
    "below 0": "below 0 for",
    "within noise": "within noise for",
    "the seeds do not differ": "the same in all seeds for",
    "one seed": "known from one seed only for",
}


def show_maps_in_short(measured: Measured) -> None:
    """Display one sentence for each composition: how many networks' own maps lie on the target beyond chance.

    Nothing is displayed for the smoke preset, or if no network has two seeds.

    Args:
        measured: the runs whose maps were measured.

    """
    if measured.concluding:
        show_lines(filter(None, (_in_short(section) for section in measured.sections)))


def show_maps(measured: Measured) -> None:
    """Display for each composition the figure, and which networks' maps lie on the target beyond chance.

    Args:
        measured: the runs whose maps were measured.

    """
    show_sections(measured, _show_section)
    alone = {
        variant: None
        for section in measured.sections
        for variant, reading in looking_overview(localisation_frame(section.named))[["variant", "reading"]].to_numpy()
        if reading == "one seed"
    }
    if alone:
        names = ", ".join(map(measured.name, alone))
        show_lines([f"One seed gives no interval, so nothing can be concluded about {names}."])


def show_map_tables(measured: Measured) -> None:
    """Display the numbers of `show_maps`, and all three measures at the highest severity.

    Args:
        measured: the runs whose maps were measured.

    """
    for section in measured.sections:
        frame = localisation_frame(section.named)
        label = measured.study.label
        table = looking_overview(frame)
        show_table(
            table.assign(variant=table["variant"].map(label)),
            f"{section.types}: enrichment on the own tile minus elsewhere, {_severities(frame)}, with 95 % t intervals "
            "over seeds.",
        )
        hardest = frame[frame["severity"] == frame["severity"].max()]
        groups = hardest.groupby(["variant", "map", "mask"], sort=False)
        means = groups.mean(numeric_only=True).reset_index()
        shown = means[["map", "mask"]].assign(**own_and_elsewhere(means), seeds=groups["seed"].nunique().to_numpy())
        shown.insert(0, "variant", means["variant"].map(label))
        severity = hardest["severity"].iloc[0]
        show_table(
            shown,
            f"{section.types}: each measure on the own target / on another canvas's, at severity {severity}; means "
            "over slots and seeds.",
        )


def _show_section(measured: Measured, section: Section) -> None:
    study, frame = measured.study, localisation_frame(section.named)
    accuracies = measured.ledger.frame(section.held.runs)
    compared = [study.baseline, *study.comparisons[study.baseline]]
    drawn = frame[frame["variant"].isin(compared)]
    beside = accuracies[accuracies["variant"].isin(compared)]
    if study.baseline in set(beside["variant"]):
        show(
            lambda: looking_figure(drawn, beside, study.baseline, study.label),
            describe_looking_figure(drawn, beside, study.baseline, study.label),
            "Further right: the maps lie more on their own tile. Higher: the network is more accurate. Large marks are "
            "means over seeds with 95 % intervals, small dots are seeds.",
        )
    show_lines(_sentences(measured, frame))


def _sentences(measured: Measured, frame: pd.DataFrame) -> list[str]:
    """Return for each kind of maps which variants' maps lie on the target beyond chance."""
    lines = []
    for maps, rows in looking_overview(frame).groupby("maps", sort=False):
        groups = {reading: rows.loc[rows["reading"] == reading, "variant"] for reading in _WORDS}
        said = "; ".join(
            f"{_WORDS[reading]} {', '.join(map(measured.name, names))}"
            for reading, names in groups.items()
            if len(names)
        )
        lines.append(f"**Own tile minus elsewhere, {maps}** ({_severities(frame)}): {said}.")
    return lines


def _in_short(section: Section) -> str | None:
    table = looking_overview(localisation_frame(section.named))
    own = table[(table["maps"] == _OWN) & (table["seeds"] > 1)]
    if own.empty:
        return None
    above = (own["reading"] == "above 0").sum()
    return (
        f"In `{section.types}` clutter, the maps of {above} of {len(own)} networks lie more on their own target than "
        "on another canvas's: the 95 % interval over seeds lies above 0."
    )


def _severities(frame: pd.DataFrame) -> str:
    return f"mean of severities {', '.join(map(str, sorted(frame['severity'].unique())))}"

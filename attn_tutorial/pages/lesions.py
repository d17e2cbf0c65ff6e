"""Parts of the page "Lesions": what a study's records say about what its networks' gates are worth."""

from typing import Any

import pandas as pd

from attn_tutorial.analysis.looking import LOOKED_AT, Looking, Word, judge_looking, of_places
from attn_tutorial.analysis.outcomes import areas
from attn_tutorial.analysis.statistics import LEAST_SEEDS, intervals, paired_differences
from attn_tutorial.clutter.names import axis_of
from attn_tutorial.figures.looking import (
    by_donors,
    composition_of,
    describe_lesion_figure,
    harm_overview,
    harm_table,
    lesion_figure,
    looking_table,
)
from attn_tutorial.figures.style import show, show_table
from attn_tutorial.figures.tables import main_types
from attn_tutorial.ledger.frames import lesion_frame, localisation_frame
from attn_tutorial.pages.measured import Measured, Section, show_lines, show_sections

_PILOTS_WAY = (
    "Measured the pilot's way: donors of gates chosen by the label, BatchNorm recalibrated under every lesion."
)
_IN_SHORT = {
    "mean": "replacing gates by their mean",
    "shuffle": "shuffling their places",
    "identity": "taking the blocks out",
}
_CLAIMS = {
    "holds": "The claim that it looks holds",
    "not supported": "The claim that it looks is not supported",
    "open": "The claim that it looks is open, because a part of it was not run",
    "no places": "It weighs no places, so it cannot be said to look",
}
_TOO_FEW = "too few seeds"
_STATIC = ("static_gate", "static_spatial")
"""Variants whose gates ignore the image; the first one that a study has is the control."""
_BY_PROTOCOL: dict[Word, str] = {
    "looks": "looks at the target",
    "not shown": "is not shown to look",
    "too few seeds": f"has too few seeds for a verdict, which needs {LEAST_SEEDS}",
    "no places": "weighs no places, so it cannot look",
    "not measured": "was not measured in every condition",
}
_LABELLED = {"other_same_class": "the canvas's own class", "other_class": "another class"}


def show_lesions_in_short(measured: Measured) -> None:
    """Display one sentence for each composition: which lesions do harm to how many of the blocks under test.

    Nothing is displayed for the smoke preset, or if no block has two seeds.

    Args:
        measured: the runs whose lesions were measured.

    """
    if measured.concluding:
        show_lines(filter(None, (_in_short(measured, section) for section in measured.sections)))
        if measured.study.protocol is not None:
            words = [looking.word for looking in judged(measured).values()]
            verdicts = sum(word in ("looks", "not shown") for word in words)
            if verdicts:
                show_lines([f"By the protocol's rule, {words.count('looks')} of {verdicts} blocks look at the target."])


def show_lesions(measured: Measured) -> None:
    """Display for each composition the figure, and for which blocks the claim holds that it looks at the target.

    Args:
        measured: the runs whose lesions were measured.

    """
    show_sections(measured, _show_section)
    if measured.study.protocol is not None:
        show_lines(_protocol_lines(measured))
        return
    few: dict[str, int] = {}
    for section in measured.sections:
        for frame in by_donors(lesion_frame(section.named)).values():
            table = claim_table(measured, section, frame)
            for variant, seeds in table.loc[table["claim"] == _TOO_FEW, "seeds"].items():
                few[str(variant)] = min(int(seeds), few.get(str(variant), LEAST_SEEDS))
    if few:
        names = ", ".join(f"{measured.name(variant)} ({seeds})" for variant, seeds in few.items())
        show_lines(
            [
                f"A verdict needs {LEAST_SEEDS} seeds of a block and of its controls. These have fewer, so by this "
                f"page's rules nothing can be concluded about their claim to look: {names}."
            ]
        )


def show_lesion_tables(measured: Measured) -> None:
    """Display the numbers of `show_lesions`, and which condition of the claim holds for which block.

    Args:
        measured: the runs whose lesions were measured.

    """
    if measured.study.protocol is not None:
        for variant, looking in judged(measured).items():
            show_table(
                looking_conditions(looking),
                f"{measured.study.label(variant)}: the protocol's conditions, mean of {' and '.join(LOOKED_AT)}.",
            )
    for section in measured.sections:
        for way, frame in by_donors(lesion_frame(section.named)).items():
            about = f" {_PILOTS_WAY}" if way == "label" else ""
            overview = harm_overview(frame)
            show_table(
                overview.assign(variant=overview["variant"].map(measured.study.label)),
                f"{section.types}: harm in points of accuracy, with 95 % intervals.{about}",
            )
            claims = claim_table(measured, section, frame)
            if measured.study.protocol is None and set(claims["claim"]) - {_TOO_FEW}:
                show_table(
                    claims.rename(index=measured.study.label), f"{section.types}: the conditions of the claim.{about}"
                )


def claim_table(measured: Measured, section: Section, frame: pd.DataFrame) -> pd.DataFrame:
    """Judge the claim that a block helps because it looks at the target, by the page's conditions.

    Args:
        measured: the runs whose lesions were measured.
        section: the composition.
        frame: the lesions in this composition that were measured in one way, see `figures.by_donors`.

    Returns:
        a row for each block under test, by its name; columns: `lesions`, those that the claim rests on; a column for
        each condition, with "yes", or with what was not shown or not run; `seeds`, the fewest of any part; `claim`:
        "holds", "not supported", "open", "no places" or "too few seeds". No row for clutter that only occludes.

    """
    study = measured.study
    table, types = harm_table(frame), composition_of(frame)
    if axis_of(types) == "occlusion":
        return pd.DataFrame(columns=["lesions", "seeds", "claim"])
    places = localisation_frame(section.named)
    accuracies = measured.ledger.frame(section.held.runs)
    outcomes = areas(accuracies, types if types in set(accuracies["types"]) else main_types(accuracies))
    planned = {run.variant for run in study.plan(section.held.preset, section.held.images, seeds=1)}
    compared = [name for name in study.comparisons[study.baseline] if name in study.family]
    hardest = table[(table["severity"] == table["severity"].max()) & table["variant"].isin(compared)]
    static = next((name for name in _STATIC if name in study.variants), _STATIC[0])
    rows = {}
    for variant, harmed in hardest.groupby("variant", sort=False):
        name = str(variant)
        parts = _parts(frame, name, harmed.set_index("lesion"), places)
        parts["better than a static gate"] = {static: _against(outcomes, name, static)}
        wider = _wider(measured, name, planned)
        parts["better than a wider network"] = {control: _against(outcomes, name, control) for control in wider}
        rows[name] = {"lesions": ", ".join(of_places(harmed["lesion"].tolist())), **_judge(parts)}
    columns = ["lesions", *_conditions(), "seeds", "claim"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("variant")


def judged(measured: Measured) -> dict[str, Looking]:
    """Judge the blocks under test by the protocol's rule, see `analysis.judge_looking`; without one not measured.

    Args:
        measured: the runs whose lesions were measured.

    """
    named = {record.run_id: (variant, record) for section in measured.sections for variant, record in section.named}
    frames = [lesion_frame(section.named) for section in measured.sections if section.types in LOOKED_AT]
    places = [localisation_frame(section.named) for section in measured.sections if section.types in LOOKED_AT]
    if not frames:
        return {}
    lesions, maps = pd.concat(frames, ignore_index=True), pd.concat(places, ignore_index=True)
    variants = dict.fromkeys(variant for variant, _ in named.values() if variant in measured.study.family)
    found = {variant: judge_looking(lesions, maps, variant) for variant in variants}
    return {variant: looking for variant, looking in found.items() if looking is not None}


def looking_conditions(looking: Looking) -> pd.DataFrame:
    """Return the conditions of a verdict: `mean`, `95 % interval` and `seeds`; "–" where one was not measured."""
    rows = {
        name: {"mean": "–", "95 % interval": "–", "seeds": 0, "above 0": "not measured"}
        if found is None
        else {
            "mean": f"{found.mean:+.2f}",
            "95 % interval": f"{found.low:+.2f} to {found.high:+.2f}",
            "seeds": found.seeds,
            "above 0": "yes" if found.above else "no",
        }
        for name, found in looking.conditions.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("condition")


def _protocol_lines(measured: Measured) -> list[str]:
    lines = []
    for variant, looking in judged(measured).items():
        missing = f" (missing: {', '.join(looking.missing)})" if looking.word == "not shown" else ""
        lines.append(f"By the protocol, {measured.name(variant)} {_BY_PROTOCOL[looking.word]}{missing}.")
    return lines


_Parts = dict[str, dict[str, "pd.Series[Any] | None"]]
_DO_HARM, _MORE, _ON_TARGET = "lesions do harm", "more harm in stronger clutter", "maps on their own target"


def _conditions() -> list[str]:
    return [_DO_HARM, _MORE, _ON_TARGET, "better than a static gate", "better than a wider network"]


def _parts(frame: pd.DataFrame, variant: str, harmed: pd.DataFrame, places: pd.DataFrame) -> _Parts:
    """Return what the claim needs of lesions and maps: by condition and lesion, a mean with its interval."""
    tried = of_places(harmed.index.tolist())
    parts: _Parts = {
        _DO_HARM: {str(lesion): row for lesion, row in harmed.loc[tried].iterrows()},
        _MORE: {lesion: _rise(frame, variant, lesion) for lesion in tried},
    }
    if any(lesion.startswith("shuffle") for lesion in tried):
        parts[_ON_TARGET] = {"maps": _beyond_elsewhere(places, variant)}
    return parts


def _judge(parts: _Parts) -> dict[str, object]:
    """Return the cells of a row of `claim_table`."""
    every = [part for of in parts.values() for part in of.values()]
    seeds = int(min(part["seeds"] for part in every if part is not None))
    if seeds < LEAST_SEEDS:
        return {**dict.fromkeys(_conditions(), "–"), "seeds": seeds, "claim": _TOO_FEW}
    shown = {condition: _said(of) for condition, of in parts.items()}
    if _ON_TARGET not in parts:
        claim = "no places"
    elif any(part is not None and not part["low"] > 0 for part in every):
        claim = "not supported"
    else:
        claim = "open" if any(part is None for part in every) else "holds"
    return {**dict.fromkeys(_conditions(), "–"), **shown, "seeds": seeds, "claim": claim}


def _said(parts: dict[str, "pd.Series[Any] | None"]) -> str:
    """Return "yes" if all parts of a condition hold, else the names of those that do not."""
    failed = [name for name, part in parts.items() if part is not None and not part["low"] > 0]
    missing = [name for name, part in parts.items() if part is None]
    groups = {"not shown": failed, "not run": missing}
    return "; ".join(f"{words}: {', '.join(names)}" for words, names in groups.items() if names) or "yes"


def _rise(frame: pd.DataFrame, variant: str, lesion: str) -> "pd.Series[Any]":
    """Return by how much more a lesion harms at the highest severity than at the lowest, with its interval."""
    rows = frame[(frame["variant"] == variant) & (frame["lesion"] == lesion)]
    wide = rows.pivot(index=["variant", "seed", "run_id"], columns="severity", values="harm")
    more = wide[wide.columns.max()] - wide[wide.columns.min()]
    return intervals(more.rename("value").reset_index()).iloc[0]


def _beyond_elsewhere(places: pd.DataFrame, variant: str) -> "pd.Series[Any] | None":
    """Return by how much more maps lie on their own target, at the highest severity; None if not measured."""
    rows = places[places["variant"] == variant]
    found = looking_table(rows[rows["severity"] == rows["severity"].max()])
    return intervals(found).iloc[0] if len(found) else None


def _wider(measured: Measured, variant: str, planned: set[str]) -> list[str]:
    """Return the wider networks that a variant must beat: by what it adds, if the study has one, else all of them."""
    wider = {name: change["widened"]["to"] for name, change in measured.study.variants.items() if "widened" in change}
    wider = {name: to for name, to in wider.items() if name in planned}
    return [name for name, to in wider.items() if to == variant] or list(wider) or ["a wider network"]


def _against(outcomes: pd.DataFrame, variant: str, control: str) -> "pd.Series[Any] | None":
    """Return the variant's paired difference from a control; None if there is none."""
    if control not in set(outcomes["variant"]):
        return None
    rows = paired_differences(outcomes, control).set_index("variant")
    return rows.T[variant] if variant in rows.index else None


def _show_section(measured: Measured, section: Section) -> None:
    label = measured.study.label
    for way, frame in by_donors(lesion_frame(section.named)).items():
        about = f" {_PILOTS_WAY}" if way == "label" else ""
        show(
            lambda frame=frame: lesion_figure(frame, label),  # type: ignore[misc]
            describe_lesion_figure(frame, label),
            "Harm in points of accuracy: the darker the red, the more a lesion costs. Stars mark 95 % intervals that "
            f"exclude 0, over seeds, or over images for a single seed. {_seeds(measured, frame)}.{about}",
        )
        lines = _of_labelled_donors(measured, frame) if way == "label" else []
        if axis_of(section.types) == "occlusion":
            lines.append("This clutter only occludes: by this page's rules no claim rests on it.")
        if measured.study.protocol is None:
            lines += _claims(measured, claim_table(measured, section, frame))
        show_lines(lines)


def _claims(measured: Measured, table: pd.DataFrame) -> list[str]:
    """Return a line for each verdict, with the blocks that have it."""
    found = {claim: table.index[table["claim"] == claim] for claim in _CLAIMS}
    return [
        f"{_CLAIMS[claim]}: {', '.join(map(measured.name, names))}." for claim, names in found.items() if len(names)
    ]


def _seeds(measured: Measured, frame: pd.DataFrame) -> str:
    counts = frame.groupby("variant", sort=False)["seed"].nunique()
    usual = counts.mode().max()
    others = "; ".join(f"{measured.study.label(str(name))}: {count}" for name, count in counts[counts != usual].items())
    return f"Seeds: {usual}" + (f" ({others})" if others else "")


def _of_labelled_donors(measured: Measured, frame: pd.DataFrame) -> list[str]:
    """Say what the pilot's way of measuring did: a hint at the class, and statistics at the severity of the test."""
    right = frame.pivot(index=["variant", "seed", "severity"], columns="lesion", values="accuracy")
    hardest = right.xs(right.index.get_level_values("severity").max(), level="severity")
    texts = []
    for lesion, words in _LABELLED.items():
        if "cbam" in hardest.index and lesion in hardest:
            change = (hardest[lesion] - hardest["none"]).loc["cbam"].dropna()
            texts.append(f"gates of {words} change its accuracy by {change.mean():+.1f} points")
    name = measured.name("cbam")
    said = [f"{name}, as trained, at the highest severity: {'; '.join(texts)} (mean of seeds)."] if texts else []
    intact = frame[frame["lesion"] == "none"]
    lost = (intact["accuracy"] - intact["recalibrated"]).groupby([intact["variant"], intact["severity"]]).mean()
    return [
        *said,
        "BatchNorm statistics taken at the severity of the test change the accuracy of the intact networks by "
        f"{-lost.max():+.1f} to {-lost.min():+.1f} points (means over seeds, by variant and severity).",
    ]


def _in_short(measured: Measured, section: Section) -> str | None:
    """Return which lesions do harm, and for how many blocks the claim holds, from today's records if there are any."""
    *_, frame = by_donors(lesion_frame(section.named)).values()
    table = harm_table(frame)
    tested = table["variant"].isin(measured.study.family) & (table["seeds"] > 1)
    hardest = table[tested & (table["severity"] == table["severity"].max())]
    if hardest.empty:
        return None
    counts: list[str] = []
    for lesion, words in _IN_SHORT.items():
        rows = hardest[hardest["lesion"] == lesion]
        if len(rows):
            harmed = f"{(rows['low'] > 0).sum()} of {len(rows)}"
            counts.append(f"{words} in {harmed}" if counts else f"{words} does harm in {harmed} networks")
    text = (
        f"In `{section.types}` clutter at severity {hardest['severity'].iloc[0]}, {', '.join(counts)} (95 % interval "
        "over seeds above 0)."
    )
    if measured.study.protocol is not None:
        return text
    claims = claim_table(measured, section, frame)["claim"]
    decided = claims[claims != _TOO_FEW]
    if len(decided):
        text += f" The claim that a block looks holds for {(decided == 'holds').sum()} of {len(decided)} blocks."
    return text

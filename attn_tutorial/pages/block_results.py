"""What the records say of some variants: the part of a block's chapter that the study writes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from IPython.display import Markdown, display

from attn_tutorial.analysis.outcomes import BASELINE
from attn_tutorial.blocks.options import BLOCK_OPTIONS
from attn_tutorial.errors import check_choice
from attn_tutorial.figures.style import show_table
from attn_tutorial.figures.tables import PRIMARY, accuracy_table, difference_table
from attn_tutorial.ledger import Held, Ledger, held_in
from attn_tutorial.pages.results import scale, standing
from attn_tutorial.study import Study, study_names

_MAIN = "main"
_SINGLE = "single"  # what `attn-tutorial train` calls its runs


@dataclass(frozen=True)
class Finding:
    """What a ledger holds of some variants in one study, at one preset, on one image set."""

    about: str
    """The study, the images, the preset and the scale."""
    frame: pd.DataFrame
    """Rows of `Ledger.frame` of these variants and of what they are compared with."""
    baseline: str
    """The variant that they are compared with: the study's baseline, or another reference of its."""
    family: list[str]
    """The study's blocks under test, over which Holm's correction is taken."""


def find(ledger: Ledger, variants: tuple[str, ...]) -> list[Finding]:
    """List what a ledger holds of some variants, each run in one finding only.

    Presets, image sets and studies stand apart. Runs of the smoke preset, which are no results, are left out.

    Raises ValueError if no study has a variant of a name, and no block has it.
    """
    studies = [*map(Study.load, study_names()), _each_block_by_itself()]
    known = {name for study in studies for name in study.variants if name != study.baseline}
    for variant in variants:
        check_choice("variant", variant, sorted(known))
    held = [(study, kind) for study in studies for kind in held_in(study, ledger) if kind.preset != "smoke"]
    shown: set[str] = set()
    findings = []
    # The main study comes first. A block by itself comes last: what a study plans with it may be the same run, or
    # another place for it.
    ranks = {_MAIN: 0, _SINGLE: 2}
    for study, kind in sorted(held, key=lambda entry: (ranks.get(entry[0].name, 1), -len(_of(entry[1], variants)))):
        new = _of(kind, variants) - shown
        for reference, names in study.comparisons.items():
            chosen = {run.run_id for run in kind.runs if run.variant in names} & new
            frame = ledger.frame(run for run in kind.runs if run.variant == reference or run.run_id in chosen)
            if set(frame[frame["types"] == PRIMARY]["variant"]) - {reference}:
                findings.append(Finding(_about(study, kind, frame), frame, reference, study.family))
        shown |= new
    return findings


def sentences(frame: pd.DataFrame, baseline: str = BASELINE, family: Sequence[str] | None = None) -> list[str]:
    """Say what the paired differences from the baseline allow to conclude, a sentence a variant.

    Args:
        frame: `Ledger.frame` of one study at one preset on one image set.
        baseline: the variant that the others are compared with.
        family: see `difference_table`.

    """
    differences = difference_table(frame, baseline=baseline, family=family)
    reference = "the baseline" if baseline == BASELINE else f"`{baseline}`"
    texts = []
    for variant in frame["variant"].unique():
        if variant == baseline:
            continue
        if variant not in differences.index:
            texts.append(f"`{variant}`: no run of {reference} has the same seed, so there is no difference to take.")
            continue
        row = differences.loc[variant]
        start = f"`{variant}`: {row['difference']:+.2f} points against {reference}"
        if row["seeds"] == 1:
            texts.append(f"{start}, from one seed. One seed gives no interval, so nothing can be concluded.")
        else:
            missing = pd.isna(row["low"])  # where the difference is the same in all seeds
            interval = "" if missing else f"95 % t interval [{row['low']:+.2f}, {row['high']:+.2f}], "
            texts.append(f"{start}, {interval}paired over {row['seeds']} seeds: {row['reading']}.")
    return texts


def show_findings(variants: tuple[str, ...], data: Path) -> None:
    """Display what the published records and the reader's own say of some variants, apart.

    Each finding is a table of accuracies beside the baseline's, and a sentence for each paired difference. What no
    record holds is named, with the command that makes one.

    Args:
        variants: names of variants in any study; for a block that no study has, the block's name.
        data: the folder that holds `results/` and `runs/`.

    """
    for title, folder in (("Published records", data / "results"), ("Your own records", data / "runs")):
        findings = find(Ledger(folder), variants)
        lines = [f"**{title}**, in `data/{folder.name}/`"]
        found = {name for finding in findings for name in finding.frame["variant"]}
        if missing := [f"`{name}`" for name in variants if name not in found]:
            lines.append(f"There is no finished run of {', '.join(missing)} here.")
        display(Markdown("\n\n".join(lines)))
        for finding in findings:
            caption = (
                f"Accuracy in % on {PRIMARY}: mean over the severities, and at each (exploratory). {finding.about}."
            )
            show_table(accuracy_table(finding.frame), caption)
            texts = sentences(finding.frame, finding.baseline, finding.family)
            display(Markdown("\n".join(f"- {text}" for text in texts)))
    display(
        Markdown(
            "A difference is of the mean accuracy over the severities. "
            "`attn-tutorial train NAME` trains one network with a block in all of its slots, and `attn-tutorial "
            "train baseline` one without; `--seeds 3` makes three of each, and an interval."
        )
    )


def _each_block_by_itself() -> Study:
    """What `attn-tutorial train` makes of a block's name."""
    variants = {name: {"block": name} for name in BLOCK_OPTIONS}
    return Study(name=_SINGLE, title="One network", question="", variants={BASELINE: {}, **variants})


def _of(kind: Held, variants: Iterable[str]) -> set[str]:
    return {run.run_id for run in kind.runs if run.variant in variants}


def _about(study: Study, kind: Held, frame: pd.DataFrame) -> str:
    spec, images = kind.runs[0].spec, frame["images"].iloc[0]
    return (
        f"{standing(study, kind, frame)}{study.title}; {kind.images.source}; preset {kind.preset}; "
        f"{scale(kind, frame)}; {images:,} images of split {spec.evaluation.split}"
    )

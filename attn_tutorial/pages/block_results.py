"""The section "what the study found" of a block's chapter: what the records say about some variants."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from IPython.display import Markdown, display

from attn_tutorial.analysis.outcomes import BASELINE
from attn_tutorial.blocks.options import BLOCK_OPTIONS
from attn_tutorial.errors import check_choice
from attn_tutorial.figures.style import show_table
from attn_tutorial.figures.tables import (
    accuracy_table,
    cost_outcomes,
    difference_table,
    distraction_cost_table,
    main_types,
)
from attn_tutorial.ledger import Held, Ledger, held_in
from attn_tutorial.pages.results import hidden_runs, scale, standing
from attn_tutorial.paths import user_path
from attn_tutorial.study import Study, study_names

_MAIN, _PILOT = "main", "pilot"
_SINGLE = "single"  # what `attn-tutorial train` calls its runs


@dataclass(frozen=True)
class BlockResult:
    """The runs of some variants in one study, at one preset, on one image set."""

    about: str
    """The study, the images, the preset and the scale, for a caption."""
    frame: pd.DataFrame
    """`Ledger.frame` of the runs of these variants and of their reference."""
    reference: str
    """The variant that the others are compared with: the study's baseline, or another reference of the study."""
    family: list[str]
    """The study's blocks under test, over which Holm's correction is taken."""


def find_block_results(ledger: Ledger, variants: tuple[str, ...]) -> list[BlockResult]:
    """Return the runs of some variants, separated by study, preset and image set.

    A run that belongs to several studies is returned once. Runs of the smoke preset are left out: they are not results.
    So are runs whose protocol hides them until its study is complete.

    Args:
        ledger: the records.
        variants: names of variants in any study, or of blocks.

    Raises:
        ValueError: a name is neither a variant of any study nor a block.

    """
    studies = [*map(Study.load, study_names()), _each_block_by_itself()]
    known = {name for study in studies for name in study.variants if name != study.baseline}
    for variant in variants:
        check_choice("variant", variant, sorted(known))
    hidden = hidden_runs(ledger)
    held = [
        (study, replace(kind, runs=[run for run in kind.runs if run.run_id not in hidden]))
        for study in studies
        for kind in held_in(study, ledger)
        if kind.preset != "smoke"
    ]
    shown: set[str] = set()
    results = []
    # The main study and the pilot come first. A block by itself comes last, because a study may plan the same run, or
    # another place for the block.
    ranks = {_MAIN: 0, _PILOT: 1, _SINGLE: 3}
    held.sort(key=lambda entry: (ranks.get(entry[0].name, 2), -len(_run_ids(entry[1], variants))))
    for study, kind in held:
        new = _run_ids(kind, variants) - shown
        for reference, names in study.comparisons.items():
            chosen = {run.run_id for run in kind.runs if run.variant in names} & new
            frame = ledger.frame(run for run in kind.runs if run.variant == reference or run.run_id in chosen)
            if set(frame[frame["types"] == main_types(frame)]["variant"]) - {reference}:
                results.append(BlockResult(_about(study, kind, frame), frame, reference, study.family))
        shown |= new
    return results


def difference_sentences(
    frame: pd.DataFrame, reference: str = BASELINE, family: Sequence[str] | None = None
) -> list[str]:
    """Say what can be concluded from the paired differences from a reference, one sentence for each variant.

    Args:
        frame: `Ledger.frame` of one study at one preset on one image set.
        reference: the variant that the others are compared with.
        family: the variants over which Holm's correction is taken, see `difference_table`.

    """
    differences = difference_table(frame, baseline=reference, family=family)
    named = "the baseline" if reference == BASELINE else f"`{reference}`"
    texts = []
    for variant in frame["variant"].unique():
        if variant == reference:
            continue
        if variant not in differences.index:
            texts.append(f"`{variant}`: no run of {named} has the same seed, so no difference can be computed.")
            continue
        row = differences.loc[variant]
        start = f"`{variant}`: {row['difference']:+.2f} points against {named}"
        if row["seeds"] == 1:
            texts.append(f"{start}, from one seed. One seed gives no interval, so nothing can be concluded.")
        else:
            missing = pd.isna(row["low"])  # where the difference is the same in all seeds
            interval = "" if missing else f"95 % t interval [{row['low']:+.2f}, {row['high']:+.2f}], "
            texts.append(f"{start}, {interval}paired over {row['seeds']} seeds: {row['reading']}.")
    return texts


def reduction_sentences(
    frame: pd.DataFrame, reference: str = BASELINE, family: Sequence[str] | None = None
) -> list[str]:
    """Say by how much variants reduce a reference's distraction cost on unseen backgrounds, one sentence for each.

    Args:
        frame: see `difference_sentences`; tested on the compositions of the unseen cost.
        reference: the variant that the others are compared with.
        family: see `difference_sentences`.

    Returns:
        no sentence if the reference was not tested on all of these compositions.

    """
    table = distraction_cost_table(frame, cost_outcomes(frame)["unseen"], reference, family)
    if reference not in table.index or "reduction" not in table:
        return []
    costs = table["cost"].to_dict()
    return [
        f"`{variant}` loses {costs[variant]:.2f} points to unseen backgrounds, and `{reference}` "
        f"{costs[reference]:.2f} points; reduction "
        f"{row['reduction']}, paired over {row['seeds']} seed{'s' if row['seeds'] > 1 else ''}: {row['reading']}."
        for variant, row in table.iterrows()
        if variant != reference and row["reduction"] != "–"
    ]


def show_block_results(variants: tuple[str, ...], data: Path) -> None:
    """Display what the published records and the reader's own records say about some variants, separately.

    Each result is a table of accuracies with the reference's, and a sentence for each paired difference. Results on
    unseen backgrounds come first, as distraction costs. Variants without a finished run are named, and the last line
    says how to train them.

    Args:
        variants: names of variants in any study; for a block that no study contains, the block's name.
        data: the folder that contains `results/` and `runs/`.

    """
    data = user_path(data, "data")
    for title, folder in (("Published records", data / "results"), ("Your own records", data / "runs")):
        results = find_block_results(Ledger(folder), variants)
        lines = [f"**{title}**, in `data/{folder.name}/`"]
        found = {name for result in results for name in result.frame["variant"]}
        if missing := [f"`{name}`" for name in variants if name not in found]:
            lines.append(f"There is no finished run of {', '.join(missing)} here.")
        display(Markdown("\n\n".join(lines)))
        for result in results:
            _show(result)
    display(
        Markdown(
            "Differences are in the mean accuracy over the severities; the distraction cost is the accuracy at "
            "severity 0 minus the mean of the accuracies at severities 1 to 5. `attn-tutorial train NAME` trains one "
            "network with a block in all of its slots, and `attn-tutorial train baseline` one without a block. With "
            "`--seeds 3` each command trains three, which gives an interval."
        )
    )


def _show(result: BlockResult) -> None:
    frame, types = result.frame, main_types(result.frame)
    if unseen := cost_outcomes(frame).get("unseen"):
        caption = f"The unseen distraction cost ({' and '.join(unseen)}) in points, beside accuracies in %."
        table = distraction_cost_table(frame, unseen, result.reference, result.family)
        show_table(table, f"{caption} {result.about}.")
        _list(reduction_sentences(frame, result.reference, result.family))
    caption = f"Accuracy in % on {types}: mean over the severities, and at each (exploratory). {result.about}."
    show_table(accuracy_table(frame, types), caption)
    _list(difference_sentences(frame, result.reference, result.family))


def _list(texts: Iterable[str]) -> None:
    if items := [f"- {text}" for text in texts]:
        display(Markdown("\n".join(items)))


def _each_block_by_itself() -> Study:
    """Return what `attn-tutorial train` trains for a block's name, as a study."""
    variants = {name: {"block": name} for name in BLOCK_OPTIONS}
    return Study(name=_SINGLE, title="One network", question="", variants={BASELINE: {}, **variants})


def _run_ids(kind: Held, variants: Iterable[str]) -> set[str]:
    return {run.run_id for run in kind.runs if run.variant in variants}


def _about(study: Study, kind: Held, frame: pd.DataFrame) -> str:
    spec, images = kind.runs[0].spec, frame["images"].iloc[0]
    return (
        f"{standing(study, kind, frame)}{study.title}; {kind.images.source}; preset {kind.preset}; "
        f"{scale(kind, frame)}; {images:,} images of split {spec.evaluation.split}"
    )

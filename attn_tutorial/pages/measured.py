"""What the pages on maps and on lesions read: the runs of a study whose maps or lesions were measured."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from IPython.display import Markdown, display

from attn_tutorial.clutter.names import axis_of
from attn_tutorial.figures.style import show_table
from attn_tutorial.figures.tables import by_axis, record_table
from attn_tutorial.ledger import Held, Ledger, Record, held_in
from attn_tutorial.pages.results import largest_preset, visible
from attn_tutorial.study import Study

_UNMEASURED = "They were made before this was measured. Rerun the study into a new results folder to measure it."


@dataclass(frozen=True)
class Section:
    """The measured runs of a study in one composition of clutter types, on one image set, in one backbone."""

    held: Held
    """All runs of the study on these images in this backbone."""
    types: str
    """The composition of clutter types."""
    named: list[tuple[str, Record]]
    """The measured records, by variant. Their maps and lesions are those in this composition only."""
    heading: str
    """What the section is called."""


@dataclass(frozen=True)
class Measured:
    """The measured runs of a study at its largest preset, one section for each composition of clutter types."""

    study: Study
    ledger: Ledger
    preset: str | None
    """The preset of all runs; None if there are none."""
    notes: list[str]
    """Sentences that name the images, the network and the preset, or say why nothing is shown."""
    sections: list[Section]
    """Background compositions first. Nothing is averaged over them."""

    def name(self, variant: str) -> str:
        """Return what sentences call a variant: its label, or its name as code if it has no label."""
        label = self.study.label(variant)
        return f"`{variant}`" if label == variant else label

    @property
    def concluding(self) -> bool:
        """Return whether a sentence may draw a conclusion: not from the smoke preset."""
        return bool(self.sections) and self.preset != "smoke"


def read_measured(study: Study, folder: str | Path, field: str, preset: str | None = None) -> Measured:
    """Return the runs of a study whose maps or lesions were measured, as far as they may be shown.

    Args:
        study: the study.
        folder: the folder of the ledger.
        field: the field of `Record` that contains the measured rows: "localisation" or "lesions".
        preset: the preset to read; the largest one that has runs by default.

    """
    ledger = Ledger(folder)
    chosen = largest_preset(held_in(study, ledger), preset)
    notes = [] if chosen else [f"No record of the study *{study.name}* is here yet."]
    sections = []
    for everything in chosen:
        held = visible(study, ledger, everything)
        start = "A test of the machinery, not a result" if everything.preset == "smoke" else "Exploratory"
        kind = f"{everything.images.source}; {everything.backbone}"
        about = f"**{start}. {study.title}: {kind}; preset {everything.preset}.**"
        if isinstance(held, str):  # why its results are hidden
            notes.append(f"{about} {held}")
            continue
        named = list(ledger.named(held.runs))
        measured = [(name, record) for name, record in named if getattr(record, field)]
        rows = [row for _, record in measured for row in getattr(record, field)]
        if not rows:
            notes.append(f"{about} None of its {len(named)} runs was measured. {_UNMEASURED}")
            continue
        images = sorted({row.images for row in rows})
        counts = " to ".join(f"{count:,}" for count in dict.fromkeys((images[0], images[-1])))
        severities = ", ".join(map(str, sorted({row.severity for row in rows})))
        notes.append(
            f"{about} {len(measured)} of {len(named)} runs were measured, on {counts} images at severities "
            f"{severities}."
        )
        where = "" if len(chosen) == 1 else f"; {kind}"
        for types in by_axis(row.types for row in rows):
            within = [(name, _within(record, types)) for name, record in measured]
            within = [(name, record) for name, record in within if getattr(record, field)]
            sections.append(Section(held, types, within, f"**Clutter: {types}** (axis: {axis_of(types)}){where}"))
    return Measured(study, ledger, chosen[0].preset if chosen else None, notes, sections)


def show_sections(measured: Measured, show_section: Callable[[Measured, Section], None]) -> None:
    """Display what the runs are, and then each section under its heading.

    Args:
        measured: the runs.
        show_section: a function that displays one section.

    """
    show_lines(measured.notes)
    for section in measured.sections:
        display(Markdown(section.heading))
        show_section(measured, section)


def show_lines(lines: Iterable[str]) -> None:
    """Display several lines as a list, and one line as a paragraph; nothing if there are none."""
    texts = list(lines)
    if len(texts) == 1:
        display(Markdown(texts[0]))
    elif texts:
        display(Markdown("\n".join(f"- {text}" for text in texts)))


def show_runs(measured: Measured) -> None:
    """Display the ids of the measured runs, one table for each image set and backbone."""
    tables: dict[tuple[str, str], list[dict[str, object]]] = {}
    for section in measured.sections:
        kind = section.held.images.source, section.held.backbone
        tables.setdefault(kind, []).extend(
            {"variant": name, "seed": record.spec.seed, "run_id": record.run_id} for name, record in section.named
        )
    for (images, backbone), rows in tables.items():
        about = "" if len(tables) == 1 else f" {images}; {backbone}."
        table = record_table(pd.DataFrame(rows)).rename(index=measured.study.label)
        show_table(table, f"The runs behind the numbers on this page.{about}")


def _within(record: Record, types: str) -> Record:
    """Return a record with its maps and lesions in one composition only."""
    fields = ("localisation", "lesions")
    return record.model_copy(
        update={field: [row for row in getattr(record, field) if row.types == types] for field in fields}
    )

"""Sections of the looking pages: the runs of a study whose maps or lesions were measured."""

from collections.abc import Callable
from pathlib import Path

from IPython.display import Markdown, display

from attn_tutorial.clutter.names import axis_of
from attn_tutorial.figures import by_axis
from attn_tutorial.ledger import Held, Ledger, Record, held_in
from attn_tutorial.study import Study

_UNMEASURED = "They were made before this was measured. Rerun the study into a new results folder to measure it."

ShowHeld = Callable[[Ledger, Held, list[tuple[str, Record]], str], None]


def show_measured(study: Study, folder: str | Path, field: str, show_held: ShowHeld, preset: str | None = None) -> None:
    """Display the measured runs of a study, one section for each preset, image set, backbone and composition.

    Compositions of clutter types come in the order of their axes, background first. Nothing is averaged over them.

    Args:
        study: the study.
        folder: the folder of the ledger.
        field: the field of `Record` that contains the measured rows: "localisation" or "lesions".
        show_held: a function that displays one section; called with the ledger, the section's runs, the records
            measured in its composition with their variants' names, and what captions say about them. The maps and
            lesions of these records are those in this composition.
        preset: the preset to display; all by default.

    """
    ledger = Ledger(folder)
    everything = [held for held in held_in(study, ledger) if preset in (None, held.preset)]
    if not everything:
        display(Markdown(f"No record of the study *{study.name}* is here yet."))
    for held in everything:
        named = list(ledger.named(held.runs))
        measured = [(name, record) for name, record in named if getattr(record, field)]
        about = f"{held.images.source}; {held.backbone}; preset {held.preset}"
        start = "A test of the machinery, not a result" if held.preset == "smoke" else "Exploratory"
        display(Markdown(f"**{start}. {about}**: {len(named)} runs, of which {len(measured)} were measured."))
        if not measured:
            display(Markdown(_UNMEASURED))
            continue
        for types in by_axis(row.types for _, record in measured for row in getattr(record, field)):
            chosen = [(name, _within(record, types)) for name, record in measured]
            chosen = [(name, record) for name, record in chosen if getattr(record, field)]
            rows = [row for _, record in chosen for row in getattr(record, field)]
            images = sorted({row.images for row in rows})
            counts = " to ".join(f"{count:,}" for count in dict.fromkeys((images[0], images[-1])))
            severities = ", ".join(map(str, sorted({row.severity for row in rows})))
            tested = f"{counts} images in {types} at severities {severities} (axis: {axis_of(types)})"
            display(Markdown(f"**Clutter: {types}** (axis: {axis_of(types)})"))
            show_held(ledger, held, chosen, f"{start}. {study.title}: {about}; {tested}")


def _within(record: Record, types: str) -> Record:
    """Return a record with its maps and lesions in one composition only."""
    fields = ("localisation", "lesions")
    return record.model_copy(
        update={field: [row for row in getattr(record, field) if row.types == types] for field in fields}
    )

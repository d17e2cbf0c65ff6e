"""What a ledger holds of a study's looking: the runs that were measured, apart by kind."""

from collections.abc import Callable
from pathlib import Path

from IPython.display import Markdown, display

from attn_tutorial.ledger import Held, Ledger, Record, held_in
from attn_tutorial.study import Study

ShowHeld = Callable[[Ledger, Held, list[tuple[str, Record]], str], None]


def show_measured(study: Study, folder: str | Path, field: str, show_held: ShowHeld, preset: str | None = None) -> None:
    """Display what a ledger holds of a study that was measured, presets, images and backbones apart.

    Args:
        study: the study.
        folder: the ledger's.
        field: of `Record`, with the rows that were measured: "localisation" or "lesions".
        show_held: shows one kind; is given the ledger, the kind, the measured records with their variants' names, and
            what to say of them in captions.
        preset: only this one; all by default.

    """
    ledger = Ledger(folder)
    everything = [held for held in held_in(study, ledger) if preset in (None, held.preset)]
    if not everything:
        display(Markdown(f"No record of the study *{study.name}* is here yet."))
    for held in everything:
        named = list(ledger.named(held.runs))
        measured = [(name, record) for name, record in named if getattr(record, field)]
        about = f"{held.images.source}; {held.backbone}; preset {held.preset}"
        none = "" if measured else " Those of this version are; train into another folder to have them measured."
        start = "A test of the machinery, not a result" if held.preset == "smoke" else "Exploratory"
        display(Markdown(f"**{start}. {about}**: {len(named)} runs, of which {len(measured)} were measured so.{none}"))
        if measured:
            rows = [row for _, record in measured for row in getattr(record, field)]
            images = sorted({row.images for row in rows})
            counts = " to ".join(f"{count:,}" for count in dict.fromkeys((images[0], images[-1])))
            severities = ", ".join(map(str, sorted({row.severity for row in rows})))
            about = f"{start}. {study.title}: {about}; {counts} images at severities {severities}"
            show_held(ledger, held, measured, about)

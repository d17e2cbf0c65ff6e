"""The page "Which copies disagree": public copies of blocks that differ from the paper, reproduced and measured."""

from attn_tutorial.pages.copies.copy import Copy, Kind, Measure
from attn_tutorial.pages.copies.show import (
    COPIES,
    copies_of,
    kind_table,
    measured_table,
    show_copies,
    show_copies_in_short,
    show_ela_forms,
    show_kinds,
    show_reproductions,
)

__all__ = [
    "COPIES",
    "Copy",
    "Kind",
    "Measure",
    "copies_of",
    "kind_table",
    "measured_table",
    "show_copies",
    "show_copies_in_short",
    "show_ela_forms",
    "show_kinds",
    "show_reproductions",
]

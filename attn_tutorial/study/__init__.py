"""Studies: named grids of runs, the ledger of their results, and what runs them. Free of torch until a run starts."""

from attn_tutorial.study.ledger import Ledger
from attn_tutorial.study.record import Record
from attn_tutorial.study.runner import RUNNERS, StudyInterrupted, run_study
from attn_tutorial.study.study import Held, PlannedRun, Preset, Study, preset_names, study_names

__all__ = [
    "RUNNERS",
    "Held",
    "Ledger",
    "PlannedRun",
    "Preset",
    "Record",
    "Study",
    "StudyInterrupted",
    "preset_names",
    "run_study",
    "study_names",
]

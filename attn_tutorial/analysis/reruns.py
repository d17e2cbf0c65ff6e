"""Find the runs of two ledgers that may be compared, and say how their environments differ."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pandas as pd

from attn_tutorial.ledger.held import held_in
from attn_tutorial.ledger.ledger import Ledger
from attn_tutorial.ledger.record import Record
from attn_tutorial.study.study import PlannedRun, Study

_DIGITS = 12  # of a hash: enough to distinguish two
_RECORDED = "device processor threads precision memory_format compiled".split()


@dataclass
class Rerun:
    """The runs of a study in two ledgers at one preset, on one image set and in one backbone, which may be compared."""

    preset: str
    source: str
    """Where the images come from."""
    fingerprint: str
    backbone: str
    published: list[PlannedRun] = field(default_factory=list)
    own: list[PlannedRun] = field(default_factory=list)
    copies: int = 0
    """Number of the reader's records that are copies of published ones. They are left out of `own`."""


def find_reruns(study: Study, published: Ledger, own: Ledger, preset: str | None = None) -> list[Rerun]:
    """List the comparable runs of a study in two ledgers (of one preset if given), those with runs in both first."""
    found: dict[tuple[str, str, str], Rerun] = {}
    for side, ledger in (("published", published), ("own", own)):
        for held in held_in(study, ledger):
            if preset not in (None, held.preset):
                continue
            kind = (held.preset, held.images.fingerprint, held.backbone)
            rerun = found.setdefault(kind, Rerun(held.preset, held.images.source, *kind[1:]))
            for run in held.runs:
                if side == "own" and ledger.get(run) == published.get(run):
                    rerun.copies += 1
                else:
                    getattr(rerun, side).append(run)
    return sorted(found.values(), key=lambda rerun: not (rerun.published and rerun.own))


def equal_weights(published: Iterable[Record], own: Iterable[Record]) -> tuple[int, int]:
    """Return how many runs in both ledgers ended with the same weights, bit for bit, and how many are in both."""
    theirs = {record.training_id: record.weights_sha256 for record in published if record.weights_sha256}
    pairs = [(theirs[record.training_id], record.weights_sha256) for record in own if record.training_id in theirs]
    return sum(first == second for first, second in pairs), len(pairs)


def environment_table(published: Iterable[Record], own: Iterable[Record]) -> pd.DataFrame:
    """Tabulate the environments (versions, hardware, images) in which the runs of two ledgers were made.

    Returns:
        a row for each recorded property; columns: `differ` ("yes" or ""), `published`, `yours` (all values that
        occur, joined by commas).

    """
    sides = [_values(records) for records in (published, own)]
    rows = {
        name: {"differ": "yes" if first != second else "", "published": _joined(first), "yours": _joined(second)}
        for name in dict.fromkeys([*sides[0], *sides[1]])
        for first, second in [[side.get(name, set()) for side in sides]]
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["differ", "published", "yours"])


def _values(records: Iterable[Record]) -> dict[str, set[str]]:
    values: dict[str, set[str]] = {}
    for record in records:
        for name, value in _recorded(record):
            values.setdefault(name, set()).add(str(value))
    return values


def _recorded(record: Record) -> Iterator[tuple[str, object]]:
    yield "images", record.data.source
    yield "their fingerprint", record.data.fingerprint[:_DIGITS]
    yield from record.versions.items()
    commit, _, changes = (record.git_revision or "none").partition("+")
    yield "git revision", commit[:_DIGITS] + (f" with {changes}" if changes else "")
    for name in _RECORDED:
        yield name.replace("_", " "), getattr(record, name)


def _joined(values: set[str]) -> str:
    return ", ".join(sorted(values)) or "–"

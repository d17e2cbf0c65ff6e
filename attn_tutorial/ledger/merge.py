"""Ledgers of several machines brought together in one folder."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from attn_tutorial.ledger.answers import Answers, AnswersError
from attn_tutorial.ledger.ledger import Ledger
from attn_tutorial.ledger.reading import Damaged, Foreign, LedgerError, read_record
from attn_tutorial.ledger.record import Record
from attn_tutorial.paths import user_path
from attn_tutorial.training.files import write_whole

_RANKS = ("failed", "diverged", "done")


@dataclass
class Merged:
    """What became of the records that were to be merged, by run id; by file where it does not contain a record."""

    added: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    """A better record took the place of another: one that is done, or one that diverged where the other failed."""
    extended: list[str] = field(default_factory=list)
    """The same network was there already, and got the tests that it lacked."""
    there: list[str] = field(default_factory=list)
    """The same result was there already, or a better one."""
    kept: dict[str, str] = field(default_factory=dict)
    """Another result of the run is there and stays: how the two differ."""
    refused: dict[str, str] = field(default_factory=dict)
    """Files that are not usable records, and why."""
    answered: list[str] = field(default_factory=list)
    """Runs whose networks' answers, or some of them, were copied."""
    answers_refused: dict[str, str] = field(default_factory=dict)
    """By file: why answers were left out, although their record was not."""


def merge(sources: Iterable[Path], into: Path) -> Merged:
    """Copy the records of some results folders, with the answers and weights that belong to them, into another folder.

    Two results of one run are never pooled, and none is silently replaced. A run that is done is better than one that
    diverged, and this is better than one that failed; of two equally good ones the one that is there stays. If both are
    about the same network, the one that is there gets the tests and answers that it lacks. Answers that do not give the
    accuracies of their record are left out. The merge may be stopped at any moment and started again.

    Args:
        sources: results folders.
        into: the folder that gets the records; made if needed.

    Raises:
        LedgerError: a source is not a folder, is `into` itself, or cannot be read; or `into` cannot be written.

    """
    folders, into = [user_path(folder, "sources") for folder in sources], user_path(into, "into")
    for folder in folders:
        if not folder.is_dir():
            raise LedgerError(f"sources must be results folders, but {folder} is not a folder.")
        if folder.resolve() == into.resolve():
            raise LedgerError(f"{folder} cannot be merged into itself. Name another folder with --into.")
    target, merged = Ledger(into), Merged()
    target.make_writable()
    for path in (path for folder in folders for path in sorted(folder.glob("*.json"))):
        try:
            record = read_record(path)
        except (Damaged, Foreign, FileNotFoundError) as error:
            merged.refused[str(path)] = str(error)
            continue
        _take(record, path, target, merged)
    return merged


def _take(record: Record, path: Path, target: Ledger, merged: Merged) -> None:
    there = target.get(record.run_id)
    if there is None or _RANKS.index(record.status) > _RANKS.index(there.status):
        _copy(record, path, target, merged)
        (merged.replaced if there else merged.added).append(record.run_id)
    elif record.status == there.status and (difference := differing(there, record)):
        merged.kept[record.run_id] = difference
    elif record.conditions - there.conditions:
        lacking = {
            name: [row for row in rows if row.condition not in there.conditions] for name, rows in record.tests.items()
        }
        extended = there.with_tests(lacking)
        _copy_answers(record, path, target, extended, merged)
        target.add(extended)
        merged.extended.append(record.run_id)
    else:
        if record.status == there.status == "done":
            _copy_answers(record, path, target, there, merged)
        merged.there.append(record.run_id)


def _copy_answers(record: Record, path: Path, target: Ledger, there: Record, merged: Merged) -> None:
    """Copy those answers of a record's network that the target lacks, before the target gets the record.

    Args:
        record: the one whose answers are copied.
        path: its file.
        target: the ledger that gets them.
        there: the target's record of the same network, as it will be.
        merged: gets what became of them.

    """
    file = Ledger(path.parent).answers_path(record.run_id)
    try:
        answers = Answers.read(file)
        answers.check(record)
        known = target.answers(there) or Answers({}, {})
        lacking = answers.agreeing(there).only(record.conditions - known.predicted.keys())
        if lacking.predicted:
            target.write_answers(there, known.joined(lacking))
            merged.answered.append(record.run_id)
    except FileNotFoundError:
        return
    except AnswersError as error:
        merged.answers_refused[str(file)] = str(error).replace(f"{file} ", "it ", 1)


def _copy(record: Record, path: Path, target: Ledger, merged: Merged) -> None:
    _copy_answers(record, path, target, record, merged)
    weights = Ledger(path.parent).weights_path(record.run_id)
    try:
        if weights.is_file():
            copied = target.weights_path(record.run_id)
            copied.parent.mkdir(exist_ok=True)
            write_whole(copied, weights.read_bytes())
        write_whole(target.folder / path.name, path.read_bytes())
    except OSError as error:
        raise LedgerError(
            f"{path.name} cannot be copied to {target.folder} ({error.strerror}). Free some space and merge again."
        ) from None


def differing(one: Record, other: Record) -> str:
    """Say how two results of one run differ; nothing if they are the same network, or both have none."""
    if one.weights_sha256 == other.weights_sha256:
        return ""
    causes = circumstances_differing(one, other)
    return "two networks, from " + (
        "different circumstances: " + "; ".join(causes) if causes else "equal circumstances"
    )


def circumstances_differing(one: Record, other: Record) -> list[str]:
    """List what decides about a network's last bits and differs between two records, such as "threads 1 and 2"."""
    pairs = {
        **{name: (getattr(one, name), getattr(other, name)) for name in _DECIDING},
        **{
            name: (one.versions.get(name), other.versions.get(name))
            for name in dict.fromkeys((*one.versions, *other.versions))
        },
    }
    return [f"{name} {first} and {second}" for name, (first, second) in pairs.items() if first != second]


_DECIDING = ("git_revision", "processor", "device", "threads", "precision", "memory_format", "compiled")

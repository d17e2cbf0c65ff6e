"""Where a study is: which runs are done, under way, failed, damaged or missing, and how long the rest takes."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from attn_tutorial.ledger.ledger import Ledger
from attn_tutorial.ledger.record import Heading
from attn_tutorial.study.study import PlannedRun


@dataclass(frozen=True)
class RunStatus:
    """Where a run is."""

    run: PlannedRun
    state: str
    """done, diverged, failed, running, stopped (at a checkpoint), damaged (the record cannot be used), missing, or
    untested: trained for another study, and not tested on the split of this one."""
    detail: str = ""
    share: float = 0.0
    """How much of its training is in a record or a checkpoint, 0 to 1."""
    run_id: str = ""
    """The id of its record, or the one that it will have."""


@dataclass(frozen=True)
class StudyStatus:
    """Where all runs of a plan are."""

    runs: list[RunStatus]
    seconds_left: float | None
    """For one process, at the mean pace of the runs that are done; None if no run is done."""

    def counts(self) -> dict[str, int]:
        """Count the runs in each state."""
        return dict(Counter(run.state for run in self.runs))


def study_status(runs: list[PlannedRun], ledger: Ledger) -> StudyStatus:
    """Look up a plan's runs in a ledger. Train nothing and write nothing."""
    states, pace = [], _Pace()
    for run in runs:  # one record at a time, because ten thousand at once would be slow
        record = ledger.heading(run)
        state = _state(run, record, ledger.folder / "work", ledger.left_out)
        states.append(replace(state, run_id=record.run_id if record else run.run_id))
        if record:
            pace.take(record)
    return StudyStatus(states, pace.seconds_left(states))


def _state(run: PlannedRun, record: Heading | None, work: Path, left_out: dict[str, str]) -> RunStatus:
    if record and record.status == "diverged":
        return RunStatus(run, "diverged", _first_line(record), 1.0)
    if record and record.status == "done":
        tested = any(split == run.spec.evaluation.split for split, *_ in record.conditions)
        return RunStatus(run, "done" if tested else "untested", _not_tested(run, record), 1.0)
    steps = max((int(path.stem.removeprefix("step-")) for path in (work / run.run_id).glob("step-*.pt")), default=0)
    share = steps * run.spec.training.batch_size / run.spec.training.samples
    at = f"{share:.0%} at its last checkpoint" if steps else "no checkpoint yet"
    if _held_by_a_process(work / f"{run.run_id}.lock"):
        return RunStatus(run, "running", at, share)
    if record:
        return RunStatus(run, "failed", _first_line(record), share)
    if cause := left_out.get(f"{run.run_id}.json"):
        return RunStatus(run, "damaged", cause, share)
    return RunStatus(run, "stopped", at, share) if steps else RunStatus(run, "missing")


def _not_tested(run: PlannedRun, record: Heading) -> str:
    """Say what the plan tests and the record lacks, if anything."""
    test = run.spec.evaluation
    tested = record.conditions
    lacking = [name for name in test.types if not tested.issuperset((test.split, name, s) for s in test.severities)]
    if not lacking:
        return ""
    changed = sorted({part for name in lacking for part in name.split("+")} & {*record.void})
    because = f" (the pixels of {', '.join(changed)} have changed since)" if changed else ""
    return f"not tested on {', '.join(lacking)}{because}: `study evaluate` adds it"


def _first_line(record: Heading) -> str:
    return (record.error or "").partition("\n")[0]


def _held_by_a_process(lock: Path) -> bool:
    if not lock.exists():
        return False
    try:
        # Taken for a moment only: a process that wants the run just then looks again some seconds later.
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # a read-only folder, in which nobody trains
        return False


@dataclass
class _Pace:
    """The time that the finished runs took."""

    runs: int = 0
    samples: int = 0
    training: float = 0.0
    testing: float = 0.0

    def take(self, record: Heading) -> None:
        if record.status == "done" and record.training_seconds and record.samples:
            self.runs += 1
            self.samples += record.samples
            self.training += record.training_seconds
            self.testing += record.evaluation_seconds or 0

    def seconds_left(self, states: list[RunStatus]) -> float | None:
        if not self.runs:
            return None
        return sum(
            (1 - state.share) * state.run.spec.training.samples * self.training / self.samples
            + self.testing / self.runs
            for state in states
            if state.state not in ("done", "diverged")
        )

"""Where a study is: what is done, under way, failed, damaged or missing, and how long the rest takes."""

from collections import Counter
from dataclasses import dataclass
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
    """done, diverged, failed, running, stopped (at a checkpoint), damaged (no record that can be used) or missing."""
    detail: str = ""
    share: float = 0.0
    """Of its training that is in a record or a checkpoint."""


@dataclass(frozen=True)
class StudyStatus:
    """Where all runs of a plan are."""

    runs: list[RunStatus]
    seconds_left: float | None
    """Of one process, at the mean pace of the runs that are done; None where none is."""

    def counts(self) -> dict[str, int]:
        """How many runs are in each state."""
        return dict(Counter(run.state for run in self.runs))


def study_status(runs: list[PlannedRun], ledger: Ledger) -> StudyStatus:
    """Look up a plan's runs in a ledger. Trains nothing, writes nothing."""
    states, pace = [], _Pace()
    for run in runs:  # one record at a time: ten thousand at once are slow for their number alone
        record = ledger.heading(run.run_id)
        states.append(_state(run, record, ledger.folder / "work", ledger.left_out))
        if record:
            pace.take(record)
    return StudyStatus(states, pace.seconds_left(states))


def _state(run: PlannedRun, record: Heading | None, work: Path, left_out: dict[str, str]) -> RunStatus:
    if record and record.status != "failed":
        return RunStatus(run, record.status, _first_line(record), 1.0)
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


def _first_line(record: Heading) -> str:
    return (record.error or "").partition("\n")[0]


def _held_by_a_process(lock: Path) -> bool:
    if not lock.exists():
        return False
    try:
        # Held for a moment: a process that wants the run just then looks again some seconds later.
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # a folder that may only be read: nobody trains there
        return False


@dataclass
class _Pace:
    """What the runs that are done took."""

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

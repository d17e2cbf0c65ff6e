"""What the user sees while a study runs: a progress bar on a terminal, elsewhere a line now and then."""

import sys
import time
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

from attn_tutorial.engine.time_left import TimeLeft
from attn_tutorial.ledger.record import Record
from attn_tutorial.study.study import PlannedRun
from attn_tutorial.training.progress import Progress

_BETWEEN_LINES = 15.0  # seconds


class StudyProgress:
    """Progress over all missing runs of a study, measured in images seen.

    It is plain text everywhere: notebook widgets load scripts from the network, and in a saved notebook a bar leaves a
    line each time it is drawn.

    Args:
        runs: the missing runs.
        already: how many runs of the study are in the ledger.
        accuracy: whether to say how accurate a finished run's network is in its test. A study with a protocol hides
            that until its first stage is complete.

    """

    def __init__(self, runs: list[PlannedRun], already: int, accuracy: bool = True):
        self._accuracy = accuracy
        self._names = {run.run_id: f"{run.variant} seed {run.spec.seed}" for run in runs}
        self._images = {run.run_id: run.spec.training.samples for run in runs}
        self._seen = dict.fromkeys(self._names, 0)
        self._latest: dict[str, str] = {}
        self._busy: set[str] = set()
        self._already = already
        self.time_left = TimeLeft(self._images)
        self._said = time.monotonic()
        self._bar: tqdm[Any] | None = None

    def __enter__(self) -> Self:
        also = f", {self._already} are in the ledger" if self._already else ""
        self._say(f"{len(self._names)} runs to train{also}")
        if sys.stderr.isatty():
            total = sum(self._images.values())
            form = "{l_bar}{bar}| {n_fmt}/{total_fmt} images{postfix}"
            self._bar = tqdm(total=total, unit_scale=True, dynamic_ncols=True, bar_format=form)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def progress(self, run_id: str, progress: Progress) -> None:
        """Note a run's progress, and show it."""
        seen = self._images[run_id] * progress.step // progress.steps
        self.time_left.progress(run_id, seen)
        self._seen[run_id] = seen
        where = "in its test" if progress.step == progress.steps else f"{progress.step / progress.steps:.0%}"
        self._latest[run_id] = (
            f"{self._names[run_id]} {where}, loss {progress.loss:.2f}, "
            f"accuracy {progress.accuracy:.0%}, {progress.samples_per_second:.0f} images/s"
        )
        self._show()

    def ended(self, run_id: str, outcome: str, record: Record | None) -> None:
        """Say how a run has ended, with what its record says."""
        self._latest.pop(run_id, None)
        if outcome == "busy":
            if run_id not in self._busy:
                self._say(f"{self._names[run_id]}: another process is training it; this one will look again later")
            self._busy.add(run_id)
            return
        if outcome == "lost":
            self._say(f"{self._names[run_id]}: lost with its worker; another worker goes on from its checkpoint")
            return
        ended = outcome in ("done", "diverged", "failed")
        self.time_left.ended(run_id, outcome == "done")
        if ended:
            self._seen[run_id] = self._images[run_id]
        self._say(f"{self._names[run_id]}: {record.summary(self._accuracy) if ended and record else outcome}")
        self._show()

    def _show(self) -> None:
        seen, total = sum(self._seen.values()), sum(self._images.values())
        latest = " | ".join(filter(None, [self.time_left.in_words, *self._latest.values()]))
        if self._bar is not None:
            self._bar.set_postfix_str(latest, refresh=False)
            self._bar.update(seen - self._bar.n)
            return
        now = time.monotonic()
        if now - self._said >= _BETWEEN_LINES and self._latest:
            self._say(f"{seen / total:.0%}, {latest}")
            self._said = now

    def _say(self, line: str) -> None:
        if self._bar is not None:
            self._bar.write(line, file=sys.stderr)
        else:
            print(line, flush=True)

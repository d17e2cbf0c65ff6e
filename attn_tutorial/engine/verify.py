"""Check published records: train a run again and compare it with its record."""

import functools
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from attn_tutorial.ledger.ledger import Ledger
from attn_tutorial.ledger.merge import circumstances_differing
from attn_tutorial.ledger.reading import LedgerError
from attn_tutorial.ledger.record import Record
from attn_tutorial.spec import SpecError
from attn_tutorial.study.study import PlannedRun

if TYPE_CHECKING:
    from attn_tutorial.engine.setting import Setting
    from attn_tutorial.training import Progress


@dataclass(frozen=True)
class Verification:
    """A record, and the record of the same run trained again."""

    variant: str
    record: Record
    again: Record

    @property
    def same(self) -> bool:
        """Return whether the two networks are equal bit for bit, and their tests, too."""
        tested = {row.condition for row in self.again.accuracy}
        return self.record.weights_sha256 == self.again.weights_sha256 and all(
            [row for row in self.record.tests[name] if row.condition in tested] == rows
            for name, rows in self.again.tests.items()
        )

    @property
    def differing(self) -> list[str]:
        """Return what was different this time and may explain other bits, without the git revision."""
        mine = self.again.model_copy(update={"git_revision": self.record.git_revision})
        return circumstances_differing(self.record, mine)

    @property
    def passed(self) -> bool:
        """Return whether the run came out the same, as it must on the same kind of machine and versions."""
        return self.same or (self.again.status == self.record.status and bool(self.differing))

    def sentence(self) -> str:
        """Say what was found."""
        name = f"{self.variant} seed {self.record.spec.seed} (run {self.record.run_id})"
        if self.same:
            return f"{name}: the same weights, sha256 {str(self.record.weights_sha256)[:16]}…, and the same results"
        if self.again.status != self.record.status:
            return f"{name}: {self.record.status} in the ledger, now {self.again.status}: {self.again.error}"
        was, now = (_mean(record) for record in (self.record, self.again))
        means = f"mean accuracy {was:.2f} % in the ledger, now {now:.2f} %"
        if not self.differing:
            return f"{name}: NOT the same weights, although nothing differs that could change them; {means}"
        return f"{name}: other weights, which is possible because of what differs: {'; '.join(self.differing)}; {means}"


Drawn = list[tuple[PlannedRun, Record]]


def draw_runs(runs: list[PlannedRun], results: Path, sample: int = 1, seed: int | None = None) -> Drawn:
    """Draw some runs of a plan that are done, with their records.

    Args:
        runs: the plan.
        results: folder of the records.
        sample: how many runs; all of them if there are fewer.
        seed: of the draw. By default each call draws other runs.

    Raises:
        LedgerError: no run of the plan is done.

    """
    if type(sample) is not int or sample < 1:
        raise SpecError(f"sample must be a whole number of at least 1, but got {sample!r}.")
    ledger = Ledger(results)
    held = [(run, record) for run in runs if (record := ledger.get(run)) and record.status == "done"]
    if not held:
        raise LedgerError(
            f"{results} must contain a finished run of this study, but there is none. Run the study first."
        )
    return random.Random(seed).sample(held, min(sample, len(held)))


def verify(
    drawn: Drawn, setting: "Setting", on_progress: Callable[[PlannedRun, "Progress"], None] = lambda run, progress: None
) -> list[Verification]:
    """Train runs again, with the threads and the precision of their records, and compare them. Write nothing.

    Args:
        drawn: see `draw_runs`.
        setting: images and device. Each run is trained in the precision of its record.
        on_progress: called while a run is trained.

    """
    from attn_tutorial.engine.execute import execute
    from attn_tutorial.training import thread_count

    found = []
    for run, record in drawn:
        with tempfile.TemporaryDirectory() as folder, thread_count(record.threads or 1):
            precise = setting.with_options(precision=record.precision or "float32")
            elsewhere = replace(precise, results=Path(folder))
            execute(run, elsewhere, functools.partial(on_progress, run), lambda: False)
            again = Ledger(folder).get(run)
        assert again is not None  # it can be neither stopped nor busy
        found.append(Verification(run.variant, record, again))
    return found


def _mean(record: Record) -> float:
    rows = [row.accuracy for row in record.accuracy if row.types == record.accuracy[0].types]
    return 100 * sum(rows) / len(rows)

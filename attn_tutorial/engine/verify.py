"""Published records put to the test: a run is trained again and compared with its record."""

import functools
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from attn_tutorial.ledger.ledger import Ledger, LedgerError
from attn_tutorial.ledger.merge import circumstances_differing
from attn_tutorial.ledger.record import Record
from attn_tutorial.spec import SpecError
from attn_tutorial.study.study import PlannedRun

if TYPE_CHECKING:
    from attn_tutorial.engine.setting import Setting
    from attn_tutorial.training import Progress


_RESULT = ("weights_sha256", "accuracy", "localisation", "lesions")


@dataclass(frozen=True)
class Comparison:
    """A record and the run trained again."""

    variant: str
    record: Record
    again: Record

    @property
    def same(self) -> bool:
        """Whether the two networks are equal bit for bit, and so are their tests."""
        return all(getattr(self.record, field) == getattr(self.again, field) for field in _RESULT)

    @property
    def differing(self) -> list[str]:
        """What was different this time, and may explain other bits; the git revision is not among it."""
        mine = self.again.model_copy(update={"git_revision": self.record.git_revision})
        return circumstances_differing(self.record, mine)

    @property
    def passed(self) -> bool:
        """Whether the run came out the same, as it must on the same kind of machine with the same versions."""
        return self.same or (self.again.status == self.record.status and bool(self.differing))

    def sentence(self) -> str:
        """What was found."""
        name = f"{self.variant} seed {self.record.spec.seed} (run {self.record.run_id})"
        if self.same:
            return f"{name}: the same weights, sha256 {str(self.record.weights_sha256)[:16]}…, and the same results"
        if self.again.status != self.record.status:
            return f"{name}: {self.record.status} in the ledger, now {self.again.status}: {self.again.error}"
        was, now = (_mean(record) for record in (self.record, self.again))
        means = f"mean accuracy {was:.2f} % in the ledger, now {now:.2f} %"
        if not self.differing:
            return f"{name}: NOT the same weights although nothing differs that may change them; {means}"
        return f"{name}: other weights, as may be where these differ: {'; '.join(self.differing)}; {means}"


Drawn = list[tuple[PlannedRun, Record]]


def draw_runs(runs: list[PlannedRun], results: Path, sample: int = 1, seed: int | None = None) -> Drawn:
    """Draw some runs of a plan that are done, with their records.

    Args:
        runs: the plan.
        results: folder of the records.
        sample: how many; all where there are fewer.
        seed: of the draw; another draw each time by default.

    Raises:
        LedgerError: the ledger holds no run of the plan that is done.

    """
    if type(sample) is not int or sample < 1:
        raise SpecError(f"sample {sample!r} was given; allowed is a whole number of at least 1")
    ledger = Ledger(results)
    held = [(run, record) for run in runs if (record := ledger.get(run.run_id)) and record.status == "done"]
    if not held:
        raise LedgerError(f"{results} holds no run of this study that is done: there is nothing to verify")
    return random.Random(seed).sample(held, min(sample, len(held)))


def verify(
    drawn: Drawn, setting: "Setting", on_progress: Callable[[PlannedRun, "Progress"], None] = lambda run, progress: None
) -> list[Comparison]:
    """Train runs again, with the threads and the precision of their records, and compare. Nothing is written.

    Args:
        drawn: see `draw_runs`.
        setting: images and device; its precision gives way to that of each record.
        on_progress: called as training goes on.

    """
    from attn_tutorial.engine.execute import execute
    from attn_tutorial.training import thread_count

    found = []
    for run, record in drawn:
        with tempfile.TemporaryDirectory() as folder, thread_count(record.threads or 1):
            elsewhere = replace(setting, results=Path(folder), precision=record.precision or "float32")
            execute(run, elsewhere, functools.partial(on_progress, run), lambda: False)
            again = Ledger(folder).get(run.run_id)
        assert again is not None  # it can be neither stopped nor busy
        found.append(Comparison(run.variant, record, again))
    return found


def _mean(record: Record) -> float:
    rows = [row.accuracy for row in record.accuracy if row.types == record.accuracy[0].types]
    return 100 * sum(rows) / len(rows)

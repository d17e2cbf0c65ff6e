"""Check published records: train a run again, and judge whether it comes out as its record says."""

import functools
import random
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from attn_tutorial.engine.comparison import (
    Comparison,
    Spread,
    compare_accuracies,
    compare_answers,
    distinct,
    seed_spread,
)
from attn_tutorial.ledger.answers import Answers
from attn_tutorial.ledger.ledger import Ledger
from attn_tutorial.ledger.merge import circumstances_differing
from attn_tutorial.ledger.reading import LedgerError
from attn_tutorial.ledger.record import Condition, Record, Tested
from attn_tutorial.spec import SpecError
from attn_tutorial.study.study import PlannedRun

if TYPE_CHECKING:
    from attn_tutorial.engine.setting import Setting
    from attn_tutorial.training import Progress

TOLERANCE = 0.5
"""Points by which mean accuracies may differ where the circumstances differ."""


@dataclass(frozen=True)
class Verification:
    """A record, the record of the same run trained again, and how far apart the two are.

    In equal circumstances the bits must be equal. In other ones the accuracy must not differ by more than a tolerance.
    """

    variant: str
    record: Record
    again: Record
    comparison: Comparison | None
    """None where the two were not tested on a common condition."""
    spread: Spread | None = None
    """Between seeds; None where no variant of the plan has two in the ledger."""
    unusable: str = ""
    """Why the answers beside the record cannot be used, for example because they do not give its accuracies."""
    tolerance: float = TOLERANCE

    @property
    def same(self) -> bool:
        """Return whether the two networks are equal bit for bit, and their tests and answers, too."""
        if self.comparison is not None and self.comparison.agreement not in (None, 100):
            return False
        return self.same_weights and self._results(self.record) == self._results(self.again)

    @property
    def same_weights(self) -> bool:
        """Return whether the weights are equal bit for bit."""
        return self.record.weights_sha256 == self.again.weights_sha256

    def _results(self, record: Record) -> dict[str, list[Tested]]:
        """Return a record's results on the conditions that both records tested on equally many images."""
        mine, others = ({row.condition: row.images for row in each.accuracy} for each in (self.record, self.again))
        alike = {condition for condition, images in mine.items() if others.get(condition) == images}
        return {name: [row for row in rows if row.condition in alike] for name, rows in record.tests.items()}

    @property
    def differing(self) -> list[str]:
        """Return what was different this time and may explain other bits, without the git revision."""
        mine = self.again.model_copy(update={"git_revision": self.record.git_revision})
        return circumstances_differing(self.record, mine)

    @property
    def passed(self) -> bool:
        """Return whether the run came out as its record says."""
        if self.unusable or self.again.status != self.record.status:
            return False
        return self.same or (
            bool(self.differing) and self.comparison is not None and not self.comparison.beyond(self.tolerance)
        )

    def sentence(self) -> str:
        """Say what was found, with all numbers that decide."""
        name = f"{self.variant} seed {self.record.spec.seed} (run {self.record.run_id})"
        if self.unusable:
            return f"{name}: FAILED, because the answers beside the record cannot be used: {self.unusable}"
        if self.same:
            return f"{name}: the same weights, sha256 {str(self.record.weights_sha256)[:16]}…, and the same results"
        if self.again.status != self.record.status:
            return f"{name}: FAILED, {self.record.status} in the ledger, now {self.again.status}: {self.again.error}"
        return f"{name}: {self._verdict()}. {self._numbers()}. {self._precision()}"

    def _verdict(self) -> str:
        what = "the same weights, but other results" if self.same_weights else "other weights"
        if not self.differing:
            return f"FAILED, {what}, although nothing differs that could change them"
        found, tolerance = self.comparison, f"{self.tolerance:g} points"
        if found is None:
            verdict = "FAILED, because the two were not tested on any common condition"
        elif found.beyond(self.tolerance):
            verdict = f"FAILED, {what}, and an accuracy that differs by more than {tolerance}"
        elif found.within(self.tolerance):
            verdict = f"passed, {what}, and the same accuracy within {tolerance}"
        else:
            verdict = (
                f"passed, {what}, and too few images to tell whether the accuracy differs by more than {tolerance}"
            )
        return f"{verdict}. What differs here: {'; '.join(self.differing)}"

    def _numbers(self) -> str:
        found = self.comparison
        if found is None:
            return "There is nothing to compare"
        tests = f"{found.conditions} conditions, {found.images:,} images"
        return "; ".join(
            [
                f"Mean accuracy {found.before:.2f} % in the ledger, now {found.now:.2f} % ({tests})",
                f"difference {found.mean}, {'paired by image' if found.agreement is not None else 'not paired'}",
                _agreement(found),
                f"spread between seeds {self.spread or 'unknown, because no variant has two seeds in the ledger'}",
                f"tolerance {self.tolerance:g} points",
            ]
        )

    def _precision(self) -> str:
        was, now = self.record.precision, self.again.precision
        return f"Trained in {now}, " + ("like the record" if was == now else f"but the record was trained in {was}")


def _agreement(found: Comparison) -> str:
    if found.agreement is not None:
        return f"{found.agreement:.2f} % of the answers agree"
    assert found.farthest is not None  # there is a condition, and it was compared
    condition, difference = found.farthest
    return (
        "no answers by image are kept for both, so whole accuracies were compared with wider intervals; the largest "
        f"difference is {difference} on {_in_words(condition)}"
    )


def _in_words(condition: Condition) -> str:
    split, types, severity = condition
    return f"{types} at severity {severity} ({split})"


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
    held = _done(runs, Ledger(results))
    if not held:
        raise LedgerError(
            f"{results} must contain a finished run of this study, but there is none. Run the study first."
        )
    return random.Random(seed).sample(held, min(sample, len(held)))


def verify(
    drawn: Drawn,
    setting: "Setting",
    plan: Iterable[PlannedRun] = (),
    tolerance: float = TOLERANCE,
    on_progress: Callable[[PlannedRun, "Progress"], None] = lambda run, progress: None,
) -> list[Verification]:
    """Train runs again, with the threads of their records, and compare them. Write nothing.

    Args:
        drawn: see `draw_runs`.
        setting: images, device and precision; "auto" is the precision that the device computes in, not the record's.
        plan: the runs whose records say how far apart seeds are.
        tolerance: points by which mean accuracies may differ where the circumstances differ.
        on_progress: called while a run is trained.

    Raises:
        SpecError: the tolerance is not a number of points from 0 to 100.

    """
    if not 0 <= tolerance <= 100:
        raise SpecError(f"tolerance must be a number of points from 0 to 100, but got {tolerance!r}.")
    ledger = Ledger(setting.results)
    finished = _done(plan, ledger)
    found = []
    for run, record in drawn:
        answers = ledger.answers(record)
        again, new_answers = _train_again(run, record, setting, functools.partial(on_progress, run))
        unusable = ledger.answers_left_out.get(ledger.answers_path(record.run_id).name, "")
        comparison = compare(record, again, answers, new_answers)
        spread = _spread(finished, again)
        found.append(Verification(run.variant, record, again, comparison, spread, unusable, tolerance))
    return found


def compare(record: Record, again: Record, answers: Answers | None, new_answers: Answers | None) -> Comparison | None:
    """Compare a record with the record of the same run trained again, on the conditions that both were tested on.

    Args:
        record: from the ledger.
        again: of the new training.
        answers: of the record's network; None where the ledger has none.
        new_answers: of the new network.

    Returns:
        a comparison image by image, where both networks have answers for all these conditions, and otherwise one of the
        accuracies. None without common conditions.

    """
    shared = [row.condition for row in again.accuracy if row.condition in record.conditions]
    by_image = compare_answers(answers, new_answers, shared) if answers and new_answers else None
    return by_image or compare_accuracies(record.accuracy, again.accuracy)


def _train_again(
    run: PlannedRun, record: Record, setting: "Setting", on_progress: Callable[["Progress"], None]
) -> tuple[Record, Answers | None]:
    """Train a run in a folder of its own, which is deleted, and test it as the record was tested."""
    from attn_tutorial.engine.execute import execute
    from attn_tutorial.training import thread_count

    tested_alike = replace(run, spec=run.spec.model_copy(update={"evaluation": record.spec.evaluation}))
    with tempfile.TemporaryDirectory() as folder, thread_count(record.threads or 1):
        execute(tested_alike, replace(setting, results=Path(folder)), on_progress, lambda: False)
        ledger = Ledger(folder)
        again = ledger.get(tested_alike)
        assert again is not None  # it can be neither stopped nor busy
        return again, ledger.answers(again)


def _done(runs: Iterable[PlannedRun], ledger: Ledger) -> Drawn:
    return [(run, record) for run in runs if (record := ledger.get(run)) and record.status == "done"]


def _spread(finished: Drawn, again: Record) -> Spread | None:
    """Return the spread between the seeds of those runs that were tested on all conditions of a record."""
    conditions = distinct(row.condition for row in again.accuracy)
    variants: dict[object, list[float]] = defaultdict(list)
    for run, record in finished:
        shares = {row.condition: row.accuracy for row in record.accuracy}
        if conditions and all(each in shares for each in conditions):
            mean = 100 * sum(shares[each] for each in conditions) / len(conditions)
            variants[run.variant, run.spec.backbone].append(mean)
    return seed_spread(variants.values())

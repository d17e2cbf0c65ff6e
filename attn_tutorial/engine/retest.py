"""Finished networks tested on more conditions, without training: what `study evaluate` does. Loads torch."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from filelock import FileLock, Timeout
from tqdm import tqdm

from attn_tutorial.datasets import load_images
from attn_tutorial.engine.execute import evaluate_kept
from attn_tutorial.engine.setting import Setting
from attn_tutorial.ledger.ledger import Ledger
from attn_tutorial.ledger.reading import LedgerError
from attn_tutorial.ledger.record import Record
from attn_tutorial.spec import EvaluationSpec
from attn_tutorial.study.study import PlannedRun


@dataclass
class Retested:
    """What became of the runs that were to be tested again, by variant and seed."""

    added: dict[str, int] = field(default_factory=dict)
    """How many conditions were tested and added to the record."""
    complete: list[str] = field(default_factory=list)
    """There was nothing left to test."""
    not_done: list[str] = field(default_factory=list)
    """The run has not been trained, or did not end well."""
    without_weights: dict[str, str] = field(default_factory=dict)
    """The weights are missing or cannot be used, and why."""
    busy: list[str] = field(default_factory=list)
    """Another process is at work on the run."""


def retest(runs: list[PlannedRun], setting: Setting, wanted: EvaluationSpec | None = None) -> Retested:
    """Test the kept weights of finished runs on conditions that their records lack, and add the results to them.

    A condition is a split, a composition of clutter types and a severity. Results on fewer images than wanted are
    replaced. The networks' answers are stored beside the records. May be stopped at any moment and started again.

    Args:
        runs: a plan.
        setting: images, results and device.
        wanted: what to test; by default what the plan says.

    """
    ledger, found = Ledger(setting.results), Retested()
    for run in tqdm(runs, "Testing networks", unit=" networks", disable=None):
        name = f"{run.variant} seed {run.spec.seed}"
        record = ledger.get(run)
        if record is None or record.status != "done":
            found.not_done.append(name)
            continue
        evaluation = wanted or run.spec.evaluation
        lacking = list(_lacking(record, evaluation, _available(evaluation, setting)))
        if not lacking:
            found.complete.append(name)
            continue
        try:
            with FileLock(setting.results / "work" / f"{run.run_id}.lock", timeout=0):
                for part in lacking:
                    spec = run.spec.model_copy(update={"evaluation": part})
                    tested = evaluate_kept(ledger, record, spec, setting, lambda: False)
                    record = record.with_tests(tested.rows)
                    ledger.add(record, tested.answers)
        except Timeout:
            found.busy.append(name)
        except LedgerError as error:
            found.without_weights[name] = str(error)
        else:
            found.added[name] = sum(len(part.severities) for part in lacking)
    return found


def _available(evaluation: EvaluationSpec, setting: Setting) -> int:
    """Return how many images the split of the test has."""
    return len(load_images(setting.images.name, evaluation.split, root=setting.root, source=setting.source))


def _lacking(record: Record, wanted: EvaluationSpec, available: int) -> Iterable[EvaluationSpec]:
    """Yield what is still to be tested, one composition at a time."""
    enough = {
        row.condition for row in record.accuracy if row.images >= wanted.images_of(row.types, row.severity, available)
    }
    for types in wanted.types:
        severities = tuple(each for each in wanted.severities if (wanted.split, types, each) not in enough)
        if severities:
            yield wanted.model_copy(
                update={
                    "types": (types,),
                    "severities": severities,
                    "recalibrated": tuple(each for each in wanted.recalibrated if each == types),
                    "look": wanted.look if types in wanted.looked_at() else None,
                }
            )

"""Keep all runs of one seed in one precision, so that differences between variants are not differences of machines."""

import logging

from attn_tutorial.engine.setting import Setting
from attn_tutorial.ledger.ledger import Ledger
from attn_tutorial.study.study import PlannedRun

_log = logging.getLogger(__name__)


def runs_in_one_precision(runs: list[PlannedRun], setting: Setting) -> list[PlannedRun]:
    """Return a plan without the missing runs of those seeds that were begun in another precision than this machine's.

    A warning names the seeds that are left out, and says how to complete them.

    Args:
        runs: the plan.
        setting: the ledger's folder; device and precision.

    """
    from attn_tutorial.training import choose_device
    from attn_tutorial.training.machine import native_precision

    chosen = setting.options.precision
    here = native_precision(choose_device(setting.options.device)) if chosen == "auto" else chosen
    ledger = Ledger(setting.results)
    precisions = _precisions(runs, ledger)
    kept = [run for run in runs if precisions.get(run.spec.seed, {here}) == {here} or ledger.has_result(run)]
    here_too = {run.run_id for run in kept}
    left: dict[str, list[int]] = {}
    for seed in sorted({run.spec.seed for run in runs if run.run_id not in here_too}):
        left.setdefault(" and ".join(sorted(precisions[seed])), []).append(seed)
    for precision, seeds in left.items():
        _log.warning(
            "seed %s: begun in %s, while this command trains in %s, so the missing runs are left out. Use another "
            "machine or --precision to complete them as they were begun; --mixed-precision trains them all the same, "
            "and the analysis marks these seeds.",
            ", ".join(map(str, seeds)), precision, here,
        )  # fmt: skip
    return kept


def _precisions(runs: list[PlannedRun], ledger: Ledger) -> dict[int, set[str]]:
    """Return by seed the precisions of the runs that have a result."""
    found: dict[int, set[str]] = {}
    for run in runs:
        record = ledger.get(run)
        if record is not None and record.precision is not None and record.status != "failed":
            found.setdefault(run.spec.seed, set()).add(record.precision)
    return found

"""The comparisons that a protocol names to explain its result: twins without attention, oracles, other trainings."""

import pandas as pd

from attn_tutorial.analysis.contrasts import complete_seeds, cost_reductions
from attn_tutorial.study import Protocol

COLUMNS = [
    "question", "variant", "reference", "seeds", "estimate", "low", "high", "accuracy", "severity_0", "variants"
]  # fmt: skip


def explain(protocol: Protocol, frame: pd.DataFrame) -> pd.DataFrame:
    """Compare the pairs of variants that a protocol names, on its primary outcome.

    The interval of a pair comes from the protocol's model, fitted to the seeds that both variants have. Its standard
    deviation is pooled over the pair, the baseline, the blocks under test and the protocol's pooled variants, as far as
    these have all of the pair's seeds. Nothing is corrected for the number of comparisons.

    Args:
        protocol: of the study.
        frame: `Ledger.frame()` of the study at the protocol's preset on its images.

    Returns:
        a row for each pair that shares a seed, in the protocol's order. Columns: `question`; `variant`, `reference`;
        `seeds`; `estimate`, `low`, `high` (by how much the variant reduces the reference's cost, with its 95 %
        interval, points; NaN ends with one seed); `accuracy`, `severity_0` (differences of accuracies on the outcome's
        backgrounds and at severity 0, points); `variants` in the model.

    """
    there = set(frame["variant"])
    pool = [protocol.baseline, *protocol.primary, *protocol.pooled]
    rows = []
    for each in protocol.explanations:
        for variant, reference in each.pairs:
            if not {variant, reference} <= there or not complete_seeds(frame, protocol.outcome, [variant], reference):
                continue
            found = cost_reductions(frame, protocol.outcome, [variant], reference, pooled=pool)
            rows.append(found.assign(question=each.question, reference=reference))
    return pd.concat(rows, ignore_index=True)[COLUMNS] if rows else pd.DataFrame(columns=COLUMNS)

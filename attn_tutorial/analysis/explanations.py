"""The comparisons that a protocol names to explain its result: twins without attention, oracles, other trainings."""

from typing import Literal

import pandas as pd

from attn_tutorial.analysis.contrasts import complete_seeds, cost_reductions
from attn_tutorial.study import Protocol

COLUMNS = [
    "question", "variant", "reference", "seeds", "estimate", "low", "high", "accuracy", "severity_0", "variants"
]  # fmt: skip
Remains = Literal["remains", "gone", "cannot tell", "not measured"]


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


def gain_remains(protocol: Protocol, table: pd.DataFrame) -> Remains:
    """Say whether the blocks' gain is still there where training shows the backgrounds of the outcome.

    Args:
        protocol: its explanations say which pairs decide.
        table: what `explain` returned.

    Returns:
        "remains" if the interval of each of these pairs lies above 0; "gone" if the whole interval of each lies below
        the margin and includes 0; "not measured" if a pair has no row or no interval; "cannot tell" in all other cases.

    """
    pairs = [pair for each in protocol.explanations if each.gain_must_remain for pair in each.pairs]
    rows = table[[pair in pairs for pair in table[["variant", "reference"]].to_numpy().tolist()]]
    if len(rows) < len(pairs) or rows["low"].isna().any():
        return "not measured"
    if (rows["low"] > 0).all():
        return "remains"
    gone = (rows["high"] < protocol.margin) & (rows["low"] <= 0) & (rows["high"] >= 0)
    return "gone" if gone.all() else "cannot tell"

"""All claims side by side: one table for each set of images and for each kind of training, never mixed."""

from collections.abc import Iterable, Sequence

import pandas as pd

from attn_tutorial.benchmark.claim import SEEDS_WANTED, Claim
from attn_tutorial.benchmark.result import COSTS, costs_of
from attn_tutorial.ledger.answers import Answers

Entry = tuple[Claim, Sequence[Answers]]


def leaderboard(claims: Iterable[Entry]) -> dict[tuple[str, str], pd.DataFrame]:
    """Return tables of claims, each for one set of images in one geometry and for one kind of training.

    Returns:
        by images and training, in words, a table with a row for each claim, by its unseen cost. Columns: `accuracy` (%
        at severity 0), `unseen cost`, `seen cost` and `occlusion cost` (points, with 95 % intervals as text), `seeds`,
        `by`, `link` and `remarks`; columns without any text are left out. A claim of fewer than three seeds says so in
        `remarks`.

    """
    groups: dict[tuple[str, str, str], list[tuple[float, str, dict[str, object]]]] = {}
    for claim, answers in claims:
        images = claim.images
        about = (
            f"{images.source}; target {images.size} on canvas {images.canvas}; {images.count:,} test images; "
            f"fingerprint {images.fingerprint[:12]}"
        )
        key = (images.fingerprint, about, claim.training.label())
        costs = costs_of(answers)
        groups.setdefault(key, []).append((costs["cost"].iloc[0], claim.name, _row(claim, costs)))
    return {
        (about, training): _table(sorted(rows, key=lambda row: row[:2]))
        for (_, about, training), rows in sorted(groups.items())
    }


def _table(rows: Sequence[tuple[float, str, dict[str, object]]]) -> pd.DataFrame:
    table = pd.DataFrame([row for *_, row in rows], index=pd.Index([name for _, name, _ in rows], name="network"))
    return table.loc[:, (table != "").any()]


def _row(claim: Claim, costs: pd.DataFrame) -> dict[str, object]:
    seeds = len(claim.networks)
    remarks = list(claim.remarks)
    if seeds < SEEDS_WANTED:
        remarks.insert(0, f"Fewer than {SEEDS_WANTED} seeds: the interval is over images only.")
    columns = {
        f"{name} cost": f"{row.cost:z.2f} ({row.low:z.2f} to {row.high:z.2f})"
        for name, row in zip(COSTS, costs.itertuples(), strict=True)
    }
    return {
        "accuracy": round(float(costs["at severity 0"].iloc[0]), 2),
        **columns,
        "seeds": seeds,
        "by": claim.by,
        "link": claim.link,
        "remarks": " ".join(remarks),
    }

"""What a network, or several networks of one kind, reached on the benchmark, with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from attn_tutorial.analysis.outcomes import SEEN_COST, UNSEEN_COST
from attn_tutorial.analysis.resampling import image_costs
from attn_tutorial.benchmark.reads import Reads
from attn_tutorial.benchmark.testing import COMPOSITIONS
from attn_tutorial.clutter import OCCLUSION_TYPES, SEVERITIES
from attn_tutorial.ledger.answers import Answers

COSTS = {"unseen": UNSEEN_COST, "seen": SEEN_COST, "occlusion": OCCLUSION_TYPES}
"""The distraction costs, each with its compositions; the first is the benchmark's primary outcome."""
_Z = float(stats.norm.ppf(0.975))


@dataclass(frozen=True)
class Result:
    """What one or several networks reached. Several are the same network, trained with different seeds."""

    answers: tuple[Answers, ...]
    """By network."""
    sha256: tuple[str, ...]
    """By network: the hash of its file, or of its weights."""
    kind: str
    reads: Reads
    images: dict[str, Any]
    """Name, source and fingerprint of the images, and the sides of target and canvas in pixels."""
    remarks: tuple[str, ...] = ()
    """Whatever makes the numbers doubtful."""

    def costs(self) -> pd.DataFrame:
        """Return the distraction costs in points: a row each for unseen and seen backgrounds, and for occlusion.

        Columns: `cost`, `low`, `high` (95 % interval), `at severity 0` and `in clutter` (accuracies in %), and `over`,
        what the interval is about: "seeds" for three networks or more, and otherwise "images".
        """
        return costs_of(self.answers)

    def accuracies(self) -> pd.DataFrame:
        """Return the accuracy in %, mean over networks: a row for each composition, a column for each severity."""
        means = {
            types: {
                severity: 100 * float(np.mean([each.accuracy(("test", types, severity)) for each in self.answers]))
                for severity in SEVERITIES
            }
            for types in COMPOSITIONS
        }
        return pd.DataFrame.from_dict(means, orient="index").rename_axis("clutter").rename_axis(columns="severity")

    def claim(self, name: str, folder: str | Path = "data/claims", **about: Any) -> Path:
        """Write a claim and its answers into a folder, and return the path of the claim: see `write_claim`."""
        from attn_tutorial.benchmark.claim import write_claim

        return write_claim(self, name, folder, **about)

    def __str__(self) -> str:
        costs = self.costs()
        head = f"{self.images['source']}; {len(self.answers)} network(s), {self.kind}"
        over = costs["over"].iloc[0]
        parts = [
            head,
            "accuracy in %, by severity",
            self.accuracies().round(1).to_string(),
            f"distraction cost in points, with 95 % intervals over {over}",
            costs.drop(columns="over").map("{:z.2f}".format).to_string(),
            *self.remarks,
        ]
        return "\n".join(parts)


def costs_of(answers: Sequence[Answers]) -> pd.DataFrame:
    """Return the table of `Result.costs` for the answers of some networks."""
    rows = {name: _cost(answers, types) for name, types in COSTS.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("cost of")


def _cost(answers: Sequence[Answers], types: Sequence[str]) -> dict[str, Any]:
    by_image = [image_costs(each, types) for each in answers]
    by_image = [costs[~np.isnan(costs)] for costs in by_image]
    means = np.array([costs.mean() for costs in by_image])
    if len(means) >= 3:
        over, width = "seeds", stats.t.ppf(0.975, len(means) - 1) * means.std(ddof=1) / len(means) ** 0.5
    else:  # one network on other images of this kind: the mean of its costs on each image
        costs = np.mean(by_image, axis=0)
        over, width = "images", _Z * costs.std(ddof=1) / len(costs) ** 0.5
    at_start = np.mean([each.accuracy(("test", types[0], 0)) for each in answers])
    inside = np.mean(
        [each.accuracy(("test", name, severity)) for each in answers for name in types for severity in SEVERITIES[1:]]
    )
    return {
        "cost": means.mean(),
        "low": means.mean() - width,
        "high": means.mean() + width,
        "at severity 0": 100 * at_start,
        "in clutter": 100 * inside,
        "over": over,
    }

"""Frames of studies whose distraction costs are known."""

import numpy as np
import pandas as pd
import pytest

FALL = (0, 0.5, 0.75, 1, 1.25, 1.5)  # by severity, in units of the cost: the mean of severities 1 to 5 is 1


def make_study(costs, clean=None):
    """`costs[variant][seed][types]` is a cost in points; `clean[variant, seed]` an accuracy that is not 80 %."""
    return pd.DataFrame(
        [
            {"run_id": f"{variant}/{seed}", "preset": "quick", "fingerprint": "f", "backbone": "b", "split": "test",
             "target": 24, "variant": variant, "seed": seed, "types": types, "severity": severity,
             "accuracy": (clean or {}).get((variant, seed), 80.0) - cost * FALL[severity]}
            for variant, by_seed in costs.items()
            for seed, by_types in by_seed.items()
            for types, cost in by_types.items()
            for severity in range(6)
        ]
    )  # fmt: skip


def spread_costs(reductions, seeds=range(10, 20), spread=0.1, start=8.0):
    """Costs of variants whose mean reductions are exact: `reductions[variant]` is one number, or one by composition.

    Each variant deviates from its mean by the same numbers, from -`spread` to `spread`, in another order of the seeds.
    """
    types = ("mosaic", "crowd", "surround+noise")
    deviations = spread * np.linspace(-1, 1, len(seeds))
    costs = {}
    for row, (variant, given) in enumerate(reductions.items()):
        by_types = given if isinstance(given, dict) else dict.fromkeys(types, given)
        costs[variant] = {
            seed: {name: start + own - reduction for name, reduction in by_types.items()}
            for seed, own in zip(seeds, np.roll(deviations, 3 * row), strict=True)
        }
    return costs


@pytest.fixture
def study_frame():
    """A function that makes the frame of a ledger from costs."""
    return make_study


@pytest.fixture
def spread():
    """A function that makes costs with exact reductions and a small spread."""
    return spread_costs

"""Decide how many seeds the study "backgrounds" needs, without a look at any block's result.

After six complete seeds, the standard deviation of the paired unseen reduction is estimated from all blocks together.
No mean and no name of a block enters the decision, so it cannot favour a block.

Source: Kieser and Friede, "Simple procedures for blinded sample size adjustment that do not affect the type I error
rate", 2003.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from attn_tutorial.analysis.contrasts import PRIMARY_FAMILY, complete_seeds
from attn_tutorial.analysis.outcomes import BASELINE, UNSEEN_COST, distraction_costs
from attn_tutorial.analysis.power import check_margin
from attn_tutorial.errors import InputError
from attn_tutorial.study import Protocol, Study

LOOK = 6
"""Number of complete seeds after which the standard deviation is estimated."""
FEWER, MORE = 10, 14
"""The two numbers of seeds that are possible."""
PRIMARY_SEEDS = range(10, 10 + MORE)
"""The seeds of the study in their order. No search used them."""
_FOUND_BY_FEWER = 1.28
"""In standard deviations: the reduction that `FEWER` seeds find with 80 % (paired t test, Holm over 4)."""


@dataclass(frozen=True)
class Stage:
    """How far stage 1 is: the seeds, and the decision about their number. It contains nothing about a single block."""

    planned: tuple[int, ...]
    """The seeds in the order in which they count."""
    complete: tuple[int, ...]
    """Those of them for which every block of the family and the baseline have a result."""
    sd: float | None
    """Standard deviation of the paired unseen reduction, points, from the first six planned seeds; None before."""
    wanted: int | None
    """How many seeds the study needs; None before the first six planned seeds are complete."""

    @property
    def seeds(self) -> list[int]:
        """Return the seeds that the analysis uses: the complete ones among the first `wanted` of the plan."""
        return [seed for seed in self.planned[: self.wanted or FEWER] if seed in self.complete]

    @property
    def done(self) -> bool:
        """Return whether stage 1 is complete. Before that, pages show numbers of runs only."""
        return self.wanted is not None and len(self.seeds) == self.wanted

    @property
    def sentence(self) -> str:
        """Return the state as text for a page."""
        if self.wanted is None:
            ready = sum(seed in self.complete for seed in self.planned[:LOOK])
            return (
                f"{ready} of the first {LOOK} seeds are complete. When all are, their spread decides whether the study "
                f"needs {FEWER} or {MORE} seeds."
            )
        return f"The study needs {self.wanted} seeds, and {len(self.seeds)} of them are complete."


def find_stage(
    frame: pd.DataFrame,
    margin: float,
    planned: Sequence[int] = PRIMARY_SEEDS,
    family: Sequence[str] = PRIMARY_FAMILY,
    baseline: str = BASELINE,
) -> Stage:
    """Return how many seeds the study needs, and which are complete.

    Ten seeds are enough if they find a reduction of the size of the margin, that is, if 1.28 standard deviations are at
    most the margin. Otherwise the study needs fourteen. The decision uses the first six planned seeds only, so it stays
    the same when more are complete.

    Args:
        frame: `Ledger.frame()` of the study at one preset on one image set.
        margin: smallest reduction that matters, in points.
        planned: at least fourteen different seeds in the order in which they count. If a run of a seed diverges, this
            seed can never be complete: replace it here, and say so on the page.
        family: the variants with the blocks.
        baseline: the variant that they are compared with.

    Raises:
        InputError: the margin is not a number above 0, there are too few planned seeds or one is there twice, or as for
            `cost_reductions`.

    """
    check_margin(margin)
    order = tuple(int(seed) for seed in planned)
    if len(order) < MORE or len(set(order)) < len(order):
        raise InputError(
            f"`planned` must contain at least {MORE} different seeds, but got {', '.join(map(str, order)) or 'none'}. "
            "Add seeds, or remove those that are there twice."
        )
    ready = complete_seeds(frame, UNSEEN_COST, family, baseline)
    complete = tuple(seed for seed in order if seed in ready)
    if not set(order[:LOOK]) <= set(ready):
        return Stage(order, complete, None, None)
    sd = hidden_sd(frame, order[:LOOK], family, baseline)
    return Stage(order, complete, sd, FEWER if _FOUND_BY_FEWER * sd <= margin else MORE)


def stage_of(protocol: Protocol, frame: pd.DataFrame) -> Stage:
    """Return how far stage 1 of the study with a protocol is.

    Args:
        protocol: of the study.
        frame: `Ledger.frame()` of the study at the protocol's preset on its images.

    """
    rule = protocol.seeds
    planned = range(rule.first, rule.first + rule.more)
    return find_stage(frame, protocol.margin, planned, protocol.primary, protocol.baseline)


def hidden_results(study: Study, frame: pd.DataFrame) -> str | None:
    """Return why a study's results are not shown yet, as text with the numbers of runs; None if they may be shown.

    Args:
        study: any study. Only one with a protocol hides its results, until stage 1 is complete.
        frame: `Ledger.frame()` of the study at one preset on one image set.

    """
    if study.protocol is None or frame.empty:
        return None
    protocol = Protocol.load(study.protocol)
    if not protocol.covers(frame["preset"].iloc[0], frame["data"].iloc[0]):
        return None
    try:
        stage = stage_of(protocol, frame)
    except InputError:  # no run was tested in the conditions of the outcome
        why = f"No run was tested on {' and '.join(protocol.outcome)} at all severities."
    else:
        if stage.done:
            return None
        why = stage.sentence
    runs = frame.drop_duplicates(["variant", "seed"]).groupby("variant", sort=False).size()
    counts = ", ".join(f"{name} {count}" for name, count in runs.items())
    return f"{why} Until then the protocol shows numbers of runs only. Runs that are done: {counts}."


def hidden_sd(
    frame: pd.DataFrame, seeds: Iterable[int], family: Sequence[str] = PRIMARY_FAMILY, baseline: str = BASELINE
) -> float:
    """Return the standard deviation of the paired unseen reduction over seeds, pooled over a family, in points.

    It is the root of the mean of the blocks' variances. Neither the blocks' means nor their names can be read from it.

    Args:
        frame: see `find_stage`.
        seeds: two or more seeds that are complete.
        family: the variants with the blocks.
        baseline: the variant that they are compared with.

    """
    costs = distraction_costs(frame, UNSEEN_COST).pivot(index="variant", columns="seed", values="value")
    reductions = costs.loc[baseline, list(seeds)] - costs.loc[list(family), list(seeds)]
    return float(np.sqrt(reductions.var(axis="columns", ddof=1).mean()))

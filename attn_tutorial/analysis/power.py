"""Say what a number of seeds can find: power of the protocol's tests, computed exactly.

A block is tested in the first step of Holm's correction, at 5 % ÷ blocks, so the power holds when no other block has an
effect; it is higher when others have one.

Source: Lehmann and Romano, "Testing Statistical Hypotheses", section 5.3 (power of t tests).
"""

from itertools import count

import numpy as np
from numpy.typing import NDArray
from scipy import integrate, optimize, stats

from attn_tutorial.analysis.statistics import LEAST_SEEDS
from attn_tutorial.errors import InputError

_ALPHA = 0.05
_NODES = 200  # of the integral; the error of a probability is then below 0.00001


def chance_to_find(
    effect: float, sd: float, seeds: int, variants: int = 2, blocks: int = 4, margin: float = 0.0
) -> float:
    """Return the probability that a true reduction is found, and is estimated at a margin or above it.

    Found means: the adjusted two-sided p is below 0.05, and the estimate is above 0.

    Args:
        effect: true reduction, in points.
        sd: standard deviation of the paired differences over seeds, in points.
        seeds: number of seeds, at least `LEAST_SEEDS`.
        variants: number of variants whose standard deviation is pooled (see `contrasts.two_way`); 2 is the paired t
            test.
        blocks: number of blocks that share Holm's correction.
        margin: smallest estimate that counts, in points. With 0 only the test counts. A true reduction equal to the
            margin is estimated below it half of the time, so that this probability is then at most 50 %.

    Raises:
        InputError: a number is out of range.

    """
    _check(sd, seeds, variants, blocks, margin)
    error, freedom = sd / np.sqrt(seeds), (variants - 1) * (seeds - 1)
    threshold = stats.t.ppf(1 - _ALPHA / blocks / 2, freedom) * error / np.sqrt(freedom)

    def found(share: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability at quantiles of the standard error, of which the estimate is independent."""
        least = np.maximum(margin, threshold * stats.chi.ppf(share, freedom))
        return stats.norm.sf((least - effect) / error)

    return float(integrate.fixed_quad(found, 0.0, 1.0, n=_NODES)[0])


def smallest_reduction(
    sd: float, seeds: int, variants: int = 2, blocks: int = 4, chance: float = 0.8, margin: float = 0.0
) -> float:
    """Return the smallest true reduction that is found with a given probability, in points.

    Args:
        sd: see `chance_to_find`, like the other arguments.
        seeds: number of seeds.
        variants: number of variants in the model.
        blocks: number of blocks in the family.
        chance: probability of finding it.
        margin: smallest estimate that counts, in points.

    Raises:
        InputError: a number is out of range.

    """
    _check(sd, seeds, variants, blocks, margin, chance)

    def missing(effect: float) -> float:
        return chance_to_find(effect, sd, seeds, variants, blocks, margin) - chance

    upper = next(margin + 2.0**step * sd for step in count() if missing(margin + 2.0**step * sd) > 0)
    return float(optimize.brentq(missing, 0.0, upper))


def seeds_needed(
    reduction: float, sd: float, variants: int = 2, blocks: int = 4, chance: float = 0.8, margin: float = 0.0
) -> int:
    """Return the smallest number of seeds that finds a true reduction with a given probability.

    Args:
        reduction: true reduction, in points; above the margin.
        sd: see `chance_to_find`, like the other arguments.
        variants: number of variants in the model.
        blocks: number of blocks in the family.
        chance: probability of finding it.
        margin: smallest estimate that counts, in points.

    Raises:
        InputError: a number is out of range, or the reduction is not above the margin.

    """
    _check(sd, LEAST_SEEDS, variants, blocks, margin, chance)
    if not reduction > margin:
        raise InputError(
            f"`reduction` must be above `margin` ({margin:g} points), but got {reduction:g}. No number of seeds finds "
            "a smaller one with a large probability: give a larger one."
        )
    # The normal distribution needs fewer seeds than Student's: start there.
    quantiles = stats.norm.ppf(1 - _ALPHA / blocks / 2) + stats.norm.ppf(chance)
    start = max(LEAST_SEEDS, int((quantiles * sd / reduction) ** 2))
    return next(
        seeds for seeds in count(start) if chance_to_find(reduction, sd, seeds, variants, blocks, margin) >= chance
    )


def check_margin(margin: float) -> None:
    """Raise `InputError` unless a margin is a finite number of points above 0."""
    if not 0 < margin < np.inf:
        raise InputError(f"`margin` must be a number of points above 0, but got {margin!r}. Give the fixed margin.")


def _check(sd: float, seeds: int, variants: int, blocks: int, margin: float, chance: float = 0.8) -> None:
    if not (sd > 0 and seeds >= LEAST_SEEDS and variants >= 2 and blocks >= 1 and margin >= 0 and _ALPHA < chance < 1):
        raise InputError(
            f"`sd` must be above 0, `seeds` at least {LEAST_SEEDS}, `variants` at least 2, `blocks` at least 1, "
            f"`margin` at least 0 and `chance` above {_ALPHA} and below 1, but got sd {sd}, seeds {seeds}, variants "
            f"{variants}, blocks {blocks}, margin {margin}, chance {chance}. Change the one that is out of range."
        )

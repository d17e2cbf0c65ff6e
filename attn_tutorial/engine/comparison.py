"""How far apart two networks are on the same tests: the statistics that `study verify` judges.

Accuracies are in percent, differences in points. Severity 0 is the same test in every composition of clutter types, so
it counts once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from attn_tutorial.ledger.answers import NOT_TESTED, Answers
from attn_tutorial.ledger.record import Accuracy, Condition

_ALPHA = 0.05
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Difference:
    """A difference in accuracy, now minus before, with its 95 % interval; in points."""

    points: float
    low: float
    high: float

    def beyond(self, tolerance: float) -> bool:
        """Return whether the whole interval lies beyond a tolerance in points, in either direction."""
        return self.low > tolerance or self.high < -tolerance

    def within(self, tolerance: float) -> bool:
        """Return whether the whole interval lies within a tolerance in points."""
        return -tolerance <= self.low and self.high <= tolerance

    def __str__(self) -> str:
        return f"{self.points:+.2f} points (95 % interval {self.low:+.2f} to {self.high:+.2f})"


@dataclass(frozen=True)
class Comparison:
    """What two networks scored on the conditions that both were tested on."""

    before: float
    """Mean accuracy over the conditions, in percent."""
    now: float
    mean: Difference
    """Of the mean accuracies."""
    conditions: int
    images: int
    """How many images count; some conditions may have been tested on a part of them."""
    agreement: float | None = None
    """Share of the images that get the same answer, mean over conditions, in percent; None without answers."""
    each: dict[Condition, Difference] = field(default_factory=dict)
    """By condition, with intervals that share one error rate; only without answers."""

    @property
    def farthest(self) -> tuple[Condition, Difference] | None:
        """The condition with the largest difference; None with answers, where only the mean is judged."""
        return max(self.each.items(), key=lambda item: abs(item[1].points), default=None)

    def beyond(self, tolerance: float) -> bool:
        """Return whether an interval lies wholly beyond a tolerance in points."""
        return any(difference.beyond(tolerance) for difference in (self.mean, *self.each.values()))

    def within(self, tolerance: float) -> bool:
        """Return whether the interval of the mean lies wholly within a tolerance in points."""
        return self.mean.within(tolerance)


@dataclass(frozen=True)
class Spread:
    """How far apart the mean accuracies of equal networks with different seeds are."""

    points: float
    """Standard deviation over seeds, pooled over variants."""
    variants: int
    runs: int

    def __str__(self) -> str:
        return f"{self.points:.2f} points (standard deviation of {self.runs} runs of {self.variants} variants)"


def distinct(conditions: Iterable[Condition]) -> list[Condition]:
    """Return conditions without those that repeat severity 0 in another composition of clutter types."""
    kept: dict[Condition, Condition] = {}
    for split, types, severity in conditions:
        kept.setdefault((split, types if severity else "", severity), (split, types, severity))
    return list(kept.values())


def compare_answers(before: Answers, now: Answers, conditions: Sequence[Condition]) -> Comparison | None:
    """Compare two networks image by image.

    Each condition weighs the same, whether it was tested on all images or on a part. The interval is Student's t over
    images. All conditions of an image stay together, because they are not independent.

    Args:
        before: the answers of one network.
        now: the answers of the other one to the same images.
        conditions: what is compared, all on one split.

    Returns:
        None where one of the two lacks a condition, where they have no image in common in one, or where they are not
        about the same images.

    """
    shared = distinct(conditions)
    if not shared or any(each not in answers.predicted for each in shared for answers in (before, now)):
        return None
    labels = before.labels[shared[0][0]]
    if not np.array_equal(labels, now.labels[shared[0][0]]):
        return None
    first, second = (np.stack([answers.predicted[each] for each in shared]) for answers in (before, now))
    tested = (first != NOT_TESTED) & (second != NOT_TESTED)
    if not tested.any(axis=1).all():
        return None
    was, is_now, alike = (100 * _means(right, tested) for right in (first == labels, second == labels, first == second))
    return Comparison(
        before=float(was.mean()),
        now=float(is_now.mean()),
        mean=_paired(100.0 * (second == labels) - 100.0 * (first == labels), tested),
        conditions=len(shared),
        images=int(tested.any(axis=0).sum()),
        agreement=float(alike.mean()),
    )


def compare_accuracies(before: Iterable[Accuracy], now: Iterable[Accuracy]) -> Comparison | None:
    """Compare two networks of which only the accuracies are known, as if each had been tested on images of its own.

    Each condition has Newcombe's interval for two proportions. The interval of the mean takes the conditions to be
    fully correlated, because they show the same images. So it is rather too wide than too narrow.

    Returns:
        None where the two have no condition in common.

    """
    old, new = ({row.condition: row for row in rows} for rows in (before, now))
    pairs = {each: (old[each], new[each]) for each in distinct(old) if each in new}
    if not pairs:
        return None
    alone = [_unpaired(*rows, _ALPHA) for rows in pairs.values()]
    points, low, high = (float(np.mean([getattr(each, end) for each in alone])) for end in ("points", "low", "high"))
    was, is_now = (100 * float(np.mean([rows[side].accuracy for rows in pairs.values()])) for side in (0, 1))
    return Comparison(
        before=was,
        now=is_now,
        mean=Difference(points, low, high),
        conditions=len(pairs),
        images=max(row.images for rows in pairs.values() for row in rows),
        each={each: _unpaired(*rows, _ALPHA / len(pairs)) for each, rows in pairs.items()},
    )


def seed_spread(accuracies: Iterable[Sequence[float]]) -> Spread | None:
    """Return the spread between seeds, pooled over variants.

    Args:
        accuracies: for each variant, the mean accuracies of its runs, in percent.

    Returns:
        None where no variant has two runs.

    """
    several = [np.array(runs) for runs in accuracies if len(runs) > 1]
    if not several:
        return None
    count = sum(map(len, several))
    squares = sum(float(((runs - runs.mean()) ** 2).sum()) for runs in several)
    return Spread((squares / (count - len(several))) ** 0.5, len(several), count)


def _means(values: Array, tested: Array) -> Array:
    """Return each condition's mean over its tested images, (C,), of values (C, N)."""
    return np.where(tested, values, 0).sum(axis=1) / tested.sum(axis=1)


def _paired(differences: Array, tested: Array) -> Difference:
    """Return the mean over conditions of the mean difference over images.

    An image's part in it is the sum of its differences from the conditions' means, each with the weight that an image
    has in that condition. Where all images are tested in all conditions, that is the image's own mean.

    Args:
        differences: in points, (C, N).
        tested: which of them count, bool (C, N).

    """
    from statsmodels.stats.weightstats import DescrStatsW

    images = tested.any(axis=0)
    means = _means(differences, tested)
    weights = images.sum() * tested / tested.sum(axis=1, keepdims=True)
    parts = means.mean() + (weights * (differences - means[:, None])).mean(axis=0)[images]
    # One image alone leaves everything open.
    ends = DescrStatsW(parts).tconfint_mean(_ALPHA) if len(parts) > 1 else (-100.0, 100.0)
    return Difference(float(means.mean()), *map(float, ends))


def _unpaired(before: Accuracy, now: Accuracy, alpha: float) -> Difference:
    from statsmodels.stats.proportion import confint_proportions_2indep

    counts = (value for row in (now, before) for value in (round(row.accuracy * row.images), row.images))
    low, high = confint_proportions_2indep(*counts, compare="diff", method="newcomb", alpha=alpha)
    return Difference(100 * (now.accuracy - before.accuracy), 100 * float(low), 100 * float(high))

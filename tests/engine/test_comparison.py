"""Answers that were made for the purpose, so that every difference is known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from attn_tutorial.engine.comparison import Difference, compare_accuracies, compare_answers, distinct, seed_spread
from attn_tutorial.ledger.answers import NOT_TESTED, Answers
from attn_tutorial.ledger.record import Accuracy

CONDITIONS = [("test", types, severity) for types in ("noise", "mosaic", "crowd") for severity in range(1, 6)]
CONDITIONS.append(("test", "noise", 0))
TOLERANCE = 0.5


def made(images=8000, conditions=CONDITIONS, right=0.75, seed=0):
    """Answers of a network of which exactly this share is right in every condition."""
    labels = (np.arange(images) % 10).astype(np.uint8)
    blank = Answers({"test": labels}, dict.fromkeys(conditions, labels))
    return changed(blank, round(images * (1 - right)), np.random.default_rng(seed))


def changed(answers, worse=0, rng=None, better=0):
    """Return answers of which, in each condition, so many right ones became wrong, and so many wrong ones right."""
    rng = rng or np.random.default_rng(1)
    predicted = {}
    for condition, before in answers.predicted.items():
        labels, now = answers.labels[condition[0]], before.copy()
        lost, won = (rng.permutation(np.nonzero(of)[0]) for of in (before == labels, before != labels))
        now[lost[:worse]] = (labels[lost[:worse]] + 1) % 10
        now[won[:better]] = labels[won[:better]]
        predicted[condition] = now
    return replace(answers, predicted=predicted)


def compared(before, now, conditions=CONDITIONS):
    found = compare_answers(before, now, conditions)
    assert found is not None
    return found


def test_a_network_that_is_one_point_worse_or_better_fails():
    before = made()
    worse = compared(before, changed(before, worse=80))
    assert (worse.before, worse.now, worse.agreement) == (75, 74, 99)
    assert worse.mean.points == pytest.approx(-1)
    assert worse.beyond(TOLERANCE)
    assert not worse.within(TOLERANCE)
    assert not worse.beyond(1.0)
    assert compared(before, changed(before, better=80)).beyond(TOLERANCE)
    noisy = compared(before, changed(before, worse=480, better=400))  # one point worse, with many other answers
    assert noisy.mean.points == pytest.approx(-1)
    assert noisy.agreement == pytest.approx(89)
    assert noisy.beyond(TOLERANCE)


def test_answers_that_change_without_a_loss_pass():
    before = made()
    cancelled = compared(before, changed(before, worse=400, better=400))
    assert cancelled.mean.points == pytest.approx(0)
    assert cancelled.agreement == pytest.approx(90)
    assert cancelled.within(TOLERANCE)
    equal = compared(before, before)
    assert (equal.agreement, equal.mean) == (100, Difference(0, 0, 0))
    assert (equal.conditions, equal.images) == (16, 8000)


def test_few_images_cannot_tell():
    before = made(100)
    found = compared(before, changed(before, worse=6, better=5))
    assert found.mean.points == pytest.approx(-1)
    assert not found.beyond(TOLERANCE)
    assert not found.within(TOLERANCE)
    one = made(1, right=1)
    assert compared(one, one).mean == Difference(0, -100, 100)


def test_the_interval_is_that_of_a_bootstrap_over_images_which_keeps_their_conditions_together():
    before = made(1500, seed=3)
    now = changed(before, worse=150, better=120)
    for partly in CONDITIONS[10:15]:  # two of the three compositions are tested on all images, one on a part
        for answers in (before, now):
            answers.predicted[partly][500:] = NOT_TESTED
    found = compared(before, now)
    labels = before.labels["test"]
    tested = np.stack([before.predicted[each] != NOT_TESTED for each in CONDITIONS])
    differences = np.stack(
        [100.0 * (now.predicted[each] == labels) - 100.0 * (before.predicted[each] == labels) for each in CONDITIONS]
    )

    def mean(images):
        return (differences[:, images] * tested[:, images]).sum(1) @ (1 / tested[:, images].sum(1)) / len(CONDITIONS)

    drawn = stats.bootstrap(
        (np.arange(1500),), mean, n_resamples=2000, vectorized=False, method="percentile", rng=np.random.default_rng(0)
    )
    assert found.mean.points == pytest.approx(mean(np.arange(1500)))
    assert (found.mean.low, found.mean.high) == pytest.approx(tuple(drawn.confidence_interval), abs=0.08)
    assert found.mean.high - found.mean.low > 1


def test_equal_conditions_do_not_count_as_more_images():
    before = made(2000, CONDITIONS[:1])
    now = changed(before, worse=100, better=80)
    alone = compared(before, now, CONDITIONS[:1])
    repeated = [replace(each, predicted=dict.fromkeys(CONDITIONS, next(iter(each.predicted.values()))))
                for each in (before, now)]  # fmt: skip
    again = compared(*repeated)
    assert (again.mean.low, again.mean.high) == pytest.approx((alone.mean.low, alone.mean.high))


def test_the_interval_contains_the_true_difference_as_often_as_it_says():
    rng, truth, contained = np.random.default_rng(0), -1.0, 0
    labels = np.zeros(1000, np.uint8)
    for _ in range(400):
        ability = rng.random((1, 1000))  # which the conditions of an image share
        draws = (ability + rng.random((8, 1000))) / 2
        below = np.sqrt(0.5 * 0.71)  # P((a + b) / 2 < t) = 2 t² for two uniform numbers and t ≤ 1/2
        was = draws < below
        is_now = np.where(rng.random((8, 1000)) < 0.01 / was.mean(), False, was)
        first, second = (
            Answers({"test": labels}, dict(zip(CONDITIONS, 1 - right.astype(np.uint8), strict=False)))
            for right in (was, is_now)
        )
        difference = compared(first, second, CONDITIONS[:8]).mean
        contained += difference.low <= truth <= difference.high
    assert 0.92 < contained / 400 < 0.98


def test_only_images_that_both_answered_count():
    before = made(1000)
    now = changed(before, worse=100)
    hidden = replace(now, predicted={each: classes.copy() for each, classes in now.predicted.items()})
    for each, classes in hidden.predicted.items():
        classes[(now.predicted[each] != before.predicted[each])] = NOT_TESTED
    found = compared(before, hidden)
    assert found.agreement == 100
    assert found.mean == Difference(0, 0, 0)


def test_answers_that_do_not_belong_together_are_not_paired():
    before, conditions = made(50), CONDITIONS[:2]
    assert compare_answers(before, made(60), conditions) is None
    lacking = before.only(CONDITIONS[:1])
    assert compare_answers(before, lacking, conditions) is None
    assert compare_answers(lacking, before, conditions) is None
    assert compare_answers(before, before, []) is None
    other = replace(before, labels={"test": before.labels["test"][::-1].copy()})
    assert compare_answers(before, other, conditions) is None
    halves = made(50), made(50)
    halves[0].predicted[conditions[1]][:25] = NOT_TESTED
    halves[1].predicted[conditions[1]][25:] = NOT_TESTED
    assert compare_answers(*halves, conditions) is None


def test_severity_0_counts_once():
    twice = [
        ("test", "noise", 0),
        ("test", "noise", 3),
        ("test", "crowd", 0),
        ("test", "crowd", 3),
        ("val", "noise", 0),
    ]
    assert distinct(twice) == [*twice[:2], *twice[3:]]


def rows(*accuracies, images=8000):
    return [
        Accuracy(types="noise", severity=severity, accuracy=accuracy, images=images)
        for severity, accuracy in enumerate(accuracies)
    ]


def test_accuracies_alone_have_wider_intervals_and_are_judged_too():
    before = rows(0.75, 0.70, 0.65)
    alone = compare_accuracies(before, rows(0.74, 0.69, 0.64))
    assert alone.mean.points == pytest.approx(-1)
    assert alone.mean.low < -2
    assert alone.mean.high > 0, "one point cannot be told without answers"
    assert not alone.beyond(TOLERANCE)
    assert compare_accuracies(before, rows(0.72, 0.67, 0.62)).beyond(TOLERANCE)
    assert compare_accuracies(before, rows(0.78, 0.73, 0.68)).beyond(TOLERANCE)
    assert (alone.before, alone.now, alone.conditions, alone.images) == pytest.approx((70, 69, 3, 8000))
    assert alone.agreement is None


def test_one_condition_that_is_far_off_fails_where_only_accuracies_are_known():
    found = compare_accuracies(rows(0.75, 0.70, 0.65), rows(0.7667, 0.7167, 0.615))
    assert found.mean.within(2)
    assert not found.mean.beyond(TOLERANCE)
    assert found.beyond(TOLERANCE)
    condition, difference = found.farthest
    assert condition == ("test", "noise", 2)
    assert difference.points == pytest.approx(-3.5)
    assert difference.low < -3.5 - 1.5, "its interval shares the error rate with the other conditions"


def test_newcombes_interval_is_that_of_the_paper():
    # Newcombe (1998), "Interval estimation for the difference between independent proportions", table II, method 10.
    before = [Accuracy(types="noise", severity=0, accuracy=48 / 80, images=80)]
    now = [Accuracy(types="noise", severity=0, accuracy=56 / 70, images=70)]
    mean = compare_accuracies(before, now).mean
    assert (mean.points, mean.low, mean.high) == pytest.approx((20, 5.24, 33.39), abs=0.01)


def test_accuracies_without_a_common_condition_cannot_be_compared():
    assert compare_accuracies(rows(0.75), []) is None
    val = [row.model_copy(update={"split": "val"}) for row in rows(0.75)]
    assert compare_accuracies(rows(0.75), val) is None


def test_the_spread_between_seeds_is_pooled_over_variants():
    spread = seed_spread([[70.0, 71.0, 72.0], [60.0, 60.5], [99.0]])
    assert spread.points == pytest.approx(((2 * 1.0 + 1 * 0.125) / 3) ** 0.5)
    assert (spread.variants, spread.runs) == (2, 5)
    assert seed_spread([[70.0], [60.0]]) is None
    assert seed_spread([]) is None
    assert seed_spread([[60.0, 62.0]]).points == pytest.approx(np.std([60, 62], ddof=1))

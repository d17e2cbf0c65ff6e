"""The crossed bootstrap: against scipy where only seeds or only images vary, and on answers counted by hand."""

import time

import numpy as np
import pytest
from scipy import stats

from attn_tutorial.analysis import (
    UNSEEN_COST,
    bootstrap_reductions,
    distraction_costs,
    image_costs,
    read_image_costs,
)
from attn_tutorial.errors import InputError
from attn_tutorial.ledger import Ledger
from attn_tutorial.ledger.answers import NOT_TESTED, Answers
from attn_tutorial.ledger.record import Accuracy

pytestmark = pytest.mark.filterwarnings("error")

LABELS = np.array([0, 1, 2, 3], dtype=np.uint8)
CONDITIONS = [("test", types, severity) for types in UNSEEN_COST for severity in range(6)]


def right_up_to(**last):
    """Answers to three of four images: by composition, the last severity at which each image is right (-1: never)."""
    return Answers(
        {"test": LABELS},
        {
            ("test", types, severity): np.array(
                [*(label if severity <= end else label + 1 for label, end in zip(LABELS, ends, strict=False)),
                 NOT_TESTED], dtype=np.uint8
            )
            for types, ends in last.items()
            for severity in range(6)
        },
    )  # fmt: skip


ANSWERS = right_up_to(mosaic=(5, 3, -1), crowd=(5, 0, 2))


def test_the_cost_of_each_image_by_hand():
    # Mosaic: 0, 100 × (1 − 3/5) = 40, 0. Crowd: 0, 100, 100 × (1 − 2/5) = 60. The last image was not tested.
    costs = image_costs(ANSWERS)
    assert costs[:3].tolist() == pytest.approx([0, 70, 30])
    assert np.isnan(costs[3])
    assert image_costs(ANSWERS, ["crowd"])[:3].tolist() == pytest.approx([0, 100, 60])


def test_an_image_that_one_condition_lacks_has_no_cost():
    predicted = dict(ANSWERS.predicted)
    predicted["test", "crowd", 4] = np.array([NOT_TESTED, 1, 2, NOT_TESTED], dtype=np.uint8)
    assert np.isnan(image_costs(Answers(ANSWERS.labels, predicted))).tolist() == [True, False, False, True]


def test_a_missing_condition_is_named():
    without = ANSWERS.only(set(CONDITIONS) - {("test", "crowd", 2)})
    with pytest.raises(InputError, match="must contain crowd at severities 0 to 5 on the split test, but severity 2"):
        image_costs(without)
    with pytest.raises(InputError, match="on the split val, but severity 0 is not there"):
        image_costs(ANSWERS, split="val")


def test_costs_of_images_are_read_from_a_ledger_and_their_mean_is_the_records_cost(tmp_path, runs, make_record):
    ledger = Ledger(tmp_path)
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(10, dtype=np.uint8), 5)
    chosen = runs[:4]
    for place, run in enumerate(chosen):
        predicted = {
            condition: np.where(generator.random(50) < 0.9 - 0.1 * condition[2], labels, (labels + 1) % 10).astype("u1")
            for condition in CONDITIONS[: 11 if place == 3 else 12]
        }
        answers = Answers({"test": labels}, predicted)
        rows = [
            Accuracy(types=name, severity=level, images=50, accuracy=answers.accuracy(("test", name, level)))
            for _, name, level in predicted
        ]
        ledger.add(make_record(run, accuracy=rows), None if place == 2 else answers)
    found = read_image_costs(ledger, chosen)
    assert set(found) == {(run.variant, run.spec.seed) for run in chosen[:2]}, "no answers, or not in all conditions"
    costs = distraction_costs(ledger.frame(chosen[:2]), UNSEEN_COST).set_index(["variant", "seed"])["value"]
    for key, values in found.items():
        assert values.mean() == pytest.approx(costs[key])


def study(seeds=10, images=400, of_seeds=1.0, of_images=20.0, both=30.0, shift=1.5, seed=0):
    """Costs of a baseline and a block that reduces them by `shift`; the pair's difference varies as given."""
    draw = np.random.default_rng(seed).normal
    shared = draw(0, 50, (seeds, images))
    own = draw(0, of_seeds, (seeds, 1)) + draw(0, of_images, images) + draw(0, both, (seeds, images))
    baseline = dict(enumerate(shared))
    block = dict(enumerate(shared - own - shift))
    return {("baseline", at): values for at, values in baseline.items()} | {
        ("se", at): values for at, values in block.items()
    }


def test_the_estimate_is_the_mean_paired_reduction():
    costs = study()
    [row] = bootstrap_reductions(costs, ["se"]).itertuples()
    expected = np.mean([costs["baseline", at] - costs["se", at] for at in range(10)])
    assert row.estimate == pytest.approx(expected)
    assert row.low < expected < row.high
    assert (row.seeds, row.images) == (10, 400)


@pytest.mark.parametrize(("of_seeds", "of_images"), [(1.0, 0.0), (0.0, 20.0)], ids=["seeds", "images"])
def test_where_only_one_of_the_two_varies_it_is_scipys_bootstrap(of_seeds, of_images):
    costs = study(of_seeds=of_seeds, of_images=of_images, both=0.0)
    pairs = np.array([costs["baseline", at] - costs["se", at] for at in range(10)])
    values = pairs[:, 0] if of_seeds else pairs[0]
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    )
    [row] = bootstrap_reductions(costs, ["se"], resamples=20_000).itertuples()
    tolerance = 0.06 * expected.standard_error
    assert (row.low, row.high) == pytest.approx(tuple(expected.confidence_interval), abs=tolerance)


def test_seeds_and_images_are_drawn_independently_and_together():
    costs = study(both=0.0, of_images=20.0, of_seeds=1.0)
    [row] = bootstrap_reductions(costs, ["se"], resamples=20_000).itertuples()
    pairs = np.array([costs["baseline", at] - costs["se", at] for at in range(10)])
    error = np.sqrt(pairs.mean(1).var() / 10 + pairs.mean(0).var() / 400)
    assert row.high - row.low == pytest.approx(2 * 1.96 * error, rel=0.04)


def test_a_variant_and_its_reference_get_the_same_draws():
    costs = study(of_seeds=0.0, of_images=0.0, both=0.0)  # they differ by 1.5 on every image, which vary by 50
    [row] = bootstrap_reductions(costs, ["se"]).itertuples()
    assert (row.estimate, row.low, row.high) == pytest.approx((1.5, 1.5, 1.5))
    swapped = bootstrap_reductions(study(), ["baseline"], "se")
    straight = bootstrap_reductions(study(), ["se"])
    assert swapped["low"].item() == pytest.approx(-straight["high"].item())


def test_the_same_seed_gives_the_same_interval():
    costs = study()
    first, again, other = (bootstrap_reductions(costs, ["se"], resamples=250, seed=seed) for seed in (0, 0, 1))
    assert first.equals(again)
    assert first["estimate"].equals(other["estimate"])
    assert not first["low"].equals(other["low"])


def test_images_that_were_not_tested_and_incomplete_seeds_are_left_out():
    costs = study()
    expected = bootstrap_reductions({key: values[:300] for key, values in costs.items() if key[1] < 8}, ["se"])
    holed = {key: np.where(np.arange(400) < 300, values, np.nan) for key, values in costs.items()}
    del holed["se", 8]
    del holed["baseline", 9]
    assert bootstrap_reductions(holed, ["se"]).equals(expected)
    assert bootstrap_reductions(costs | holed, ["se"], seeds=range(3))["seeds"].item() == 3
    assert bootstrap_reductions(holed, ["se"], seeds=[8, 9]).empty
    assert bootstrap_reductions({}, ["se"]).columns.tolist() == expected.columns.tolist()


def test_one_seed_has_no_interval():
    [row] = bootstrap_reductions(study(), ["se"], seeds=[3]).itertuples()
    assert np.isnan([row.low, row.high]).all()
    assert row.seeds == 1


def test_networks_must_be_tested_on_the_same_images():
    costs = study(seeds=3)
    for other in (costs["se", 1][:-1], np.where(np.arange(400) == 7, np.nan, costs["se", 1])):
        with pytest.raises(InputError, match="must be tested on the same images"):
            bootstrap_reductions({**costs, ("se", 1): other}, ["se"])
    with pytest.raises(InputError, match="at least one tested image"):
        bootstrap_reductions({key: values * np.nan for key, values in costs.items()}, ["se"])
    with pytest.raises(InputError, match="`resamples` must be at least 1, but got 0"):
        bootstrap_reductions(costs, ["se"], resamples=0)


def test_a_whole_study_takes_seconds():
    variants = ["baseline", "se", "cbam", "spatial", "non_local"]
    draw = np.random.default_rng(0).normal
    costs = {(variant, seed): draw(0, 50, 8000) for variant in variants for seed in range(10)}
    start = time.process_time()
    assert len(bootstrap_reductions(costs)) == 4
    assert time.process_time() - start < 20


def coverage(studies, resamples, **changes):
    covered = 0
    for number in range(studies):
        [row] = bootstrap_reductions(study(seed=number, **changes), ["se"], resamples=resamples).itertuples()
        covered += row.low <= 1.5 <= row.high
    return covered / studies


def test_intervals_cover_the_truth():
    assert 0.86 < coverage(150, 300, images=200) < 0.99


@pytest.mark.soak
@pytest.mark.parametrize(
    ("changes", "low", "high"),
    [
        ({}, 0.95, 0.98),
        ({"of_images": 5.0, "both": 5.0}, 0.90, 0.945),
        ({"of_images": 5.0, "both": 5.0, "seeds": 14}, 0.92, 0.955),
        ({"of_seeds": 0.2, "both": 60.0}, 0.97, 1.0),
    ],
    ids=["mixed", "seeds", "more seeds", "answers"],
)
def test_intervals_cover_as_documented(changes, low, high):
    assert low < coverage(1500, 500, **changes) < high

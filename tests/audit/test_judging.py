"""The promises pass on what is right and fail on planted defects, as records and measurements show them."""

import pytest
from scipy.stats import beta

from attn_tutorial.audit import judging
from attn_tutorial.audit.promises import (
    ALL_BACKGROUNDS,
    LEAK_TYPES,
    SEARCHED_SEVERITIES,
    SEARCHED_TYPES,
    Hits,
    PixelComparison,
    Sources,
    Touched,
)
from attn_tutorial.clutter.names import BACKGROUND_TYPES
from attn_tutorial.ledger.record import Accuracy
from attn_tutorial.study import Study


def make_hits(first=25):
    """What two detectors found on 2,000 canvases each, where chance finds 25; `first` are the hits of the first row."""
    rows = [
        {"detector": detector, "types": types, "severity": severity, "tile": tile, "canvases": 2000, "hits": found,
         "chance": 0.0125}
        for types, tile, found in (
            *((types, "removed", 25) for types in SEARCHED_TYPES), ("fragments", "removed", 500),
            ("surround+noise", "shown", 1900),
        )
        for detector in ("border", "hole")
        for severity in SEARCHED_SEVERITIES
    ]  # fmt: skip
    rows[0]["hits"] = first
    return [Hits(**row) for row in rows]


UNTOUCHED = [Touched(types=types, canvases=2000, pixels=0, mask_pixels=0) for types in BACKGROUND_TYPES]


def drop_severity_5(records, *variants):
    for variant in variants:
        kept = [row for row in records[variant].accuracy if row.severity != 5]
        records[variant] = records[variant].model_copy(update={"accuracy": kept})
    return records


def test_the_study_tests_what_promise_1_is_about():
    assert sorted(ALL_BACKGROUNDS.split("+")) == sorted(BACKGROUND_TYPES)
    variants = Study.load("audit").variants
    assert tuple(variants["tile_removed"]["evaluation"]["types"]) == LEAK_TYPES


def test_promise_1_wants_guessing_in_every_composition_at_every_severity(make_records):
    promise = judging.no_leak(make_records(), 0.1, make_hits())
    assert promise.passed
    assert promise.canvases_passed
    judged = {(row.types, row.severity) for row in promise.guesses if row.variant == "tile_removed"}
    assert len(judged) == 24
    assert {row.variant for row in promise.guesses} == {"tile_removed", "tile_removed_other_classes"}
    for types in LEAK_TYPES:
        leak = {types: [0.1, 0.1, 0.1, 0.1, 0.2, 0.1], "*": [0.1] * 6}
        leaks = judging.no_leak(make_records(tile_removed=leak), 0.1, make_hits())
        assert not leaks.passed
        assert leaks.canvases_passed
        assert f"beyond chance: {types} at severity 4." in leaks.measured
    # Knowing what it is not is a leak, too.
    assert not judging.no_leak(make_records(tile_removed=[0.05] * 6), 0.1, make_hits()).passed


def test_promise_1_judges_what_detectors_find_where_the_target_was_removed(make_records):
    promise = judging.no_leak(make_records(), 0.1, make_hits())
    assert sum(row.judged for row in promise.detections) == 24
    assert {row.types for row in promise.detections if not row.judged} == {"fragments", "surround+noise"}
    assert "border detector finds 1.2 % of the removed targets, where chance is 1.2 %" in promise.measured
    for hits in (60, 5):  # beyond chance, on either side
        found = judging.no_leak(make_records(), 0.1, make_hits(hits))
        assert not found.passed
        assert found.canvases_passed is False
        assert "Beyond chance: border detector, surround at severity 1." in found.measured
    assert not judging.no_leak(make_records(), 0.1, []).passed


def test_promise_1s_intervals_hold_together(make_records):
    promise = judging.no_leak(make_records(), 0.1, make_hits())
    [guess] = [row for row in promise.guesses if (row.variant, row.types, row.severity) == ("tile_removed", "crowd", 1)]
    right, wrong, error = 210, 1790, 0.05 / 24
    assert guess.low == pytest.approx(beta.ppf(error / 2, right, wrong + 1))
    assert guess.high == pytest.approx(beta.ppf(1 - error / 2, right + 1, wrong))
    hits, misses = 25, 1975
    assert promise.detections[0].low == pytest.approx(beta.ppf(error / 2, hits, misses + 1))
    assert promise.detections[0].high == pytest.approx(beta.ppf(1 - error / 2, hits + 1, misses))
    # 11.7 % lies beyond a single interval of 95 %, and within one of 24.
    assert judging.no_leak(make_records(tile_removed=[0.117] * 6), 0.1, make_hits()).passed


def test_a_severity_that_was_not_tested_keeps_no_promise(make_records):
    records = drop_severity_5(make_records(), "baseline", "tile_removed", "oracle gate")
    for promise, says in (
        (judging.no_leak(records, 0.1, make_hits()), "Not tested: surround+noise+mosaic+crowd at severity 5"),
        (judging.even_fall(records["baseline"]), "not tested at severity 5"),
        (judging.whole_target(UNTOUCHED, records), "wins back unknown %"),
        (judging.weak_background([0.1], records), "missing at severity 5"),
    ):
        assert not promise.passed
        assert says in promise.measured


def test_promise_2_counts_pixels():
    def judge(pixels, mask_pixels):
        row = PixelComparison(way="upside down", canvases=30, pixels=pixels, mask_pixels=mask_pixels)
        idle = PixelComparison(way="on a GPU", canvases=30, pixels=None, mask_pixels=None)
        return judging.same_pixels([row, idle])

    promise = judge(0, 0)
    assert promise.passed
    assert "on a GPU: not run" in promise.measured
    for wrong in ((1, 0), (0, 1)):
        assert not judge(*wrong).passed
        assert "upside down" in judge(*wrong).measured
    assert not judge(None, None).passed


def test_promise_3_wants_even_steps_and_headroom(make_records):
    promise = judging.even_fall(make_records()["baseline"])
    assert promise.passed
    assert promise.seen_cost == pytest.approx(4.4)
    assert promise.unseen_cost == pytest.approx((4.4 + 12.1) / 2)
    assert "on surround+noise the steps cost 1.0, 1.5, 1.5, 2.0, 2.5 points" in promise.measured.lower()
    assert {row.types for row in promise.rows} == {"surround+noise", "mosaic", "crowd"}


@pytest.mark.parametrize(
    ("curve", "measured"),
    [
        # A rise, far beyond chance.
        ({"crowd": [0.79, 0.74, 0.80, 0.74, 0.70, 0.66]}, "On crowd the step to severity 2 is too small"),
        ({"surround+noise": [0.79, 0.78, 0.70, 0.69, 0.68, 0.67]}, "step to severity 2 is too large (interval 5.3"),
        ({"surround+noise": [0.79, 0.785, 0.78, 0.78, 0.775, 0.775]}, "The seen cost must be at least 4 points"),
        ({"mosaic": [0.79, 0.78, 0.78, 0.78, 0.78, 0.78]}, "The unseen cost must be at least 8 points"),
    ],
)
def test_promise_3_notices(make_records, curve, measured):
    baseline = {"mosaic": [0.79, 0.70, 0.62, 0.62, 0.62, 0.62], **curve}
    if "mosaic" in curve:
        baseline["crowd"] = [0.79, 0.78, 0.765, 0.745, 0.72, 0.70]
    promise = judging.even_fall(make_records(baseline=baseline)["baseline"])
    assert not promise.passed
    assert measured in promise.measured


def test_promise_3_leaves_to_chance_what_chance_can_explain_and_mosaic_its_shape(make_records):
    # A flat step and one of 5 points: both intervals reach into the range.
    curve = {"surround+noise": [0.79, 0.79, 0.775, 0.75, 0.70, 0.69], "mosaic": [0.79, 0.6, 0.65, 0.65, 0.65, 0.65]}
    assert judging.even_fall(make_records(baseline=curve)["baseline"]).passed


def test_promise_3s_interval_is_newcombes():
    # The first example of Newcombe 1998, table II: 56 of 70 and 48 of 80; method 10 gives 0.0524 to 0.3339.
    before, after = (
        Accuracy(split="test", types="t", severity=0, accuracy=k / n, images=n) for k, n in ((48, 80), (56, 70))
    )
    assert judging._change(before, after) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_promise_4_wants_whole_targets_and_an_oracle_that_wins(make_records):
    promise = judging.whole_target(UNTOUCHED, make_records())
    assert promise.passed
    costs = {row.variant: row for row in promise.costs}
    assert list(costs) == ["baseline", "oracle gate", "wrong oracle"]
    assert costs["baseline"].seen_won_back is None
    assert costs["oracle gate"].seen == pytest.approx(0.64)
    assert costs["oracle gate"].seen_won_back == pytest.approx(100 * (4.4 - 0.64) / 4.4)
    assert costs["oracle gate"].unseen_won_back == pytest.approx(100 * (8.25 - 0.64) / 8.25)
    assert costs["wrong oracle"].unseen_won_back < 0
    assert promise.oracle_input == 0.82
    assert len(promise.curves) == 3 * 3 * 6


@pytest.mark.parametrize("field", ["pixels", "mask_pixels"])
def test_promise_4_notices_a_single_pixel(make_records, field):
    touched = [*UNTOUCHED, UNTOUCHED[0].model_copy(update={"types": "fog", field: 1})]
    promise = judging.whole_target(touched, make_records())
    assert not promise.passed
    assert promise.canvases_passed is False
    assert "fog: " in promise.measured
    assert not judging.whole_target([], make_records()).passed


@pytest.mark.parametrize("cost", ["seen", "unseen"])
def test_promise_4_wants_half_of_each_cost_back(make_records, cost):
    half = [0.8, *(0.8 - 0.023 for _ in range(5))]  # wins 48 % of the seen cost, 72 % of the unseen
    weak = {"seen": half, "unseen": {"mosaic": [0.8, *[0.70] * 5], "*": [0.8] * 6}}[cost]
    promise = judging.whole_target(UNTOUCHED, make_records(**{"oracle gate": weak}))
    assert not promise.passed
    assert promise.canvases_passed
    assert "where 50 % are promised" in promise.measured


def test_where_the_baseline_loses_nothing_there_is_nothing_to_win(make_records):
    promise = judging.whole_target(UNTOUCHED, make_records(baseline=[0.7, 0.71, 0.71, 0.71, 0.71, 0.71]))
    assert not promise.passed
    assert promise.costs[1].seen_won_back is None


def test_promise_5_wants_no_duplicate_in_any_layer():
    def judge(**changes):
        rows = [
            {"split": split, "layer": layer, "canvases": 60, "images": 40, "duplicates": 0, "not_barred": 0}
            for split in ("train", "test")
            for layer in ("surround", "mosaic")
        ]
        rows[1].update(changes)
        return judging.no_test_image([], [Sources(**row) for row in rows], [])

    assert judge().passed
    assert "On 60 canvases of train the layers show so many images: surround 40, mosaic 40" in judge().measured
    assert not judge(duplicates=1).passed
    assert not judge(not_barred=1).passed
    assert not judging.no_test_image([], [], []).passed


def test_promise_6_wants_recalibrated_accuracies(make_records):
    records = make_records()
    assert judging.weak_background([0.1], records).passed
    rows = [row.model_copy(update={"recalibrated": None}) for row in records["baseline"].accuracy]
    records["baseline"] = records["baseline"].model_copy(update={"accuracy": rows})
    promise = judging.weak_background([0.1], records)
    assert not promise.passed
    assert "missing at severity 0, 1, 2, 3, 4, 5" in promise.measured
    assert not judging.weak_background([0.1, 0.0], make_records()).passed

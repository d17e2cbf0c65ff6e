"""The protocol's verdicts: each condition of support alone, the margin, too few seeds, and what the sentences say."""

import dataclasses
import math

import pandas as pd
import pytest

from attn_tutorial.analysis import PRIMARY_FAMILY, Finding, cost_reductions, judge_primary, judge_seen, margin_of
from attn_tutorial.errors import InputError

pytestmark = pytest.mark.filterwarnings("error")

GOOD = Finding(
    variant="cbam", margin=0.6, estimate=1.2, low=0.9, high=1.5, p=0.0001, p_adjusted=0.0004, sd=0.34, seeds=10,
    variants=5, family=4, by_types={"mosaic": 1.4, "crowd": 1.0}, accuracy=0.8, severity_0=-0.4, paired_low=0.8,
    paired_high=1.6, paired_p=0.001, paired_sd=0.36,
)  # fmt: skip


def changed(**changes):
    return dataclasses.replace(GOOD, **changes)


def test_support_wants_every_condition():
    assert (GOOD.verdict, GOOD.failed) == ("supported", [])
    for changes, reason in (
        ({"p_adjusted": 0.05}, "the adjusted p is 0.050"),
        ({"p_adjusted": math.nan}, "there is no test"),
        ({"estimate": 0.59, "low": 0.3}, "the reduction is less than the margin of 0.60 points"),
        ({"by_types": {"mosaic": 2.5, "crowd": -0.1}}, "the cost does not fall on `crowd`"),
        ({"by_types": {"mosaic": 0.0, "crowd": 2.4}}, "the cost does not fall on `mosaic`"),
        ({"accuracy": -0.02}, "the accuracy on unseen backgrounds is 0.02 points below the baseline's"),
    ):
        finding = changed(**changes)
        assert (finding.verdict, finding.failed) == ("cannot tell", [reason]), changes


@pytest.mark.parametrize(
    "changes",
    [
        {"p_adjusted": 0.0499},
        {"estimate": 0.6},
        {"estimate": 0.1 * 6},  # a rounding error below or above
        {"estimate": 0.6 - 1e-12},
        {"by_types": {"mosaic": 0.01, "crowd": 2.39}},
        {"accuracy": 0.0},
        {"accuracy": -1e-13},
        {"severity_0": -5.0},  # reported beside the verdict, but not a condition
        {"paired_p": 0.9, "paired_low": -1.0},  # only a check of the model
        {"seeds": 4},
    ],
)
def test_what_support_does_not_want(changes):
    assert changed(**changes).verdict == "supported"


def test_refuted_is_an_interval_that_lies_below_the_margin():
    below = {"estimate": 0.2, "low": -0.2, "p_adjusted": 0.9}
    assert changed(high=0.599, **below).verdict == "refuted"
    assert changed(high=0.6, **below).verdict == "cannot tell"
    # A reduction that is certain, but too small to matter.
    assert changed(estimate=0.3, low=0.2, high=0.4).verdict == "refuted"
    assert changed(estimate=-2.0, low=-3.0, high=-1.0).verdict == "refuted"
    assert changed(low=math.nan, high=math.nan, p_adjusted=math.nan).verdict == "cannot tell"


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_few_seeds_give_no_verdict(seeds):
    for changes in ({}, {"estimate": 0.0, "low": -0.1, "high": 0.1}):
        finding = changed(seeds=seeds, **changes)
        assert finding.verdict == "too few seeds"
        assert math.isnan(finding.smallest_found)
        assert math.isnan(finding.smallest_supported)


def test_each_verdict_is_one_sentence():
    start = "CBAM lowers the unseen distraction cost by 1.20 points (95 % interval of the reduction +0.90 to +1.50, "
    assert GOOD.sentence("CBAM") == (f"{start}10 seeds): the study supports that it helps by at least 0.60 points.")
    unsure = changed(p_adjusted=0.2, accuracy=-0.3, by_types={"mosaic": -1, "crowd": -1})
    assert unsure.sentence("CBAM") == (
        f"{start}10 seeds): the study cannot tell whether it helps, because the adjusted p is 0.200, the cost does not "
        "fall on `mosaic` and `crowd` and the accuracy on unseen backgrounds is 0.30 points below the baseline's."
    )
    assert changed(seeds=3).sentence("CBAM") == f"{start}3 seeds): a verdict needs at least 4 seeds."
    assert changed(estimate=-0.05, low=-0.25, high=0.15).sentence() == (
        "`cbam` raises the unseen distraction cost by 0.05 points (95 % interval of the reduction −0.25 to +0.15, "
        "10 seeds): the study refutes that it helps by 0.60 points or more."
    )
    assert changed(seeds=1, low=math.nan, high=math.nan).sentence() == (
        "`cbam` lowers the unseen distraction cost by 1.20 points (no interval, 1 seed): a verdict needs at least 4 "
        "seeds."
    )


def test_what_the_seeds_can_find_stands_beside_a_finding():
    paired = changed(variants=2)
    assert paired.smallest_found == pytest.approx(1.2843 * 0.34, abs=1e-4), "as statsmodels computes it"
    assert GOOD.smallest_found < paired.smallest_found
    # A reduction is estimated at the margin or above it in 80 % of studies if it lies 0.84 standard errors above.
    assert GOOD.smallest_supported == pytest.approx(0.6 + 0.8416 * 0.34 / math.sqrt(10), abs=1e-3)
    assert math.isnan(changed(sd=math.nan).smallest_found)


BLOCKS = {  # true reductions; margin 0.6
    "baseline": 0.0,
    "se": {"mosaic": 1.5, "crowd": 1.1, "surround+noise": 0.5},  # supported
    "cbam": {"mosaic": 3.0, "crowd": -0.4, "surround+noise": 0.0},  # another sign on crowd
    "spatial": {"mosaic": 0.2, "crowd": 0.1, "surround+noise": 0.0},  # refuted
    "non_local": {"mosaic": 1.0, "crowd": 1.0, "surround+noise": 0.05},  # supported
}


def test_a_study_is_judged_from_its_frame(study_frame, spread):
    frame = study_frame(spread(BLOCKS))
    findings = judge_primary(frame, 0.6)
    assert [finding.variant for finding in findings] == list(PRIMARY_FAMILY)
    assert [finding.verdict for finding in findings] == ["supported", "cannot tell", "refuted", "supported"]
    table = cost_reductions(frame)
    for finding, row in zip(findings, table.to_dict("records"), strict=True):
        assert finding.by_types == {"mosaic": row["estimate_mosaic"], "crowd": row["estimate_crowd"]}
        same = [name for name in row if hasattr(finding, name)]
        assert [getattr(finding, name) for name in same] == [row[name] for name in same]
        assert len(same) == len(table.columns) - 2
        assert (finding.family, finding.margin) == (4, 0.6)


def test_a_block_that_wins_by_being_worse_everywhere_is_not_supported(study_frame, spread):
    worse = {("se", seed): 78.0 for seed in range(10, 20)}
    found = judge_primary(study_frame(spread(BLOCKS), worse), 0.6)[0]
    assert found.estimate == pytest.approx(1.3)
    assert (found.severity_0, found.accuracy) == pytest.approx((-2.0, -0.7))
    assert found.verdict == "cannot tell"


def test_only_the_chosen_seeds_are_judged(study_frame, spread):
    frame = study_frame(spread(BLOCKS))
    assert {finding.seeds for finding in judge_primary(frame, 0.6, seeds=[10, 11, 12])} == {3}
    assert {finding.verdict for finding in judge_primary(frame, 0.6, seeds=[10, 11, 12])} == {"too few seeds"}
    missing = frame[(frame["variant"] != "spatial") | (frame["seed"] != 12)]
    assert {finding.seeds for finding in judge_primary(missing, 0.6)} == {9}
    assert judge_primary(frame[frame["variant"] != "spatial"], 0.6) == []


def test_the_seen_cost_is_tested_only_for_blocks_that_passed(study_frame, spread):
    frame = study_frame(spread(BLOCKS, spread=0.1))
    table = judge_seen(frame, judge_primary(frame, 0.6))
    assert table["variant"].tolist() == ["se", "non_local"]
    assert table["estimate"].tolist() == pytest.approx([0.5, 0.05])
    assert table["p"].iloc[0] < table["p"].iloc[1] < 0.3
    assert (table["p_adjusted"] / table["p"]).tolist() == pytest.approx([2, 1]), "Holm over the two that passed"
    whole = cost_reductions(frame, ["surround+noise"]).set_index("variant")
    assert table["p"].tolist() == whole.loc[["se", "non_local"], "p"].tolist(), "the model has all variants"


def test_without_a_block_that_passed_the_seen_cost_is_not_tested(study_frame, spread):
    frame = study_frame(spread(BLOCKS))
    for findings in ([], judge_primary(frame, 5.0)):
        table = judge_seen(frame, findings)
        assert table.empty
        assert {"variant", "estimate", "p_adjusted", "estimate_surround+noise"} <= set(table.columns)


def test_the_margin_is_a_fifth_of_the_baselines_unseen_cost(study_frame):
    frame = study_frame({
        "baseline": {0: {"mosaic": 6, "crowd": 10}, 1: {"mosaic": 5, "crowd": 9}},
        "se": {0: {"mosaic": 1, "crowd": 1}},
    })  # fmt: skip
    assert margin_of(frame) == pytest.approx(1.5)
    with pytest.raises(InputError, match=r"needs runs of plain that were tested on mosaic and crowd, .* Run stage 0"):
        margin_of(frame, "plain")


@pytest.mark.parametrize("margin", [0, -1, math.nan, math.inf])
def test_a_margin_must_be_a_number_above_0(study_frame, spread, margin):
    with pytest.raises(InputError, match=r"`margin` must be a number of points above 0, but got"):
        judge_primary(study_frame(spread(BLOCKS)), margin)


def test_findings_make_a_table():
    table = pd.DataFrame([{**dataclasses.asdict(finding), "verdict": finding.verdict} for finding in [GOOD]])
    assert table.loc[0, ["variant", "verdict"]].tolist() == ["cbam", "supported"]

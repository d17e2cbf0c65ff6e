"""The study's statistics against scipy, statsmodels, published examples, and simulated studies."""

import gc
import itertools
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_ind, ttost_paired

from attn_tutorial.analysis import statistics
from attn_tutorial.analysis.outcomes import areas, relative_clutter_error, slopes
from attn_tutorial.analysis.statistics import (
    compare_ledgers,
    equivalence,
    intervals,
    minimal_detectable_effect,
    paired_differences,
    seed_differences,
)
from attn_tutorial.errors import InputError
from attn_tutorial.spec import SEEN

# scipy warns where a sample is too small or does not vary: the code must not ask it then.
pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(autouse=True, scope="module")
def _no_garbage():
    """Statsmodels collects garbage at each of its corrections, which takes longer than all else here."""
    gc.freeze()
    yield
    gc.unfreeze()


TYPES = {SEEN: 0, "noise": 5, "mosaic": 10}


def make_frame(values, **changes):
    """`values[variant][seed]` is the mean accuracy over the severities; each severity costs 2 points more."""
    rows = [
        {"run_id": f"{variant}{seed}", "preset": "full-cpu", "variant": variant, "seed": seed, "fingerprint": "f",
         "split": "test", "types": types, "severity": severity, "accuracy": mean - worse + 5 - 2 * severity,
         **changes}
        for variant, means in values.items()
        for seed, mean in enumerate(means)
        if mean is not None
        for types, worse in TYPES.items()
        for severity in range(6)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def outcomes(values):
    return areas(make_frame(values))


SLEEP = {  # Student (1908), "The probable error of a mean", table in section IX: hours of sleep gained by two drugs
    "baseline": [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0],
    "laevo": [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4],
}


def test_students_own_example():
    [row] = paired_differences(outcomes(SLEEP)).itertuples()
    assert row.difference == pytest.approx(1.58)
    # As R's documentation of t.test gives them.
    assert row.p == pytest.approx(0.002833, abs=1e-6)
    assert (row.low, row.high) == pytest.approx((0.7001, 2.4599), abs=1e-4)
    assert (row.seeds, row.left_out, row.within_noise) == (10, 0, False)


def test_an_area_is_the_mean_over_the_severities_of_one_composition():
    frame = make_frame({"baseline": [70, 72], "se": [75.5]})
    assert areas(frame).to_dict("list") == {
        "variant": ["baseline", "baseline", "se"],
        "seed": [0, 1, 0],
        "run_id": ["baseline0", "baseline1", "se0"],
        "value": [70, 72, 75.5],
    }
    assert areas(frame, "mosaic")["value"].tolist() == [60, 62, 65.5]
    assert areas(frame.iloc[:0]).empty


def test_intervals_are_scipys():
    [baseline, se] = intervals(outcomes({"baseline": [70, 71, 73], "se": [75]})).itertuples()
    expected = stats.t.interval(0.95, 2, loc=np.mean([70, 71, 73]), scale=stats.sem([70, 71, 73]))
    assert (baseline.low, baseline.high) == pytest.approx(expected)
    assert (baseline.mean, baseline.sd, baseline.seeds) == pytest.approx((71 + 1 / 3, np.std([70, 71, 73], ddof=1), 3))
    assert (se.mean, se.seeds) == (75, 1)
    assert np.isnan([se.low, se.high, se.sd]).all()


def test_a_difference_is_paired_by_seed_and_says_how_many_were_left_out():
    table = paired_differences(
        outcomes({
            "baseline": [60, 65, 71, 74, 80, 90],
            "se": [61, 66.5, 72.1, 75.2, None, None],
            "cbam": [None, 60, 75, 70, 85, 87],
        })
    ).set_index("variant")  # fmt: skip
    for variant, pairs in {
        "se": ([61, 66.5, 72.1, 75.2], [60, 65, 71, 74]),
        "cbam": ([60, 75, 70, 85, 87], [65, 71, 74, 80, 90]),
    }.items():
        test = stats.ttest_rel(*pairs)
        row = table.loc[variant]
        assert row["p"] == pytest.approx(test.pvalue)
        assert (row["low"], row["high"]) == pytest.approx(tuple(test.confidence_interval(0.95)))
        assert row["sd"] == pytest.approx(np.std(np.subtract(*pairs), ddof=1))
    assert table["seeds"].tolist() == [4, 5]
    assert table["left_out"].tolist() == [2, 1]
    assert table["within_noise"].tolist() == [False, True]


def test_the_differences_of_the_seeds_are_those_of_pairs():
    pairs = seed_differences(outcomes({"baseline": [60, 65, 70], "se": [61, None, 72], "cbam": [None, 60, None]}))
    assert sorted(pairs.itertuples(index=False, name=None)) == [("cbam", 1, -5.0), ("se", 0, 1.0), ("se", 2, 2.0)]


def test_holm_is_taken_over_the_family_and_not_over_the_controls():
    values = {"baseline": [60, 61, 62, 63]} | {
        name: [60 + shift, 61.3 + shift, 62.1 + shift, 63.8 + shift]
        for name, shift in {"se": 0.4, "cbam": 0.9, "control": 1.5, "late": 1.2}.items()
    }
    values["late"] = values["late"][:2]  # two seeds: no test, but a member of the family
    table = paired_differences(outcomes(values), family=["se", "cbam", "late", "missing"]).set_index("variant")
    alone = [stats.ttest_rel(values[name], values["baseline"]).pvalue for name in ("se", "cbam")]
    expected = multipletests([*alone, 1, 1], method="holm")[1][:2]
    assert table.loc[["se", "cbam"], "p_holm"].tolist() == pytest.approx(expected.tolist())
    assert table.loc["cbam", "p_holm"] == pytest.approx(4 * alone[1])
    assert table.loc[["control", "late"], "p_holm"].isna().all()
    assert table["p"].isna().tolist() == [False, False, False, True]
    everyone = paired_differences(outcomes(values)).set_index("variant")
    assert everyone["p_holm"].isna().tolist() == [False, False, False, True]


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_few_seeds_give_an_interval_at_most_and_no_test(seeds):
    values = {"baseline": [60, 61, 62.5][:seeds], "se": [61, 62.5, 63][:seeds]}
    [row] = paired_differences(outcomes(values)).itertuples()
    assert np.isnan(row.p)
    assert np.isnan(row.p_holm)
    assert np.isnan(row.low) == np.isnan(row.high) == (seeds == 1)
    assert (row.within_noise is pd.NA) == (seeds == 1)
    [row] = equivalence(outcomes(values), margin=50).itertuples()
    assert np.isnan(row.p)
    assert row.verdict == "undecided"


def test_few_seeds_are_never_called_different():
    values = {"baseline": [60, 61, 62.5], "se": [70, 71.1, 72.4]}
    [row] = paired_differences(outcomes(values)).itertuples()
    assert row.low > 9
    assert equivalence(outcomes(values))["verdict"].tolist() == ["undecided"]
    baseline, se = (make_frame({"net": values[name] + [value + 0.2 for value in values[name][:more]]})
                    for name, more in (("baseline", 1), ("se", 0)))  # fmt: skip
    for published, own in ((baseline, se), (se, baseline)):
        [row] = compare_ledgers(published, own).itertuples()
        assert min(abs(row.low), abs(row.high)) > 5
        assert row.verdict == "undecided"


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_seeds_that_do_not_differ_give_no_interval(shift):
    # The sums round differently, so the differences are equal up to the last bits only.
    baseline = [60.1, 61.7, 62.3, 64.9, 70.2]
    frame = outcomes({"baseline": baseline, "se": [value + shift for value in baseline]})
    [row] = paired_differences(frame).itertuples()
    assert row.difference == pytest.approx(shift, abs=1e-9)
    assert np.isnan([row.low, row.high, row.p, row.p_holm]).all()
    assert row.within_noise is pd.NA
    assert equivalence(frame)["verdict"].tolist() == ["undecided"]


def test_equivalence_is_statsmodels_tost():
    baseline = [70, 71.2, 69.5, 72.1, 70.4]
    values = {
        "baseline": baseline,
        "same": [70.1, 71.1, 69.7, 72.0, 70.5],
        "more": [71.1, 72.4, 70.4, 73.2, 71.6],
        "noisy": [71.4, 70.3, 70.9, 71.2, 71.3],
        "a little": [70.2, 71.41, 69.69, 72.3, 70.61],
    }
    table = equivalence(outcomes(values)).set_index("variant")
    for variant in table.index:
        expected, _, _ = ttost_paired(np.array(values[variant]), np.array(baseline), -0.5, 0.5)
        assert table.loc[variant, "p"] == pytest.approx(expected)
        interval = stats.ttest_rel(values[variant], baseline).confidence_interval(0.90)
        assert table.loc[variant, ["low", "high"]].tolist() == pytest.approx(list(interval))
        assert (-0.5 < interval.low < interval.high < 0.5) == (expected < 0.05)
    # A little more than the baseline beyond doubt, and still as good as equal.
    assert stats.ttest_rel(values["a little"], baseline).pvalue < 0.001
    assert table["verdict"].tolist() == ["equivalent", "different", "undecided", "equivalent"]
    assert equivalence(outcomes(values), margin=2)["verdict"].tolist() == ["equivalent"] * 4


def test_slopes_are_scipys_lines():
    frame = make_frame({"baseline": [70, 72], "se": [75, 74]})
    bend = frame["accuracy"] - 0.5 * frame["severity"] ** 2 * (frame["variant"] == "se")
    frame = frame.assign(accuracy=bend)
    table = slopes(frame).set_index(["variant", "seed"])["value"]
    expected = stats.linregress(range(6), [80 - 2 * s - 0.5 * s**2 for s in range(6)]).slope
    assert table["baseline"].tolist() == pytest.approx([-2, -2])
    assert table["se", 0] == pytest.approx(expected)
    assert seed_differences(slopes(frame))["difference"].tolist() == pytest.approx([expected + 2] * 2)


def test_relative_clutter_error_is_the_mce_of_hendrycks_and_dietterich():
    frame = make_frame({"baseline": [70, 72], "se": [76, None, 80]})
    table = relative_clutter_error(frame).set_index(["variant", "seed"])["value"]
    assert table["baseline"].tolist() == [100, 100]
    # By hand: severities 1 to 5 lie one point below the mean over 0 to 5; noise and mosaic alone, each as a ratio.
    assert table["se", 0] == pytest.approx(50 * ((29 + 0) / (35 + 1) + (100 - 65) / (41 + 0)), rel=0.1)
    by_hand = [100 * (100 - 75 + worse) / (100 - 69 + worse) for worse in (5, 10)]
    assert table["se", 0] == pytest.approx(np.mean(by_hand))
    assert ("se", 2) not in table.index
    only = relative_clutter_error(frame, [SEEN]).set_index(["variant", "seed"])["value"]
    assert only["se", 0] == pytest.approx(100 * 25 / 31)


def test_the_designs_figures():
    # Two networks whose seeds vary by 0.4 points each: their paired differences, by √2 of that.
    table = minimal_detectable_effect(0.4 * 2**0.5, (3, 5, 10), blocks=13).set_index("seeds")
    assert np.isnan(table.loc[3, "holm"])
    # That the interval of three seeds excludes 0, by the noncentral t distribution.
    shift, edge = table.loc[3, "uncorrected"] / (0.4 * 2**0.5) * 3**0.5, stats.t.ppf(0.975, 2)
    assert stats.nct.sf(edge, 2, shift) + stats.nct.cdf(-edge, 2, shift) == pytest.approx(0.8, abs=1e-4)
    assert minimal_detectable_effect(1.0, (1,), blocks=1)["uncorrected"].isna().all()
    assert table.loc[5].tolist() == pytest.approx([1.0, 1.9], abs=0.1)
    assert table.loc[10].tolist() == pytest.approx([0.6, 0.9], abs=0.05)


def test_a_published_power_table():
    # Cohen (1988), table 2.3.5 (two-sided 0.05) for paired means enters with n pairs and d√2: d = 0.5 wants 34 pairs.
    table = minimal_detectable_effect(1.0, (34, 27), blocks=1).set_index("seeds")
    assert table.loc[34, "uncorrected"] == pytest.approx(0.495, abs=0.005)
    assert table["uncorrected"].tolist() == table["holm"].tolist()


def test_ledgers_that_agree_differ_or_leave_it_open():
    published = make_frame({"same": [70, 70.2, 69.9, 70.1, 70.0], "lower": [70, 70.2, 69.9, 70.1, 70.0],
                            "open": [68, 72, 71, 69, 70], "once": [70], "theirs": [70, 71]})  # fmt: skip
    own = make_frame({"same": [70.1, 70.0, 70.2, 69.8, 70.1], "lower": [65, 65.2, 64.9, 65.3, 65.1],
                      "open": [69, 73, 71, 68, 70], "once": [71, 72, 73, 74], "ours": [60]})  # fmt: skip
    table = compare_ledgers(published, own).set_index("variant")
    assert table["verdict"].to_dict() == {
        "same": "equivalent", "lower": "different", "open": "undecided",
        "once": "undecided", "theirs": "undecided", "ours": "undecided",
    }  # fmt: skip
    mine, theirs = (areas(frame).query("variant == 'same'")["value"] for frame in (own, published))
    row = table.loc["same"]
    interval = stats.ttest_ind(mine, theirs, equal_var=False).confidence_interval(0.95)
    assert (row["low"], row["high"]) == pytest.approx(tuple(interval))
    assert row["p"] == pytest.approx(ttost_ind(mine, theirs, -0.5, 0.5, usevar="unequal")[0])
    assert row["difference"] == pytest.approx(np.mean(mine) - np.mean(theirs))
    assert (row["own_low"], row["own_high"]) == pytest.approx(stats.t.interval(0.95, 4, mine.mean(), stats.sem(mine)))
    assert table.loc["once", "difference"] == pytest.approx(2.5)
    assert np.isnan(table.loc["once", ["low", "high", "p", "published_low"]].tolist()).all()
    assert table.loc[["theirs", "ours"], ["published_seeds", "own_seeds"]].to_numpy().tolist() == [[2, 0], [0, 1]]


def test_an_empty_ledger_leaves_the_other_side():
    published = make_frame({"se": [70, 71, 73]})
    table = compare_ledgers(published, published.iloc[:0])
    assert table["published"].tolist() == pytest.approx([71 + 1 / 3])
    assert table["own"].isna().all()
    assert compare_ledgers(published.iloc[:0], published.iloc[:0]).empty
    assert intervals(areas(published.iloc[:0])).empty
    assert paired_differences(areas(published.iloc[:0])).empty
    assert equivalence(areas(published.iloc[:0])).empty


@pytest.mark.parametrize("column", ["preset", "fingerprint", "target", "backbone", "split"])
def test_records_of_several_kinds_are_refused(column):
    first = make_frame({"baseline": [60, 61]}, backbone="ResNet-8 (width 32)")
    other = first.assign(**{column: "other"}, seed=first["seed"] + 2)
    both = pd.concat([first, other])
    for function in (areas, slopes, relative_clutter_error):
        with pytest.raises(InputError, match=rf"several kinds.*{column}.*other.*Choose one"):
            function(both)
    with pytest.raises(InputError, match=f"{column}.*other"):
        compare_ledgers(first, other)


def test_two_networks_under_one_name_are_refused():
    frame = pd.concat([make_frame({"se": [60]}), make_frame({"se": [61]}).assign(run_id="another")])
    with pytest.raises(InputError, match=r"variant se has several runs with seed 0 \(se0, another\)"):
        areas(frame)


def test_runs_tested_at_other_severities_are_refused():
    frame = make_frame({"baseline": [60], "se": [61]})
    with pytest.raises(InputError, match=r"se0 \(se, seed 0\) was not tested at severity 3, 4"):
        areas(frame[(frame["variant"] == "baseline") | ~frame["severity"].isin([3, 4])])
    with pytest.raises(InputError, match=r"needs .* two severities or more, but these were tested at severity 0 only"):
        slopes(frame[frame["severity"] == 0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda frame: areas(frame, "veil"), r"must .* tested on \(surround.noise, noise, mosaic\), but got 'veil'"),
        (
            lambda frame: paired_differences(areas(frame), "plain"),
            "`baseline` must .*, but got 'plain'.*runs of baseline, se",
        ),
        (lambda frame: equivalence(areas(frame), "plain"), "but got 'plain'"),
        (
            lambda frame: equivalence(areas(frame), margin=0),
            "`margin` must be a number of points above 0, but got 0",
        ),
        (lambda frame: compare_ledgers(frame, frame, margin=float("nan")), "but got nan"),
        (lambda frame: relative_clutter_error(frame.query("types == @SEEN")), "surround.noise only"),
        (lambda frame: minimal_detectable_effect(-1, [5], 1), "`sd` must be at least 0.*but got sd -1"),
        (lambda frame: minimal_detectable_effect(1, [5], 0), "`blocks` at least 1.*but got .*blocks 0"),
    ],
    ids=[
        "types",
        "baseline",
        "baseline of equivalence",
        "margin",
        "margin of ledgers",
        "no type alone",
        "sd",
        "blocks",
    ],
)
def test_wrong_arguments_are_refused(call, message):
    with pytest.raises(InputError, match=message):
        call(make_frame({"baseline": [60, 61], "se": [61, 63]}))


samples = arrays(
    float, st.tuples(st.integers(2, 5), st.integers(4, 8)), elements=st.integers(0, 400).map(lambda i: i / 4)
)


@given(samples, st.floats(-20, 20))
@settings(max_examples=40, deadline=None)
def test_a_shift_of_all_moves_no_difference_and_swapping_sides_turns_it(matrix, shift):
    def differences(values, baseline):
        frame = pd.DataFrame([
            {"variant": str(row), "seed": seed, "run_id": f"{row}/{seed}", "value": value}
            for (row, seed), value in np.ndenumerate(values)
        ])  # fmt: skip
        return paired_differences(frame, baseline=baseline).set_index("variant")

    table, moved, swapped = differences(matrix, "0"), differences(matrix + shift, "0"), differences(matrix, "1")
    columns = ["difference", "low", "high", "sd", "p", "p_holm"]
    np.testing.assert_allclose(moved[columns], table[columns], rtol=1e-6, atol=1e-6)
    there, back = table.loc["1"], swapped.loc["0"]
    np.testing.assert_allclose(
        [back["difference"], back["low"], back["high"], back["p"]],
        [-there["difference"], -there["high"], -there["low"], there["p"]], rtol=1e-6, atol=1e-9,
    )  # fmt: skip
    tested = table.dropna(subset="p")
    assert (tested["p_holm"] >= tested["p"]).all()
    assert ((tested["p"] < 0.05) == ~tested["within_noise"].astype(bool)).all()


@given(samples, st.floats(0.1, 5), st.floats(0.1, 5))
@settings(max_examples=40, deadline=None)
def test_a_wider_margin_is_met_more_easily(matrix, margin, more):
    frame = pd.DataFrame([
        {"variant": ["baseline", "a", "b", "c", "d"][row], "seed": seed, "run_id": f"{row}/{seed}", "value": value}
        for (row, seed), value in np.ndenumerate(matrix)
    ])  # fmt: skip
    narrow, wide = equivalence(frame, margin=margin), equivalence(frame, margin=margin + more)
    assert (wide["p"].fillna(0) <= narrow["p"].fillna(0) + 1e-12).all()


def simulate(studies, seeds, truth, sd=0.4, blocks=13, seed=0):
    """Studies whose networks differ from the baseline by `truth` points, run by run, without a ledger between.

    The runs of one seed share its luck, as those of a study do.
    """
    draw = np.random.default_rng(seed).normal
    names = ["baseline", *(f"block {number}" for number in range(blocks))]
    index = pd.DataFrame(list(itertools.product(names, range(seeds))), columns=["variant", "seed"]).assign(run_id="")
    for _ in range(studies):
        values = 70 + draw(0, 1, (1, seeds)) + draw(0, sd, (len(names), seeds))
        values[1:] += truth
        yield index.assign(value=values.ravel())


def rates(studies, seeds, truth):
    """Coverage of the 95 % intervals, and how often at least one block of a study differs, and one is found beyond."""
    covered, wrong = [], 0
    for frame in simulate(studies, seeds, truth):
        table = paired_differences(frame)
        covered += ((table["low"] <= truth) & (truth <= table["high"])).tolist()
        wrong += bool((table["p_holm"] < 0.05).any())
    return np.mean(covered), wrong / studies


def equivalent(studies, seeds, truth):
    """How often blocks are called equivalent."""
    frames = simulate(studies, seeds, truth, sd=0.1, seed=1)
    return np.mean([(equivalence(frame)["verdict"] == "equivalent").mean() for frame in frames])


def within(rate, expected, trials):
    """Whether a rate is within four of its own standard errors."""
    return abs(rate - expected) < 4 * np.sqrt(expected * (1 - expected) / trials)


def test_simulated_studies_keep_their_promises():
    coverage, family_wise = rates(300, 5, truth=0.0)
    assert within(coverage, 0.95, 300)  # the blocks of a study share a baseline: fewer trials than intervals
    assert family_wise < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 300)
    assert within(equivalent(300, 5, truth=0.5), 0.05, 300)
    assert equivalent(50, 5, truth=0.0) > 0.8


def test_the_smallest_effect_is_found_as_often_as_promised():
    effect = minimal_detectable_effect(0.4 * 2**0.5, [5], blocks=1)["uncorrected"][0]
    found = [paired_differences(frame)["p"][0] < 0.05 for frame in simulate(500, 5, effect, blocks=1)]
    assert within(np.mean(found), 0.8, 500)


@pytest.mark.soak
def test_20000_simulated_studies_keep_their_promises():
    coverage, family_wise = rates(20_000, 5, truth=0.0)
    assert 0.94 <= coverage <= 0.96
    assert family_wise <= 0.055
    coverage, _ = rates(2_000, 3, truth=1.0)
    assert 0.94 <= coverage <= 0.96
    for truth in (0.5, -0.5):
        assert equivalent(1_600, 5, truth) <= 0.055


def test_planning_a_study_loads_no_statistics():
    heavy = ("scipy.stats", "statsmodels", "torch")
    code = f"import attn_tutorial.study, sys; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    assert set(statistics.__all__) <= set(dir(statistics))

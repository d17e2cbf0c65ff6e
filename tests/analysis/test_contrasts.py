"""The model variant + seed: a published example, hand-computed studies, and what counts as a complete seed."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.multitest import multipletests

from attn_tutorial.analysis import SEEN_COST, UNSEEN_COST, complete_seeds, cost_reductions, two_way
from attn_tutorial.errors import InputError

pytestmark = pytest.mark.filterwarnings("error")

GRAFTS = pd.DataFrame(  # Montgomery, "Design and Analysis of Experiments", example 4.1: vascular grafts in six batches
    {
        "8500 psi": [90.3, 89.2, 98.2, 93.9, 87.4, 97.9],
        "8700 psi": [92.5, 89.5, 90.6, 94.7, 87.0, 95.8],
        "8900 psi": [85.5, 90.8, 89.6, 86.2, 88.0, 93.4],
        "9100 psi": [82.5, 89.5, 85.6, 87.4, 78.9, 90.7],
    }
).T
FAMILY = ["se", "cbam"]


def both(values):
    """The same cost on both unseen compositions, by seed."""
    return {seed: {"mosaic": value, "crowd": value} for seed, value in values.items() if value is not None}


def test_montgomerys_example():
    table = two_way(GRAFTS, ["9100 psi", "8700 psi"], "8500 psi")
    assert table.index.tolist() == ["9100 psi", "8700 psi"]
    assert table["estimate"].tolist() == pytest.approx([85.77 - 92.82, 91.68 - 92.82], abs=0.01)
    assert (table["sd"] ** 2 / 2).tolist() == pytest.approx([7.33, 7.33], abs=0.005), "the book's mean square error"
    half = stats.t.ppf(0.975, 15) * np.sqrt(2 * 7.3257 / 6)  # the book's least significant difference, 3.33
    assert half == pytest.approx(3.33, abs=0.005)
    assert (table["high"] - table["estimate"]).tolist() == pytest.approx([half] * 2, abs=1e-3)
    assert (table["estimate"] - table["low"]).tolist() == pytest.approx([half] * 2, abs=1e-3)
    assert (table["seeds"].tolist(), table["variants"].tolist()) == ([6, 6], [4, 4])


def test_the_model_is_that_of_statsmodels_formulas():
    long = GRAFTS.melt(ignore_index=False, var_name="seed").rename_axis("variant").reset_index()
    fitted = ols("value ~ C(variant, Treatment('8900 psi')) + C(seed)", long).fit()
    table = two_way(GRAFTS, ["8500 psi", "8700 psi", "9100 psi"], "8900 psi")
    for variant in table.index:
        name = f"C(variant, Treatment('8900 psi'))[T.{variant}]"
        assert table.loc[variant, "estimate"] == pytest.approx(fitted.params[name])
        assert table.loc[variant, ["low", "high"]].tolist() == pytest.approx(fitted.conf_int().loc[name].tolist())
        assert table.loc[variant, "p"] == pytest.approx(fitted.pvalues[name])


def test_with_two_variants_the_model_is_the_paired_t_test():
    pair = GRAFTS.loc[["8500 psi", "9100 psi"]]
    [row] = two_way(pair, ["9100 psi"], "8500 psi").itertuples()
    test = stats.ttest_rel(pair.loc["9100 psi"], pair.loc["8500 psi"])
    assert row.p == pytest.approx(test.pvalue)
    assert (row.low, row.high) == pytest.approx(tuple(test.confidence_interval()))
    assert row.sd == pytest.approx((pair.iloc[0] - pair.iloc[1]).std())


def test_a_hole_in_the_values_is_named():
    holed = GRAFTS.copy()
    holed.loc["8900 psi", 3] = np.nan
    with pytest.raises(InputError, match=r"must have a value for each seed, but 8900 psi has none for seed 3"):
        two_way(holed, ["8500 psi"], "8700 psi")


HAND = {  # unseen costs: the mean reductions are 2 and 1
    "baseline": {0: {"mosaic": 6, "crowd": 10}, 1: {"mosaic": 5, "crowd": 9},
                 2: {"mosaic": 7, "crowd": 11}, 3: {"mosaic": 6, "crowd": 10}},
    "se": {0: {"mosaic": 3, "crowd": 9}, 1: {"mosaic": 2, "crowd": 8},
           2: {"mosaic": 4, "crowd": 8}, 3: {"mosaic": 3, "crowd": 11}},
    "cbam": {0: {"mosaic": 6, "crowd": 8}, 1: {"mosaic": 5, "crowd": 7},
             2: {"mosaic": 7, "crowd": 9}, 3: {"mosaic": 6, "crowd": 8}},
}  # fmt: skip
# By hand. Reductions of se by seed: 2, 2, 3, 1; of cbam: 1, 1, 1, 1. Residuals of the model in seeds 2 and 3: baseline
# ∓1/3, se ±2/3, cbam ∓1/3; none elsewhere. Their squares sum to 2 × (1/9 + 4/9 + 1/9) = 4/3, with 2 × 3 = 6 degrees of
# freedom: variance 2/9, so a paired difference has the variance 4/9, and a mean of four of them 1/9.


def test_every_number_of_a_small_study_by_hand(study_frame):
    clean = {("se", seed): 79.0 for seed in range(4)}
    table = cost_reductions(study_frame(HAND, clean), family=FAMILY).set_index("variant")
    assert table["estimate"].tolist() == pytest.approx([2, 1])
    assert table["sd"].tolist() == pytest.approx([2 / 3, 2 / 3])
    half = stats.t.ppf(0.975, 6) / 3
    assert table["low"].tolist() == pytest.approx([2 - half, 1 - half])
    assert table["high"].tolist() == pytest.approx([2 + half, 1 + half])
    p = [2 * stats.t.sf(6, 6), 2 * stats.t.sf(3, 6)]
    assert table["p"].tolist() == pytest.approx(p)
    assert table["p_adjusted"].tolist() == pytest.approx([2 * p[0], p[1]]), "Holm: the smallest p counts twice"
    assert table["estimate_mosaic"].tolist() == pytest.approx([3, 0])
    assert table["estimate_crowd"].tolist() == pytest.approx([1, 2])
    assert table["severity_0"].tolist() == pytest.approx([-1, 0])
    assert table["accuracy"].tolist() == pytest.approx([1, 1])
    assert (table["seeds"].tolist(), table["variants"].tolist()) == ([4, 4], [3, 3])
    alone = stats.ttest_1samp([2, 2, 3, 1], 0)
    assert table.loc["se", "paired_p"] == pytest.approx(alone.pvalue)
    assert table.loc["se", ["paired_low", "paired_high"]].tolist() == pytest.approx(list(alone.confidence_interval()))
    assert table.loc["se", "paired_sd"] == pytest.approx(np.std([2, 2, 3, 1], ddof=1))
    assert np.isnan(table.loc["cbam", "paired_p"]), "equal in all seeds: the paired test has nothing to go by"


def test_holm_is_over_the_family(study_frame, spread):
    frame = study_frame(spread({"baseline": 0, "a": 0.05, "b": 0.1, "c": 0.15, "d": 0.2, "control": 1}, spread=0.05))
    table = cost_reductions(frame, family=list("abcd"))
    assert table["p_adjusted"].tolist() == pytest.approx(multipletests(table["p"], method="holm")[1].tolist())
    assert table["p_adjusted"].iloc[3] == pytest.approx(4 * table["p"].iloc[3])


def test_the_reference_can_be_another_variant(study_frame):
    pooling = {**HAND, "pooling": both({0: 7, 1: 6, 2: 8, 3: 7.5})}
    table = cost_reductions(study_frame(pooling), family=FAMILY, reference="pooling")
    assert table["estimate"].tolist() == pytest.approx([28.5 / 4 - 6, 28.5 / 4 - 7])


def test_the_seen_cost_is_another_outcome(study_frame, spread):
    unseen = {"mosaic": 1.0, "crowd": 2.0, "surround+noise": 0.5}
    frame = study_frame(spread({"baseline": 0, "se": unseen}))
    assert cost_reductions(frame, UNSEEN_COST, ["se"])["estimate"].item() == pytest.approx(1.5)
    [row] = cost_reductions(frame, SEEN_COST, ["se"]).to_dict("records")
    assert (row["estimate"], row["estimate_surround+noise"]) == pytest.approx((0.5, 0.5))


def test_only_complete_seeds_count(study_frame):
    costs = {
        "baseline": both({10: 8, 11: 8.1, 12: 8.2, 13: 8.3, 14: 8.1}),
        "se": both({10: 7, 11: 7.2, 12: 7.3, 13: None, 14: 7}),
        "cbam": both({10: 6, 11: 6.1, 12: None, 13: 6.2, 14: 6.4}),
    }
    frame = study_frame(costs)
    assert complete_seeds(frame, family=FAMILY) == [10, 11, 14]
    assert complete_seeds(frame, family=["se"]) == [10, 11, 12, 14]
    table = cost_reductions(frame, family=FAMILY)
    assert table["seeds"].tolist() == [3, 3]
    assert table["estimate"].tolist() == pytest.approx([24.2 / 3 - 21.2 / 3, 24.2 / 3 - 18.5 / 3])
    assert table[["p", "p_adjusted"]].isna().all(axis=None), "three seeds give intervals only"
    assert table[["low", "high"]].notna().all(axis=None)


def test_a_run_without_one_of_the_compositions_makes_its_seed_incomplete(study_frame):
    costs = {name: dict(by_seed) for name, by_seed in HAND.items()}
    costs["cbam"][2] = {"mosaic": 7}
    frame = study_frame(costs)
    assert complete_seeds(frame, family=FAMILY) == [0, 1, 3]
    assert complete_seeds(frame, ["mosaic"], FAMILY) == [0, 1, 2, 3]


def test_seeds_can_be_chosen(study_frame):
    table = cost_reductions(study_frame(HAND), family=FAMILY, seeds=iter([0, 1, 2, 99]))
    assert table["seeds"].tolist() == [3, 3]
    assert table["estimate"].tolist() == pytest.approx([7 / 3, 1])


def test_the_pooled_deviation_is_over_all_variants_with_all_seeds(study_frame):
    more = {**HAND, "control": both({0: 4, 1: 3, 2: 9, 3: 4}), "short": both({0: 1, 1: 2, 2: 30})}
    frame = study_frame(more)
    table = cost_reductions(frame, family=FAMILY)
    assert table["variants"].tolist() == [4, 4], "the control counts, the variant without seed 3 does not"
    assert table["estimate"].tolist() == pytest.approx([2, 1])
    assert (table["sd"] > 1).all()
    left_out = cost_reductions(frame, family=FAMILY, pooled=[])
    assert left_out["sd"].tolist() == pytest.approx([2 / 3, 2 / 3])
    pd.testing.assert_frame_equal(cost_reductions(frame, family=FAMILY, pooled=["control", "short"]), table)


def test_one_seed_has_no_interval(study_frame):
    table = cost_reductions(study_frame(HAND), family=FAMILY, seeds=[0])
    assert table["estimate"].tolist() == pytest.approx([2, 1])
    assert table[["low", "high", "p", "p_adjusted", "sd", "paired_low"]].isna().all(axis=None)


def test_equal_values_have_no_interval(study_frame):
    costs = {"baseline": both(dict.fromkeys(range(5), 8.1)), "se": both(dict.fromkeys(range(5), 7.4))}
    table = cost_reductions(study_frame(costs), family=["se"])
    assert table["estimate"].item() == pytest.approx(0.7)
    assert table[["low", "high", "p", "p_adjusted", "sd", "paired_p"]].isna().all(axis=None)


def test_without_a_complete_seed_there_is_no_row(study_frame):
    full = cost_reductions(study_frame(HAND), family=FAMILY)
    for frame in (study_frame(HAND).iloc[:0], study_frame({name: HAND[name] for name in ("baseline", "se")})):
        table = cost_reductions(frame, family=FAMILY)
        assert table.empty
        assert table.columns.tolist() == full.columns.tolist()
        assert complete_seeds(frame, family=FAMILY) == []


def test_wrong_arguments_are_refused(study_frame):
    frame = study_frame(HAND)
    for family in ([], "se", ["se", "se"], ["se", "baseline"]):
        for call in (cost_reductions, complete_seeds):
            with pytest.raises(InputError, match=r"`family` must be a list of one or more different variants .* got"):
                call(frame, family=family)
    with pytest.raises(InputError, match=r"`baseline` must be a variant that has a run, but got 'plain'"):
        cost_reductions(frame, family=FAMILY, reference="plain")
    with pytest.raises(InputError, match=r"severities 0 to 5 .* on mosaic they were tested at 0, 1, 2, 3\. Choose"):
        cost_reductions(frame[frame["severity"] < 4], family=FAMILY)
    with pytest.raises(InputError, match="one kind"):
        complete_seeds(pd.concat([frame, frame.assign(preset="full")]), family=FAMILY)

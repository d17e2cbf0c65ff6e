"""Distraction costs, from accuracies whose costs are known."""

import pandas as pd
import pytest

from attn_tutorial.analysis import SEEN_COST, UNSEEN_COST, as_gains, distraction_costs, distraction_table, won_back
from attn_tutorial.errors import InputError
from attn_tutorial.spec import SEEN

# By variant and seed: the accuracy at severity 0, and what each composition takes off at severities 1 to 5.
MADE = {
    ("baseline", 0): (80.0, {SEEN: [0, 1, 2, 3, 4], "mosaic": [4, 5, 6, 7, 8], "crowd": [8, 9, 10, 11, 12]}),
    ("baseline", 1): (82.0, {SEEN: [1, 2, 3, 4, 5], "mosaic": [2, 3, 4, 5, 6], "crowd": [6, 7, 8, 9, 10]}),
    ("cbam", 0): (79.0, {SEEN: [0, 0, 0, 0, 5], "mosaic": [0, 1, 2, 3, 4], "crowd": [2, 3, 4, 5, 6]}),
    ("cbam", 1): (81.0, {SEEN: [3, 3, 3, 3, 3], "mosaic": [4, 4, 4, 4, 4], "crowd": [8, 8, 8, 8, 8]}),
}


def make_frame(made=MADE, severities=range(6)):
    return pd.DataFrame(
        [
            {"run_id": f"{variant}{seed}", "preset": "quick", "fingerprint": "f", "backbone": "b", "split": "test",
             "variant": variant, "seed": seed, "types": types, "severity": severity,
             "accuracy": clean - [0, *lost][severity]}
            for (variant, seed), (clean, by_types) in made.items()
            for types, lost in by_types.items()
            for severity in severities
        ]
    )  # fmt: skip


def test_a_cost_is_severity_0_less_the_mean_of_those_above():
    table = distraction_table(make_frame())
    assert list(table.columns) == ["variant", "seed", "run_id", "types", "severity_0", "clutter", "cost"]
    assert len(table) == 4 * 3
    by_run = table.set_index(["variant", "seed", "types"])
    assert by_run.loc[("baseline", 0, "surround+noise"), ["severity_0", "clutter", "cost"]].tolist() == [80, 78, 2]
    assert by_run.loc[("cbam", 1, "crowd"), ["severity_0", "clutter", "cost"]].tolist() == [81, 73, 8]
    assert by_run["cost"].xs("mosaic", level="types").to_dict() == {
        ("baseline", 0): 6, ("baseline", 1): 4, ("cbam", 0): 2, ("cbam", 1): 4,
    }  # fmt: skip


def test_one_composition_can_be_asked_for():
    table = distraction_table(make_frame(), ["crowd"])
    assert set(table["types"]) == {"crowd"}
    assert table["cost"].tolist() == [10, 8, 4, 8]


def test_the_unseen_cost_is_the_mean_over_mosaic_and_crowd_and_the_seen_one_stands_alone():
    assert (set(UNSEEN_COST), SEEN_COST) == ({"mosaic", "crowd"}, ("surround+noise",))
    frame = make_frame()
    unseen = distraction_costs(frame, UNSEEN_COST)
    assert unseen.columns.tolist() == ["variant", "seed", "run_id", "value"]
    assert unseen["value"].tolist() == [8, 6, 3, 6]
    assert distraction_costs(frame, SEEN_COST)["value"].tolist() == [2, 3, 1, 3]
    assert as_gains(unseen)["value"].tolist() == [-8, -6, -3, -6]
    # A composition that is named twice counts once.
    assert distraction_costs(frame, ["mosaic", "crowd", "mosaic"])["value"].tolist() == [8, 6, 3, 6]


def test_what_is_won_back_is_a_share_of_the_cost_of_the_baseline_with_the_same_seed():
    won = won_back(make_frame(), UNSEEN_COST)
    assert won.set_index(["variant", "seed"])["value"].to_dict() == {
        ("cbam", 0): pytest.approx(100 * (8 - 3) / 8), ("cbam", 1): pytest.approx(0)
    }  # fmt: skip
    assert won_back(make_frame(), ["crowd"]).set_index("seed")["value"].to_dict() == {0: 60, 1: 0}


def test_a_run_whose_seed_the_baseline_lacks_wins_nothing_back():
    made = {key: value for key, value in MADE.items() if key != ("baseline", 1)}
    assert won_back(make_frame(made), UNSEEN_COST)[["variant", "seed"]].values.tolist() == [["cbam", 0]]


def test_a_network_that_loses_more_than_the_baseline_wins_back_less_than_nothing():
    worse = {("baseline", 0): MADE["baseline", 0], ("worse", 0): (90.0, {"mosaic": [9] * 5})}
    assert won_back(make_frame(worse), ["mosaic"])["value"].tolist() == [-50]


def test_without_the_baseline_nothing_is_won_back():
    made = {key: value for key, value in MADE.items() if key[0] != "baseline"}
    with pytest.raises(InputError, match=r"`baseline` must be a variant that has a run, but got 'baseline'.* cbam"):
        won_back(make_frame(made), UNSEEN_COST)
    assert len(won_back(make_frame(), UNSEEN_COST, baseline="cbam")) == 2


def test_a_run_that_was_not_tested_on_all_compositions_has_no_mean_over_them():
    made = {**MADE, ("half", 0): (70.0, {"mosaic": [1, 2, 3, 4, 5]})}
    frame = make_frame(made)
    assert "half" in set(distraction_table(frame)["variant"])
    assert set(distraction_costs(frame, UNSEEN_COST)["variant"]) == {"baseline", "cbam"}
    assert "half" in set(distraction_costs(frame, ["mosaic"])["variant"])


def test_runs_without_severity_0_or_without_clutter_have_no_cost():
    for severities, said in ((range(1, 6), "1, 2, 3, 4, 5"), ([0], "0")):
        frame = make_frame(severities=severities)
        assert distraction_table(frame).empty
        with pytest.raises(InputError, match=rf"tested at severity 0 and above, .* mosaic at severity {said} only"):
            distraction_costs(frame, UNSEEN_COST)


def test_compositions_with_a_cost_are_kept_where_another_has_none():
    frame = make_frame()
    frame = frame[(frame["types"] != "crowd") | (frame["severity"] > 0)]
    assert set(distraction_table(frame)["types"]) == {"surround+noise", "mosaic"}


def test_a_composition_that_was_not_tested_is_named():
    with pytest.raises(InputError, match=r"`types` must be a composition .* tested on .*crowd.* but got 'veil'"):
        distraction_costs(make_frame(), ["veil"])


def test_no_runs_have_no_costs():
    empty = make_frame().iloc[:0]
    assert distraction_table(empty).empty
    assert distraction_costs(empty, UNSEEN_COST).empty

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from attn_tutorial.analysis.statistics import minimal_detectable_effect
from attn_tutorial.figures import (
    accuracy_table,
    by_axis,
    cost_outcomes,
    describe_severity_curves,
    difference_table,
    distraction_cost_table,
    exploratory_table,
    main_types,
    record_table,
    run_table,
    severity_curves,
    type_cost_table,
    type_table,
    types_with_costs,
)
from attn_tutorial.figures.tables import interval_text
from attn_tutorial.spec import SEEN


def make_frame(values, preset="quick"):
    """`values[variant][seed]` is the accuracy at severity 0; each severity more costs 2 points."""
    rows = [
        {"run_id": f"{variant}{seed}", "preset": preset, "variant": variant, "seed": seed, "fingerprint": "f",
         "clutter_version": 1, "types": types, "severity": severity,
         "accuracy": start - 2 * severity - 9 * (types == "noise"),
         "parameters": 10 * len(variant), "samples_per_second": 123.4, "training_seconds": 90.0}
        for variant, starts in values.items()
        for seed, start in enumerate(starts)
        for types in ("fragments+noise", "noise")
        for severity in range(6)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_accuracies_are_means_over_seeds_of_the_asked_types():
    table = accuracy_table(make_frame({"baseline": [70, 72], "se": [75, 75]}))
    assert table.index.tolist() == ["baseline", "se"]
    assert table.loc["baseline"].tolist() == [66, 71, 69, 67, 65, 63, 61, 2, 80]
    assert table.loc["se", "5"] == 65


def test_differences_are_paired_and_come_with_scipys_interval():
    # Unpaired, the seeds' spread of 10 points would swamp everything.
    table = difference_table(make_frame({"baseline": [60, 70, 80], "se": [61, 71.5, 81.1], "cbam": [60.5, 69, 80.9]}))
    expected = stats.ttest_rel([61, 71.5, 81.1], [60, 70, 80]).confidence_interval(0.95)
    assert table.loc["se", ["low", "high"]].tolist() == pytest.approx([expected.low, expected.high], abs=0.006)
    assert table["reading"].to_dict() == {"se": "interval excludes 0 (not tested)", "cbam": "within noise"}


def test_one_seed_gives_no_interval():
    table = difference_table(make_frame({"baseline": [60], "se": [90]}))
    assert np.isnan(table.loc["se", "low"])
    assert table.loc["se", "reading"] == "one seed: no interval"


def test_only_seeds_that_both_have_are_paired():
    frame = make_frame({"baseline": [60, 70], "se": [61, 71, 99]})
    table = difference_table(frame)
    assert table.loc["se", "difference"] == 1
    assert table.loc["se", "seeds"] == 2


def test_records_of_several_kinds_are_never_averaged():
    frame = pd.concat([make_frame({"baseline": [60]}), make_frame({"baseline": [60]}, preset="smoke")])
    for table in (accuracy_table, difference_table):
        with pytest.raises(ValueError, match="preset: quick, smoke"):
            table(frame)


def test_the_run_table_names_every_run():
    table = run_table(make_frame({"baseline": [60, 61], "se": [61]}))
    assert table["run"].tolist() == ["baseline0", "baseline1", "se0"]
    assert table["minutes"].tolist() == [1.5] * 3


def test_enough_seeds_are_tested_and_the_reading_says_what_they_allow():
    baseline = [60, 70, 80, 65, 62]
    gains = {
        "se": [1.0, 1.5, 1.1, 1.2, 1.3],
        "eca": [0.01, -0.02, 0.01, 0.0, 0.02],
        "cbam": [0.5, -1, 0.9, -2, 1],
        "bam": [0.3, 1.9, 1.1, 0.4, 1.6],
    }
    values = {"baseline": baseline} | {
        name: [plain + gain for plain, gain in zip(baseline, of, strict=True)] for name, of in gains.items()
    }
    table = difference_table(make_frame(values), family=["se", "bam"])
    assert table["reading"].to_dict() == {
        "se": "differs",
        "eca": "equivalent",
        "cbam": "within noise",
        "bam": "differs",
    }
    # Of a control no p value is corrected.
    controls = difference_table(make_frame(values), family=["bam"])["reading"]
    assert controls[["se", "bam"]].tolist() == ["differs (uncorrected)", "differs"]
    strict = difference_table(make_frame(values), family=["se", "eca", "cbam", "bam", "missing", "too"])
    assert strict.loc["bam", "reading"] == "differs, but not after Holm"
    alone = stats.ttest_rel(values["bam"], baseline).pvalue
    assert strict.loc["bam", "p (Holm)"] == pytest.approx(5 * alone, abs=1e-4)
    assert (strict["80 % power"] > table["80 % power"]).all()
    assert "p (Holm)" not in difference_table(make_frame({"baseline": [60, 61, 63], "se": [61, 63, 66]}))


def test_variants_with_few_seeds_beside_others_with_enough_are_not_tested():
    values = {"baseline": [60, 70, 80, 65, 62], "se": [61, 71.5, 81.1, 66.2, 63.3], "cbam": [62], "bam": [61, 72]}
    table = difference_table(make_frame(values))
    # With two seeds an interval can exclude 0, if only for differences that are seldom seen.
    assert table["80 % power"].notna().to_dict() == {"se": True, "cbam": False, "bam": True}
    assert table["80 % power"]["bam"] > 5 * np.std([1, 2], ddof=1)
    assert table["p (Holm)"].notna().to_dict() == {"se": True, "cbam": False, "bam": False}
    assert table["reading"].to_dict() == {"se": "differs", "cbam": "one seed: no interval", "bam": "within noise"}


def test_without_a_family_nothing_is_corrected():
    table = difference_table(make_frame({"baseline": [60, 70, 80, 65], "control": [61, 71.5, 81.1, 66.2]}), family=[])
    assert "p (Holm)" not in table
    sd = np.std([1, 1.5, 1.1, 1.2], ddof=1)
    alone = minimal_detectable_effect(sd, [4], blocks=1)["uncorrected"][0]
    assert table["80 % power"].tolist() == pytest.approx([alone], abs=0.005)
    assert table["reading"].tolist() == ["differs (uncorrected)"]


def test_exploratory_outcomes_come_with_their_intervals():
    frame = make_frame({"baseline": [70, 71, 73], "se": [74, 77, 78]})
    steeper = frame["accuracy"] - 0.5 * frame["severity"] * frame["seed"] * (frame["variant"] == "se")
    table = exploratory_table(frame.assign(accuracy=steeper))
    low, high = stats.t.interval(0.95, 2, -0.5, stats.sem([0, -0.5, -1]))
    assert table.loc["se", "slope"] == f"-2.50 [{low - 2:.2f}, {high - 2:.2f}]"
    assert table.loc["se", "beyond the baseline's"] == f"-0.50 [{low:.2f}, {high:.2f}]"
    assert table.loc["baseline"].tolist() == ["-2.00", "–", "100.00", 3]
    # On noise alone, severities 1 to 5: 55 % right of the baseline with seed 0, 59 % of SE.
    one = exploratory_table(frame[frame["seed"] == 0])
    assert one.loc["se"].tolist() == ["-2.00", "0.00", f"{100 * 41 / 45:.2f}", 1]
    assert "relative clutter error, background" in one


def test_the_relative_clutter_error_never_averages_over_two_axes():
    frame = make_frame({"baseline": [70], "se": [74]})
    veiled = frame[frame["types"] == "noise"].assign(types="veil", accuracy=lambda rows: rows["accuracy"] - 10)
    table = exploratory_table(pd.concat([veiled, frame]))
    assert table.loc["se"].tolist()[2:4] == [f"{100 * 41 / 45:.2f}", f"{100 * 51 / 55:.2f}"]
    assert table.columns[2:4].tolist() == ["relative clutter error, background", "relative clutter error, occlusion"]


def test_another_baseline_can_be_named():
    frame = make_frame({"plain": [60, 61], "se": [61, 63]})
    assert difference_table(frame, baseline="plain").loc["se", "difference"] == 1.5
    assert difference_table(frame).empty


def test_the_record_table_names_every_run_by_variant_and_seed():
    table = record_table(make_frame({"baseline": [60, 61], "se": [61]}))
    assert table.to_dict("index")["baseline"] == {"seed 0": "baseline0", "seed 1": "baseline1"}
    assert table.loc["se", "seed 0"] == "se0"
    assert table.loc[["se"], "seed 1"].isna().all()


def test_the_curves_have_the_interval_of_the_paired_difference():
    frame = make_frame({"baseline": [60, 70, 80], "se": [61, 71.5, 81.1]})
    figure = severity_curves(frame, chance=10)
    bars = [segment[:, 1].tolist() for part in figure.axes[1].collections for segment in part.get_segments()]
    expected = stats.ttest_rel([61, 71.5, 81.1], [60, 70, 80]).confidence_interval(0.95)
    assert bars == [pytest.approx([expected.low, expected.high])] * 6
    thin = [line for line in figure.axes[1].lines if line.get_linewidth() < 1]
    assert sorted(line.get_ydata()[0] for line in thin) == pytest.approx([1, 1.1, 1.5])
    plt.close(figure)


def test_many_variants_get_a_panel_each():
    values = {"baseline": [60, 61]} | {f"variant {number}": [60 + number, 62 + number] for number in range(7)}
    figure = severity_curves(make_frame(values), chance=10)
    shown = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title() for axes in shown] == list(values)[1:]
    for number, axes in enumerate(shown):
        assert [line.get_ydata().tolist() for line in axes.lines if line.get_marker() == "o"] == [[number + 0.5] * 6]
    plt.close(figure)


@pytest.mark.parametrize("variants", [2, 8])
def test_without_a_baseline_there_are_accuracies_only(variants):
    figure = severity_curves(make_frame({f"variant {number}": [60 + number] for number in range(variants)}), chance=10)
    [axes] = figure.axes
    lines = [line for line in axes.lines if len(line.get_xdata()) == 6 and line.get_linewidth() > 1]
    assert sorted(line.get_ydata()[0] for line in lines) == [65 + number - 5 for number in range(variants)]
    plt.close(figure)


def test_the_curves_show_the_numbers():
    frame = make_frame({"baseline": [60, 70], "se": [61, 71]})
    figure = severity_curves(frame, chance=10)
    means = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 6 and line.get_linewidth() > 1]
    assert sorted(line.get_ydata().tolist() for line in means) == [[65, 63, 61, 59, 57, 55], [66, 64, 62, 60, 58, 56]]
    gains = [line for line in figure.axes[1].lines if len(line.get_xdata()) == 6 and line.get_linewidth() > 1]
    assert [line.get_ydata().tolist() for line in gains] == [[1] * 6]
    plt.close(figure)
    assert "se from 66 to 56" in describe_severity_curves(frame)


def test_an_interval_is_written_with_the_signs_and_digits_asked_for():
    assert interval_text(1.204, 0.4, 2.0) == "1.20 [0.40, 2.00]"
    assert interval_text(-0.001, -0.5, 0.5) == "0.00 [-0.50, 0.50]"
    assert interval_text(1.204, 0.4, 2.0, "+.1f") == "+1.2 [+0.4, +2.0]"
    assert interval_text(7.525, math.nan, math.nan, "+.1f") == "+7.5"


def costly(values, types=(SEEN, "mosaic", "crowd", "veil")):
    """`values[variant][seed]` is the cost in `crowd`; half of it in `mosaic`, a quarter in the others."""
    shares = {"crowd": 1.0, "mosaic": 0.5}
    return pd.DataFrame(
        [
            {"run_id": f"{variant}{seed}", "preset": "quick", "fingerprint": "f", "variant": variant, "seed": seed,
             "types": name, "severity": severity,
             "accuracy": 80 - place - (severity > 0) * cost * shares.get(name, 0.25)}
            for place, (variant, costs) in enumerate(values.items())
            for seed, cost in enumerate(costs)
            for name in types
            for severity in range(6)
        ]
    )  # fmt: skip


def test_costs_stand_beside_the_accuracies_that_they_are_made_of():
    table = distraction_cost_table(costly({"baseline": [8, 9, 10], "se": [4, 7, 7]}), ["mosaic", "crowd"])
    assert table.columns.tolist() == ["severity 0", "mean 1–5", "cost", "reduction", "80 % power", "reading", "seeds"]
    assert table.loc["baseline", ["severity 0", "mean 1–5", "cost"]].tolist() == [80, 73.25, 6.75]
    assert table.loc["se", ["severity 0", "mean 1–5", "cost"]].tolist() == [79, 74.5, 4.5]
    low, high = stats.t.interval(0.95, 2, 2.25, stats.sem([3, 1.5, 2.25]))
    assert table["reduction"].to_dict() == {"baseline": "–", "se": f"2.25 [{low:.2f}, {high:.2f}]"}
    assert table["reading"].to_dict() == {"baseline": "–", "se": "interval excludes 0 (not tested)"}
    assert table["seeds"].tolist() == [3, 3]


def test_costs_of_enough_seeds_are_tested_and_never_called_equivalent():
    values = {"baseline": [8, 9, 10, 8.4, 9.6], "se": [8.001, 9.001, 9.999, 8.4, 9.6], "cbam": [4, 5.2, 6, 4.1, 5.5]}
    table = distraction_cost_table(costly(values), ["crowd"], family=["se", "cbam"])
    assert table["reading"].to_dict() == {"baseline": "–", "se": "within noise", "cbam": "differs"}
    assert table.loc["cbam", "p (Holm)"] < 0.05
    assert math.isnan(table.loc["baseline", "p (Holm)"])


def test_costs_without_a_baseline_or_of_one_seed_have_no_interval():
    assert "reduction" not in distraction_cost_table(costly({"se": [4, 5]}), ["crowd"])
    alone = distraction_cost_table(costly({"baseline": [8], "se": [4]}), ["crowd"])
    assert alone.loc["se", ["reduction", "reading"]].tolist() == ["4.00", "one seed: no interval"]


def test_types_stand_under_their_axes_and_background_comes_first():
    frame = costly({"baseline": [8, 10], "se": [4, 6]}, ("veil", "fragments+noise", "crowd", SEEN, "mosaic"))
    expected = [
        ("background", "crowd"), ("background", SEEN), ("background", "mosaic"), ("mixed", "fragments+noise"),
        ("occlusion", "veil"),
    ]  # fmt: skip
    assert type_table(frame).columns.tolist() == type_cost_table(frame).columns.tolist() == expected
    assert type_table(frame).loc["se", ("background", "crowd")] == 74
    assert type_cost_table(frame).loc["se"].tolist() == [5, 1.25, 2.5, 1.25, 1.25]
    assert by_axis(["veil", "mosaic", "veil", "noise"]) == ["mosaic", "noise", "veil"]


def test_a_table_of_one_severity_has_accuracies_and_no_costs():
    frame = costly({"baseline": [8]}).query("severity == 0")
    assert type_table(frame).loc["baseline"].tolist() == [80] * 4
    assert type_cost_table(frame).columns.empty
    assert cost_outcomes(frame) == {}


def test_the_studys_costs_are_those_that_a_frame_was_tested_for():
    assert list(cost_outcomes(costly({"baseline": [8]}))) == ["unseen", "seen"]
    assert cost_outcomes(costly({"baseline": [8]}, ("fragments+noise", "mosaic"))) == {}
    assert list(cost_outcomes(costly({"baseline": [8]}, (SEEN,)))) == ["seen"]
    assert main_types(costly({"baseline": [8]}, ("mosaic", SEEN))) == SEEN
    assert main_types(costly({"baseline": [8]}, ("fragments+noise", "mosaic"))) == "fragments+noise"


def test_a_composition_whose_runs_were_tested_at_other_severities_has_no_cost():
    frame = costly({"baseline": [8], "se": [4]})
    uneven = frame[(frame["variant"] != "se") | (frame["types"] != "mosaic") | (frame["severity"] != 3)]
    assert types_with_costs(frame) == [SEEN, "mosaic", "crowd", "veil"]
    assert types_with_costs(uneven) == [SEEN, "crowd", "veil"]
    assert list(cost_outcomes(uneven)) == ["seen"]
    assert types_with_costs(frame[frame["severity"] > 0]) == types_with_costs(frame[:0]) == []

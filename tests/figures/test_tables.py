import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from attn_tutorial.analysis.statistics import minimal_detectable_effect
from attn_tutorial.figures import (
    accuracy_table,
    describe_severity_curves,
    difference_table,
    exploratory_table,
    record_table,
    run_table,
    severity_curves,
)
from attn_tutorial.figures.tables import interval_text


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
    assert exploratory_table(frame[frame["seed"] == 0]).loc["se"].tolist() == [
        "-2.00",
        "0.00",
        f"{100 * 41 / 45:.2f}",
        1,
    ]


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

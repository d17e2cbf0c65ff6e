import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from attn_tutorial.figures import accuracy_table, describe_severity_curves, difference_table, run_table, severity_curves


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
    assert table["reading"].to_dict() == {"se": "differs", "cbam": "within noise"}


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


def test_the_curves_show_the_numbers():
    frame = make_frame({"baseline": [60, 70], "se": [61, 71]})
    figure = severity_curves(frame, chance=10)
    means = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 6 and line.get_linewidth() > 1]
    assert sorted(line.get_ydata().tolist() for line in means) == [[65, 63, 61, 59, 57, 55], [66, 64, 62, 60, 58, 56]]
    gains = [line for line in figure.axes[1].lines if len(line.get_xdata()) == 6 and line.get_linewidth() > 1]
    assert [line.get_ydata().tolist() for line in gains] == [[1] * 6]
    plt.close(figure)
    assert "se from 66 to 56" in describe_severity_curves(frame)

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from scipy import stats

from attn_tutorial.figures import describe_forest_plot, forest_plot

VALUES = {
    "baseline": [60, 70, 80, 65],
    "control": [63, 73.2, 82.9, 68.4],
    "noise": [60.5, 69, 80.9, 65.1],
    "more": [61, 71.5, 81.1, 66.3],
}


def make_outcomes(values):
    return pd.DataFrame(
        [
            {"variant": variant, "seed": seed, "run_id": f"{variant}{seed}", "value": value}
            for variant, of_seeds in values.items()
            for seed, value in enumerate(of_seeds)
        ]
    )


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_each_variant_is_drawn_with_its_interval_its_seeds_and_what_it_allows_to_say():
    axes = forest_plot(make_outcomes(VALUES), controls=["control"], margin=0.3).axes[0]
    # The largest difference first, and controls last although larger.
    assert [label.get_text() for label in axes.get_yticklabels()] == ["more", "noise", "control"]
    marks = {line.get_label(): line for line in axes.lines}
    assert marks["interval excludes 0"].get_ydata().tolist() == [0, 2]
    assert marks["within noise, or one seed"].get_ydata().tolist() == [1]
    assert to_hex(marks["within noise, or one seed"].get_markerfacecolor()) == to_hex(plt.rcParams["axes.facecolor"])
    assert sorted(marks["seed"].get_xdata().tolist()) == pytest.approx(
        sorted(value - plain for name in VALUES if name != "baseline" for value, plain in
               zip(VALUES[name], VALUES["baseline"], strict=True))
    )  # fmt: skip
    clear = axes.collections[0].get_segments()
    low, high = stats.ttest_rel(VALUES["more"], VALUES["baseline"]).confidence_interval(0.95)
    assert clear[0][:, 0].tolist() == pytest.approx([low, high])
    band = next(patch for patch in axes.patches if patch.get_label() == "counts as equal: ±0.3")
    assert (band.get_x(), band.get_width()) == pytest.approx((-0.3, 0.6))


def test_one_seed_has_a_hollow_mark_and_no_interval():
    axes = forest_plot(make_outcomes({"baseline": [60], "more": [90]})).axes[0]
    assert {line.get_label(): list(line.get_xdata()) for line in axes.lines}["within noise, or one seed"] == [30]
    assert "more +30.0." in describe_forest_plot(make_outcomes({"baseline": [60], "more": [90]}))


def test_the_description_has_the_numbers():
    low, high = stats.ttest_rel(VALUES["more"], VALUES["baseline"]).confidence_interval(0.95)
    text = describe_forest_plot(make_outcomes(VALUES), controls=["control"])
    assert f"more +1.2 from {low:+.1f} to {high:+.1f}; noise" in text
    assert "control (control) +3.1" in text

"""The figure of distraction costs: its marks are means with intervals over seeds, and the axes stay apart."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from scipy import stats

from attn_tutorial.figures import describe_distraction_cost_figure, distraction_cost_figure

# By variant: the cost with each seed, alike in all compositions but for a factor.
COSTS = {"baseline": [4.0, 5.0, 6.0], "cbam": [1.0, 3.0, 2.0]}
FACTORS = {"veil": 3, "surround+noise": 1, "crowd": 2, "fragments+noise": 2.5}


def make_frame():
    return pd.DataFrame(
        [
            {"run_id": f"{variant}{seed}", "preset": "quick", "fingerprint": "f", "variant": variant, "seed": seed,
             "types": types, "severity": severity, "accuracy": 80 - factor * cost * (severity > 0)}
            for variant, costs in COSTS.items()
            for seed, cost in enumerate(costs)
            for types, factor in FACTORS.items()
            for severity in range(6)
        ]
    )  # fmt: skip


@pytest.fixture
def figure():
    yield distraction_cost_figure(make_frame())
    plt.close("all")


def test_each_axis_has_a_row_of_its_own_and_background_comes_first(figure):
    shown = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title() for axes in shown] == ["surround+noise", "crowd", "fragments+noise", "veil"]
    assert [axes.get_ylabel() for axes in shown if axes.get_ylabel()] == ["background", "mixed", "occlusion"]
    first, crowd, _, veil = shown
    assert first.get_shared_x_axes().joined(first, crowd)
    assert not first.get_shared_x_axes().joined(first, veil), "occlusion costs much more"
    assert [label.get_text() for label in first.get_yticklabels()] == ["baseline", "cbam"]


def test_marks_are_means_bars_are_intervals_and_dots_are_seeds(figure):
    axes = next(axes for axes in figure.axes if axes.get_title() == "crowd")
    marks = {line.get_ydata()[0]: line.get_xdata()[0] for line in axes.lines if line.get_marker() not in (".", "None")}
    assert marks == pytest.approx({0: 10, 1: 4})
    bars = {segment[0][1]: segment[:, 0].tolist() for part in axes.collections for segment in part.get_segments()}
    low, high = stats.t.interval(0.95, 2, 4, stats.sem([2, 6, 4]))
    assert bars[1] == pytest.approx([low, high])
    dots = [sorted(line.get_xdata()) for line in axes.lines if line.get_marker() == "."]
    assert dots == [[8, 10, 12], [2, 4, 6]]
    [through] = [line for line in axes.lines if len(line.get_xdata()) == 2 and line.get_marker() == "None"]
    assert list(through.get_xdata()) == pytest.approx([10, 10])


def test_the_description_has_the_numbers():
    text = describe_distraction_cost_figure(make_frame())
    assert "background, crowd: baseline 10.0, cbam 4.0" in text
    assert text.index("background, crowd") < text.index("mixed, fragments+noise") < text.index("occlusion, veil")


def test_a_variant_that_was_not_tested_everywhere_has_no_mark_there():
    frame = make_frame()
    figure = distraction_cost_figure(frame[(frame["variant"] != "cbam") | (frame["types"] != "crowd")])
    axes = next(axes for axes in figure.axes if axes.get_title() == "crowd")
    assert len([line for line in axes.lines if line.get_marker() == "."]) == 1
    plt.close(figure)

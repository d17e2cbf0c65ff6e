"""Shares over severity are drawn where they are, with their intervals and with chance."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from attn_tutorial.figures import cost_curves, describe_rate_curves, rate_curves


@pytest.fixture
def frame():
    rows = [
        {"kind": kind, "severity": s, "rate": base + 10 * s, "low": base + 10 * s - 2, "high": base + 10 * s + 3}
        for kind, base in (("first", 10), ("second", 40))
        for s in range(6)
    ]
    return pd.DataFrame(rows)


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


@pytest.mark.parametrize("costs", [False, True])
def test_lines_bars_and_chance_are_where_they_belong(frame, costs):
    figure = cost_curves(frame, "a share in %") if costs else rate_curves(frame, 12.5, "a share in %")
    axes = figure.axes[0]
    assert axes.get_ylabel() == "a share in %"
    bars = {container.get_label(): container for container in axes.containers}
    assert list(bars) == ["first", "second"]
    for kind, container in bars.items():
        line, _, (ends,) = container.lines
        expected = frame[frame["kind"] == kind]
        assert np.allclose(line.get_ydata(), expected["rate"])
        for (bottom, top), low, high in zip(ends.get_segments(), expected["low"], expected["high"], strict=True):
            assert (bottom[1], top[1]) == pytest.approx((low, high))
    level = [list(line.get_ydata()) for line in axes.lines if len(line.get_ydata()) == 2]
    assert level == ([[0, 0]] if costs else [[12.5, 12.5]])
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert sorted(names) == (["first", "second"] if costs else ["chance", "first", "second"])


def test_the_figure_is_put_in_words(frame):
    words = describe_rate_curves(frame, "a share in %")
    assert words == (
        "a share in % over severity 0 to 5. first: 10, 20, 30, 40, 50, 60; second: 40, 50, 60, 70, 80, 90."
    )
    costs = frame[frame["severity"] > 0].assign(rate=-0.2)
    assert describe_rate_curves(costs, "points").startswith("points over severity 1 to 5. first: 0, 0, 0, 0, 0;")

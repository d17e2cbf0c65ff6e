"""Shares over severity are drawn where they are, with their intervals and with chance."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from attn_tutorial.figures import describe_rate_curves, rate_curves


@pytest.fixture
def frame():
    rows = [
        {"kind": kind, "severity": s, "rate": base + 10 * s, "low": base + 10 * s - 2, "high": base + 10 * s + 3}
        for kind, base in (("first", 10), ("second", 40))
        for s in range(6)
    ]
    return pd.DataFrame(rows)


def test_lines_bars_and_chance_are_where_they_belong(frame):
    axes = rate_curves(frame, 12.5, "a share in %").axes[0]
    assert axes.get_ylabel() == "a share in %"
    bars = {container.get_label(): container for container in axes.containers}
    assert list(bars) == ["first", "second"]
    for kind, container in bars.items():
        line, _, (ends,) = container.lines
        expected = frame[frame["kind"] == kind]
        assert np.allclose(line.get_ydata(), expected["rate"])
        for (bottom, top), low, high in zip(ends.get_segments(), expected["low"], expected["high"], strict=True):
            assert (bottom[1], top[1]) == pytest.approx((low, high))
    chance = next(line for line in axes.lines if line.get_label() == "chance")
    assert list(chance.get_ydata()) == [12.5, 12.5]
    plt.close("all")


def test_the_figure_is_put_in_words(frame):
    words = describe_rate_curves(frame, "a share in %")
    assert words == (
        "a share in % over severity 0 to 5. first: 10, 20, 30, 40, 50, 60; second: 40, 50, 60, 70, 80, 90."
    )

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from attn_tutorial.figures import describe_rerun_figure, rerun_figure, rerun_table

COMPARISON = pd.DataFrame(
    {
        "variant": ["baseline", "se", "mine"],
        "published": [70.0, 71.0, np.nan],
        "published_low": [69.0, np.nan, np.nan],
        "published_high": [71.0, np.nan, np.nan],
        "published_seeds": [5, 1, 0],
        "own": [70.25, 73.0, 60.0],
        "own_low": [69.5, 72.0, 59.0],
        "own_high": [71.0, 74.0, 61.0],
        "own_seeds": [4, 4, 4],
        "difference": [0.25, 2.0, np.nan],
        "low": [-0.5, np.nan, np.nan],
        "high": [1.0, np.nan, np.nan],
        "p": [0.0123, np.nan, np.nan],
        "verdict": ["equivalent", "undecided", "undecided"],
    }
)


def test_the_table_gives_means_with_intervals_where_there_are_any():
    table = rerun_table(COMPARISON)
    assert table.loc["baseline"].tolist() == [
        "equivalent", "+0.25 [-0.50, +1.00]", "70.00 [69.00, 71.00]", "70.25 [69.50, 71.00]", 5, 4, "0.012",
    ]  # fmt: skip
    assert table.loc["se"].tolist() == ["undecided", "+2.00", "71.00", "73.00 [72.00, 74.00]", 1, 4, "–"]
    assert table.loc["mine", ["verdict", "difference", "published"]].tolist() == ["one side only", "–", "–"]


def test_the_figure_has_both_sides_and_their_intervals():
    figure = rerun_figure(COMPARISON)
    axes = figure.axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    assert lines["published"].get_xdata() == pytest.approx([70, 71, np.nan], nan_ok=True)
    assert lines["yours"].get_xdata() == pytest.approx([70.25, 73, 60])
    # One above the other, or the intervals would hide each other.
    assert (lines["published"].get_ydata() < lines["yours"].get_ydata()).all()
    ends = [segment[:, 0].tolist() for segment in axes.collections[1].get_segments()]
    assert ends == [[69.5, 71.0], [72.0, 74.0], [59.0, 61.0]]
    plt.close(figure)
    assert "se published 71.00, yours 73.00 [72.00, 74.00]" in describe_rerun_figure(COMPARISON)

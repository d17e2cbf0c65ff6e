import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from attn_tutorial.errors import InputError
from attn_tutorial.figures import describe_gain_figure, gain_figure


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_a_baseline_without_a_network_or_a_run_is_named():
    for draw in (gain_figure, describe_gain_figure):
        with pytest.raises(InputError, match=r"a network, but got 'baseline'. There are networks of se, cbam:"):
            draw(COSTS[1:], OUTCOMES)
        with pytest.raises(InputError, match=r"a run, but got 'baseline'. There are runs of"):
            draw(COSTS, OUTCOMES[2:])


COSTS = pd.DataFrame(
    {"variant": ["baseline", "se", "cbam"], "parameters": [1000, 1010, 1100], "MFLOP": [50.0, 50.0, 55.0],
     "time": [1.0, 1.5, 2.0]}
)  # fmt: skip
OUTCOMES = pd.DataFrame(
    [
        {"variant": variant, "seed": seed, "run_id": f"{variant}{seed}", "value": value}
        for variant, values in {"baseline": [60, 61], "se": [61, 63], "cbam": [60, 60]}.items()
        for seed, value in enumerate(values)
    ]
)


def test_gains_are_drawn_over_what_they_cost():
    figure = gain_figure(COSTS, OUTCOMES)
    places = [{line.get_marker(): line.get_xydata().tolist() for line in axes.lines} for axes in figure.axes]
    for marks, at in zip(places, ((1, 10), (0, 10), (50, 100)), strict=True):
        assert marks["s"][0] == pytest.approx([at[0], 1.5])
        assert marks["^"][0] == pytest.approx([at[1], -0.5])
    seeds = [line.get_xydata().tolist() for line in figure.axes[2].lines if line.get_marker() == "."]
    assert np.array(seeds) == pytest.approx(np.array([[[50, 1], [50, 2]], [[100, 0], [100, -1]]]))
    assert describe_gain_figure(COSTS, OUTCOMES).startswith(
        "Gain (points of accuracy above baseline) over added cost: se +1.5 points for +1.0 % parameters, "
        "+0.0 % operations, +50.0 % time; cbam -0.5 points"
    )

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from attn_tutorial.errors import InputError
from attn_tutorial.figures import describe_gain_figure, gain_figure, network_costs
from attn_tutorial.spec import Images
from attn_tutorial.study import Study

IMAGES = Images(name="shapes", source="shapes", fingerprint="b" * 64, archive_sha256=None)


@pytest.fixture(autouse=True)
def _close():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    plt.close("all")


def test_the_costs_are_those_of_the_networks_of_the_study():
    runs = Study.load("headline").plan("quick", IMAGES, seeds=1)
    costs = network_costs(runs, batch=2, rounds=1).set_index("variant")
    assert costs.index.tolist() == ["baseline", "se", "cbam", "non_local"]
    # Two of a basic unit's 3×3 convolutions and its shortcut make most of each stage; the table of `widened.yaml`.
    assert costs.loc["baseline", "parameters"] == 307786
    assert costs.loc["baseline", "MFLOP"] == pytest.approx(56.03584)
    assert costs.loc["cbam", "parameters"] == 310774
    assert costs.loc["cbam", "MFLOP"] == pytest.approx(56.194768)
    assert costs.loc["baseline", "time"] == 1
    assert (costs[["ms", "MB"]] > 0).all().all()
    assert costs.loc["cbam", "MB"] > costs.loc["baseline", "MB"]


def test_a_baseline_without_a_network_or_a_run_is_named():
    runs = [run for run in Study.load("headline").plan("quick", IMAGES, seeds=1) if run.variant == "se"]
    with pytest.raises(InputError, match=r"baseline 'baseline' was given, of which there is no network; there are.*se"):
        network_costs(runs, batch=2, rounds=1)
    for draw in (gain_figure, describe_gain_figure):
        with pytest.raises(InputError, match=r"baseline 'baseline' was given.*no network; there are.*se, cbam"):
            draw(COSTS[1:], OUTCOMES)
        with pytest.raises(InputError, match="baseline 'baseline' was given, of which there is no run"):
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
        "Gain in accuracy over added cost, against baseline: se +1.5 points for +1.0 % parameters, +0.0 % operations, "
        "+50.0 % time; cbam -0.5 points"
    )

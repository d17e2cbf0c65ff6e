"""What modules, blocks and networks cost, measured."""

import time

import pandas as pd
import pytest
import torch
from torch import nn

from attn_tutorial.analysis.costs import YARDSTICK, block_costs, module_costs, network_costs
from attn_tutorial.blocks import BLOCKS, build_block
from attn_tutorial.blocks.measure import count_parameters
from attn_tutorial.errors import InputError
from attn_tutorial.spec import Images, RunSpec
from attn_tutorial.study import PlannedRun, Study

NAMES = ["non_local", "se", "static_gate", "identity", "eca"]
SHAPES = {"small": (2, 32, 4, 4), "large": (3, 48, 20, 20)}
IMAGES = Images(name="shapes", source="shapes", fingerprint="b" * 64, archive_sha256=None)


class Slow(nn.Module):
    def forward(self, x):
        end = time.process_time() + 0.005  # busy: what sleeps takes none of the processor's time
        while time.process_time() < end:
            pass
        return x * 1


@pytest.fixture(autouse=True)
def _same_threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_parameters_and_operations_are_counted():
    convolution = nn.Conv2d(8, 8, 3, padding=1, bias=False)
    costs = module_costs({"convolution": convolution, "none": Slow()}, torch.rand(2, 8, 50, 60))
    assert costs.loc["convolution", "parameters"] == 576
    assert costs.loc["convolution", "MFLOP"] == pytest.approx(2 * 2 * 50 * 60 * 8 * 8 * 9 / 1e6)
    assert costs.loc["none", ["parameters", "MFLOP"]].tolist() == [0, 0]


def test_times_are_milliseconds_and_the_features_are_left_alone():
    x = torch.rand(1, 1, 2, 2)
    times = module_costs({"slow": Slow(), "fast": nn.ReLU()}, x)["ms"]
    assert 5 <= times["slow"] < 50
    assert times["fast"] < 2
    assert not x.requires_grad


def test_the_costs_of_each_block_at_each_shape():
    rows = block_costs(NAMES, SHAPES, rounds=3).set_index(["block", "shape"])
    assert set(rows.index) == {(name, shape) for name in [*NAMES, YARDSTICK] for shape in SHAPES}
    for (name, shape), row in rows.iterrows():
        channels = SHAPES[shape][1]
        expected = 9 * channels**2 if name == YARDSTICK else count_parameters(build_block(name, channels))
        assert row["parameters"] == expected
    assert rows["kFLOP"]["se", "small"] == pytest.approx(2 * 2 * 32 * 2 / 1000)
    assert rows["kFLOP"][YARDSTICK, "large"] == pytest.approx(2 * 9 * 48**2 * 400 / 1000)
    assert list(rows["time"]["se"]) == [1, 1]
    assert rows["time"]["non_local", "large"] > 2 > 1 > rows["time"]["identity", "large"]
    assert list(rows["memory"]["identity"]) == [1, 1]
    assert rows["memory"]["non_local", "large"] < 400 / 48  # less than one map


def test_the_cost_of_every_block_can_be_measured():
    assert isinstance(block_costs(BLOCKS, {"a": (2, 64, 3, 3)}, rounds=1), pd.DataFrame)


def test_the_costs_are_those_of_the_networks_of_the_study():
    runs = Study.load("headline").plan("quick", IMAGES, seeds=1)
    costs = network_costs(runs, batch=2, rounds=1).set_index("variant")
    assert costs.index.tolist() == ["baseline", "se", "cbam", "non_local"]
    # Two of a basic unit's 3×3 convolutions and its shortcut make most of each stage; the table of `widened.yaml`.
    assert costs.loc["baseline", "parameters"] == 307786
    assert costs.loc["baseline", "MFLOP"] == pytest.approx(56.03584)
    assert costs.loc["cbam", "parameters"] == 310774
    assert costs.loc["cbam", "MFLOP"] == pytest.approx(56.194768)
    assert costs.loc["baseline", ["time", "time_low", "time_high"]].tolist() == [1, 1, 1]
    assert (costs[["ms", "MB"]] > 0).all().all()
    assert costs.loc["cbam", "MB"] > costs.loc["baseline", "MB"]


def test_times_have_the_interval_of_the_median(monkeypatch):
    """Of twelve rounds, two values on each side lie outside: P(at most two of twelve below the median) is 0.019."""
    runs = [run for run in Study.load("headline").plan("quick", IMAGES, seeds=1) if run.variant in ("baseline", "se")]

    def turns(functions, x, rounds, order):
        return {"baseline": rounds * [1.0], "se": [float(number) for number in range(rounds, 0, -1)]}

    monkeypatch.setattr("attn_tutorial.analysis.costs.seconds_in_turn", turns)
    few = network_costs(runs, batch=1, rounds=5).set_index("variant").loc["se"]
    assert few[["time", "time_low", "time_high"]].tolist() == [3, 1, 5]
    many = network_costs(runs, batch=1, rounds=12).set_index("variant").loc["se"]
    assert many[["time", "time_low", "time_high"]].tolist() == [6.5, 3, 10]


def test_a_baseline_without_a_network_is_named():
    runs = [run for run in Study.load("headline").plan("quick", IMAGES, seeds=1) if run.variant == "se"]
    with pytest.raises(InputError, match=r"`baseline` must be .* has a network, but got 'baseline'. There .* of se:"):
        network_costs(runs, batch=2, rounds=1)


def test_an_oracle_costs_about_what_the_plain_network_costs():
    fields = {"data": {"name": "shapes"}, "training": {"samples": 128}, "backbone": {"depth": 8, "width": 16}}
    specs = {"baseline": {}, "oracle": {"oracle": "gate"}}
    runs = [PlannedRun(name, name, RunSpec.parse(fields | change)) for name, change in specs.items()]
    table = network_costs(runs, rounds=1, batch=2).set_index("variant")
    assert table.loc["oracle", "parameters"] == table.loc["baseline", "parameters"]
    assert table.loc["oracle", "MFLOP"] >= table.loc["baseline", "MFLOP"] > 0

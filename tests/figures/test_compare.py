"""Tables and the figure of the comparison of blocks."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from attn_tutorial.blocks import BLOCKS, build_block
from attn_tutorial.blocks.measure import count_parameters
from attn_tutorial.figures.compare import (
    YARDSTICK,
    cost_figure,
    cost_frame,
    cost_table,
    describe_cost_figure,
    sight_table,
    start_table,
)

NAMES = ["non_local", "se", "static_gate", "identity", "eca"]
SHAPES = {"small": (2, 32, 4, 4), "large": (3, 48, 20, 20)}


@pytest.fixture(scope="module")
def frame():
    return cost_frame(NAMES, SHAPES, rounds=3)


@pytest.fixture(scope="module")
def sights():
    return sight_table(NAMES, 32)


def test_the_sights_in_words(sights):
    assert sights["weighs"].to_dict() == {
        "non_local": "pairs",
        "se": "channels",
        "static_gate": "channels, fixed",
        "identity": "nothing",
        "eca": "channels",
    }
    assert list(sights.loc["se"])[1:] == ["all", "all", "any", "no"]
    assert list(sights.loc["identity"])[1:] == ["none", "none", "any", "yes"]


def test_the_starts_in_words():
    starts = start_table(["cbam", "simam", "global_context"])
    assert list(starts.loc["cbam"])[1:] == ["no", "yes"]
    assert list(starts.loc["simam"]) == ["0.76", "no", "–"]
    assert list(starts.loc["global_context"]) == ["1.00", "yes", "yes"]
    assert 0.2 < float(starts.loc["cbam"].iloc[0]) < 0.4


def test_the_costs_of_each_block_at_each_shape(frame):
    rows = frame.set_index(["block", "shape"])
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


def test_a_table_of_costs_begins_with_the_cheapest(frame):
    table = cost_table(frame, "parameters", 0)
    assert list(table.columns) == ["small", "large"]
    assert list(table.index) == ["identity", "eca", "static_gate", "se", "non_local", YARDSTICK]
    assert list(table.loc["non_local"]) == ["2,192", f"{2 * 48**2 + 120 + 96:,}"]


def test_the_figure_groups_blocks_by_what_they_weigh(frame, sights):
    figure = cost_figure(frame, sights)
    axes = figure.axes[0]
    names = ["non_local", "se", "eca", "static_gate", "identity", YARDSTICK]
    assert [label.get_text() for label in axes.get_yticklabels()] == names
    groups = ["pairs", "channels", "channels, fixed", "nothing", "no block"]
    assert [text.get_text() for text in axes.texts] == groups
    dots = [line for line in axes.lines if line.get_label() in SHAPES]
    assert len(dots) == 2
    small = frame[frame["shape"] == "small"].set_index("block")["time"]
    assert list(dots[0].get_xdata()) == list(small[names])
    plt.close(figure)


def test_the_figure_in_words(frame, sights):
    text = describe_cost_figure(frame, sights)
    own = frame[frame["block"] == "non_local"]["time"]
    assert f"pairs (non_local): {own.min():.1f} to {own.max():.1f} times SE's time." in text


def test_all_blocks_can_be_compared():
    assert list(sight_table(BLOCKS).index) == list(start_table(BLOCKS).index) == list(BLOCKS)
    assert isinstance(cost_frame(BLOCKS, {"a": (2, 64, 3, 3)}, rounds=1), pd.DataFrame)

"""Tables and the figure of what modules and blocks cost."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from attn_tutorial.analysis import block_costs
from attn_tutorial.analysis.costs import YARDSTICK
from attn_tutorial.figures import (
    block_cost_figure,
    block_cost_table,
    describe_block_cost_figure,
    module_cost_table,
    sight_table,
)

NAMES = ["non_local", "se", "static_gate", "identity", "eca"]
SHAPES = {"small": (2, 32, 4, 4), "large": (3, 48, 20, 20)}


@pytest.fixture(scope="module")
def frame():
    return block_costs(NAMES, SHAPES, rounds=3)


@pytest.fixture(scope="module")
def sights():
    return sight_table(NAMES, 32)


def test_the_costs_of_modules_are_formatted():
    costs = pd.DataFrame(
        {"parameters": [36928, 0], "MFLOP": [1234.5678, 0.0], "ms": [1.234, 0.5]}, ["convolution", "none"]
    )
    table = module_cost_table(costs)
    assert table.loc["convolution"].to_dict() == {"parameters": "36,928", "MFLOP": "1,234.57", "ms": "1.23"}
    assert table.loc["none"].tolist() == ["0", "0.00", "0.50"]


def test_a_table_of_costs_begins_with_the_cheapest(frame):
    table = block_cost_table(frame, "parameters", 0)
    assert list(table.columns) == ["small", "large"]
    assert list(table.index) == ["identity", "eca", "static_gate", "se", "non_local", YARDSTICK]
    assert list(table.loc["non_local"]) == ["2,192", f"{2 * 48**2 + 120 + 96:,}"]


def test_the_figure_groups_blocks_by_what_they_weigh(frame, sights):
    figure = block_cost_figure(frame, sights)
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
    text = describe_block_cost_figure(frame, sights)
    own = frame[frame["block"] == "non_local"]["time"]
    assert f"pairs (non_local): {own.min():.1f} to {own.max():.1f} times SE's time." in text

"""The drawing of a residual unit: the block stands where the network has it."""

import matplotlib.pyplot as plt
import pytest
import torch
from torch import nn

from attn_tutorial.backbones import resnet
from attn_tutorial.figures import describe_unit_figure, unit_figure


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def boxes(figure):
    """The texts in the drawing from left to right, with their heights."""
    texts = [(text.get_position(), text.get_text()) for text in figure.axes[0].texts]
    return [(name, height) for (_, height), name in sorted(texts) if name != "shortcut"]


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        ("standard", "input conv norm relu conv norm SE + relu output"),
        ("pre", "input SE conv norm relu conv norm + relu output"),
        ("post", "input conv norm relu conv norm + relu SE output"),
    ],
)
def test_the_block_stands_on_the_branch_or_after_the_unit(position, expected):
    found = boxes(unit_figure(position, "SE"))
    assert " ".join(name for name, _ in found) == expected
    assert {height for _, height in found} == {0}


def test_on_the_shortcut_it_stands_above():
    heights = dict(boxes(unit_figure("identity", "SE")))
    assert heights["SE"] > 1
    assert "The SE sits on the shortcut." in describe_unit_figure("identity", "SE")


@pytest.mark.parametrize("position", ["standard", "pre", "post", "identity"])
def test_the_networks_unit_calls_its_parts_in_the_order_of_the_drawing(position):
    unit = resnet(8, 16, block="identity", position=position).stage1[0]
    order = []
    names = {nn.Conv2d: "conv", nn.BatchNorm2d: "norm"}
    for module in unit.modules():
        name = "block" if module is unit.slot else names.get(type(module))
        if name:
            module.register_forward_hook(lambda *_, name=name: order.append(name))
    unit(torch.randn(1, 16, 8, 8))
    drawn = [name for name, height in boxes(unit_figure(position)) if name in ("conv", "norm", "block")]
    assert order == drawn or (position == "identity" and sorted(order) == sorted(drawn))

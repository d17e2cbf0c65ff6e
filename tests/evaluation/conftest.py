"""Networks and canvases with known answers, and a user's own blocks."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from attn_tutorial.blocks import BLOCK_NAMES, BLOCK_OPTIONS, BLOCK_VERSIONS, BLOCKS, AttentionBlock, register_block
from attn_tutorial.clutter import Clutter
from attn_tutorial.evaluation import Groups, groups_of


@pytest.fixture
def own_block():
    """Register a block for one test."""
    yield register_block
    for known in (BLOCKS, BLOCK_OPTIONS, BLOCK_VERSIONS):
        for name in set(known) - set(BLOCK_NAMES):
            del known[name]


@pytest.fixture
def groups(test_images) -> Groups:
    return groups_of(test_images, 50, Clutter(severity=5))


@pytest.fixture
def painted():
    """Replace the canvases of groups by a function from the batch to (B, 48, 48) levels of grey."""

    class Painted:
        def __init__(self, clutter, levels):
            self.clutter, self.levels = clutter, levels

        def render(self, *arguments):
            batch = self.clutter.render(*arguments)
            return replace(batch, canvas=self.levels(batch).to(torch.uint8)[:, None].expand(-1, 3, -1, -1))

    return lambda groups, levels: replace(groups, clutter=Painted(groups.clutter, levels))


@pytest.fixture
def gate_of(own_block):
    """Make a network with one block, whose attention is the given function of the features."""

    def make(attention, cells: int = 6):
        class Own(AttentionBlock):
            name = "own"

            def __init__(self, channels: int) -> None:
                super().__init__(channels)

            def attention(self, x):
                return attention(x)

        own_block(Own)

        class Network(nn.Module):
            def __init__(self):
                super().__init__()
                self.shrink = nn.AdaptiveAvgPool2d(cells)
                self.stage3 = nn.Sequential(nn.Conv2d(3, 3, 1), Own(3))
                self.head = nn.Linear(3, 10)
                with torch.no_grad():
                    self.stage3[0].weight.copy_(torch.eye(3)[:, :, None, None])
                    self.stage3[0].bias.zero_()

            def classify(self, features, x):
                return self.head(features.mean((2, 3)))

            def forward(self, x):
                return self.classify(self.stage3(self.shrink(x)), x)

        torch.manual_seed(0)
        return Network().eval()

    return make

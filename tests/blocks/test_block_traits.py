"""What a block sees is found out, not stated: these blocks see what their kernels, pools and maps let them."""

import pytest
import torch
from torch import nn

from attn_tutorial.blocks import AttentionBlock, build_block
from attn_tutorial.blocks.traits import sight_of, start_of

ROW_AND_COLUMN = "its row and column"
RIGID = "whole rows and columns"
# name, options: weighs, looks, places, channels, shuffled places, shuffled channels
SIGHTS = [
    ("se", {}, ("channel",), True, "all", "all", "any", False),
    ("eca", {"kernel": 3}, ("channel",), True, "all", "within 1", "any", False),
    ("eca", {"kernel": 7}, ("channel",), True, "all", "within 3", "any", False),
    ("spatial", {}, ("spatial",), True, "within 3", "all", "none", True),
    ("spatial", {"kernel": 3}, ("spatial",), True, "within 1", "all", "none", True),
    ("cbam", {}, ("channel", "spatial"), True, "all", "all", "none", False),
    ("non_local", {}, ("pairwise",), True, "all", "all", "any", False),
    ("non_local", {"sub_sample": True}, ("pairwise",), True, "all", "all", "none", False),
    ("non_local", {"pairwise": "uniform"}, ("pairwise",), False, "all", "all", "any", False),
    ("global_context", {}, ("spatial",), True, "all", "all", "any", False),
    ("simam", {}, ("full",), True, "all", "none", "any", True),
    ("coordinate", {}, ("full",), True, ROW_AND_COLUMN, "all", RIGID, False),
    ("triplet", {"kernel": 3}, ("full",), True, f"{ROW_AND_COLUMN}, ± 1", "all", "none", False),
    ("gather_excite", {}, ("channel",), True, "all", "none", "any", True),
    ("gather_excite", {"reduction": 8}, ("channel",), True, "all", "all", "any", False),
    ("ela", {}, ("full",), True, "all", "its group of 2", "none", False),
    ("strip", {}, ("full",), True, f"{ROW_AND_COLUMN}, ± 1", "none", "none", False),
    ("strip", {"conv": False}, ("full",), True, ROW_AND_COLUMN, "none", RIGID, True),
    ("ema", {}, ("full",), True, "all", "its group of 4", "none", False),
    ("scsa", {}, ("full", "channel"), True, "all", "all", "none", False),
    ("lka", {"kernel": 9, "dilation": 2}, ("full",), True, "within 5", "all", "none", False),
    ("grn", {}, ("channel",), True, "all", "all", "any", False),
    ("static_gate", {}, ("channel",), False, "none", "none", "any", False),
    ("static_spatial", {}, ("spatial",), False, "none", "none", "none", True),
    ("random_gate", {}, ("channel",), False, "none", "none", "any", False),
    ("identity", {}, (), False, "none", "none", "any", True),
]


@pytest.mark.parametrize(("name", "options", "weighs", "looks", "places", "channels", "order", "bag"), SIGHTS, ids=str)
@pytest.mark.parametrize("seed", [0, 1])
def test_what_a_block_sees(name, options, weighs, looks, places, channels, order, bag, seed):
    torch.manual_seed(seed)
    sight = sight_of(build_block(name, 32, **options))
    assert (sight.weighs, sight.looks) == (weighs, looks)
    assert (sight.places, sight.channels) == (places, channels)
    assert (sight.shuffled_places, sight.shuffled_channels) == (order, bag)


class Spread(AttentionBlock):
    """A gate by the spread of each channel, through one hidden unit, which is off for many an image."""

    name = "static_gate"

    def __init__(self, channels):
        super().__init__(channels)
        self.mlp = nn.Sequential(nn.Linear(channels, 1), nn.ReLU(), nn.Linear(1, channels))

    def attention(self, x):
        return {"channel": self.mlp((x.var((2, 3)) + 1e-5).sqrt())[:, :, None, None]}


@pytest.mark.parametrize("seed", range(8))
def test_a_hidden_unit_that_is_off_for_some_images_hides_nothing(seed):
    torch.manual_seed(seed)
    sight = sight_of(Spread(32))
    assert (sight.looks, sight.places, sight.channels) == (True, "all", "all")


class Corner(AttentionBlock):
    """A gate from the number above on the left."""

    name = "identity"

    def __init__(self, channels):
        super().__init__(channels)
        self.weight = nn.Parameter(torch.ones(()))

    def attention(self, x):
        return {"full": self.weight * x.roll((1, 1), (2, 3))}


def test_what_has_no_name_is_counted():
    assert sight_of(Corner(4)).places == "1 of 440"


def test_looking_changes_neither_the_block_nor_the_random_numbers():
    block = build_block("se", 32).train()
    before = {key: value.clone() for key, value in block.state_dict().items()}
    state = torch.get_rng_state()
    sight_of(block)
    start_of("se", 32)
    assert block.training
    assert all(torch.equal(value, before[key]) for key, value in block.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("name", "options", "expected", "identity"),
    [
        ("se", {}, 0.5, False),
        ("cbam", {}, 0.29, False),
        ("simam", {}, 0.76, False),
        ("cbam", {"at_start": "identity"}, 1, True),
        ("non_local", {}, 1, True),
        ("non_local", {"zero_init": False}, 2**0.5, False),  # x plus a normalised sum
    ],
    ids=str,
)
def test_what_a_block_starts_as(name, options, expected, identity):
    ratio, is_identity = start_of(name, 64, **options)
    assert abs(ratio - expected) < 0.03
    assert is_identity == identity

"""Which blocks do not care where things are, and, as their opposites, which do."""

import pytest
import torch

from attn_tutorial.blocks import BLOCK_NAMES, build_block

PLACELESS = [
    ("se", {}),
    ("se", {"squeeze": "max"}),
    ("channel", {}),
    ("non_local", {}),
    ("non_local", {"pairwise": "gaussian"}),
    ("non_local", {"pairwise": "dot"}),
    ("non_local", {"pairwise": "concat"}),
    ("non_local", {"pairwise": "uniform"}),
    ("eca", {}),
    ("global_context", {"reduction": 4}),
    ("global_context", {"reduction": 4, "pool": "avg", "fusion": "scale"}),
    ("simam", {}),
    ("gather_excite", {}),
    ("gather_excite", {"reduction": 8}),
    ("grn", {}),
    ("se+non_local", {}),
    ("static_gate", {}),
    ("random_gate", {}),
    ("identity", {}),
]
PLACED = [
    ("spatial", {}),
    ("cbam", {}),
    ("cbam", {"order": "parallel", "kernel": 3}),
    ("bam", {"dilation": 1}),
    ("coordinate", {}),
    ("gather_excite", {"extent": 2}),
    ("ela", {}),
    ("strip", {}),
    ("strip", {"conv": False}),
    ("ema", {}),
    ("scsa", {}),
    ("lka", {}),
    ("triplet", {"kernel": 3}),
    ("non_local", {"sub_sample": True}),
    ("non_local", {"sub_sample": True, "pairwise": "concat"}),
    ("static_spatial", {}),
    ("se+spatial", {}),
    ("cbam+non_local", {"arrangement": "parallel"}),
]


def away_from_the_start(name, options):
    torch.manual_seed(0)
    block = build_block(name, 32, **options).double()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(torch.randn_like(parameter))
    return block


def gap_between_permuting_before_and_after(name, options):
    """The largest difference between block(permuted x) and permuted block(x), over the places of x."""
    block = away_from_the_start(name, options)
    x = torch.randn(2, 32, 5, 4, dtype=torch.float64)
    order = torch.randperm(20)
    before = block(x.flatten(2)[:, :, order].reshape(x.shape))
    after = block(x).flatten(2)[:, :, order].reshape(x.shape)
    return (before - after).abs().max().item()


@pytest.mark.parametrize(("name", "options"), PLACELESS, ids=str)
def test_permuting_places_commutes(name, options):
    assert gap_between_permuting_before_and_after(name, options) < 1e-12


@pytest.mark.parametrize(("name", "options"), PLACED, ids=str)
def test_permuting_places_matters_where_neighbours_rows_or_columns_count(name, options):
    assert gap_between_permuting_before_and_after(name, options) > 1e-2


def test_moving_whole_rows_and_columns_commutes_where_strips_do_not_meet():
    """Why permutations of places fail: the gates belong to rows and columns, wherever these are.

    Without a convolution along the strips, that is.
    """
    x = torch.randn(2, 32, 5, 4, dtype=torch.float64)
    rows, columns = torch.randperm(5), torch.randperm(4)
    gaps = {
        (name, *options): (block(x[:, :, rows][..., columns]) - block(x)[:, :, rows][..., columns]).abs().max().item()
        for name, options in (
            ("coordinate", {}),
            ("strip", {"conv": False}),
            ("strip", {}),
            ("ela", {}),
            ("spatial", {}),
            ("triplet", {}),
        )
        for block in [away_from_the_start(name, options)]
    }
    assert gaps.pop(("coordinate",)) < 1e-12
    assert gaps.pop(("strip", "conv")) < 1e-12
    assert min(gaps.values()) > 1e-2


def test_which_blocks_take_channels_as_interchangeable():
    x = torch.randn(2, 32, 5, 4, dtype=torch.float64)
    order = torch.randperm(32)
    gaps = {
        name: (block(x[:, order]) - block(x)[:, order]).abs().max().item()
        for name in BLOCK_NAMES
        for block in [away_from_the_start(name, {})]
    }
    assert {name for name, gap in gaps.items() if gap < 1e-12} == {
        "spatial",
        "simam",
        "static_spatial",
        "identity",
        "gather_excite",
    }
    assert min(gap for gap in gaps.values() if gap > 1e-12) > 1e-3


@pytest.mark.parametrize("name", BLOCK_NAMES)
def test_images_of_a_batch_do_not_mix(name):
    block = away_from_the_start(name, {}).eval()
    x = torch.randn(3, 32, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(block(x)[1:2], block(x[1:2]))

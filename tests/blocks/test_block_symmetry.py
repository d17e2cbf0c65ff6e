"""Which blocks do not care where things are, and, as their opposites, which do."""

import pytest
import torch

from attn_tutorial.blocks import build_block

PLACELESS = [
    ("se", {}),
    ("se", {"squeeze": "max"}),
    ("channel", {}),
    ("non_local", {}),
    ("non_local", {"pairwise": "gaussian"}),
    ("non_local", {"pairwise": "dot"}),
    ("static_gate", {}),
]
PLACED = [("spatial", {}), ("cbam", {}), ("cbam", {"order": "parallel", "kernel": 3})]


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
def test_permuting_places_matters_where_a_convolution_looks_at_neighbours(name, options):
    assert gap_between_permuting_before_and_after(name, options) > 1e-2


def test_channels_are_interchangeable_for_the_spatial_half_only():
    x = torch.randn(2, 32, 5, 4, dtype=torch.float64)
    order = torch.randperm(32)
    gaps = {
        name: (block(x[:, order]) - block(x)[:, order]).abs().max().item()
        for name in ("spatial", "se", "channel", "static_gate")
        for block in [away_from_the_start(name, {})]
    }
    assert gaps.pop("spatial") < 1e-12
    assert min(gaps.values()) > 1e-2


@pytest.mark.parametrize("name", ["se", "channel", "spatial", "cbam", "non_local", "static_gate"])
def test_images_of_a_batch_do_not_mix(name):
    block = away_from_the_start(name, {}).eval()
    x = torch.randn(3, 32, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(block(x)[1:2], block(x[1:2]))

"""What blocks see and start as, in words."""

import pytest

from attn_tutorial.blocks import BLOCKS
from attn_tutorial.figures import sight_table, start_table

NAMES = ["non_local", "se", "static_gate", "identity", "eca"]


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
    starts = start_table(["cbam", "simam", "global_context", "gather_excite", "lka"])
    assert list(starts.loc["gather_excite"]) == ["0.50", "no", "–"]
    assert list(starts.loc["lka"])[1:] == ["no", "yes"]
    assert list(starts.loc["cbam"])[1:] == ["no", "yes"]
    assert list(starts.loc["simam"]) == ["0.76", "no", "–"]
    assert list(starts.loc["global_context"]) == ["1.00", "yes", "yes"]
    assert 0.2 < float(starts.loc["cbam"].iloc[0]) < 0.4


def test_all_blocks_can_be_compared():
    assert list(sight_table(BLOCKS).index) == list(start_table(BLOCKS).index) == list(BLOCKS)

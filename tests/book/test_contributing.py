"""CONTRIBUTING.md leads to places that exist, and the changes that it lists need no more than it says."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PLACES = sorted(set(re.findall(r"`((?:attn_tutorial|tests|data)/[\w./-]*)`", TEXT)))


@pytest.mark.parametrize("place", PLACES)
def test_every_place_is_there(place):
    assert (ROOT / place).exists()


def test_every_room_is_listed():
    rooms = {path.name for path in (ROOT / "attn_tutorial").iterdir() if (path / "__init__.py").is_file()}
    assert {f"attn_tutorial/{room}/" for room in rooms} <= set(PLACES)


def test_the_tables_that_it_names_are_where_it_says():
    for name, file in (
        ("LAYER_VERSIONS", "clutter/names.py"),
        ("PACKAGE_BLOCKS", "blocks/options.py"),
        ("INTRODUCED", "spec/introduced.py"),
    ):
        assert name in (ROOT / "attn_tutorial" / file).read_text(encoding="utf-8")

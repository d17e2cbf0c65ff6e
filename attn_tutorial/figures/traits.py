"""What blocks see and what they start as, in words: all blocks side by side."""

from collections.abc import Iterable

import pandas as pd

from attn_tutorial.blocks import BLOCK_OPTIONS, build_block
from attn_tutorial.blocks.traits import Sight, sight_of, start_of

_KINDS = {"channel": "channels", "spatial": "places", "full": "each number", "pairwise": "pairs"}


def sight_table(names: Iterable[str], channels: int = 64) -> pd.DataFrame:
    """Lay out what each block sees, found out by trying it: see `blocks.traits.sight_of`.

    Args:
        names: the blocks' names.
        channels: number of channels of the features that they are tried on.

    """
    rows = {}
    for name in names:
        sight = sight_of(build_block(name, channels))
        rows[name] = {
            "weighs": _weighs(sight),
            "hears other places": sight.places,
            "hears other channels": sight.channels,
            "misses a shuffle of places": sight.shuffled_places,
            "misses a shuffle of channels": _yes(sight.shuffled_channels),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("block")


def what_they_weigh(sights: pd.DataFrame) -> dict[str, list[str]]:
    """Return the names of blocks in groups, by what they weigh, for tables that fit on a screen.

    Args:
        sights: what `sight_table` returned.

    """
    groups: dict[str, list[str]] = {
        "channels": [],
        "each number of the features": [],
        "places, or pairs of places": [],
        "nothing that they see": [],
    }
    for name, weighs in sights["weighs"].items():
        if weighs == "nothing" or weighs.endswith("fixed"):
            group = "nothing that they see"
        elif "places" in weighs or "pairs" in weighs:
            group = "places, or pairs of places"
        else:
            group = "each number of the features" if "each number" in weighs else "channels"
        groups[group].append(str(name))
    return {group: names for group, names in groups.items() if names}


def start_table(names: Iterable[str], channels: int = 64) -> pd.DataFrame:
    """Lay out what each block does before training, by its defaults and with `at_start="identity"`.

    Args:
        names: the blocks' names.
        channels: number of channels of the features that they are tried on, see `blocks.traits.start_of`.

    """
    rows = {}
    for name in names:
        ratio, identity = start_of(name, channels)
        rows[name] = {
            "output SD ÷ input SD": f"{ratio:.2f}",
            "the identity": _yes(identity),
            'with at_start="identity"': _with_identity(name, channels),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("block")


def _with_identity(name: str, channels: int) -> str:
    """Say whether a block starts as the identity if asked for; "–" if it cannot be asked, with its other defaults."""
    if "at_start" not in BLOCK_OPTIONS[name].model_fields:
        return "–"
    try:
        return _yes(start_of(name, channels, at_start="identity")[1])
    except ValueError:  # it has no parameters to start from
        return "–"


def _weighs(sight: Sight) -> str:
    kinds = ", ".join(_KINDS[kind] for kind in sight.weighs) or "nothing"
    return kinds if sight.looks or not sight.weighs else f"{kinds}, fixed"


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"

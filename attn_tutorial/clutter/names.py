"""Names, versions and constants of the clutter benchmark. Imports no torch, so that commands start quickly."""

from collections.abc import Iterable
from typing import Final

CANVAS_VERSION = 1
"""Version of what every canvas has: where the target lies, how its pixels get there, which severity is drawn."""
LAYER_VERSIONS: dict[str, int] = {
    "fragments": 1,
    "noise": 1,
    "mosaic": 1,
    "strokes": 1,
    "veil": 1,
}
"""The registry of clutter types, with the version of each: raise it when a pixel of that type changes.

Each type is the file of that name in `clutter/layers/`. New types go to the end, because the order is part of how runs
are named.
"""
CLUTTER_TYPES = tuple(LAYER_VERSIONS)
SEEN_TYPES: Final = ("fragments", "noise")
"""The types that training shows by default; the others are kept for tests on clutter never seen."""
SEVERITIES = (0, 1, 2, 3, 4, 5)
CLUTTER_VERSION = 2
"""Raised whenever a rendered pixel changes; part of every run's id."""


def versions_drawn(types: Iterable[str], severities: Iterable[int]) -> dict[str, int]:
    """Return the version of each part that canvases show: "canvas", "noise", and `types` at severities above 0.

    The background of severity 0, which is weak noise, is always drawn.
    """
    shown = ("noise", *types) if any(severities) else ("noise",)
    return {"canvas": CANVAS_VERSION, **{name: LAYER_VERSIONS[name] for name in sorted(set(shown))}}

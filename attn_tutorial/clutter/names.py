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
ALWAYS_DRAWN = "noise"
"""The layer that every canvas shows, at severity 0 where it is not among the types: the weak background."""
SEVERITIES = (0, 1, 2, 3, 4, 5)


def versions_drawn(types: Iterable[str], severities: Iterable[int]) -> dict[str, int]:
    """Return the version of each part that canvases show: "canvas", `ALWAYS_DRAWN`, and `types` at severities above 0.

    At severity 0 the types leave the canvas as it is.
    """
    shown = (ALWAYS_DRAWN, *types) if any(severities) else (ALWAYS_DRAWN,)
    return {"canvas": CANVAS_VERSION, **{name: LAYER_VERSIONS[name] for name in sorted(set(shown))}}

"""Names, versions and constants of the clutter benchmark. Imports no torch, so that commands start quickly."""

from collections.abc import Iterable
from typing import Final, Literal

from attn_tutorial.errors import InputError, check_choice

CANVAS_VERSION = 1
"""Version of what every canvas has: where the target lies, how its pixels get there, which severity is drawn."""
LAYER_VERSIONS: dict[str, int] = {
    "fragments": 1,
    "noise": 1,
    "mosaic": 1,
    "strokes": 1,
    "veil": 1,
    "surround": 1,
    "crowd": 1,
}
"""The registry of clutter types, with the version of each: raise it when a pixel of that type changes.

Each type is the file of that name in `clutter/layers/`. New types go to the end, because the order is part of how runs
are named.
"""
CLUTTER_TYPES = tuple(LAYER_VERSIONS)
OCCLUSION_TYPES: Final = ("fragments", "strokes", "veil")
"""The axis "occlusion", the benchmark's secondary one: types that hide pixels of the target."""
BACKGROUND_TYPES = tuple(name for name in LAYER_VERSIONS if name not in OCCLUSION_TYPES)
"""The axis "background", the primary one: types that touch no pixel of the target."""
SEEN_TYPES: Final = ("surround", "noise")
"""The types that training shows by default; the others are kept for tests on clutter never seen."""
UNSEEN_TYPES: Final = ("mosaic", "crowd")
"""The background types that training does not show by default: the primary outcome is measured on these."""
ALWAYS_DRAWN = "noise"
"""The layer that every canvas shows, at severity 0 where it is not among the types: the weak background."""
SEVERITIES = (0, 1, 2, 3, 4, 5)
Axis = Literal["background", "occlusion", "mixed"]
AXES: Final[tuple[Axis, ...]] = ("background", "mixed", "occlusion")
"""The axes in the order of tables and figures, which never average over two of them."""


def axis_of(types: str | Iterable[str]) -> Axis:
    """Return the axis of a composition: "background", "occlusion", or "mixed" if it has types of both.

    Args:
        types: names of clutter types, or one text that joins them by +, such as "surround+noise".

    Raises:
        InputError: a name is not a clutter type, or there is none.

    """
    names = types.split("+") if isinstance(types, str) else list(types)
    for name in names:
        check_choice("clutter type", name, CLUTTER_TYPES)
    hiding = [name in OCCLUSION_TYPES for name in names]
    if not hiding:
        raise InputError("`types` must name at least one clutter type, but is empty.")
    return "occlusion" if all(hiding) else "mixed" if any(hiding) else "background"


def versions_drawn(types: Iterable[str], severities: Iterable[int]) -> dict[str, int]:
    """Return the version of each part that canvases show: "canvas", `ALWAYS_DRAWN`, and `types` at severities above 0.

    At severity 0 the types leave the canvas as it is.
    """
    shown = (ALWAYS_DRAWN, *types) if any(severities) else (ALWAYS_DRAWN,)
    return {"canvas": CANVAS_VERSION, **{name: LAYER_VERSIONS[name] for name in sorted(set(shown))}}

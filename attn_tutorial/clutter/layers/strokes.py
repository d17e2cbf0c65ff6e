"""Layer `strokes`: straight segments of one colour each, drawn over everything."""

from enum import IntEnum

import torch
from torch import Tensor

from attn_tutorial.clutter.layer import Layer, Scene
from attn_tutorial.clutter.severity import LEAST_VISIBLE
from attn_tutorial.clutter.tables import table
from attn_tutorial.datasets.names import TILE
from attn_tutorial.datasets.philox import below

LEVELS = ((0, 0), (4, 1), (8, 1), (8, 2), (10, 2), (12, 2))
"""By severity: number, and width in pixels beside a 32 px target.

Chosen on the validation split so that accuracy falls in even steps: `benchmarks/severity_table.py`.
"""
_SHORTEST, _LONGEST = 8, 16
"""Length in pixels beside a 32 px target."""
# The first quarter of a circle of radius 256 in sixteen directions over half a turn, and the rest by symmetry.
_DIRECTIONS = (
    (256, 0), (251, 50), (237, 98), (213, 142), (181, 181), (142, 213), (98, 237), (50, 251),
    (0, 256), (-50, 251), (-98, 237), (-142, 213), (-181, 181), (-213, 142), (-237, 98), (-251, 50),
)  # fmt: skip


class Stream(IntEnum):
    """What the layer draws random words for."""

    STROKE_PLACE = 11
    STROKE_COLOUR = 12


def _words_needed(severities: tuple[int, ...], side: int, extent: int) -> dict[IntEnum, int]:
    most = max(LEVELS[severity][0] for severity in severities)
    return {Stream.STROKE_PLACE: most, Stream.STROKE_COLOUR: most} if most else {}


def _draw(scene: Scene, severity: Tensor) -> None:
    """Draw strokes one over the other; skip each one that would leave too little of the target visible."""
    if Stream.STROKE_PLACE not in scene.words:
        return  # all canvases are of severity 0
    place, colour = scene.words[Stream.STROKE_PLACE], scene.words[Stream.STROKE_COLOUR]
    device, side, extent, most = place.device, scene.tile.side, scene.tile.extent, place.shape[1]
    count, width = (table(column, device, torch.int32)[severity] for column in zip(*LEVELS, strict=True))
    width = (width * extent + TILE // 2) // TILE
    shortest, longest = (length * extent // TILE for length in (_SHORTEST, _LONGEST))
    centre = below(place[..., :2], side).to(torch.int32)
    direction = table(_DIRECTIONS, device, torch.int32)[below(place[..., 2], len(_DIRECTIONS))]
    length = shortest + below(place[..., 3], longest - shortest + 1).to(torch.int32)
    at = table(range(side), device, torch.int32)
    x, y = ((at - middle[..., None]) for middle in centre.unbind(-1))  # (batch, count, side) each
    cosine, sine = (component[..., None] for component in direction.unbind(-1))
    along = (x * cosine)[:, :, None] + (y * sine)[..., None]
    across = (y * cosine)[..., None] - (x * sine)[:, :, None]
    # Half-open on one side, so that a stroke along an axis has just its width and length.
    reach, edge = (128 * size[..., None, None] for size in (length, width[:, None]))
    covers = (along >= -reach) & (along < reach) & (across >= -edge) & (across < edge)
    covers &= (table(range(most), device) < count[:, None])[..., None, None]
    red, green, blue, _ = colour.unbind(-1)
    word = ((red >> 24) | (green >> 24 << 8) | (blue >> 24 << 16)).to(torch.int32)
    # Rounded up. With a feather of 2 the target's outermost ring shows less than half of it from the start.
    least = -(-((extent - 2 * (scene.feather // 2)) ** 2) * LEAST_VISIBLE // 100)
    for j in range(most):
        left = scene.visible & ~covers[:, j]
        allowed = left.sum((1, 2), dtype=torch.int32)[:, None, None] >= least
        scene.visible = torch.where(allowed, left, scene.visible)
        scene.canvas = torch.where(covers[:, j] & allowed, word[:, j, None, None], scene.canvas)


def _level_rows() -> dict[str, list[str]]:
    return {"strokes: number × px": [f"{count} × {width}" if count else "–" for count, width in LEVELS]}


def _strength(severity: int, extent: int) -> str:
    count, width = LEVELS[severity]
    return f"{count} lines, {(width * extent + TILE // 2) // TILE} px wide" if count else "none"


LAYER = Layer(
    place="front",
    description="straight lines over everything",
    streams=Stream,
    words_needed=_words_needed,
    draw=_draw,
    level_rows=_level_rows,
    strength=_strength,
)

"""Clutter type `strokes`: straight segments of one colour, drawn over everything."""

import torch
from torch import Tensor

from attn_tutorial.clutter import severity as levels
from attn_tutorial.clutter.tables import table
from attn_tutorial.datasets.names import TILE
from attn_tutorial.datasets.philox import below

_SHORTEST, _LONGEST = 8, 16
"""Pixels, beside a 32 px tile."""
# The first quarter of a circle of radius 256 in sixteen directions over half a turn, and the rest by symmetry.
_DIRECTIONS = (
    (256, 0), (251, 50), (237, 98), (213, 142), (181, 181), (142, 213), (98, 237), (50, 251),
    (0, 256), (-50, 251), (-98, 237), (-142, 213), (-181, 181), (-213, 142), (-237, 98), (-251, 50),
)  # fmt: skip


def draw_strokes(
    canvas: Tensor, visible: Tensor, least: int, place: Tensor, colour: Tensor, severity: Tensor, extent: int
) -> tuple[Tensor, Tensor]:
    """Draw strokes one over the other; one that would leave too little of the tile visible is skipped.

    Args:
        canvas: words (B, H, H).
        visible: bool (B, H, H), the tile's visible pixels.
        least: how many of these must stay.
        place: words (B, K, 4).
        colour: words (B, K, 4).
        severity: int64 (B,).
        extent: side of the tile in pixels.

    Returns:
        the canvas, and what is visible of the tile now.

    """
    device, side, most = canvas.device, canvas.shape[1], place.shape[1]
    count, width = (table(column, device, torch.int32)[severity] for column in zip(*levels.STROKES, strict=True))
    width = (width * extent + TILE // 2) // TILE
    shortest, longest = (length * extent // TILE for length in (_SHORTEST, _LONGEST))
    centre = below(place[..., :2], side).to(torch.int32)
    direction = table(_DIRECTIONS, device, torch.int32)[below(place[..., 2], len(_DIRECTIONS))]
    length = shortest + below(place[..., 3], longest - shortest + 1).to(torch.int32)
    at = table(range(side), device, torch.int32)
    x, y = ((at - middle[..., None]) for middle in centre.unbind(-1))  # (B, K, H) each
    cosine, sine = (component[..., None] for component in direction.unbind(-1))
    along = (x * cosine)[:, :, None] + (y * sine)[..., None]
    across = (y * cosine)[..., None] - (x * sine)[:, :, None]
    # Half-open on one side, so that a stroke along an axis has just its width and length.
    reach, edge = (128 * size[..., None, None] for size in (length, width[:, None]))
    covers = (along >= -reach) & (along < reach) & (across >= -edge) & (across < edge)
    covers &= (table(range(most), device) < count[:, None])[..., None, None]
    red, green, blue, _ = colour.unbind(-1)
    word = ((red >> 24) | (green >> 24 << 8) | (blue >> 24 << 16)).to(torch.int32)
    for j in range(most):
        left = visible & ~covers[:, j]
        allowed = left.sum((1, 2), dtype=torch.int32)[:, None, None] >= least
        visible = torch.where(allowed, left, visible)
        canvas = torch.where(covers[:, j] & allowed, word[:, j, None, None], canvas)
    return canvas, visible

"""Square pieces of images at places of their own, which several layers paste."""

from dataclasses import dataclass

import torch
from torch import Tensor

from attn_tutorial.clutter.drawing import mixed, ramp, span
from attn_tutorial.clutter.layer import Scene
from attn_tutorial.clutter.tables import table
from attn_tutorial.datasets.philox import below


@dataclass(frozen=True)
class Pieces:
    """Square pieces of images with their places, for a batch; `count` is the most that its severities can have."""

    image: Tensor
    """int64 (batch, count): positions in the pool."""
    crop: Tensor
    """int32 (batch, count, 2): x and y of the piece's corner in its image."""
    corner: Tensor
    """int32 (batch, count, 2): its corner on the canvas, which it may leave."""
    size: Tensor
    """int32 (batch, 1): side in pixels."""
    drawn: Tensor
    """bool (batch, count): whether the canvas's severity has this one."""


def paste(canvas: Tensor, pieces: Pieces, pool: Tensor) -> tuple[Tensor, Tensor]:
    """Paste pieces with hard edges, later ones over earlier ones.

    Args:
        canvas: int32 (batch, side, side), pixel words.
        pieces: what is pasted, and where.
        pool: int32 (images, extent, extent), pixel words.

    Returns:
        the canvas, and the pixels that pieces cover, bool (batch, side, side).

    """
    columns, rows = _spans(pieces, canvas.shape[1])
    count = columns.shape[1]
    # Bit j of a pixel says whether piece j is there. The highest bit that is set, the topmost piece, is the
    # exponent of the number as a float, which has room for 24 bits; the exponent of one half stands for no piece.
    bit = (1 << table(range(count), canvas.device, torch.int32))[:, None]
    covering = (rows * bit).sum(1, dtype=torch.int32)[:, :, None] & (columns * bit).sum(1, dtype=torch.int32)[:, None]
    top = covering.to(torch.float32).clamp_(min=0.5).view(torch.int32).bitwise_right_shift_(23)
    top += table(range(-126, len(canvas) * (count + 1) - 126, count + 1), canvas.device, torch.int32)[:, None, None]
    origins = _origins(pieces, pool)
    origins = torch.cat((torch.zeros_like(origins[:, :1]), origins), dim=1)
    source = origins.flatten().index_select(0, top.flatten()).view_as(top).add_(_offsets(canvas, pool))
    source.clamp_(max=pool.numel() - 1)  # where no piece is, any pixel will do
    covered = covering > 0
    return torch.where(covered, pool.flatten().index_select(0, source.flatten()).view_as(canvas), canvas), covered


def paste_behind(scene: Scene, pieces: Pieces, pool: Tensor) -> None:
    """Paste pieces on a scene whose target is not on the canvas yet, with the scene's kind of edges.

    Args:
        scene: its canvas is replaced.
        pieces: what is pasted, and where.
        pool: int32 (images, extent, extent), the pixel words that the pieces are cut from.

    """
    if scene.feather:
        none = torch.zeros_like(scene.canvas)  # of the target is on the canvas
        scene.canvas, _ = blend(scene.canvas, pieces, pool, scene.feather, none)
    else:
        scene.canvas, _ = paste(scene.canvas, pieces, pool)


def centred(scene: Scene, place: Tensor, size: Tensor) -> Tensor:
    """Return the corners of pieces whose centres lie anywhere on the canvas, whatever the target's place.

    Args:
        scene: the scene.
        place: int64 (batch, count, 4), random words, of which the first two choose the centre.
        size: int32 (batch,), side of the pieces in pixels.

    Returns:
        x and y, int32 (batch, count, 2); pieces may leave the canvas.

    """
    return below(place[..., :2], scene.tile.side).to(torch.int32) - (size // 2)[:, None, None]


def blend(canvas: Tensor, pieces: Pieces, pool: Tensor, feather: int, share: Tensor) -> tuple[Tensor, Tensor]:
    """Paste pieces with feathered edges.

    Args:
        canvas: int32 (batch, side, side), pixel words.
        pieces: what is pasted, and where.
        pool: int32 (images, extent, extent), pixel words.
        feather: pixels over which a piece fades in from its border.
        share: int32 (batch, side, side), the target's share of each pixel in 1/256.

    Returns:
        the canvas, and the target's share of each pixel after the pieces are pasted.

    """
    columns, rows = _spans(pieces, canvas.shape[1])
    across, down = (ramp(low, pieces.size, canvas.shape[1], feather) for low in pieces.corner.unbind(-1))
    origins, offsets = _origins(pieces, pool), _offsets(canvas, pool)
    for j in range(columns.shape[1]):
        inside = rows[:, j, :, None] & columns[:, j, None]
        weight = torch.where(inside, torch.minimum(down[:, j, :, None], across[:, j, None]), 0)
        source = torch.where(inside, origins[:, j, None, None] + offsets, 0)
        canvas = mixed(canvas, pool.flatten().index_select(0, source.flatten()).view_as(canvas), weight)
        share = (share * (256 - weight)) >> 8
    return canvas, share


def _spans(pieces: Pieces, side: int) -> tuple[Tensor, Tensor]:
    """Return the columns and the rows that each piece covers: bool (batch, count, side) each."""
    columns, rows = (span(low, pieces.size, side) for low in pieces.corner.unbind(-1))
    return columns & pieces.drawn[..., None], rows


def _origins(pieces: Pieces, pool: Tensor) -> Tensor:
    """Return where the pool would contain the canvas's first pixel if a piece's image reached it: (batch, count)."""
    extent = pool.shape[1]
    # 32-bit positions take half the memory of 64-bit ones, where they suffice.
    position = torch.int32 if pool.numel() < 2**31 else torch.int64
    u, v = (pieces.crop - pieces.corner).unbind(-1)
    return pieces.image.to(position) * (extent * extent) + v * extent + u


def _offsets(canvas: Tensor, pool: Tensor) -> Tensor:
    """Return how far each pixel of the canvas is from the first one in the pool's order: int32 (side, side)."""
    at = table(range(canvas.shape[1]), canvas.device, torch.int32)
    return at[:, None] * pool.shape[1] + at

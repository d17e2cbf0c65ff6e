"""Clutter type `fragments`: square pieces of other images, pasted over the canvas."""

from dataclasses import dataclass

import torch
from torch import Tensor

from attn_tutorial.clutter.drawing import mixed, ramp, span
from attn_tutorial.clutter.severity import fragment_levels
from attn_tutorial.clutter.tables import table
from attn_tutorial.datasets.images import ImageSet
from attn_tutorial.datasets.philox import below

# Sixteen directions whose longer component is 256: one step of a slide is a whole pixel along it.
_DIRECTIONS = (
    (256, 0), (256, 106), (256, 256), (106, 256), (0, 256), (-106, 256), (-256, 256), (-256, 106),
    (-256, 0), (-256, -106), (-256, -256), (-106, -256), (0, -256), (106, -256), (256, -256), (256, -106),
)  # fmt: skip


@dataclass(frozen=True)
class Fragments:
    """The fragments of a batch, placed; K is the most that its severities can have."""

    image: Tensor
    """int64 (B, K): positions in the pool."""
    crop: Tensor
    """int32 (B, K, 2): the piece's corner in its image, x and y."""
    corner: Tensor
    """int32 (B, K, 2): its corner on the canvas, which it may leave."""
    size: Tensor
    """int32 (B, 1): side in pixels."""
    drawn: Tensor
    """bool (B, K): whether the canvas's severity has this one."""


def place_fragments(
    source: Tensor,
    place: Tensor,
    severity: Tensor,
    tile: Tensor,
    side: int,
    pool: ImageSet,
    own: Tensor | None,
    but_class: Tensor | None,
) -> Fragments:
    """Choose and place the fragments of a batch.

    Each has an image, a piece of it, a first centre on the canvas and a direction, drawn once for all severities. In
    turn, each slides along its direction, turned away from the tile's centre, to the first place where its overlap with
    the tile and those of the ones before it add up to at most the severity's cap.

    Args:
        source: words (B, K, 4).
        place: words (B, K, 4).
        severity: int64 (B,).
        tile: int32 (B, 2), the tile's corner as x, y.
        side: of the canvas in pixels.
        pool: the images that fragments are cut from.
        own: int64 (B,), each canvas's own image where it lies in the pool, and so must not be drawn; or None.
        but_class: int64 (B,), a class that must not be drawn; or None.

    """
    device, extent = severity.device, pool.images.shape[1]
    levels = fragment_levels(extent)
    count, size, cap = (
        table([getattr(level, name) for level in levels], device, torch.int32)[severity]
        for name in ("count", "size", "overlap")
    )
    largest = max(level.size for level in levels)
    half = (size // 2)[:, None, None]
    # Crop centres are those of the largest size, so that one centre serves every size.
    crop = largest // 2 + below(source[..., 2:], extent - largest + 1).to(torch.int32) - half
    centre = below(place[..., :2], side).to(torch.int32)
    direction = table(_DIRECTIONS, device, torch.int32)[below(place[..., 2], len(_DIRECTIONS))]
    inward = (direction * (centre - (tile + extent // 2)[:, None])).sum(-1, keepdim=True) < 0
    direction = torch.where(inward, -direction, direction)
    # The last of these steps lies off the tile, wherever the first was and whatever the direction.
    steps = table(range(extent + largest + 1), device, torch.int32)
    start = centre - half
    path = (start - tile[:, None])[..., None] + ((direction[..., None] * steps + 128) >> 8)  # (B, K, 2, steps)
    drawn = table(range(source.shape[1]), device) < count[:, None]
    chosen = _first_allowed(path, size, extent, cap, drawn)
    corner = start + ((direction * chosen[..., None] + 128) >> 8)
    image = pool.pick(source[..., 0], source[..., 1], own, but_class)
    return Fragments(image, crop, corner, size[:, None], drawn)


def _first_allowed(path: Tensor, size: Tensor, extent: int, cap: Tensor, drawn: Tensor) -> Tensor:
    """The step at which each fragment stops, int32 (B, K): `path` is relative to the tile's corner."""
    within = (path + size[:, None, None, None]).clamp_(0, extent) - path.clamp(0, extent)
    overlap = within[:, :, 0] * within[:, :, 1]
    budget, steps = cap[:, None], []
    for j in range(drawn.shape[1]):
        step = (overlap[:, j] <= budget).to(torch.uint8).argmax(1, keepdim=True)
        steps.append(step)
        budget = budget - overlap[:, j].gather(1, step) * drawn[:, j, None]
    return torch.cat(steps, dim=1).to(torch.int32)


def paste_fragments(canvas: Tensor, fragments: Fragments, pool: Tensor) -> tuple[Tensor, Tensor]:
    """Paste the fragments with hard edges, later ones over earlier ones.

    Args:
        canvas: words (B, H, H).
        fragments: where and what.
        pool: words (N, T, T).

    Returns:
        the canvas, and the pixels that fragments cover, bool (B, H, H).

    """
    columns, rows = _spans(fragments, canvas.shape[1])
    count = columns.shape[1]
    # Bit j of a pixel says whether fragment j is there. The highest bit that is set, the topmost fragment, is the
    # exponent of the number as a float, which holds 24 bits exactly; that of one half stands for no fragment.
    bit = (1 << table(range(count), canvas.device, torch.int32))[:, None]
    covering = (rows * bit).sum(1, dtype=torch.int32)[:, :, None] & (columns * bit).sum(1, dtype=torch.int32)[:, None]
    top = covering.to(torch.float32).clamp_(min=0.5).view(torch.int32).bitwise_right_shift_(23)
    top += table(range(-126, len(canvas) * (count + 1) - 126, count + 1), canvas.device, torch.int32)[:, None, None]
    origins = _origins(fragments, pool)
    origins = torch.cat((torch.zeros_like(origins[:, :1]), origins), dim=1)
    source = origins.flatten().index_select(0, top.flatten()).view_as(top).add_(_offsets(canvas, pool))
    source.clamp_(max=pool.numel() - 1)  # where no fragment is, any pixel will do
    covered = covering > 0
    return torch.where(covered, pool.flatten().index_select(0, source.flatten()).view_as(canvas), canvas), covered


def blend_fragments(
    canvas: Tensor, fragments: Fragments, pool: Tensor, feather: int, shows: Tensor
) -> tuple[Tensor, Tensor]:
    """Paste the fragments with feathered edges.

    Args:
        canvas: words (B, H, H).
        fragments: where and what.
        pool: words (N, T, T).
        feather: pixels over which a fragment fades in from its border.
        shows: int32 (B, H, H), the tile's share of each pixel in 1/256.

    Returns:
        the canvas, and the tile's share of each pixel once the fragments are on it.

    """
    columns, rows = _spans(fragments, canvas.shape[1])
    across, down = (ramp(low, fragments.size, canvas.shape[1], feather) for low in fragments.corner.unbind(-1))
    origins, offsets = _origins(fragments, pool), _offsets(canvas, pool)
    for j in range(columns.shape[1]):
        inside = rows[:, j, :, None] & columns[:, j, None]
        weight = torch.where(inside, torch.minimum(down[:, j, :, None], across[:, j, None]), 0)
        source = torch.where(inside, origins[:, j, None, None] + offsets, 0)
        canvas = mixed(canvas, pool.flatten().index_select(0, source.flatten()).view_as(canvas), weight)
        shows = (shows * (256 - weight)) >> 8
    return canvas, shows


def _spans(fragments: Fragments, side: int) -> tuple[Tensor, Tensor]:
    """The columns and the rows that each fragment takes: bool (B, K, H) each."""
    columns, rows = (span(low, fragments.size, side) for low in fragments.corner.unbind(-1))
    return columns & fragments.drawn[..., None], rows


def _origins(fragments: Fragments, pool: Tensor) -> Tensor:
    """Where the pool would hold the canvas's first pixel, if a fragment's image went on to there: (B, K)."""
    extent = pool.shape[1]
    # Half the size of 64-bit positions, where these do.
    position = torch.int32 if pool.numel() < 2**31 else torch.int64
    u, v = (fragments.crop - fragments.corner).unbind(-1)
    return fragments.image.to(position) * (extent * extent) + v * extent + u


def _offsets(canvas: Tensor, pool: Tensor) -> Tensor:
    """How far a pixel of the canvas lies from its first one in the pool's order: int32 (H, H)."""
    at = table(range(canvas.shape[1]), canvas.device, torch.int32)
    return at[:, None] * pool.shape[1] + at

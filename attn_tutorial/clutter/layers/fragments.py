"""Layer `fragments`: square pieces of other images, pasted over the background and, up to a cap, over the target."""

import functools
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from attn_tutorial.clutter.drawing import mixed, ramp, span
from attn_tutorial.clutter.layer import Layer, Scene
from attn_tutorial.clutter.tables import table
from attn_tutorial.datasets.names import TILE
from attn_tutorial.datasets.philox import below

LEVELS = ((0, 0, 0), (6, 9, 12), (10, 10, 18), (14, 13, 27), (18, 14, 33), (24, 14, 38))
"""By severity: number, side in pixels beside a 32 px target, and most overlap with the target in percent of its area.

No fragment is larger than 14 px, so that the target is the only whole image on the canvas. The numbers were chosen on
the validation split so that accuracy falls in even steps: `benchmarks/severity_table.py`.
"""
# Sixteen directions whose longer component is 256: one step of a slide is a whole pixel along it.
_DIRECTIONS = (
    (256, 0), (256, 106), (256, 256), (106, 256), (0, 256), (-106, 256), (-256, 256), (-256, 106),
    (-256, 0), (-256, -106), (-256, -256), (-106, -256), (0, -256), (106, -256), (256, -256), (256, -106),
)  # fmt: skip


class Stream(IntEnum):
    """What the layer draws random words for."""

    FRAGMENT_SOURCE = 3
    FRAGMENT_PLACE = 4


def _words_needed(severities: tuple[int, ...], side: int, extent: int) -> dict[IntEnum, int]:
    most = max(LEVELS[severity][0] for severity in severities)
    return {Stream.FRAGMENT_SOURCE: most, Stream.FRAGMENT_PLACE: most} if most else {}


def _draw(scene: Scene, severity: Tensor) -> None:
    if Stream.FRAGMENT_SOURCE not in scene.words:
        return  # all canvases are of severity 0
    placed = place_fragments(scene, severity)
    if scene.share is None:
        scene.canvas, hidden = paste_fragments(scene.canvas, placed, scene.pool_words)
        scene.visible = scene.visible & ~hidden
    else:
        scene.canvas, scene.share = blend_fragments(scene.canvas, placed, scene.pool_words, scene.feather, scene.share)
        scene.visible = scene.visible & (scene.share >= 128)
    scene.fragment_id = scene.pool.index[placed.image].masked_fill(~placed.drawn, -1)
    scene.fragment_class = scene.pool.labels[placed.image].masked_fill(~placed.drawn, -1)


def _level_rows() -> dict[str, list[str]]:
    return {
        "fragments: number × px": [f"{count} × {size}" if count else "–" for count, size, _ in LEVELS],
        "fragments: of the tile hidden, at most": [f"{percent} %" for _, _, percent in LEVELS],
    }


def _strength(severity: int, extent: int) -> str:
    level, percent = fragment_levels(extent)[severity], LEVELS[severity][2]
    if not level.count:
        return "none"
    return f"{level.count} squares of {level.size} px, over at most {percent} % of the tile"


LAYER = Layer(
    place="front",
    description="square pieces of other images, pasted over the background and, up to a cap, over the tile",
    streams=Stream,
    words_needed=_words_needed,
    draw=_draw,
    level_rows=_level_rows,
    strength=_strength,
)


@dataclass(frozen=True)
class FragmentLevel:
    """Fragments at one severity: how many, how large, and how much of the target they may hide."""

    count: int
    size: int
    """Side of a fragment in pixels."""
    overlap: int
    """Most pixels of the target that the fragments' overlaps with it may add up to."""


@functools.cache
def fragment_levels(extent: int) -> tuple[FragmentLevel, ...]:
    """Return the levels for targets of `extent` px: numbers and shares stay, sides scale with the target."""
    return tuple(
        FragmentLevel(count, round(size * extent / TILE), extent * extent * percent // 100)
        for count, size, percent in LEVELS
    )


@dataclass(frozen=True)
class PlacedFragments:
    """The fragments of a batch with their places; `count` is the most that its severities can have."""

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


def place_fragments(scene: Scene, severity: Tensor) -> PlacedFragments:
    """Choose and place the fragments of a batch.

    Each has an image, a piece of it, a first centre on the canvas and a direction, drawn once for all severities. In
    turn, each slides along its direction, turned away from the target's centre, to the first place where its overlap
    with the target and the overlaps of the ones before it add up to at most the severity's cap.

    Args:
        scene: where the targets lie, and which images may be cut into fragments.
        severity: int64 (batch,).

    """
    source, place = scene.words[Stream.FRAGMENT_SOURCE], scene.words[Stream.FRAGMENT_PLACE]
    device, extent = severity.device, scene.tile.extent
    levels = fragment_levels(extent)
    count, size, cap = (
        table([getattr(level, name) for level in levels], device, torch.int32)[severity]
        for name in ("count", "size", "overlap")
    )
    largest = max(level.size for level in levels)
    half = (size // 2)[:, None, None]
    # Crop centres are those of the largest size, so that one centre serves every size.
    crop = largest // 2 + below(source[..., 2:], extent - largest + 1).to(torch.int32) - half
    centre = below(place[..., :2], scene.tile.side).to(torch.int32)
    direction = table(_DIRECTIONS, device, torch.int32)[below(place[..., 2], len(_DIRECTIONS))]
    target = scene.tile.corner
    inward = (direction * (centre - (target + extent // 2)[:, None])).sum(-1, keepdim=True) < 0
    direction = torch.where(inward, -direction, direction)
    # The last of these steps lies off the target, wherever the first was and whatever the direction.
    steps = table(range(extent + largest + 1), device, torch.int32)
    start = centre - half
    path = (start - target[:, None])[..., None] + ((direction[..., None] * steps + 128) >> 8)
    drawn = table(range(source.shape[1]), device) < count[:, None]
    chosen = _first_allowed(path, size, extent, cap, drawn)
    corner = start + ((direction * chosen[..., None] + 128) >> 8)
    return PlacedFragments(scene.pick(source, scene.except_class), crop, corner, size[:, None], drawn)


def _first_allowed(path: Tensor, size: Tensor, extent: int, cap: Tensor, drawn: Tensor) -> Tensor:
    """Return the step at which each fragment stops, int32 (batch, count).

    Args:
        path: int32 (batch, count, 2, steps), the fragment's corner at each step, relative to the target's corner.
        size: int32 (batch,), side of a fragment in pixels.
        extent: side of the target in pixels.
        cap: int32 (batch,), most pixels that the overlaps with the target may add up to.
        drawn: bool (batch, count), which fragments take their overlap off the cap.

    """
    within = (path + size[:, None, None, None]).clamp_(0, extent) - path.clamp(0, extent)
    overlap = within[:, :, 0] * within[:, :, 1]
    budget, steps = cap[:, None], []
    for j in range(drawn.shape[1]):
        step = (overlap[:, j] <= budget).to(torch.uint8).argmax(1, keepdim=True)
        steps.append(step)
        budget = budget - overlap[:, j].gather(1, step) * drawn[:, j, None]
    return torch.cat(steps, dim=1).to(torch.int32)


def paste_fragments(canvas: Tensor, fragments: PlacedFragments, pool: Tensor) -> tuple[Tensor, Tensor]:
    """Paste the fragments with hard edges, later ones over earlier ones.

    Args:
        canvas: int32 (batch, side, side), pixel words.
        fragments: what is pasted, and where.
        pool: int32 (images, extent, extent), pixel words.

    Returns:
        the canvas, and the pixels that fragments cover, bool (batch, side, side).

    """
    columns, rows = _spans(fragments, canvas.shape[1])
    count = columns.shape[1]
    # Bit j of a pixel says whether fragment j is there. The highest bit that is set, the topmost fragment, is the
    # exponent of the number as a float, which has room for 24 bits; the exponent of one half stands for no fragment.
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
    canvas: Tensor, fragments: PlacedFragments, pool: Tensor, feather: int, share: Tensor
) -> tuple[Tensor, Tensor]:
    """Paste the fragments with feathered edges.

    Args:
        canvas: int32 (batch, side, side), pixel words.
        fragments: what is pasted, and where.
        pool: int32 (images, extent, extent), pixel words.
        feather: pixels over which a fragment fades in from its border.
        share: int32 (batch, side, side), the target's share of each pixel in 1/256.

    Returns:
        the canvas, and the target's share of each pixel after the fragments are pasted.

    """
    columns, rows = _spans(fragments, canvas.shape[1])
    across, down = (ramp(low, fragments.size, canvas.shape[1], feather) for low in fragments.corner.unbind(-1))
    origins, offsets = _origins(fragments, pool), _offsets(canvas, pool)
    for j in range(columns.shape[1]):
        inside = rows[:, j, :, None] & columns[:, j, None]
        weight = torch.where(inside, torch.minimum(down[:, j, :, None], across[:, j, None]), 0)
        source = torch.where(inside, origins[:, j, None, None] + offsets, 0)
        canvas = mixed(canvas, pool.flatten().index_select(0, source.flatten()).view_as(canvas), weight)
        share = (share * (256 - weight)) >> 8
    return canvas, share


def _spans(fragments: PlacedFragments, side: int) -> tuple[Tensor, Tensor]:
    """Return the columns and the rows that each fragment covers: bool (batch, count, side) each."""
    columns, rows = (span(low, fragments.size, side) for low in fragments.corner.unbind(-1))
    return columns & fragments.drawn[..., None], rows


def _origins(fragments: PlacedFragments, pool: Tensor) -> Tensor:
    """Return where the pool would contain the canvas's first pixel if a fragment's image reached it: (batch, count)."""
    extent = pool.shape[1]
    # 32-bit positions take half the memory of 64-bit ones, where they suffice.
    position = torch.int32 if pool.numel() < 2**31 else torch.int64
    u, v = (fragments.crop - fragments.corner).unbind(-1)
    return fragments.image.to(position) * (extent * extent) + v * extent + u


def _offsets(canvas: Tensor, pool: Tensor) -> Tensor:
    """Return how far each pixel of the canvas is from the first one in the pool's order: int32 (side, side)."""
    at = table(range(canvas.shape[1]), canvas.device, torch.int32)
    return at[:, None] * pool.shape[1] + at

"""Layer `fragments`: square pieces of other images, pasted over the background and, up to a cap, over the target."""

import functools
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from attn_tutorial.clutter.layer import Layer, Scene
from attn_tutorial.clutter.pieces import Pieces, blend, paste
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
        scene.canvas, hidden = paste(scene.canvas, placed, scene.pool_words)
        scene.visible = scene.visible & ~hidden
    else:
        scene.canvas, scene.share = blend(scene.canvas, placed, scene.pool_words, scene.feather, scene.share)
        scene.visible = scene.visible & (scene.share >= 128)
    scene.record("fragments", placed.image, placed.drawn)


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


def place_fragments(scene: Scene, severity: Tensor) -> Pieces:
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
    return Pieces(scene.pick(source, scene.except_class), crop, corner, size[:, None], drawn)


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

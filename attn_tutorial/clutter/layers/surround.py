"""Layer `surround`: square pieces of other images behind the target, which stays whole."""

from enum import IntEnum

import torch
from torch import Tensor

from attn_tutorial.clutter.layer import Layer, Scene
from attn_tutorial.clutter.pieces import Pieces, centred, paste_behind
from attn_tutorial.clutter.tables import table
from attn_tutorial.datasets.names import TILE
from attn_tutorial.datasets.philox import below

LEVELS = ((0, 0), (6, 12), (10, 14), (17, 18), (22, 20), (24, 21))
"""By severity: number of pieces, and their side in pixels beside a 32 px target.

Chosen on the validation split by the baseline alone: `benchmarks/background_table.py`.
"""


class Stream(IntEnum):
    """What the layer draws random words for."""

    SURROUND_SOURCE = 13
    SURROUND_PLACE = 14


def sizes(extent: int) -> list[int]:
    """Return the side of a piece in pixels at each severity, beside a target of `extent` px; halves are rounded up."""
    return [(size * extent + TILE // 2) // TILE for _, size in LEVELS]


def _words_needed(severities: tuple[int, ...], side: int, extent: int) -> dict[IntEnum, int]:
    most = max(LEVELS[severity][0] for severity in severities)
    return {Stream.SURROUND_SOURCE: most, Stream.SURROUND_PLACE: most} if most else {}


def _draw(scene: Scene, severity: Tensor) -> None:
    if Stream.SURROUND_SOURCE not in scene.words:
        return  # all canvases are of severity 0
    source, place = scene.words[Stream.SURROUND_SOURCE], scene.words[Stream.SURROUND_PLACE]
    device, extent = severity.device, scene.tile.extent
    count = table([count for count, _ in LEVELS], device, torch.int32)[severity]
    size = table(sizes(extent), device, torch.int32)[severity]
    largest = max(sizes(extent))
    # Crop centres are those of the largest size, so that one centre serves every size.
    crop = largest // 2 + below(source[..., 2:], extent - largest + 1).to(torch.int32) - (size // 2)[:, None, None]
    drawn = table(range(source.shape[1]), device) < count[:, None]
    image = scene.pick(source, scene.except_class)
    paste_behind(scene, Pieces(image, crop, centred(scene, place, size), size[:, None], drawn), scene.pool_words)
    scene.record("surround", image, drawn)


def _level_rows() -> dict[str, list[str]]:
    return {"surround: number × px": [f"{count} × {size}" if count else "–" for count, size in LEVELS]}


def _strength(severity: int, extent: int) -> str:
    count, size = LEVELS[severity][0], sizes(extent)[severity]
    return f"{count} squares of {size} px" if count else "none"


LAYER = Layer(
    place="background",
    description="square pieces of other images, pasted over the background, behind the tile",
    streams=Stream,
    words_needed=_words_needed,
    draw=_draw,
    level_rows=_level_rows,
    strength=_strength,
)

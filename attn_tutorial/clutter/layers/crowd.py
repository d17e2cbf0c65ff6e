"""Layer `crowd`: smaller whole images behind the target, which stays whole and is the largest whole image."""

from enum import IntEnum

import torch
from torch import Tensor

from attn_tutorial.clutter.layer import Layer, Scene
from attn_tutorial.clutter.pieces import Pieces, centred, paste_behind
from attn_tutorial.clutter.smaller import smaller_images
from attn_tutorial.clutter.tables import table
from attn_tutorial.datasets.names import TILE

LEVELS = ((0, 0), (4, 15), (7, 17), (9, 18), (13, 19), (24, 19))
"""By severity: number of images, and their side in pixels beside a 32 px target, at most 0.6 of the target's.

Chosen on the validation split by the baseline alone: `benchmarks/background_table.py`.
"""


class Stream(IntEnum):
    """What the layer draws random words for."""

    CROWD_SOURCE = 15
    CROWD_PLACE = 16


def sizes(extent: int) -> list[int]:
    """Return the side of an image in pixels at each severity, beside a target of `extent` px, rounded down."""
    return [size * extent // TILE for _, size in LEVELS]


def _words_needed(severities: tuple[int, ...], side: int, extent: int) -> dict[IntEnum, int]:
    most = max(LEVELS[severity][0] for severity in severities)
    return {Stream.CROWD_SOURCE: most, Stream.CROWD_PLACE: most} if most else {}


def _draw(scene: Scene, severity: Tensor) -> None:
    if Stream.CROWD_SOURCE not in scene.words:
        return  # all canvases are of severity 0
    source, place = scene.words[Stream.CROWD_SOURCE], scene.words[Stream.CROWD_PLACE]
    device, all_sizes = severity.device, sizes(scene.tile.extent)
    count = table([count for count, _ in LEVELS], device, torch.int32)[severity]
    size = table(all_sizes, device, torch.int32)[severity]
    drawn = table(range(source.shape[1]), device) < count[:, None]
    image = scene.pick(source, scene.except_class)
    used = sorted({all_sizes[severity] for severity in scene.severities} - {0})
    images = smaller_images(scene.pool, used)
    first = table([used.index(side) * len(scene.pool) if side in used else 0 for side in all_sizes], device)
    corner = centred(scene, place, size)
    whole = Pieces(first[severity][:, None] + image, torch.zeros_like(corner), corner, size[:, None], drawn)
    paste_behind(scene, whole, images.flatten(0, 1))
    scene.record("crowd", image, drawn)


def _level_rows() -> dict[str, list[str]]:
    return {"crowd: number × px": [f"{count} × {size}" if count else "–" for count, size in LEVELS]}


def _strength(severity: int, extent: int) -> str:
    count, size = LEVELS[severity][0], sizes(extent)[severity]
    return f"{count} whole images of {size} px" if count else "none"


LAYER = Layer(
    place="background",
    description="smaller whole images, pasted over the background, behind the tile",
    streams=Stream,
    words_needed=_words_needed,
    draw=_draw,
    level_rows=_level_rows,
    strength=_strength,
)

"""Layer `mosaic`: the background changes into another image with its blocks shuffled."""

from enum import IntEnum

import torch
from torch import Tensor

from attn_tutorial.clutter.drawing import mixed
from attn_tutorial.clutter.layer import Layer, Scene
from attn_tutorial.clutter.shuffled import order_count, shuffled
from attn_tutorial.clutter.tables import table

LEVELS = (0, 51, 102, 154, 205, 256)
"""By severity: share of the shuffled image in the background, in 1/256."""


class Stream(IntEnum):
    """What the layer draws random words for."""

    MOSAIC_SOURCE = 7
    MOSAIC_ORDER = 8


def _words_needed(severities: tuple[int, ...], side: int, extent: int) -> dict[IntEnum, int]:
    return {Stream.MOSAIC_SOURCE: 1, Stream.MOSAIC_ORDER: order_count(side, extent)}


def _draw(scene: Scene, severity: Tensor) -> None:
    image = scene.pick(scene.words[Stream.MOSAIC_SOURCE])[:, 0]
    mosaic = shuffled(image, scene.words[Stream.MOSAIC_ORDER], scene.tile.side, scene.pool_words)
    share = table(LEVELS, severity.device, torch.int32)[severity]
    scene.canvas = mixed(scene.canvas, mosaic, share[:, None, None])


def _level_rows() -> dict[str, list[str]]:
    return {"mosaic: share of the background": [f"{share / 2.56:.0f} %" for share in LEVELS]}


def _strength(severity: int, extent: int) -> str:
    return f"{LEVELS[severity] / 256:.2f} of another image" if LEVELS[severity] else "none"


LAYER = Layer(
    place="background",
    description="the background changes into another image with its blocks shuffled",
    streams=Stream,
    words_needed=_words_needed,
    draw=_draw,
    level_rows=_level_rows,
    strength=_strength,
)

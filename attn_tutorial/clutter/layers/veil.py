"""Layer `veil`: the target itself changes into another image with its blocks shuffled."""

from enum import IntEnum

import torch
from torch import Tensor

from attn_tutorial.clutter.drawing import mixed
from attn_tutorial.clutter.layer import Layer, Scene
from attn_tutorial.clutter.shuffled import order_count, shuffled
from attn_tutorial.clutter.tables import table

LEVELS = (0, 46, 61, 74, 87, 97)
"""By severity: share of the shuffled image in the target, in 1/256.

Chosen on the validation split so that accuracy falls in even steps: `benchmarks/severity_table.py`.
"""


class Stream(IntEnum):
    """What the layer draws random words for."""

    VEIL_SOURCE = 9
    VEIL_ORDER = 10


def _words_needed(severities: tuple[int, ...], side: int, extent: int) -> dict[IntEnum, int]:
    return {Stream.VEIL_SOURCE: 1, Stream.VEIL_ORDER: order_count(extent, extent)}


def _draw(scene: Scene, severity: Tensor) -> None:
    image = scene.pick(scene.words[Stream.VEIL_SOURCE])[:, 0]
    veil = shuffled(image, scene.words[Stream.VEIL_ORDER], scene.tile.extent, scene.pool_words)
    share = table(LEVELS, severity.device, torch.int32)[severity]
    scene.shown = mixed(scene.shown, veil, share[:, None, None])


def _level_rows() -> dict[str, list[str]]:
    return {"veil: share of the tile": [f"{share / 2.56:.0f} %" for share in LEVELS]}


def _strength(severity: int, extent: int) -> str:
    return f"{LEVELS[severity] / 256:.2f} of another image" if LEVELS[severity] else "none"


LAYER = Layer(
    place="target",
    description="the target itself changes into another image with its blocks shuffled",
    streams=Stream,
    words_needed=_words_needed,
    draw=_draw,
    level_rows=_level_rows,
    strength=_strength,
)

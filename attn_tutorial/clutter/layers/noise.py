"""Layer `noise`: a window of a colour 1/f field on grey. At severity 0 it is the weak background of every canvas."""

import functools
from enum import IntEnum

import torch
from torch import Tensor

from attn_tutorial.clutter.layer import Layer, Scene
from attn_tutorial.clutter.noise_bank import FIELD_SD, FIELDS, PERIOD, noise_bank
from attn_tutorial.clutter.tables import table
from attn_tutorial.datasets.philox import below
from attn_tutorial.datasets.pixels import packed, padded

LEVELS = (30, 60, 100, 150, 200, 250)
"""By severity: standard deviation of the 1/f background in thousandths of the pixel range, before clipping."""
_GREY = 128
_BITS = 12  # of the fraction in which strengths are stored


class Stream(IntEnum):
    """What the layer draws random words for."""

    NOISE = 2


def _words_needed(severities: tuple[int, ...], side: int, extent: int) -> dict[IntEnum, int]:
    return {Stream.NOISE: 1}


def _draw(scene: Scene, severity: Tensor) -> None:
    scene.canvas = noise(scene.words[Stream.NOISE][:, 0], severity, scene.tile.side)


def _level_rows() -> dict[str, list[str]]:
    return {"noise: SD, share of the pixel range": [f"{sd / 1000:.2f}" for sd in LEVELS]}


def _strength(severity: int, extent: int) -> str:
    return f"standard deviation {LEVELS[severity] / 1000:.3f} of the pixel range"


LAYER = Layer(
    place="background",
    description="colour 1/f noise on grey, which is the weak background of every canvas at severity 0",
    streams=Stream,
    words_needed=_words_needed,
    draw=_draw,
    level_rows=_level_rows,
    strength=_strength,
)


def noise(words: Tensor, severity: Tensor, side: int) -> Tensor:
    """Draw a window of a 1/f field of each severity's strength on grey.

    Args:
        words: int64 (batch, 4), random words.
        severity: int64 (batch,).
        side: side of the canvas in pixels; beyond `PERIOD` the field repeats.

    Returns:
        pixel words, int32 (batch, side, side).

    """
    fields = noise_fields(severity.device)
    field, top, left = (below(words[:, i], n).to(torch.int32) for i, n in enumerate((FIELDS, PERIOD, PERIOD)))
    at = table(range(side), severity.device, torch.int32)
    y, x = ((first[:, None] + at) & (PERIOD - 1) for first in (top, left))
    field = severity.to(torch.int32) * FIELDS + field
    place = ((field[:, None] * PERIOD + y) * PERIOD)[:, :, None] + x[:, None]
    return fields.flatten().index_select(0, place.flatten()).view_as(place)


@functools.cache
def noise_fields(device: torch.device) -> Tensor:
    """Return the fields on grey at each severity's strength, as pixel words: int32 (6 · FIELDS, PERIOD, PERIOD)."""
    strengths = [(255 * sd * 2**_BITS + 500 * FIELD_SD) // (1000 * FIELD_SD) for sd in LEVELS]
    bank = noise_bank().to(torch.int32)
    fields = [
        ((bank * strength + (_GREY << _BITS) + (1 << _BITS - 1)) >> _BITS).clamp(0, 255) for strength in strengths
    ]
    return packed(padded(torch.cat(fields).to(torch.uint8))).to(device)

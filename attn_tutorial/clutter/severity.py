"""What each severity of each clutter type means: the table of the benchmark, free of torch."""

import functools
from dataclasses import dataclass

from attn_tutorial.clutter.names import SEVERITIES
from attn_tutorial.datasets.names import TILE
from attn_tutorial.errors import InputError


@dataclass(frozen=True)
class FragmentLevel:
    """`fragments` at one severity: how many, how large, and how much of the tile they may hide."""

    count: int
    size: int
    """Side of a fragment in pixels."""
    overlap: int
    """Most pixels of the tile that the fragments' overlaps with it may add up to."""


FRAGMENTS = ((0, 0, 0), (6, 9, 12), (10, 10, 18), (14, 13, 27), (18, 14, 33), (24, 14, 38))
"""By severity: number, side in pixels beside a 32 px tile, and most overlap with the tile in percent of its area.

No fragment is larger than 14 px: the tile is the only whole image on the canvas. The numbers of `fragments`, `strokes`
and `veil` were chosen on the validation split so that accuracy falls in even steps: `benchmarks/severity_table.py`.
"""
NOISE_SD = (30, 60, 100, 150, 200, 250)
"""By severity: standard deviation of the 1/f background in thousandths of the pixel range, before clipping."""
MOSAIC_CONTRAST = (0, 51, 102, 154, 205, 256)
"""By severity: how far the background goes over to a block-shuffled image, in 1/256."""
STROKES = ((0, 0), (4, 1), (8, 1), (8, 2), (10, 2), (12, 2))
"""By severity: number and width in pixels beside a 32 px tile. They are 8 to 16 px long."""
VEIL_ALPHA = (0, 46, 61, 74, 87, 97)
"""By severity: how far the tile goes over to a block-shuffled image, in 1/256."""
LEAST_VISIBLE = 60
"""Percent of the tile's area that stays visible, whatever is composed."""


@functools.cache
def fragment_levels(tile: int) -> tuple[FragmentLevel, ...]:
    """Return the fragments' table for tiles of `tile` px: numbers and shares stay, sides scale with the tile."""
    return tuple(
        FragmentLevel(count, round(size * tile / TILE), tile * tile * percent // 100)
        for count, size, percent in FRAGMENTS
    )


def check_severity(severity: object) -> tuple[int, ...]:
    """Return a severity, or the severities to draw from, as a tuple; anything but whole numbers 0–5 is an error."""
    values = tuple(severity) if isinstance(severity, tuple | list) else (severity,)
    if not values or any(type(value) is not int or value not in SEVERITIES for value in values):
        raise InputError(
            f"severity {severity!r} was given; allowed is a whole number from {SEVERITIES[0]} to {SEVERITIES[-1]}, "
            "or a tuple of such numbers to draw one per image, as (0, 1, 2, 3)"
        )
    return values

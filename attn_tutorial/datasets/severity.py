"""What each severity of each clutter type means: the table of the benchmark, free of torch."""

from dataclasses import dataclass

from attn_tutorial.datasets.names import SEVERITIES, TILE
from attn_tutorial.errors import InputError


@dataclass(frozen=True)
class FragmentLevel:
    """`fragments` at one severity: how many, how large, and how much of the tile they may hide."""

    count: int
    size: int
    """Side of a fragment in pixels."""
    overlap: int
    """Most pixels of the tile that the fragments together may hide."""


def _level(count: int, size: int, overlap_percent: int) -> FragmentLevel:
    return FragmentLevel(count, size, TILE * TILE * overlap_percent // 100)


FRAGMENTS = (
    _level(0, 0, 0),
    _level(4, 8, 5),
    _level(8, 10, 10),
    _level(12, 12, 15),
    _level(16, 14, 25),
    _level(24, 14, 35),
)
"""By severity. No fragment is larger than 14 px: the tile is the only whole 32 px image on the canvas."""

NOISE_SD = (30, 60, 100, 150, 200, 250)
"""By severity: standard deviation of the 1/f background in thousandths of the pixel range, before clipping."""

MAX_FRAGMENT = max(level.size for level in FRAGMENTS)
MAX_COUNT = max(level.count for level in FRAGMENTS)


def check_severity(severity: object) -> tuple[int, ...]:
    """Return a severity, or the severities to draw from, as a tuple; anything but whole numbers 0–5 is an error."""
    values = tuple(severity) if isinstance(severity, tuple | list) else (severity,)
    if not values or any(type(value) is not int or value not in SEVERITIES for value in values):
        raise InputError(
            f"severity {severity!r} was given; allowed is a whole number from {SEVERITIES[0]} to {SEVERITIES[-1]}, "
            "or a tuple of such numbers to draw one per image, as (0, 1, 2, 3)"
        )
    return values

"""What the severities of all clutter types have in common. Imports no torch."""

from attn_tutorial.clutter.names import SEVERITIES
from attn_tutorial.errors import InputError

LEAST_VISIBLE = 60
"""Percent of the target's area that stays visible, whatever layers are composed."""


def check_severity(severity: object) -> tuple[int, ...]:
    """Return a severity, or the severities to draw from, as a tuple.

    Raises InputError for anything but whole numbers from 0 to 5.
    """
    values = tuple(severity) if isinstance(severity, tuple | list) else (severity,)
    if not values or any(type(value) is not int or value not in SEVERITIES for value in values):
        raise InputError(
            f"`severity` must be a whole number from {SEVERITIES[0]} to {SEVERITIES[-1]}, or a tuple of them such as "
            f"(0, 1, 2, 3) to draw one per image, but got {severity!r}."
        )
    return values

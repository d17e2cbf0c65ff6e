"""Names and constants of the images and the clutter benchmark, free of torch so that commands start fast."""

from typing import Final

DATASETS = ("cifar10", "shapes")
SPLITS = ("train", "val", "test", "bank")
CLUTTER_TYPES = ("fragments", "noise", "mosaic", "strokes", "veil")
SEEN_TYPES: Final = ("fragments", "noise")
"""The types that training shows by default; the others are kept for tests on clutter never seen."""
SEVERITIES = (0, 1, 2, 3, 4, 5)
CLASS_COUNT = 10
"""Of the project's own image sets."""
TILE = 32
"""Side of the target image in pixels, for the project's own image sets."""
CLUTTER_VERSION = 2
"""Raised whenever a rendered pixel changes; part of every run's id."""

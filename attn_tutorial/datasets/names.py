"""Names and sizes of the image sets. Imports no torch, so that commands start quickly."""

DATASETS = ("cifar10", "shapes")
SPLITS = ("train", "val", "test", "bank")
CLASS_COUNT = 10
"""Number of classes in each of the project's own image sets."""
TILE = 32
"""Side of an image in pixels, in the project's own image sets; clutter's table of severities is written for it."""
SMALLEST_TILE = 16
"""Smallest side of an image in pixels that clutter can be drawn around."""
SIZES = (16, 24, 32)
"""Sides in pixels that the project's own images can have: 32 is their own; others are made by `datasets.resizing`."""
RESIZE_VERSION = 1
"""Raise it when a pixel of a resized image changes; it is part of the id of runs on resized images."""

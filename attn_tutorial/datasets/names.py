"""Names and constants of the images and the clutter benchmark, free of torch so that commands start fast."""

DATASETS = ("cifar10", "shapes")
SPLITS = ("train", "val", "test", "bank")
CLUTTER_TYPES = ("fragments", "noise")
SEVERITIES = (0, 1, 2, 3, 4, 5)
TILE = 32
"""Side of the target image in pixels."""
CLUTTER_VERSION = 1
"""Raised whenever a rendered pixel changes; part of every run's id."""

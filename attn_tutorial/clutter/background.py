"""What lies behind the tile: clutter types `noise` and `mosaic`."""

import torch
from torch import Tensor

from attn_tutorial.clutter.draws import permutations
from attn_tutorial.clutter.noise_bank import FIELDS, PERIOD, noise_fields
from attn_tutorial.clutter.tables import table
from attn_tutorial.datasets.philox import below

BLOCKS = 4
"""A shuffled image is cut into 4×4 blocks."""


def noise(words: Tensor, severity: Tensor, side: int) -> Tensor:
    """Draw a window of a 1/f field of each severity's strength on grey.

    Args:
        words: (B, 4).
        severity: int64 (B,).
        side: of the canvas in pixels; beyond `PERIOD` the field repeats.

    Returns:
        words, int32 (B, side, side).

    """
    fields = noise_fields(severity.device)
    field, top, left = (below(words[:, i], n).to(torch.int32) for i, n in enumerate((FIELDS, PERIOD, PERIOD)))
    at = table(range(side), severity.device, torch.int32)
    y, x = ((first[:, None] + at) & (PERIOD - 1) for first in (top, left))
    field = severity.to(torch.int32) * FIELDS + field
    place = ((field[:, None] * PERIOD + y) * PERIOD)[:, :, None] + x[:, None]
    return fields.flatten().index_select(0, place.flatten()).view_as(place)


def shuffled(image: Tensor, words: Tensor, side: int, pool: Tensor) -> Tensor:
    """Draw images with their blocks in random order, repeated over a square in other orders.

    Every 16 cells of the square, row by row, show the 16 blocks of the image once each.

    Args:
        image: int64 (B,), positions in the pool.
        words: (B, at least as many as there are cells, in whole sixteens).
        side: of the square in pixels; what does not fill a last cell is cut off.
        pool: words (N, T, T), T a multiple of `BLOCKS`.

    Returns:
        words, int32 (B, side, side).

    """
    extent = pool.shape[1]
    block = extent // BLOCKS
    cells = -(-side // block)
    order = permutations(words.unflatten(1, (-1, BLOCKS * BLOCKS))).flatten(1)
    at = table(range(side), image.device)
    cell = (at[:, None] // block) * cells + at // block
    shown = order[:, cell]  # (B, side, side): the block that each pixel shows
    y = (shown // BLOCKS) * block + (at % block)[:, None]
    x = (shown % BLOCKS) * block + at % block
    return pool[image[:, None, None], y, x]


def orders(side: int, extent: int) -> int:
    """Number of words that `shuffled` needs."""
    cells = (-(-side // (extent // BLOCKS))) ** 2
    return -(-cells // BLOCKS**2) * BLOCKS**2

"""Images with their blocks shuffled, which the layers `mosaic` and `veil` mix in."""

from torch import Tensor

from attn_tutorial.clutter.draws import permutations
from attn_tutorial.clutter.tables import table

BLOCKS = 4
"""A shuffled image is cut into 4×4 blocks."""


def shuffled(image: Tensor, order: Tensor, side: int, pool: Tensor) -> Tensor:
    """Draw images with their blocks in random order, repeated over a square in other orders.

    Every 16 cells of the square, row by row, show the 16 blocks of the image once each.

    Args:
        image: int64 (batch,), positions in the pool.
        order: int64 (batch, count, 4), random words, one for each cell; see `order_count`.
        side: side of the square in pixels; what does not fill a last cell is cut off.
        pool: int32 (images, extent, extent), pixel words; the extent is a multiple of `BLOCKS`.

    Returns:
        pixel words, int32 (batch, side, side).

    """
    extent = pool.shape[1]
    block = extent // BLOCKS
    cells = -(-side // block)
    blocks = permutations(order.flatten(1).unflatten(1, (-1, BLOCKS * BLOCKS))).flatten(1)
    at = table(range(side), image.device)
    cell = (at[:, None] // block) * cells + at // block
    shown = blocks[:, cell]  # (batch, side, side): the block that each pixel shows
    y = (shown // BLOCKS) * block + (at % block)[:, None]
    x = (shown % BLOCKS) * block + at % block
    return pool[image[:, None, None], y, x]


def order_count(side: int, extent: int) -> int:
    """Return how many times four words `shuffled` needs: a word for each cell, in whole sixteens."""
    cells = (-(-side // (extent // BLOCKS))) ** 2
    return -(-cells // BLOCKS**2) * BLOCKS**2 // 4

"""Whole images at smaller sizes: an integer box filter on the device."""

from collections.abc import Sequence

import torch
from torch import Tensor

from attn_tutorial.clutter.drawing import joined
from attn_tutorial.clutter.tables import table
from attn_tutorial.datasets.images import ImageSet
from attn_tutorial.datasets.pixels import packed, unpacked

_TOGETHER = 2048
"""Number of images resized at once, so that memory stays small."""


def smaller_images(pool: ImageSet, sizes: Sequence[int]) -> Tensor:
    """Return all images of a pool at each of some sizes, made once for each pool and kept.

    Args:
        pool: the images.
        sizes: sides in pixels, each from 1 to the images' own.

    Returns:
        pixel words, int32 (sizes, images, largest, largest), for the largest of `sizes`. A smaller image lies in the
        upper left corner; what is beside it means nothing.

    """
    wanted = tuple(sizes)
    if wanted not in pool.kept:
        words, largest = packed(pool.images), max(wanted)
        made = words.new_zeros(len(wanted), len(words), largest, largest)
        for k, size in enumerate(wanted):
            for start in range(0, len(words), _TOGETHER):
                part = slice(start, start + _TOGETHER)
                made[k, part, :size, :size] = box_filtered(words[part], size)
        pool.kept[wanted] = made
    return pool.kept[wanted]


def box_filtered(words: Tensor, size: int) -> Tensor:
    """Resize images by a box filter: each pixel is the mean of the area that it covers, halves rounded up.

    The same pixels as those of `datasets.resizing`.

    Args:
        words: int32 (images, extent, extent), pixel words; the extent is even.
        size: the new side in pixels, from 1 to the extent.

    Returns:
        pixel words, int32 (images, size, size).

    """
    extent = words.shape[1]
    taps = _taps(extent, size)
    pixels = unpacked(words.contiguous()).to(torch.int32)
    for axis in (1, 2):
        pixels = sum(
            pixels.index_select(axis, table(index, words.device))
            * table(weight, words.device, torch.int32).view(-1, *[1] * (3 - axis))
            for index, weight in taps
        )  # type: ignore[assignment]
    area = extent * extent
    return joined((pixels + area // 2) // area)


def _taps(extent: int, size: int) -> list[tuple[list[int], list[int]]]:
    """Return, for the first, second, ... pixel that each new pixel covers along an axis, its place and its weight.

    A pixel is `size` units wide and a new pixel `extent` units, so that both rows are equally long; the weights of each
    new pixel add up to the extent.
    """
    starts = [place * extent for place in range(size)]
    taps = []
    for t in range(-(-extent // size) + 1):
        index = [start // size + t for start in starts]
        weight = [
            max(0, min((i + 1) * size, start + extent) - max(i * size, start))
            for i, start in zip(index, starts, strict=True)
        ]
        taps.append(([min(i, extent - 1) for i in index], weight))
    return taps

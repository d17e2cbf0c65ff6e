"""Measure on the canvases themselves what the promises need. Imports torch."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from attn_tutorial.audit.promises import Duplicates, FragmentSources, PixelComparison, Twins
from attn_tutorial.clutter import CLUTTER_TYPES, SEVERITIES, CanvasBatch, Clutter
from attn_tutorial.datasets import ImageSet
from attn_tutorial.datasets.near_duplicates import Pairs, near_duplicates
from attn_tutorial.training import thread_count

_BATCH = 128
_EXAMPLES = 4  # of each kind of duplicate


def compare_ways(images: ImageSet, count: int) -> list[PixelComparison]:
    """Render the same canvases in several ways, and count the pixels that differ from batches of 128 in one thread.

    Args:
        images: images on the CPU, of which `count` are taken, spread evenly over the set.
        count: number of canvases, or all images if there are fewer; each canvas takes 9 KB of memory, twice.

    """
    chosen = images.spread(count)
    order = torch.arange(len(chosen))
    other = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(0))
    first = _render(images, chosen, order, _BATCH, threads=1, way="batches of 128")
    rows = []
    for way, positions, size, threads in (
        ("batches of 7", order, 7, 1),
        ("batches of 1", order, 1, 1),
        ("another order", other, _BATCH, 1),
        ("two threads", order, _BATCH, 2),
    ):
        rows.append(_differing(way, first, _render(images, chosen, positions, size, threads, way)))
    way = "on a GPU"
    if torch.cuda.is_available():
        again = _render(images.to("cuda"), chosen, order, _BATCH, threads=1, way=way)
        rows.append(_differing(way, first, again))
    else:
        rows.append(PixelComparison(way=way, pixels=None, mask_pixels=None))
    return rows


def background_deviations(images: ImageSet, count: int) -> list[float]:
    """Return the standard deviation of the pixels outside the tile at severity 0, for each canvas.

    It is a share of the pixel range, taken channel by channel (the root of the mean variance), so that it is 0 for a
    plain colour.

    Args:
        images: the images of the tiles, of which `count` are taken, spread evenly over the set.
        count: number of canvases, or all images if there are fewer.

    """
    deviations = []
    for part in _parts(images.spread(count), "severity 0"):
        batch = Clutter(CLUTTER_TYPES, severity=0).render(images, part)
        outside = _outside_the_tile(batch)[:, None]
        pixels = batch.canvas.to(torch.int64) * outside
        # In whole numbers, so that it is exactly 0 for a plain colour.
        area, total, squares = outside.sum((2, 3)), pixels.sum((2, 3)), (pixels * pixels).sum((2, 3))
        variance = (area * squares - total * total) / (area * area)
        deviations.append(variance.mean(1).sqrt() / 255)
    return torch.cat(deviations).tolist()


def check_fragments(images: ImageSet, found: Pairs) -> FragmentSources:
    """Find which images are cut into fragments on all canvases of the first epoch, and how many are duplicates.

    The canvases are drawn at the highest severity, which has the fragments of all others.

    Args:
        images: the split that tiles come from.
        found: duplicates among the images that its fragments are cut from, by their positions there.

    """
    pool = images.fragments or images
    clutter = Clutter(("fragments",), max(SEVERITIES))
    parts = _parts(torch.arange(len(images)), f"fragments of {images.split}")
    drawn = torch.isin(pool.index, torch.cat([clutter.render(images, part).fragment_id.unique() for part in parts]))
    duplicate = torch.zeros(len(pool), dtype=torch.bool)
    duplicate[torch.from_numpy(found.index)] = True
    lent = duplicate if pool.may_lend is None else duplicate & pool.may_lend
    return FragmentSources(
        split=images.split,
        canvases=len(images),
        images=int(drawn.sum()),
        duplicates=int((drawn & duplicate).sum()),
        not_barred=int(lent.sum()),
    )


def find_duplicates(train: ImageSet, test: ImageSet) -> tuple[Pairs, Pairs, list[Twins]]:
    """Find duplicates of test images among the images that fragments are cut from.

    Args:
        train: the training split.
        test: the test split, whose `fragments` are the bank.

    Returns:
        duplicates among the training images, of images of the whole test file; duplicates among the bank, of scored
        test images; and a few examples of the first for a picture.

    """
    bank = test.fragments
    assert bank is not None
    file = torch.cat((test.images, bank.images)).numpy()
    place = torch.cat((test.index, bank.index))
    in_train = near_duplicates(train.images.numpy(), file)
    in_bank = near_duplicates(bank.images.numpy(), test.images.numpy())
    examples = []
    for kind in np.unique(in_train.kind):
        of_kind = np.flatnonzero(in_train.kind == kind)
        for k in of_kind[:: -(-len(of_kind) // _EXAMPLES)]:
            first, second = int(train.index[in_train.index[k]]), int(place[in_train.index_of[k]])
            examples.append(Twins(kind=str(kind), train=first, test=second))
    return in_train, in_bank, examples


def count_kinds(between: str, found: Pairs) -> list[Duplicates]:
    """Count duplicates by kind."""
    return [
        Duplicates(
            between=between,
            kind=str(kind),
            pairs=int((found.kind == kind).sum()),
            images=len(np.unique(found.index[found.kind == kind])),
        )
        for kind in np.unique(found.kind)
    ]


def _parts(chosen: Tensor, way: str, size: int = _BATCH) -> Iterator[Tensor]:
    # The bar is shown on a terminal only.
    with tqdm(total=len(chosen), desc=way, unit=" canvases", leave=False, disable=None) as bar:
        for part in chosen.split(size):
            yield part
            bar.update(len(part))


def _outside_the_tile(batch: CanvasBatch) -> Tensor:
    """Return which pixels of each canvas lie outside the tile's box, bool (B, H, W)."""
    x, y, width, height = batch.tile_box[..., None].unbind(1)
    at = torch.arange(batch.canvas.shape[-1])
    columns, rows = (at >= x) & (at < x + width), (at >= y) & (at < y + height)
    return ~(rows[:, :, None] & columns[:, None])


def _render(
    images: ImageSet, chosen: Tensor, positions: Tensor, size: int, threads: int, way: str
) -> tuple[Tensor, Tensor]:
    """Return canvases and visible masks of the chosen images, in their order, rendered in the order of `positions`."""
    clutter = Clutter(CLUTTER_TYPES, SEVERITIES)
    canvas = torch.empty(len(chosen), 3, clutter.canvas, clutter.canvas, dtype=torch.uint8)
    mask = torch.empty(len(chosen), clutter.canvas, clutter.canvas, dtype=torch.bool)
    with thread_count(threads):
        for part in _parts(positions, way, size):
            batch = clutter.render(images, chosen[part])
            canvas[part], mask[part] = batch.canvas.cpu(), batch.visible_mask.cpu()
    return canvas, mask


def _differing(way: str, first: tuple[Tensor, Tensor], again: tuple[Tensor, Tensor]) -> PixelComparison:
    pixels = int((first[0] != again[0]).any(1).sum())
    return PixelComparison(way=way, pixels=pixels, mask_pixels=int((first[1] != again[1]).sum()))

"""Measure on the canvases themselves what the promises need. Imports torch."""

from collections.abc import Iterator
from dataclasses import fields
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from attn_tutorial.audit.promises import ALL_BACKGROUNDS, Duplicates, PixelComparison, Sources, Touched, Twins
from attn_tutorial.clutter import BACKGROUND_TYPES, CLUTTER_TYPES, SEVERITIES, CanvasBatch, Clutter
from attn_tutorial.datasets import ImageSet
from attn_tutorial.datasets.near_duplicates import Pairs, near_duplicates
from attn_tutorial.training import thread_count

_BATCH = 128
_EXAMPLES = 4  # of each kind of duplicate
_SINGLES = 2_000  # canvases that are rendered one by one, which takes ten times as long


def compare_ways(images: ImageSet, count: int) -> list[PixelComparison]:
    """Render the same canvases in several ways, and count the pixels that differ from batches of 128 in one thread.

    Args:
        images: images on the CPU, of which `count` are taken, spread evenly over the set.
        count: number of canvases, or all images if there are fewer; each takes 9 KB of memory, twice. At most
            `_SINGLES` of them are rendered one by one.

    """
    chosen = images.spread(count)
    order = torch.arange(len(chosen))
    some = order[:: -(-len(chosen) // _SINGLES)]
    other = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(0))
    first = _render(images, chosen, order, _BATCH, threads=1, way="batches of 128")
    rows = []
    for way, positions, size, threads in (
        ("batches of 7", order, 7, 1),
        ("batches of 1", some, 1, 1),
        ("another order", other, _BATCH, 1),
        ("two threads", order, _BATCH, 2),
    ):
        again = _render(images, chosen, positions, size, threads, way)
        rows.append(_differing(way, first, again, positions))
    way = "on a GPU"
    if torch.cuda.is_available():
        again = _render(images.to("cuda"), chosen, order, _BATCH, threads=1, way=way)
        rows.append(_differing(way, first, again, order))
    else:
        rows.append(PixelComparison(way=way, canvases=len(chosen), pixels=None, mask_pixels=None))
    return rows


def touched_targets(images: ImageSet, count: int) -> list[Touched]:
    """Count the pixels of targets that background types change: each type alone, and all of them together.

    Severities 1 to 5 take turns at random, as in training.

    Args:
        images: the images of the targets, of which `count` are taken in all, spread evenly over the set.
        count: number of canvases of all compositions together.

    """
    compositions = (*BACKGROUND_TYPES, ALL_BACKGROUNDS)
    chosen = images.spread(count // len(compositions))
    return [_touched(images, chosen, types) for types in compositions]


def background_deviations(images: ImageSet, count: int) -> list[float]:
    """Return the standard deviation of the pixels outside the target at severity 0, for each canvas.

    It is a share of the pixel range, taken channel by channel (the root of the mean variance), so that it is 0 for a
    plain colour.

    Args:
        images: the images of the targets, of which `count` are taken, spread evenly over the set.
        count: number of canvases, or all images if there are fewer.

    """
    deviations = []
    for part in _parts(images.spread(count), "severity 0"):
        batch = Clutter(CLUTTER_TYPES, severity=0).render(images, part)
        outside = ~_inside_the_tile(batch)[:, None]
        pixels = batch.canvas.to(torch.int64) * outside
        # In whole numbers, so that it is exactly 0 for a plain colour.
        area, total, squares = outside.sum((2, 3)), pixels.sum((2, 3)), (pixels * pixels).sum((2, 3))
        variance = (area * squares - total * total) / (area * area)
        deviations.append(variance.mean(1).sqrt() / 255)
    return torch.cat(deviations).tolist()


def check_sources(images: ImageSet, found: Pairs) -> list[Sources]:
    """Find which images each layer shows on all canvases of the first epoch, and how many of them are duplicates.

    The canvases are drawn at the highest severity, which shows the images of all others. What a layer shows is read
    from the canvases' own record (`fragment_id`), and from what it picked out of the image set: `mosaic` and `veil`
    are not in the record.

    Args:
        images: the split that targets come from.
        found: duplicates among the images that its distractors come from, by their positions there.

    Returns:
        a row for each layer that shows other images.

    """
    watched = _Watched.over(images)
    pool = watched.fragments or watched
    assert isinstance(pool, _Watched)
    duplicate = torch.zeros(len(pool), dtype=torch.bool)
    duplicate[torch.from_numpy(found.index)] = True
    lent = duplicate if pool.may_lend is None else duplicate & pool.may_lend
    rows = []
    for layer in CLUTTER_TYPES:
        clutter, recorded = Clutter((layer,), max(SEVERITIES)), [torch.empty(0, dtype=torch.int64)]
        pool.picked.clear()
        for part in _parts(torch.arange(len(images)), f"distractors of {images.split}, {layer}"):
            recorded.append(clutter.render(watched, part).fragment_id.unique())
            if not pool.picked and not len(recorded[-1]):
                break  # a layer that shows no other image
        drawn = torch.isin(pool.index, torch.cat(recorded))
        drawn[torch.tensor(sorted(pool.picked), dtype=torch.int64)] = True
        if drawn.any():
            rows.append(
                Sources(
                    split=images.split,
                    layer=layer,
                    canvases=len(images),
                    images=int(drawn.sum()),
                    duplicates=int((drawn & duplicate).sum()),
                    not_barred=int(lent.sum()),
                )
            )
    return rows


class _Watched(ImageSet):
    """An image set that notes which of its images are picked as distractors."""

    @cached_property
    def picked(self) -> set[int]:
        """Positions of the images that were picked so far."""
        return set()

    @classmethod
    def over(cls, images: ImageSet) -> "_Watched":
        """Return the same images, watched, and so are the ones that their distractors come from."""
        values = {field.name: getattr(images, field.name) for field in fields(images)}
        return cls(**{**values, "fragments": cls.over(images.fragments) if images.fragments else None})

    def pick(
        self,
        class_words: Tensor,
        member_words: Tensor,
        except_image: Tensor | None = None,
        except_class: Tensor | None = None,
    ) -> Tensor:
        position = super().pick(class_words, member_words, except_image, except_class)
        self.picked.update(position.unique().tolist())
        return position


def find_duplicates(train: ImageSet, test: ImageSet) -> tuple[Pairs, Pairs, list[Twins]]:
    """Find duplicates of test images among the images that distractors come from.

    Args:
        train: the training split, at the images' own size, at which duplicates are judged.
        test: the test split at the same size, whose `fragments` are the bank.

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


def _touched(images: ImageSet, chosen: Tensor, types: str) -> Touched:
    clutter = Clutter(tuple(types.split("+")), SEVERITIES[1:])
    pixels = mask_pixels = 0
    for part in _parts(chosen, f"targets among {types}"):
        batch = clutter.render(images, part)
        inside = _inside_the_tile(batch)
        # In the order of rows and columns, the pixels inside each box are the target's own.
        shown = batch.canvas.permute(0, 2, 3, 1)[inside].view(images.images[part].shape)
        pixels += int((shown != images.images[part]).any(-1).sum())
        mask_pixels += int((batch.visible_mask != inside).sum())
    return Touched(types=types, canvases=len(chosen), pixels=pixels, mask_pixels=mask_pixels)


def _inside_the_tile(batch: CanvasBatch) -> Tensor:
    """Return which pixels of each canvas lie inside the target's box, bool (B, H, W)."""
    x, y, width, height = batch.tile_box[..., None].unbind(1)
    at = torch.arange(batch.canvas.shape[-1])
    columns, rows = (at >= x) & (at < x + width), (at >= y) & (at < y + height)
    return rows[:, :, None] & columns[:, None]


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


def _differing(
    way: str, first: tuple[Tensor, Tensor], again: tuple[Tensor, Tensor], positions: Tensor
) -> PixelComparison:
    (canvas, mask), (other_canvas, other_mask) = (
        (canvas[positions], mask[positions]) for canvas, mask in (first, again)
    )
    return PixelComparison(
        way=way,
        canvases=len(positions),
        pixels=int((canvas != other_canvas).any(1).sum()),
        mask_pixels=int((mask != other_mask).sum()),
    )

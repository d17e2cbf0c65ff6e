"""The random words of a batch of canvases: a pure function of (seed, split, image, epoch, purpose)."""

from dataclasses import dataclass
from enum import IntEnum

from torch import Tensor

from attn_tutorial.clutter.tables import table
from attn_tutorial.datasets.philox import philox


class Stream(IntEnum):
    """What words are drawn for. Each purpose has its own, so that a new clutter type leaves all others as they are."""

    SEVERITY = 0
    TILE = 1
    NOISE = 2
    FRAGMENT_SOURCE = 3
    FRAGMENT_PLACE = 4
    ORDER = 5
    FLIP = 6
    MOSAIC_SOURCE = 7
    MOSAIC_ORDER = 8
    VEIL_SOURCE = 9
    VEIL_ORDER = 10
    STROKE_PLACE = 11
    STROKE_COLOUR = 12


@dataclass(frozen=True)
class Draws:
    """Random words for the images `index` (int64 (B,), places in the split's file) at one epoch."""

    key: tuple[int, int]
    """(seed, number of the split)."""
    index: Tensor
    epoch: int

    def __call__(self, stream: Stream) -> Tensor:
        """Return four 32-bit words for each image: int64 (B, 4)."""
        return self.together({stream: 1})[stream][:, 0]

    def together(self, counts: dict[Stream, int]) -> dict[Stream, Tensor]:
        """Return four words for each of `counts[stream]` things of each image, by stream: int64 (B, count, 4).

        All in one pass of the generator, whose cost on small batches is its number of operations.
        """
        which = table([j for count in counts.values() for j in range(count)], self.index.device)
        stream = table([int(s) for s, count in counts.items() for _ in range(count)], self.index.device)
        words = philox((self.index[:, None], self.epoch, which, stream), self.key)
        return dict(zip(counts, words.split(list(counts.values()), dim=1), strict=True))


def permutations(words: Tensor) -> Tensor:
    """Orders of 0..n-1 drawn by 32-bit words (..., n): the ranks of the words; equal ones keep their places."""
    return words.argsort(dim=-1, stable=True)

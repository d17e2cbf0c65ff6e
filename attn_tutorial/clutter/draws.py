"""The random words of a batch of canvases: a pure function of (seed, split, image, epoch, purpose)."""

from dataclasses import dataclass
from enum import IntEnum

from torch import Tensor

from attn_tutorial.clutter.tables import table
from attn_tutorial.datasets.philox import philox


class Stream(IntEnum):
    """What the benchmark itself draws words for; each layer has streams of its own (`Layer.streams`).

    Every purpose has a number of its own, so that a new layer leaves all others as they are.
    """

    SEVERITY = 0
    TILE = 1
    ORDER = 5
    FLIP = 6


@dataclass(frozen=True)
class Draws:
    """Draws the random words of a batch of images at one epoch."""

    key: tuple[int, int]
    """(seed, number of the split)."""
    index: Tensor
    """int64 (batch,): each image's place in the split's file."""
    epoch: int

    def __call__(self, stream: IntEnum) -> Tensor:
        """Return four 32-bit words for each image: int64 (batch, 4)."""
        return self.together({stream: 1})[stream][:, 0]

    def together(self, counts: dict[IntEnum, int]) -> dict[IntEnum, Tensor]:
        """Return four words for each of `counts[stream]` things of each image, by stream: int64 (batch, count, 4).

        One pass of the generator draws them all, because its cost on small batches is its number of operations.
        """
        which = table([j for count in counts.values() for j in range(count)], self.index.device)
        stream = table([int(s) for s, count in counts.items() for _ in range(count)], self.index.device)
        words = philox((self.index[:, None], self.epoch, which, stream), self.key)
        return dict(zip(counts, words.split(list(counts.values()), dim=1), strict=True))


def permutations(words: Tensor) -> Tensor:
    """Return orders of 0..n-1 drawn by 32-bit words (..., n): the ranks of the words. Equal words keep their order."""
    return words.argsort(dim=-1, stable=True)

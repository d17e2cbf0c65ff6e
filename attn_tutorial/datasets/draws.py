"""The random words of a batch of canvases: a pure function of (seed, split, image, epoch, purpose)."""

from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

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


@dataclass(frozen=True)
class Draws:
    """Random words for the images `index` (int64 (B,), places in the split's file) at one epoch."""

    key: tuple[int, int]
    """(seed, number of the split)."""
    index: Tensor
    epoch: int

    def __call__(self, stream: Stream, count: int | None = None) -> Tensor:
        """Return four 32-bit words for each image, int64 (B, 4), or for each of `count` things of it (B, count, 4)."""
        if count is None:
            return philox((self.index, self.epoch, 0, int(stream)), self.key)
        each = torch.arange(count, device=self.index.device)
        return philox((self.index[:, None], self.epoch, each, int(stream)), self.key)


def below(words: Tensor, bound: Tensor | int) -> Tensor:
    """Map 32-bit words to whole numbers 0..bound-1 by a multiplication and a shift.

    For bounds up to 2^16 no value is more than one part in 2^16 likelier than another; bounds stay under 2^31.
    """
    return (words * bound) >> 32

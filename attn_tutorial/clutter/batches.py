"""The array-resident batch iterator: images stay on the device as uint8; a batch is an index, rendered there."""

import torch
from torch import Tensor

from attn_tutorial.clutter.draws import Draws, Stream
from attn_tutorial.clutter.renderer import Clutter
from attn_tutorial.datasets.images import ImageSet
from attn_tutorial.datasets.names import SPLITS
from attn_tutorial.datasets.pixels import packed, unpacked

_TOGETHER = 4
"""Batches that are rendered at once: a fifth less time for each than one by one."""


class Batches:
    """Training batches by step: number *n* is the same whether the run started at 0 or was resumed just before it.

    Args:
        images: the training images.
        clutter: what is drawn around them; its seed also gives the order and the flips.
        batch_size: images a batch, at most as many as there are images.

    Each epoch visits every image at most once (what does not fill a last batch is left out), mirrored in every
    other epoch: alternating flips cover both sides of an image in two epochs, where random ones would repeat a side.

    """

    def __init__(self, images: ImageSet, clutter: Clutter, batch_size: int):
        if not 1 <= batch_size <= len(images):
            raise ValueError(
                f"batch_size {batch_size} was given with {len(images)} images; allowed is 1 to {len(images)}: "
                "lower batch_size or take more images"
            )
        self.images, self.clutter, self.batch_size = images, clutter, batch_size
        self._key = (clutter.seed, SPLITS.index(images.split))
        self._side = Draws(self._key, images.index, 0)(Stream.FLIP)[:, 0]
        self._epoch, self._order = -1, torch.empty(0)
        self._group, self._words, self._labels = -1, torch.empty(0), torch.empty(0)

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Return step *n*'s network input, float32 (B, 3, H, W), and labels, int64 (B,)."""
        epoch, place = divmod(step, len(self.images) // self.batch_size)
        group, part = divmod(place, _TOGETHER)
        if epoch != self._epoch:
            words = Draws(self._key, self.images.index, epoch)(Stream.ORDER)
            self._epoch, self._order, self._group = epoch, words[:, 0].argsort(stable=True), -1
        if group != self._group:
            self._group, (self._words, self._labels) = group, self._render(group)
        rows = slice(part * self.batch_size, (part + 1) * self.batch_size)
        return to_input(unpacked(self._words[rows])[..., :3].permute(0, 3, 1, 2)), self._labels[rows]

    def _render(self, group: int) -> tuple[Tensor, Tensor]:
        """Canvases of some batches of this epoch, mirrored where it is their turn: words (n·B, H, W); and labels."""
        places = len(self.images) // self.batch_size
        ends = (group * _TOGETHER, min((group + 1) * _TOGETHER, places))
        chosen = self._order[slice(*(end * self.batch_size for end in ends))]
        batch = self.clutter.render(self.images, chosen, self._epoch)
        mirrored = ((self._side[chosen] + self._epoch) & 1).bool()
        words = packed(batch.canvas.permute(0, 2, 3, 1))
        return torch.where(mirrored[:, None, None], words.flip(2), words), batch.label


def to_input(canvas: Tensor) -> Tensor:
    """Turn uint8 canvases (B, 3, H, W) into network input: float32, about zero mean and unit deviation.

    The constants are the canvas's own (mid-grey, a quarter of the range), the same for every image set, so that no
    statistic of any split enters.
    """
    return canvas.to(torch.float32) * (1 / 63.75) - 2.0

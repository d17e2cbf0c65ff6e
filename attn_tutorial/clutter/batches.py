"""The batch iterator: images stay on the device as uint8, and each batch is rendered there."""

import torch
from torch import Tensor

from attn_tutorial.clutter.draws import Draws, Stream
from attn_tutorial.clutter.renderer import Clutter
from attn_tutorial.datasets.images import ImageSet
from attn_tutorial.datasets.names import SPLITS
from attn_tutorial.datasets.pixels import packed, unpacked

_TOGETHER = 4
"""Number of batches rendered together, which takes a fifth less time than one by one."""


class Batches:
    """Gives training batches by step: batch *n* is the same whether the run started at 0 or was resumed before it.

    Args:
        images: the training images.
        clutter: what is drawn around them; its seed also gives the order and the flips.
        batch_size: number of images in a batch, at most as many as there are images.
        masks: whether `masks_at` will be asked for; it costs memory and a little time.

    Each epoch visits every image at most once; images that do not fill a last batch are left out. An image is mirrored
    in every other epoch, so that two epochs show both sides of it, where random flips would repeat a side.

    """

    def __init__(self, images: ImageSet, clutter: Clutter, batch_size: int, masks: bool = False):
        if not 1 <= batch_size <= len(images):
            raise ValueError(
                f"`batch_size` must be from 1 to the number of images, {len(images)}, but got {batch_size}. "
                "Lower it or take more images."
            )
        self.images, self.clutter, self.batch_size, self.masks = images, clutter, batch_size, masks
        self._key = (clutter.seed, SPLITS.index(images.split))
        self._side = Draws(self._key, images.index, 0)(Stream.FLIP)[:, 0]
        self._epoch, self._order = -1, torch.empty(0)
        self._group, self._words, self._labels = -1, torch.empty(0), torch.empty(0)
        self._visible: Tensor | None = None

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the network input of a step, float32 (batch, 3, side, side), and its labels, int64 (batch,)."""
        rows = self._rows(step)
        return to_input(unpacked(self._words[rows])[..., :3].permute(0, 3, 1, 2)), self._labels[rows]

    def masks_at(self, step: int) -> Tensor:
        """Return where the targets are visible on the canvases of a step, mirrored like them, bool (batch, side, side).

        Raises `ValueError` unless this object was made with `masks=True`.
        """
        if not self.masks:
            raise ValueError("`masks` must be True for the masks of a step, but is False. Make `Batches` with it.")
        rows = self._rows(step)
        assert self._visible is not None
        return self._visible[rows]

    def _rows(self, step: int) -> slice:
        """Return where a step's batch is in its group, and render the group unless it is there already."""
        epoch, place = divmod(step, len(self.images) // self.batch_size)
        group, part = divmod(place, _TOGETHER)
        if epoch != self._epoch:
            words = Draws(self._key, self.images.index, epoch)(Stream.ORDER)
            self._epoch, self._order, self._group = epoch, words[:, 0].argsort(stable=True), -1
        if group != self._group:
            self._render(group)
            self._group = group
        return slice(part * self.batch_size, (part + 1) * self.batch_size)

    def _render(self, group: int) -> None:
        """Keep the canvases of a group of batches, mirrored where it is their turn, as pixel words; and labels."""
        places = len(self.images) // self.batch_size
        ends = (group * _TOGETHER, min((group + 1) * _TOGETHER, places))
        chosen = self._order[slice(*(end * self.batch_size for end in ends))]
        batch = self.clutter.render(self.images, chosen, self._epoch)
        mirrored = ((self._side[chosen] + self._epoch) & 1).bool()[:, None, None]
        words = packed(batch.canvas.permute(0, 2, 3, 1))
        self._words, self._labels = torch.where(mirrored, words.flip(2), words), batch.label
        if self.masks:
            self._visible = torch.where(mirrored, batch.visible_mask.flip(2), batch.visible_mask)


def to_input(canvas: Tensor) -> Tensor:
    """Turn uint8 canvases (batch, 3, side, side) into network input: float32, with about zero mean and unit deviation.

    The constants (mid-grey, and a quarter of the range) are the same for every image set, so that the input depends on
    no statistic of any split.
    """
    return canvas.to(torch.float32) * (1 / 63.75) - 2.0

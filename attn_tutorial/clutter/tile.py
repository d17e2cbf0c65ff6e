"""Where the targets of a batch lie on their canvases (the tiles), and how they are pasted."""

from dataclasses import dataclass

import torch
from torch import Tensor

from attn_tutorial.clutter.drawing import mixed, ramp, span
from attn_tutorial.clutter.tables import table


@dataclass(frozen=True)
class Tile:
    """The tiles of a batch: equally large squares, each at a place of its own."""

    corner: Tensor
    """int32 (batch, 2): x and y of the upper left corner."""
    extent: int
    """Side of a tile in pixels."""
    side: int
    """Side of the canvas in pixels."""

    def region(self) -> Tensor:
        """Return the pixels of the tiles, bool (batch, side, side)."""
        columns, rows = (span(low, self.extent, self.side) for low in self.corner.unbind(-1))
        return rows[:, :, None] & columns[:, None]

    def weight(self, feather: int) -> Tensor:
        """Return the tiles' share of each pixel in 1/256, int32 (batch, side, side)."""
        columns, rows = (ramp(low, self.extent, self.side, feather) for low in self.corner.unbind(-1))
        return torch.minimum(rows[:, :, None], columns[:, None])

    def paste(self, canvas: Tensor, shown: Tensor, weight: Tensor | None) -> Tensor:
        """Return the canvas with what the tiles show on it.

        Args:
            canvas: (batch, side, side).
            shown: (batch, extent, extent).
            weight: int32 (batch, side, side), the tiles' share of each pixel in 1/256; None for hard edges.

        """
        at = table(range(self.extent), canvas.device)
        first = self.corner[:, 1] * self.side + self.corner[:, 0]
        place = (first[:, None] + (at[:, None] * self.side + at).flatten()).to(torch.int64)
        pasted = canvas.flatten(1).scatter(1, place, shown.flatten(1)).view_as(canvas)
        return pasted if weight is None else mixed(canvas, pasted, weight)

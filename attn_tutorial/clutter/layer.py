"""What a clutter layer is, and the scene that layers draw on."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import torch
from torch import Tensor

from attn_tutorial.clutter.tile import Tile
from attn_tutorial.datasets.images import ImageSet

Place = Literal["background", "target", "front"]
"""Where a layer is drawn: behind the target, in the target's own pixels before it is pasted, or over everything."""


@dataclass
class Scene:
    """A batch of canvases while it is drawn: layers replace what is in the first part and read the rest."""

    canvas: Tensor
    """int32 (batch, side, side): pixel words, grey at first; the target is on it when "front" layers are drawn."""
    shown: Tensor
    """int32 (batch, extent, extent): pixel words of the target, which are pasted after the "target" layers."""
    visible: Tensor
    """bool (batch, side, side): the pixels that show the target, or at least half of it."""
    share: Tensor | None
    """int32 (batch, side, side): the target's share of each pixel in 1/256; None where edges are hard."""
    fragment_id: Tensor
    """int64 (batch, fragments): each fragment's image, as its place in its file; -1 where it is not drawn."""
    fragment_class: Tensor
    """int64 (batch, fragments): each fragment's class; -1 where it is not drawn."""
    fragment_layer: tuple[str, ...]
    """The layer that each of them belongs to."""

    words: dict[IntEnum, Tensor]
    """Random words by stream, int64 (batch, count, 4): what the layers' `words_needed` asked for."""
    severity: Tensor
    """int64 (batch,)."""
    severities: tuple[int, ...]
    """What the severities of the batch are drawn from."""
    tile: Tile
    """Where the targets lie."""
    feather: int
    """Pixels over which the edges of patches fade in."""
    pool: ImageSet
    """The images that distractors are cut from."""
    pool_words: Tensor
    """int32 (images, extent, extent): their pixel words."""
    own: Tensor | None
    """int64 (batch,): each canvas's own image as a position in the pool; None where the pool does not contain it."""
    except_class: Tensor | None
    """int64 (batch,): a class that fragments must not have; None where there is no such class."""

    def record(self, layer: str, image: Tensor, drawn: Tensor) -> None:
        """Note the images that a layer shows, or shows pieces of.

        Args:
            layer: its name.
            image: int64 (batch, count), positions in the pool.
            drawn: bool (batch, count), which of them the canvas shows.

        """
        ids, classes = (each[image].masked_fill(~drawn, -1) for each in (self.pool.index, self.pool.labels))
        self.fragment_id = torch.cat((self.fragment_id, ids), dim=1)
        self.fragment_class = torch.cat((self.fragment_class, classes), dim=1)
        self.fragment_layer += (layer,) * image.shape[1]

    def pick(self, source: Tensor, except_class: Tensor | None = None) -> Tensor:
        """Return positions in the pool, int64 (batch, count), drawn by the first two of the words (batch, count, 4).

        Neither a canvas's own image nor the class `except_class` is drawn.
        """
        return self.pool.pick(source[..., 0], source[..., 1], self.own, except_class)


@dataclass(frozen=True)
class Layer:
    """One clutter type. Each file `clutter/layers/<name>.py` contains one, named `LAYER`.

    The registry `clutter.names.LAYER_VERSIONS` gives its version, and the order in which the layers of one place are
    drawn.
    """

    place: Place
    description: str
    """What it draws, for people: a phrase."""
    streams: type[IntEnum]
    """What it draws random words for. The numbers must be its own: no other layer, and no `draws.Stream`, has them."""
    words_needed: Callable[[tuple[int, ...], int, int], dict[IntEnum, int]]
    """By stream, how many times four words one canvas needs at the most.

    Called with the severities that canvases may have, the side of the canvas and the side of the target in pixels.
    """
    draw: Callable[[Scene, Tensor], None]
    """Draws the layer on a scene, at the severity given for each canvas, int64 (batch,).

    At severity 0 a layer must leave the canvas as it is; only the weak background, `clutter.names.ALWAYS_DRAWN`, may
    draw.
    """
    level_rows: Callable[[], dict[str, list[str]]]
    """Its rows of the severity table, beside a target of 32 px: by title, a text for each severity."""
    strength: Callable[[int, int], str]
    """In words, what it draws at a severity beside a target of so many pixels."""

"""What every canvas that these tests render must fulfil, and a slow painter that says which image each pixel shows."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch._subclasses.fake_tensor import FakeTensor

from attn_tutorial.clutter import BACKGROUND_TYPES, CanvasBatch, Clutter
from attn_tutorial.clutter.draws import Draws, Stream
from attn_tutorial.clutter.layers import crowd, surround
from attn_tutorial.datasets import SPLITS, ImageSet, resize_images


def _assert_tiles_are_whole(batch: CanvasBatch, images: torch.Tensor) -> None:
    extent, side = images.shape[1], batch.canvas.shape[-1]
    at = torch.arange(extent)
    x, y = batch.tile_box[:, 0, None, None], batch.tile_box[:, 1, None, None]
    place = ((y + at[:, None]) * side + x + at).flatten(1)
    shown = batch.canvas.permute(0, 2, 3, 1).flatten(1, 2)[torch.arange(len(images))[:, None], place]
    assert torch.equal(shown, images.flatten(1, 2)), "a background layer changed pixels of a target"
    boxes = torch.zeros(len(images), side * side, dtype=torch.bool).scatter(1, place, True)
    assert torch.equal(batch.visible_mask.flatten(1), boxes), "the visible mask is not the whole tile"


@pytest.fixture(autouse=True)
def _background_layers_leave_every_target_whole(monkeypatch):
    """Check each canvas with background layers alone and hard edges, in whatever test it is rendered."""
    render = Clutter.render

    def checked(self: Clutter, image_set: ImageSet, indices, *more, **options) -> CanvasBatch:
        batch = render(self, image_set, indices, *more, **options)
        plain = self.tile == "shown" and self.feather == 0 and set(self.types) <= set(BACKGROUND_TYPES)
        if plain and not isinstance(batch.canvas, FakeTensor):
            _assert_tiles_are_whole(batch, image_set.images[torch.as_tensor(indices, dtype=torch.int64)])
        return batch

    monkeypatch.setattr(Clutter, "render", checked)


@dataclass(frozen=True)
class Piece:
    """A piece of an image, or a smaller whole image, on a canvas."""

    layer: str
    image: int
    """Its position in the pool."""
    centre: tuple[int, int]
    corner: tuple[int, int]
    crop: tuple[int, int]
    """Where it begins in its image."""
    pixels: NDArray[np.uint8]
    """(size, size, 3)."""


@dataclass(frozen=True)
class Painting:
    """A canvas painted one image at a time."""

    canvas: NDArray[np.uint8]
    """(side, side, 3)."""
    pieces: list[Piece]
    shown: NDArray[np.int64]
    """(side, side): the number of the piece that a pixel shows; -1 for the background, -2 for the target."""

    def areas(self) -> list[int]:
        """Return how many pixels each piece shows."""
        return np.bincount(self.shown[self.shown >= 0], minlength=len(self.pieces)).tolist()


class Painter:
    """Paints `surround` and `crowd` as the book specifies them, image by image.

    Shares the random words and the severity table with the renderer. Noise and mosaic are what the renderer draws
    without the two layers.
    """

    def __init__(self, images: ImageSet, clutter: Clutter, epoch: int = 0, pool: ImageSet | None = None):
        assert set(clutter.types) <= set(BACKGROUND_TYPES)
        self.clutter, self.images, self.pool = clutter, images, pool or images.fragments or images
        others = tuple(name for name in clutter.types if name not in ("surround", "crowd"))
        plain = Clutter(others, clutter.severity, clutter.canvas, clutter.seed, tile="removed")
        behind = plain.render(images, torch.arange(len(images)), epoch, self.pool)
        self.behind, self.severity = behind.canvas.permute(0, 2, 3, 1).numpy(), behind.severity.tolist()
        self.extent = images.images.shape[1]
        self.members = [torch.nonzero(self.pool.labels == c)[:, 0].tolist() for c in range(len(self.pool.classes))]
        draws = Draws((clutter.seed, SPLITS.index(images.split)), images.index, epoch)
        counts = {Stream.TILE: 1}
        for layer, streams in ((surround, surround.Stream), (crowd, crowd.Stream)):
            counts |= dict.fromkeys(streams, max(level[0] for level in layer.LEVELS))
        self.words = draws.together(counts)

    def paint(self, i: int) -> Painting:
        """Return the canvas of image `i`."""
        pieces = self.pieces(i)
        canvas = self.behind[i].astype(np.int64)
        shown = np.full(canvas.shape[:2], -1)
        for j, piece in enumerate(pieces):
            self._paste(canvas, shown, piece.pixels, piece.corner, j)
        if self.clutter.tile == "shown":
            words = self.words[Stream.TILE][i, 0, :2].tolist()
            corner = tuple(word * (self.clutter.canvas - self.extent + 1) >> 32 for word in words)
            self._paste(canvas, shown, self.images.images[i].numpy(), corner, -2)
        return Painting(canvas.astype(np.uint8), pieces, shown)

    def pieces(self, i: int) -> list[Piece]:
        """Return the pieces on the canvas of image `i`, in the order in which they are painted."""
        made, severity = [], self.severity[i]
        for layer, sources, places in (
            ("surround", surround.Stream.SURROUND_SOURCE, surround.Stream.SURROUND_PLACE),
            ("crowd", crowd.Stream.CROWD_SOURCE, crowd.Stream.CROWD_PLACE),
        ):
            if layer not in self.clutter.types:
                continue
            levels = {"surround": surround.LEVELS, "crowd": crowd.LEVELS}[layer]
            count, size = levels[severity][0], self._size(layer, levels[severity][1])
            largest = max(self._size(layer, each) for _, each in levels)
            words = (self.words[stream][i, :count].tolist() for stream in (sources, places))
            for source, place in zip(*words, strict=True):
                image, crop = self._pick(source, i), (0, 0)
                pixels = self.pool.images[image].numpy()
                if layer == "crowd":
                    pixels = resize_images(pixels[None], size)[0]
                else:
                    room = self.extent - largest + 1
                    crop = tuple(largest // 2 + (word * room >> 32) - size // 2 for word in source[2:])
                    pixels = pixels[crop[1] : crop[1] + size, crop[0] : crop[0] + size]
                centre = tuple(word * self.clutter.canvas >> 32 for word in place[:2])
                corner = tuple(middle - size // 2 for middle in centre)
                made.append(Piece(layer, image, centre, corner, crop, pixels))
        return made

    def _size(self, layer: str, beside_32: int) -> int:
        """Return a side of the severity table, which is for a target of 32 px, beside a target of this size."""
        half = 16 if layer == "surround" else 0
        return (beside_32 * self.extent + half) // 32

    def _pick(self, source: list[int], i: int) -> int:
        classes = len(self.members)
        if self.clutter.fragment_classes == "any":
            label = source[0] * classes >> 32
        else:
            label = [c for c in range(classes) if c != self.images.labels[i]][source[0] * (classes - 1) >> 32]
        members = self.members[label]
        place = source[1] * len(members) >> 32
        if self.pool is self.images and members[place] == i:
            place = (place + 1) % len(members)
        return members[place]

    def _paste(self, canvas, shown, pixels, corner, number: int) -> None:
        feather, size = self.clutter.feather, len(pixels)
        depth = np.minimum(np.arange(size), np.arange(size)[::-1])
        weight = 256 * np.minimum(np.minimum.outer(depth, depth) + 1, feather + 1) // (feather + 1)
        spans = [(max(low, 0), min(low + size, len(canvas))) for low in (corner[1], corner[0])]
        there = tuple(slice(*span) for span in spans)
        own = tuple(slice(a - low, b - low) for (a, b), low in zip(spans, (corner[1], corner[0]), strict=True))
        above, share = pixels[own].astype(np.int64), weight[own][..., None]
        canvas[there] = (canvas[there] * (256 - share) + above * share + 128) >> 8
        shown[there] = number


@pytest.fixture
def painter():
    return Painter

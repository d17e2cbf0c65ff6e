"""The clutter benchmark: the native image (the tile) at a random place on a larger canvas, among distractors.

What image *i* of a split gets at epoch *e* is a pure function of (seed, split, i, e): `philox` turns these into
random words, integer arithmetic turns the words into pixels, and no batch size, order or device enters.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from attn_tutorial.clutter import severity as levels
from attn_tutorial.clutter.background import noise, orders, shuffled
from attn_tutorial.clutter.drawing import mixed, ramp, span
from attn_tutorial.clutter.draws import Draws, Stream
from attn_tutorial.clutter.layers.fragments import blend_fragments, paste_fragments, place_fragments
from attn_tutorial.clutter.layers.strokes import draw_strokes
from attn_tutorial.clutter.names import CLUTTER_TYPES, SEEN_TYPES
from attn_tutorial.clutter.tables import table
from attn_tutorial.datasets.images import ImageSet
from attn_tutorial.datasets.names import SMALLEST_TILE, SPLITS
from attn_tutorial.datasets.philox import below
from attn_tutorial.datasets.pixels import packed, unpacked
from attn_tutorial.errors import InputError

LARGEST_CANVAS = 1024
_GREY = 0x00808080


@dataclass(frozen=True)
class CanvasBatch:
    """A batch of rendered canvases with the exact record of where everything is."""

    canvas: Tensor
    """uint8 (B, 3, H, W), channels-last in memory, where each pixel has a fourth byte."""
    label: Tensor
    """int64 (B,), the tile's class."""
    severity: Tensor
    """int64 (B,)."""
    tile_box: Tensor
    """int64 (B, 4): x, y, width, height of the tile in pixels."""
    visible_mask: Tensor
    """bool (B, H, W): the pixels that show the tile; with feathered edges, those that show at least half of it."""
    object_mask: Tensor | None
    """bool (B, H, W): the visible pixels of the target's silhouette, where the images have masks (`shapes`)."""
    fragment_id: Tensor
    """int64 (B, K): each fragment's image, as its place in its split's file; -1 where this severity draws none."""
    fragment_class: Tensor
    """int64 (B, K): each fragment's class; -1 where this severity draws none."""


@dataclass(frozen=True)
class Clutter:
    """Renders canvases of a given kind and strength.

    Args:
        types: clutter types, all of them composed:
            "noise", the strength of the 1/f background;
            "mosaic", the background goes over to another image with its blocks shuffled;
            "veil", the tile itself goes over to another image with its blocks shuffled;
            "fragments", square pieces of other images, pasted over the background and, up to a cap, over the tile;
            "strokes", straight lines over everything.
        severity: 0 to 5, or a tuple from which one is drawn for each image and epoch.
        canvas: side of the canvas in pixels, at least that of the images.
        seed: 0 to 2^32-1.
        feather: pixels over which the edges of the tile and of the fragments fade in, alike: 0 (hard), 1 or 2.

    A type that is not listed stays at severity 0: a weak background, and nothing else. Severities are nested: a
    higher one keeps the tile's place and the fragments' sources, first centres and directions, and adds more, larger
    ones. A fragment that would hide too much of the tile slides outward along its direction, how far depends on the
    severity. At least 60 % of the tile stay visible under hard edges, whatever is composed.

    The three other arguments spoil the benchmark in known ways, for controls and for showing what goes wrong:

        tile: "removed" leaves the tile out, and everything else as it would be.
        fragment_classes: "other" draws fragments of all classes but the label's, which tells the label.
        background: "blank" leaves severity 0 without its weak background, on plain grey.

    """

    types: tuple[str, ...] = SEEN_TYPES
    severity: int | tuple[int, ...] = 3
    canvas: int = 48
    seed: int = 0
    feather: Literal[0, 1, 2] = 0
    tile: Literal["shown", "removed"] = "shown"
    fragment_classes: Literal["any", "other"] = "any"
    background: Literal["noise", "blank"] = "noise"

    def __post_init__(self) -> None:
        if not isinstance(self.types, tuple | list):
            raise InputError(
                f"clutter types {self.types!r} were given; give a tuple of names, as ('fragments', 'noise')"
            )
        object.__setattr__(self, "types", tuple(self.types))
        if len(set(self.types)) < len(self.types):
            raise InputError(f"clutter types {self.types} were given; each may be named once")
        for name in self.types:
            if name not in CLUTTER_TYPES:
                near = difflib.get_close_matches(str(name), CLUTTER_TYPES, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise InputError(f"clutter type {name!r} was given; allowed are {', '.join(CLUTTER_TYPES)}{hint}")
        levels.check_severity(self.severity)
        if isinstance(self.severity, list):
            object.__setattr__(self, "severity", tuple(self.severity))
        if type(self.canvas) is not int or not SMALLEST_TILE <= self.canvas <= LARGEST_CANVAS:
            raise InputError(
                f"canvas {self.canvas!r} was given; allowed is a side in pixels, at least that of the images "
                f"(and {SMALLEST_TILE}), at most {LARGEST_CANVAS}"
            )
        if type(self.seed) is not int or not 0 <= self.seed < 2**32:
            raise InputError(f"seed {self.seed!r} was given; allowed is a whole number from 0 to 2^32-1")
        for name in ("feather", "tile", "fragment_classes", "background"):
            given, allowed = getattr(self, name), get_args(type(self).__annotations__[name])
            if given not in allowed or isinstance(given, bool):
                raise InputError(f"{name} {given!r} was given; allowed are {', '.join(map(repr, allowed))}")

    def render(
        self, image_set: ImageSet, indices: Tensor | Sequence[int], epoch: int = 0, fragments: ImageSet | None = None
    ) -> CanvasBatch:
        """Render the images at `indices`.

        Args:
            image_set: the images: uint8, square, their side a multiple of 4 from 16 up. The table of severities is
                for 32 px; lengths scale with the side.
            indices: int64 (B,) or a list, positions in `image_set`; negative ones count from its end.
            epoch: 0 for test; the training epoch otherwise, so that every epoch brings new clutter.
            fragments: the images that fragments, mosaics and veils are cut from; by default the split's own source
                (`test` has its `bank`, every other split itself; an image never supplies any to its own canvas).

        Source: the clutter benchmark of this project, version `CLUTTER_VERSION`.

        """
        pool = fragments or image_set.fragments or image_set
        _check_images(image_set, pool, self.canvas, self.fragment_classes == "other")
        extent = image_set.images.shape[1]
        device = image_set.images.device
        indices = _positions(indices, image_set)
        check_epoch(epoch)
        own = indices if pool is image_set else None
        pool_words = packed(pool.images)

        allowed = levels.check_severity(self.severity)
        words = Draws((self.seed, SPLITS.index(image_set.split)), image_set.index[indices], epoch).together(
            self._wanted(allowed, extent)
        )
        severity = table(allowed, device)[below(words[Stream.SEVERITY][:, 0, 0], len(allowed))]
        corner = below(words[Stream.TILE][:, 0, :2], self.canvas - extent + 1).to(torch.int32)

        canvas = noise(words[Stream.NOISE][:, 0], severity if "noise" in self.types else severity * 0, self.canvas)
        if self.background == "blank":
            canvas = torch.where((severity == 0)[:, None, None], _GREY, canvas)
        if "mosaic" in self.types:
            image = pool.pick(words[Stream.MOSAIC_SOURCE][..., 0], words[Stream.MOSAIC_SOURCE][..., 1], own)[:, 0]
            behind = shuffled(image, words[Stream.MOSAIC_ORDER].flatten(1), self.canvas, pool_words)
            contrast = table(levels.MOSAIC_CONTRAST, device, torch.int32)[severity]
            canvas = mixed(canvas, behind, contrast[:, None, None])

        shown = packed(image_set.images)[indices]
        if "veil" in self.types:
            image = pool.pick(words[Stream.VEIL_SOURCE][..., 0], words[Stream.VEIL_SOURCE][..., 1], own)[:, 0]
            veil = shuffled(image, words[Stream.VEIL_ORDER].flatten(1), extent, pool_words)
            shown = mixed(shown, veil, table(levels.VEIL_ALPHA, device, torch.int32)[severity][:, None, None])
        tile = _Tile(corner, extent, self.canvas)
        if self.tile == "shown":
            canvas = tile.paste(canvas, shown, self.feather)
        visible = tile.weight(self.feather) >= 128 if self.feather else tile.region()

        fragment_id = fragment_class = torch.full((len(indices), 0), -1, device=device)
        if Stream.FRAGMENT_SOURCE in words:
            placed = place_fragments(
                words[Stream.FRAGMENT_SOURCE],
                words[Stream.FRAGMENT_PLACE],
                severity,
                corner,
                self.canvas,
                pool,
                own,
                image_set.labels[indices] if self.fragment_classes == "other" else None,
            )
            if self.feather:
                canvas, shows = blend_fragments(canvas, placed, pool_words, self.feather, tile.weight(self.feather))
                visible = shows >= 128
            else:
                canvas, hidden = paste_fragments(canvas, placed, pool_words)
                visible = visible & ~hidden
            fragment_id = pool.index[placed.image].masked_fill(~placed.drawn, -1)
            fragment_class = pool.labels[placed.image].masked_fill(~placed.drawn, -1)
        if Stream.STROKE_PLACE in words:
            place, colour = words[Stream.STROKE_PLACE], words[Stream.STROKE_COLOUR]
            # Rounded up. With a feather of 2 the tile's outermost ring shows less than half of it from the start.
            least = -(-((extent - 2 * (self.feather // 2)) ** 2) * levels.LEAST_VISIBLE // 100)
            canvas, visible = draw_strokes(canvas, visible, least, place, colour, severity, extent)

        if self.tile == "removed":
            visible = torch.zeros_like(visible)
        silhouette = None
        if image_set.masks is not None:
            silhouette = tile.paste(torch.zeros_like(visible), image_set.masks[indices], 0) & visible
        return CanvasBatch(
            canvas=unpacked(canvas)[..., :3].permute(0, 3, 1, 2),
            label=image_set.labels[indices],
            severity=severity,
            tile_box=torch.cat((corner, torch.full_like(corner, extent)), dim=1).to(torch.int64),
            visible_mask=visible,
            object_mask=silhouette,
            fragment_id=fragment_id,
            fragment_class=fragment_class,
        )

    def _wanted(self, allowed: tuple[int, ...], extent: int) -> dict[Stream, int]:
        """How many times four words each purpose needs, at the most that the severities can ask for."""
        wanted = {Stream.SEVERITY: 1, Stream.TILE: 1, Stream.NOISE: 1}
        if "mosaic" in self.types:
            wanted |= {Stream.MOSAIC_SOURCE: 1, Stream.MOSAIC_ORDER: orders(self.canvas, extent) // 4}
        if "veil" in self.types:
            wanted |= {Stream.VEIL_SOURCE: 1, Stream.VEIL_ORDER: orders(extent, extent) // 4}
        most = max(levels.FRAGMENTS[s][0] for s in allowed)
        if "fragments" in self.types and most:
            wanted |= {Stream.FRAGMENT_SOURCE: most, Stream.FRAGMENT_PLACE: most}
        most = max(levels.STROKES[s][0] for s in allowed)
        if "strokes" in self.types and most:
            wanted |= {Stream.STROKE_PLACE: most, Stream.STROKE_COLOUR: most}
        return wanted


@dataclass(frozen=True)
class _Tile:
    """Where the tiles of a batch lie: corner int32 (B, 2), their side, and that of the canvas."""

    corner: Tensor
    extent: int
    side: int

    def region(self) -> Tensor:
        """The pixels of the tiles, bool (B, H, H)."""
        columns, rows = (span(low, self.extent, self.side) for low in self.corner.unbind(-1))
        return rows[:, :, None] & columns[:, None]

    def weight(self, feather: int) -> Tensor:
        """The tiles' share of each pixel in 1/256, int32 (B, H, H)."""
        columns, rows = (ramp(low, self.extent, self.side, feather) for low in self.corner.unbind(-1))
        return torch.minimum(rows[:, :, None], columns[:, None])

    def paste(self, canvas: Tensor, shown: Tensor, feather: int) -> Tensor:
        """Return the canvas (B, H, H) with what the tiles show (B, T, T) on it."""
        at = table(range(self.extent), canvas.device)
        first = self.corner[:, 1] * self.side + self.corner[:, 0]
        place = (first[:, None] + (at[:, None] * self.side + at).flatten()).to(torch.int64)
        pasted = canvas.flatten(1).scatter(1, place, shown.flatten(1)).view_as(canvas)
        return mixed(canvas, pasted, self.weight(feather)) if feather else pasted


def check_epoch(epoch: object) -> None:
    """Raise InputError for what is no epoch: a word of the generator's counter holds it."""
    if type(epoch) is not int or not 0 <= epoch < 2**32:
        raise InputError(f"epoch {epoch!r} was given; allowed is a whole number from 0 to 2^32-1")


def _positions(indices: Tensor | Sequence[int], image_set: ImageSet) -> Tensor:
    """Return what the user gave as positions, int64 (B,) on the images' device, those from the end counted from there.

    That they lie within the set is checked where no device has to be waited for.
    """
    device, count = image_set.images.device, len(image_set)
    given = torch.as_tensor(indices, device=device, dtype=None if len(indices) else torch.int64)
    if given.ndim != 1 or given.dtype not in (torch.int16, torch.int32, torch.int64):
        raise InputError(
            f"indices of type {given.dtype} and shape {tuple(given.shape)} were given; allowed are whole numbers (B,), "
            "positions in the image set: for a mask give torch.nonzero(mask)[:, 0]"
        )
    if device.type == "cpu" and not torch.compiler.is_compiling() and len(given):
        lowest, highest = int(given.min()), int(given.max())
        if lowest < -count or highest >= count:
            raise InputError(
                f"indices from {lowest} to {highest} were given; allowed are positions from {-count} to {count - 1}"
            )
    return torch.where(given < 0, given + count, given).to(torch.int64)


def _check_images(image_set: ImageSet, pool: ImageSet, canvas: int, but_class: bool) -> None:
    for images in (image_set.images, pool.images):
        side = images.shape[1] if images.ndim == 4 else 0
        wanted = (len(images), side, side, 3)
        if images.dtype != torch.uint8 or tuple(images.shape) != wanted or side < SMALLEST_TILE or side % 4:
            raise InputError(
                f"images of type {images.dtype} and shape {tuple(images.shape)} were given; clutter is defined for "
                f"square uint8 images (N, H, H, 3) whose side H is a multiple of 4 from {SMALLEST_TILE} up: "
                "convert or resize them"
            )
    if but_class and len(pool.classes) < 2:
        raise InputError("fragment_classes 'other' was given with images of one class; give images of at least two")
    side, lent = image_set.images.shape[1], pool.images.shape[1]
    if lent != side:
        raise InputError(
            f"images of {side} px were given with images of {lent} px to cut fragments from; both must have one size"
        )
    if canvas < side:
        raise InputError(
            f"canvas {canvas} was given with images of {side} px; a canvas must be at least as large as its tile"
        )

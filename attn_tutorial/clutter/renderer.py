"""The clutter benchmark: the native image (the target) at a random place on a larger canvas, among distractors.

What image *i* of a split gets at epoch *e* is a pure function of (seed, split, i, e): `philox` turns these numbers into
random words, and integer arithmetic turns the words into pixels. Neither batch size nor order nor device matters.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, get_args

import torch
from torch import Tensor

from attn_tutorial.clutter.checks import check_epoch, check_images, check_number, pool_of, positions
from attn_tutorial.clutter.draws import Draws, Stream
from attn_tutorial.clutter.layer import Layer, Place, Scene
from attn_tutorial.clutter.layers import load_layers
from attn_tutorial.clutter.names import ALWAYS_DRAWN, BACKGROUND_TYPES, CLUTTER_TYPES, OCCLUSION_TYPES, SEEN_TYPES
from attn_tutorial.clutter.severity import check_severity
from attn_tutorial.clutter.tables import table
from attn_tutorial.clutter.tile import Tile
from attn_tutorial.datasets.images import ImageSet
from attn_tutorial.datasets.names import SMALLEST_TILE, SPLITS
from attn_tutorial.datasets.philox import below
from attn_tutorial.datasets.pixels import packed, unpacked
from attn_tutorial.errors import InputError, check_choice

LARGEST_CANVAS = 1024
_GREY = 0x00808080
_LAYERS = load_layers()


@dataclass(frozen=True)
class CanvasBatch:
    """A batch of rendered canvases with the exact record of where everything is; B canvases of H × W pixels."""

    canvas: Tensor
    """uint8 (B, 3, H, W), channels-last in memory, where each pixel has a fourth byte."""
    label: Tensor
    """int64 (B,): the class of the target."""
    severity: Tensor
    """int64 (B,): 0 to 5."""
    tile_box: Tensor
    """int64 (B, 4): x, y, width, height of the tile in pixels."""
    visible_mask: Tensor
    """bool (B, H, W): the pixels that show the tile; with feathered edges, those that show at least half of it."""
    object_mask: Tensor | None
    """bool (B, H, W): the visible pixels of the target's silhouette, where the images have masks (`shapes`)."""
    fragment_id: Tensor
    """int64 (B, K): each fragment's image, as its place in its split's file; -1 where this severity draws none.

    Fragments are pieces of other images (`fragments`, `surround`) and smaller whole images (`crowd`), in the order in
    which they are drawn."""
    fragment_class: Tensor
    """int64 (B, K): each fragment's class; -1 where this severity draws none."""
    fragment_layer: tuple[str, ...]
    """The clutter type that each of the K fragments belongs to."""


@dataclass(frozen=True)
class Clutter:
    """Renders canvases of a given kind and strength.

    Args:
        types: names of clutter types, all of them composed; they are listed below.
        severity: 0 to 5, or a tuple from which one is drawn for each image and epoch.
        canvas: side of the canvas in pixels, at least as large as the images.
        seed: 0 to 2^32-1.
        feather: pixels over which the edges of the tile, of pieces and of smaller images fade in, alike: 0 (hard), 1
            or 2.

    Types lie on two axes. Background types are drawn before the tile, wherever it is, and touch no pixel of it.
    Occlusion types are drawn over the tile or in it, so pixels of it are lost. With hard edges at least 60 % of the
    tile stays visible, whatever is composed; with background types alone, all of it.

    A type that is not listed stays at severity 0: a weak background, and nothing else. Severities are nested: a
    higher one keeps the tile's place and everything that is drawn at random, and adds more, larger or stronger clutter.
    A fragment that would hide too much of the tile slides outward along its direction; how far depends on the severity.

    The three other arguments break the benchmark in known ways, for controls and for showing what goes wrong:

        tile: "removed" leaves the tile out and everything else as it would be.
        fragment_classes: "other" draws `fragments`, `surround` and `crowd` of all classes except the label's, which
            reveals the label.
        background: "blank" leaves out the weak background of severity 0, so that it is plain grey.

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
            raise InputError(f"`types` must be a tuple of names such as ('noise', 'veil'), but got {self.types!r}.")
        object.__setattr__(self, "types", tuple(self.types))
        for name in self.types:
            check_choice("clutter type", name, CLUTTER_TYPES)
        if len(set(self.types)) < len(self.types):
            raise InputError(f"`types` must name each clutter type at most once, but got {self.types}.")
        check_severity(self.severity)
        if isinstance(self.severity, list):
            object.__setattr__(self, "severity", tuple(self.severity))
        check_number(
            "canvas",
            self.canvas,
            SMALLEST_TILE,
            LARGEST_CANVAS,
            " (its side in pixels, at least as large as the images)",
        )
        check_number("seed", self.seed, 0, 2**32 - 1)
        for name in ("feather", "tile", "fragment_classes", "background"):
            given, allowed = getattr(self, name), get_args(type(self).__annotations__[name])
            if given not in allowed or isinstance(given, bool):
                raise InputError(f"`{name}` must be one of {', '.join(map(repr, allowed))}, but got {given!r}.")

    def render(
        self, image_set: ImageSet, indices: Tensor | Sequence[int], epoch: int = 0, fragments: ImageSet | None = None
    ) -> CanvasBatch:
        """Render the images at `indices`.

        Args:
            image_set: the images: uint8, square, with a side that is a multiple of 4 and at least 16. The severity
                table is for 32 px; lengths scale with the side.
            indices: int64 (B,) or a list, positions in `image_set`; negative ones count from its end.
            epoch: 0 for test; the training epoch otherwise, so that every epoch brings new clutter.
            fragments: the images that distractors are cut from; by default the split's own source (for `test` its
                `bank`, for every other split the split itself). An image never supplies any to its own canvas.

        """
        pool = pool_of(image_set, fragments)
        check_images(image_set, pool, self.canvas, self.fragment_classes == "other")
        indices = positions(indices, image_set)
        check_epoch(epoch)
        scene = self._scene(image_set, indices, epoch, pool)
        self._draw("background", scene)
        if self.background == "blank":
            scene.canvas = torch.where((scene.severity == 0)[:, None, None], _GREY, scene.canvas)
        self._draw("target", scene)
        if self.tile == "shown":
            scene.canvas = scene.tile.paste(scene.canvas, scene.shown, scene.share)
        self._draw("front", scene)
        visible = scene.visible if self.tile == "shown" else torch.zeros_like(scene.visible)
        silhouette = None
        if image_set.masks is not None:
            silhouette = scene.tile.paste(torch.zeros_like(visible), image_set.masks[indices], None) & visible
        corner, extent = scene.tile.corner, scene.tile.extent
        return CanvasBatch(
            canvas=unpacked(scene.canvas)[..., :3].permute(0, 3, 1, 2),
            label=image_set.labels[indices],
            severity=scene.severity,
            tile_box=torch.cat((corner, torch.full_like(corner, extent)), dim=1).to(torch.int64),
            visible_mask=visible,
            object_mask=silhouette,
            fragment_id=scene.fragment_id,
            fragment_class=scene.fragment_class,
            fragment_layer=scene.fragment_layer,
        )

    def _scene(self, image_set: ImageSet, indices: Tensor, epoch: int, pool: ImageSet) -> Scene:
        """Return the scene with a grey canvas, and draw its severity, the target's place and all words."""
        device, extent = indices.device, image_set.images.shape[1]
        allowed = check_severity(self.severity)
        wanted: dict[IntEnum, int] = {Stream.SEVERITY: 1, Stream.TILE: 1}
        for layer in self._layers().values():
            wanted |= layer.words_needed(allowed, self.canvas, extent)
        key = (self.seed, SPLITS.index(image_set.split))
        words = Draws(key, image_set.index[indices], epoch).together(wanted)
        corner = below(words[Stream.TILE][:, 0, :2], self.canvas - extent + 1).to(torch.int32)
        tile = Tile(corner, extent, self.canvas)
        share = tile.weight(self.feather) if self.feather else None
        none = torch.full((len(indices), 0), -1, device=device)
        return Scene(
            canvas=torch.full((len(indices), self.canvas, self.canvas), _GREY, dtype=torch.int32, device=device),
            shown=packed(image_set.images)[indices],
            visible=tile.region() if share is None else share >= 128,
            share=share,
            fragment_id=none,
            fragment_class=none,
            fragment_layer=(),
            words=words,
            severity=table(allowed, device)[below(words[Stream.SEVERITY][:, 0, 0], len(allowed))],
            severities=allowed,
            tile=tile,
            feather=self.feather,
            pool=pool,
            pool_words=packed(pool.images),
            own=indices if pool is image_set else None,
            except_class=image_set.labels[indices] if self.fragment_classes == "other" else None,
        )

    def _layers(self) -> dict[str, Layer]:
        """Return the layers to draw by name, in the order of the registry."""
        return {name: layer for name, layer in _LAYERS.items() if name in self.types or name == ALWAYS_DRAWN}

    def _draw(self, place: Place, scene: Scene) -> None:
        for name, layer in self._layers().items():
            if layer.place == place:
                layer.draw(scene, scene.severity if name in self.types else torch.zeros_like(scene.severity))


def _described(title: str, types: Iterable[str]) -> list[str]:
    # Each layer describes itself in its own file.
    return ["", f"    {title}:", "", *(f'        "{name}": {_LAYERS[name].description}.' for name in types)]


Clutter.__doc__ = "\n".join(
    [
        (Clutter.__doc__ or "").rstrip(),
        *_described("Background types", BACKGROUND_TYPES),
        *_described("Occlusion types", OCCLUSION_TYPES),
    ]
)

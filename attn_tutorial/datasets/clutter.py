"""The clutter benchmark: the native image (the tile) at a random place on a larger canvas, among distractors.

What image *i* of a split gets at epoch *e* is a pure function of (seed, split, i, e): `philox` turns these into
random words, integer arithmetic turns the words into pixels, and no batch size, order or device enters.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attn_tutorial.datasets import severity as levels
from attn_tutorial.datasets.draws import Draws, Stream, below
from attn_tutorial.datasets.fragments import paint_fragments
from attn_tutorial.datasets.images import ImageSet
from attn_tutorial.datasets.names import CLUTTER_TYPES, SPLITS, TILE
from attn_tutorial.datasets.noise_bank import FIELD_SD, FIELDS, PERIOD, noise_windows
from attn_tutorial.datasets.tables import table
from attn_tutorial.errors import InputError

_GREY = 128
_AMPLITUDE_BITS = 12


@dataclass(frozen=True)
class CanvasBatch:
    """A batch of rendered canvases with the exact record of where everything is."""

    canvas: Tensor
    """uint8 (B, 3, H, W), channels-last in memory."""
    label: Tensor
    """int64 (B,), the tile's class."""
    severity: Tensor
    """int64 (B,)."""
    tile_box: Tensor
    """int64 (B, 4): x, y, width, height of the tile in pixels."""
    visible_mask: Tensor
    """bool (B, H, W): the pixels that show the tile."""
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
        types: clutter types, all of them composed: "fragments" (square pieces of other images, pasted over the
            background and, up to a cap, over the tile) and "noise" (strength of the 1/f background).
        severity: 0 to 5, or a tuple from which one is drawn for each image and epoch.
        canvas: side of the canvas in pixels, at least 32.
        seed: 0 to 2^32-1.

    A type that is not listed stays at severity 0: no fragments, a weak background. Severities are nested: a
    higher one keeps the tile's place and the fragments' sources, first centres and directions, and adds more, larger
    ones. A fragment that would hide too much of the tile slides outward along its direction, how far depends on the
    severity.

    """

    types: tuple[str, ...] = ("fragments", "noise")
    severity: int | tuple[int, ...] = 3
    canvas: int = 48
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.types:
            if name not in CLUTTER_TYPES:
                near = difflib.get_close_matches(str(name), CLUTTER_TYPES, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise InputError(f"clutter type {name!r} was given; allowed are {', '.join(CLUTTER_TYPES)}{hint}")
        levels.check_severity(self.severity)
        if type(self.canvas) is not int or not TILE <= self.canvas <= 2 * PERIOD:
            raise InputError(
                f"canvas {self.canvas!r} was given; "
                f"allowed is a side in pixels from {TILE} (the tile's own) to {2 * PERIOD}"
            )
        if type(self.seed) is not int or not 0 <= self.seed < 2**32:
            raise InputError(f"seed {self.seed!r} was given; allowed is a whole number from 0 to 2^32-1")

    def render(
        self, image_set: ImageSet, indices: Tensor | Sequence[int], epoch: int = 0, fragments: ImageSet | None = None
    ) -> CanvasBatch:
        """Render the images at `indices`.

        Args:
            image_set: the images, 32×32, uint8.
            indices: int64 (B,) or a list, positions in `image_set`.
            epoch: 0 for test; the training epoch otherwise, so that every epoch brings new clutter.
            fragments: the images that fragments are cut from; by default the split's own source (`test` has its
                `bank`, every other split itself; an image never supplies fragments to its own canvas).

        Source: the clutter benchmark of this project, version `CLUTTER_VERSION`.

        """
        _check_images(image_set)
        pool = fragments or image_set.fragments or image_set
        _check_images(pool)
        device = image_set.images.device
        indices = torch.as_tensor(indices, device=device)
        draws = Draws((self.seed, SPLITS.index(image_set.split)), image_set.index[indices], epoch)

        allowed = levels.check_severity(self.severity)
        severity = table(allowed, device)[below(draws(Stream.SEVERITY)[:, 0], len(allowed))]
        corner = below(draws(Stream.TILE)[:, :2], self.canvas - TILE + 1)
        canvas = self._background(draws, severity if "noise" in self.types else torch.zeros_like(severity))

        offset = torch.arange(TILE, device=device)
        tile = (
            torch.arange(len(indices), device=device)[:, None, None],
            (corner[:, 1, None] + offset)[:, :, None],
            (corner[:, 0, None] + offset)[:, None, :],
        )
        canvas[tile] = image_set.images[indices]
        visible = torch.zeros(canvas.shape[:3], dtype=torch.bool, device=device)
        visible[tile] = True

        most = max(levels.FRAGMENTS[s].count for s in allowed) if "fragments" in self.types else 0
        fragment_id = fragment_class = torch.full((len(indices), 0), -1, device=device)
        if most:
            own = indices if pool is image_set else None
            source, fragment_id, fragment_class = paint_fragments(draws, severity, corner, pool, own, most, self.canvas)
            hidden = source >= 0
            canvas = torch.where(hidden[..., None], pool.images.view(-1, 3)[source.clamp(min=0)], canvas)
            visible &= ~hidden

        silhouette = None
        if image_set.masks is not None:
            silhouette = torch.zeros_like(visible)
            silhouette[tile] = image_set.masks[indices]
            silhouette &= visible
        return CanvasBatch(
            canvas=canvas.permute(0, 3, 1, 2),
            label=image_set.labels[indices],
            severity=severity,
            tile_box=torch.cat((corner, torch.full_like(corner, TILE)), dim=1),
            visible_mask=visible,
            object_mask=silhouette,
            fragment_id=fragment_id,
            fragment_class=fragment_class,
        )

    def _background(self, draws: Draws, severity: Tensor) -> Tensor:
        """A 1/f field of each severity's strength on grey: uint8 (B, H, W, 3)."""
        field, y, x = (below(word, n) for word, n in zip(draws(Stream.NOISE).T, (FIELDS, PERIOD, PERIOD), strict=False))
        window = noise_windows(self.canvas, severity.device)[field, y, x]
        bits = _AMPLITUDE_BITS
        strengths = [(255 * sd * 2**bits + 500 * FIELD_SD) // (1000 * FIELD_SD) for sd in levels.NOISE_SD]
        strength = table(strengths, severity.device, torch.int32)[severity].view(-1, 1, 1, 1)
        return ((window * strength + (_GREY << bits) + (1 << bits - 1)) >> bits).clamp(0, 255).to(torch.uint8)


def _check_images(image_set: ImageSet) -> None:
    if image_set.images.dtype != torch.uint8 or image_set.images.shape[1:] != (TILE, TILE, 3):
        raise InputError(
            f"images of type {image_set.images.dtype} and shape {tuple(image_set.images.shape)} were given; "
            f"clutter is defined for uint8 images of shape (N, {TILE}, {TILE}, 3)"
        )

"""Draw one image in many kinds of clutter, at several sizes of target and canvas, and its edges at every feather."""

from collections.abc import Mapping, Sequence
from typing import Literal

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from attn_tutorial.clutter import SEEN_TYPES, SEVERITIES, Clutter
from attn_tutorial.datasets import ImageSet
from attn_tutorial.figures.canvases import draw_canvas
from attn_tutorial.figures.style import SMALL_TEXT, TITLE_TEXT, WIDE

_AROUND = 8  # pixels shown on either side of a tile's corner
_FEATHERS: tuple[Literal[0, 1, 2], ...] = (0, 1, 2)


def type_sheet(
    images: ImageSet, rows: Mapping[str, Sequence[str]], position: int = 0, seed: int = 0, canvas: int = 48
) -> Figure:
    """Draw one image at severity 0 to 5, from left to right, in several kinds of clutter.

    Args:
        images: the image set; the side of its images is the target's.
        rows: by title, the clutter types that a row shows, composed.
        position: index of the image in the set.
        seed: seed of the clutter.
        canvas: side of the canvas in pixels.

    """
    heights = [1.32] * (len(rows) - 1) + [1.55]  # the last one has the severities below it
    figure = plt.figure(figsize=(WIDE, sum(heights)))
    parts = figure.subfigures(len(rows), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, (title, types) in zip(parts, rows.items(), strict=True):
        # Above the row and not beside it, so that the canvases are as large as a narrow page permits.
        part.suptitle(title, x=0.01, ha="left", fontsize=TITLE_TEXT)
        row = part.subplots(1, len(SEVERITIES))
        for severity, axes in zip(SEVERITIES, row, strict=True):
            draw_canvas(axes, Clutter(tuple(types), severity, canvas, seed).render(images, [position]), 0)
            if part is parts[-1]:
                axes.text(
                    0.5, -0.08, str(severity), transform=axes.transAxes, ha="center", va="top", fontsize=TITLE_TEXT
                )
    figure.set_layout_engine("constrained", w_pad=0.02, wspace=0)
    return figure


def geometry_sheet(
    geometries: Sequence[tuple[ImageSet, int]],
    severities: Sequence[int] = (0, 3),
    types: Sequence[str] = SEEN_TYPES,
    position: int = 0,
    seed: int = 0,
) -> Figure:
    """Draw one image as a target of several sizes, on canvases of several sizes; a pixel is equally large everywhere.

    Args:
        geometries: a column for each: the images in one size, and the side of the canvas in pixels.
        severities: a row for each.
        types: the clutter types, composed.
        position: index of the image in its sets.
        seed: seed of the clutter.

    """
    sides = [canvas for _, canvas in geometries]
    inches = (WIDE - 0.2) / sum(sides)
    figure, grid = plt.subplots(
        len(severities), len(geometries), figsize=(WIDE, len(severities) * (max(sides) * inches + 0.1) + 0.4),
        width_ratios=sides, squeeze=False,
    )  # fmt: skip
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    for column, (images, canvas) in zip(grid.T, geometries, strict=True):
        size = images.images.shape[1]
        column[0].set_title(f"{size} on {canvas} px\n{100 * size**2 / canvas**2:.0f} %", fontsize=SMALL_TEXT)
        for severity, axes in zip(severities, column, strict=True):
            draw_canvas(axes, Clutter(tuple(types), severity, canvas, seed).render(images, [position]), 0)
            axes.set_anchor("N")
    return figure


def feather_sheet(images: ImageSet, severity: int, position: int = 0, seed: int = 0, canvas: int = 48) -> Figure:
    """Draw a corner of one image's tile, enlarged, with each feather.

    Args:
        images: the image set.
        severity: severity of the seen types.
        position: index of the image in the set.
        seed: seed of the clutter.
        canvas: side of the canvas in pixels.

    """
    figure, row = plt.subplots(1, len(_FEATHERS), figsize=(WIDE, 2.3))
    for feather, axes in zip(_FEATHERS, row, strict=True):
        batch = Clutter(severity=severity, canvas=canvas, seed=seed, feather=feather).render(images, [position])
        draw_canvas(axes, batch, 0)
        x, y, width, height = batch.tile_box[0].tolist()
        side = batch.canvas.shape[-1]
        # The corner that is farthest from the canvas's own border.
        middle_x, middle_y = (at if at >= side - at - size else at + size for at, size in ((x, width), (y, height)))
        axes.set(
            xlim=(middle_x - _AROUND - 0.5, middle_x + _AROUND - 0.5),
            ylim=(middle_y + _AROUND - 0.5, middle_y - _AROUND - 0.5),
        )
        axes.set_title(f"feather {feather}")
    return figure

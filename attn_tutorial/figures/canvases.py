"""Draw canvases: one, or a grid of them by severity."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from attn_tutorial.clutter import (
    BACKGROUND_TYPES,
    OCCLUSION_TYPES,
    SEEN_TYPES,
    SEVERITIES,
    CanvasBatch,
    Clutter,
)
from attn_tutorial.datasets import ImageSet
from attn_tutorial.figures.colours import OUTLINE_COLOUR
from attn_tutorial.figures.style import SMALLEST_TEXT, WIDE


def draw_canvas(axes: Axes, batch: CanvasBatch, position: int, outline: bool = True) -> None:
    """Draw one canvas of a batch, with its tile outlined."""
    axes.imshow(batch.canvas[position].permute(1, 2, 0).numpy())
    axes.set_axis_off()
    if outline:
        x, y, width, height = batch.tile_box[position].tolist()
        axes.add_patch(
            Rectangle((x - 0.5, y - 0.5), width, height, fill=False, edgecolor=OUTLINE_COLOUR, linewidth=1.2)
        )


def severity_grid(
    images: ImageSet,
    types: tuple[str, ...] = SEEN_TYPES,
    rows: int = 4,
    seed: int = 0,
    feather: Literal[0, 1, 2] = 0,
    canvas: int = 48,
) -> Figure:
    """Draw `rows` images of different classes, each in a row with severity 0 to 5 from left to right.

    Args:
        images: the image set; the side of its images is the target's.
        types: the clutter types, composed.
        rows: number of images.
        seed: seed of the clutter.
        feather: pixels over which pasted edges fade in.
        canvas: side of the canvas in pixels.

    """
    return _grid(images, [types], rows, partial(Clutter, canvas=canvas, seed=seed, feather=feather))


def type_grid(
    images: ImageSet, rows: int = 1, seed: int = 0, feather: Literal[0, 1, 2] = 0, canvas: int = 48
) -> Figure:
    """Draw each clutter type alone on the same images, background types first; arguments as for `severity_grid`."""
    kinds = (*BACKGROUND_TYPES, *OCCLUSION_TYPES)
    figure = _grid(
        images, [(kind,) for kind in kinds], rows, partial(Clutter, canvas=canvas, seed=seed, feather=feather)
    )
    for kind, axes in zip(kinds, figure.axes[:: rows * len(SEVERITIES)], strict=True):
        axes.text(
            -0.08, 0.5, kind, transform=axes.transAxes, ha="right", va="center", rotation=90, fontsize=SMALLEST_TEXT
        )
    return figure


def _grid(images: ImageSet, composed: Sequence[tuple[str, ...]], rows: int, clutter: Callable[..., Clutter]) -> Figure:
    chosen = torch.arange(rows) * len(images) // rows
    figure, grid = plt.subplots(
        len(composed) * rows, len(SEVERITIES), figsize=(WIDE, 1.1 * len(composed) * rows + 0.3), squeeze=False
    )
    for column, severity in enumerate(SEVERITIES):
        grid[0, column].set_title(f"severity {severity}", fontsize=SMALLEST_TEXT)
        for block, types in enumerate(composed):
            batch = clutter(types, severity).render(images, chosen)
            for row in range(rows):
                draw_canvas(grid[block * rows + row, column], batch, row)
    return figure

"""Draw canvases: one, or a grid of them by severity."""

from collections.abc import Sequence
from typing import Literal

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from attn_tutorial.clutter import CLUTTER_TYPES, SEVERITIES, CanvasBatch, Clutter
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
    types: tuple[str, ...] = ("fragments", "noise"),
    rows: int = 4,
    seed: int = 0,
    feather: Literal[0, 1, 2] = 0,
) -> Figure:
    """Draw `rows` images of different classes, each in a row with severity 0 to 5 from left to right."""
    return _grid(images, [types], rows, seed, feather)


def type_grid(images: ImageSet, rows: int = 1, seed: int = 0, feather: Literal[0, 1, 2] = 0) -> Figure:
    """Draw each clutter type alone on the same `rows` images, each in a row with severity 0 to 5 from left to right."""
    figure = _grid(images, [(kind,) for kind in CLUTTER_TYPES], rows, seed, feather)
    for kind, axes in zip(CLUTTER_TYPES, figure.axes[:: rows * len(SEVERITIES)], strict=True):
        axes.text(
            -0.08, 0.5, kind, transform=axes.transAxes, ha="right", va="center", rotation=90, fontsize=SMALLEST_TEXT
        )
    return figure


def _grid(
    images: ImageSet, composed: Sequence[tuple[str, ...]], rows: int, seed: int, feather: Literal[0, 1, 2]
) -> Figure:
    chosen = torch.arange(rows) * len(images) // rows
    figure, grid = plt.subplots(
        len(composed) * rows, len(SEVERITIES), figsize=(WIDE, 1.1 * len(composed) * rows + 0.3), squeeze=False
    )
    for column, severity in enumerate(SEVERITIES):
        grid[0, column].set_title(f"severity {severity}", fontsize=SMALLEST_TEXT)
        for block, types in enumerate(composed):
            batch = Clutter(types, severity, seed=seed, feather=feather).render(images, chosen)
            for row in range(rows):
                draw_canvas(grid[block * rows + row, column], batch, row)
    return figure

"""Pictures of canvases."""

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from attn_tutorial.datasets import SEVERITIES, CanvasBatch, Clutter, ImageSet

_OUTLINE = "#ffe600"  # seen on every canvas; it lies on the picture, so the page's theme does not matter


def draw_canvas(axes: Axes, batch: CanvasBatch, position: int, outline: bool = True) -> None:
    """Draw one canvas of a batch, with its tile outlined."""
    axes.imshow(batch.canvas[position].permute(1, 2, 0).numpy())
    axes.set_axis_off()
    if outline:
        x, y, width, height = batch.tile_box[position].tolist()
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), width, height, fill=False, edgecolor=_OUTLINE, linewidth=1.2))


def severity_grid(
    images: ImageSet, types: tuple[str, ...] = ("fragments", "noise"), rows: int = 4, seed: int = 0
) -> Figure:
    """Draw canvases, a row for each of `rows` images of different classes, severity 0 to 5 from left to right."""
    chosen = torch.arange(rows) * len(images) // rows
    figure, grid = plt.subplots(rows, len(SEVERITIES), figsize=(6.4, 1.1 * rows + 0.3), squeeze=False)
    for column, severity in enumerate(SEVERITIES):
        batch = Clutter(types, severity, seed=seed).render(images, chosen)
        grid[0, column].set_title(f"severity {severity}", fontsize=9)
        for row in range(rows):
            draw_canvas(grid[row, column], batch, row)
    return figure

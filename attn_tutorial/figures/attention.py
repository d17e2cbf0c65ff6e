"""Draw attention maps beside their canvases, with the tile outlined on both."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional

from attn_tutorial.clutter import CanvasBatch
from attn_tutorial.figures.canvases import draw_canvas
from attn_tutorial.figures.colours import ATTENTION_COLOURS
from attn_tutorial.figures.style import SMALL_TEXT, WIDE


def draw_attention(
    axes: Axes, batch: CanvasBatch, position: int, weights: Tensor, limits: tuple[float, float] | None = None
) -> None:
    """Draw one attention map over its canvas; each place covers the pixels that it stands for.

    Args:
        axes: the axes to draw on.
        batch: the canvases.
        position: index of the canvas in the batch.
        weights: the map, floats of shape (h, w).
        limits: the weights that are drawn darkest and brightest; by default the map's smallest and largest weight.

    """
    draw_canvas(axes, batch, position)
    height, width = batch.canvas.shape[2:]
    low, high = limits or weights.aminmax()
    axes.imshow(
        weights.numpy(), cmap=ATTENTION_COLOURS, vmin=float(low), vmax=float(high), interpolation="nearest",
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
    )  # fmt: skip


def attention_on_canvas(batch: CanvasBatch, maps: Mapping[str, Tensor]) -> Figure:
    """Draw canvases and their attention maps: a row for each canvas, the canvas itself and then each map.

    The maps of a column share one colour scale, from their smallest to their largest weight. The title gives both.

    Args:
        batch: B canvases.
        maps: the maps by title, floats of shape (B, h, w); h and w may differ from title to title.

    """
    _check(batch, maps)
    rows, columns = len(batch.label), 1 + len(maps)
    side = WIDE / columns
    figure, grid = plt.subplots(rows, columns, figsize=(WIDE, rows * side + 0.5), squeeze=False)
    for row in range(rows):
        draw_canvas(grid[row, 0], batch, row)
    grid[0, 0].set_title("canvas\n", fontsize=SMALL_TEXT)
    for column, (title, weights) in enumerate(maps.items(), 1):
        low, high = (float(end) for end in weights.aminmax())
        for row in range(rows):
            draw_attention(grid[row, column], batch, row, weights[row], (low, high))
        grid[0, column].set_title(f"{title}\n{low:.2g} to {high:.2g}", fontsize=SMALL_TEXT)
    return figure


def attention_table(batch: CanvasBatch, maps: Mapping[str, Tensor]) -> pd.DataFrame:
    """Return where attention maps are large, over all canvases of the batch.

    Args:
        batch: B canvases.
        maps: the maps by title, floats of shape (B, h, w).

    Returns:
        a row for each map; columns: `lowest` and `highest` weight; the mean weight `on the tile` (the pixels of its
        visible mask) and `off it` (all other pixels), where each place counts by the pixels that it stands for; and
        `on another's`, the visible tile of the next canvas in the batch. The last one is a control: a map that prefers
        the middle is large there too, whatever it was computed from.

    """
    _check(batch, maps)
    rows = {}
    for title, weights in maps.items():
        pixels = functional.interpolate(weights[:, None], batch.canvas.shape[2:], mode="nearest-exact")[:, 0]
        rows[title] = {
            "lowest": weights.min().item(),
            "highest": weights.max().item(),
            "on the tile": pixels[batch.visible_mask].mean().item(),
            "off it": pixels[~batch.visible_mask].mean().item(),
            "on another's": pixels[batch.visible_mask.roll(-1, 0)].mean().item(),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def describe_attention(batch: CanvasBatch, maps: Mapping[str, Tensor]) -> str:
    """Say in sentences what `attention_on_canvas` shows: each map's range, and its mean on and off the tile."""
    texts = [
        f"{title}: from {row['lowest']:.2g} to {row['highest']:.2g}, on average {row['on the tile']:.3g} on the "
        f"visible tile, {row['off it']:.3g} off it"
        for title, row in attention_table(batch, maps).iterrows()
    ]
    return f"{len(batch.label)} canvases with the tile outlined, and a map of each. {'; '.join(texts)}."


def _check(batch: CanvasBatch, maps: Mapping[str, Tensor]) -> None:
    for title, weights in maps.items():
        if weights.ndim != 3 or len(weights) != len(batch.label):
            raise ValueError(
                f"Map {title!r} must have shape ({len(batch.label)}, h, w), but got {tuple(weights.shape)}. "
                "Give one map for each canvas of the batch."
            )

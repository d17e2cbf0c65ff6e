"""Draw one image in every clutter type at every severity, and its edges at every feather."""

from typing import Literal

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from attn_tutorial.clutter import CLUTTER_TYPES, SEVERITIES, Clutter
from attn_tutorial.clutter.names import SEEN_TYPES
from attn_tutorial.datasets import ImageSet
from attn_tutorial.figures.canvases import draw_canvas
from attn_tutorial.figures.style import TITLE_TEXT, WIDE

_AROUND = 8  # pixels shown on either side of a tile's corner
_FEATHERS: tuple[Literal[0, 1, 2], ...] = (0, 1, 2)


def type_sheet(images: ImageSet, position: int = 0, seed: int = 0) -> Figure:
    """Draw one image at severity 0 to 5: a row for the seen types composed, then one for each type alone.

    Args:
        images: the image set.
        position: index of the image in the set.
        seed: seed of the clutter.

    """
    rows = (SEEN_TYPES, *((name,) for name in CLUTTER_TYPES))
    figure, grid = plt.subplots(len(rows), len(SEVERITIES), figsize=(WIDE, 1.3 * len(rows)))
    figure.set_layout_engine("constrained", w_pad=0.02, wspace=0)
    for types, row in zip(rows, grid, strict=True):
        # Above the row and not beside it, so that the canvases are as large as a narrow page permits.
        row[0].set_title(" + ".join(types), loc="left", fontsize=TITLE_TEXT)
        for severity, axes in zip(SEVERITIES, row, strict=True):
            draw_canvas(axes, Clutter(types, severity, seed=seed).render(images, [position]), 0)
    for severity, axes in zip(SEVERITIES, grid[-1], strict=True):
        axes.text(0.5, -0.08, str(severity), transform=axes.transAxes, ha="center", va="top", fontsize=TITLE_TEXT)
    return figure


def feather_sheet(images: ImageSet, severity: int, position: int = 0, seed: int = 0) -> Figure:
    """Draw a corner of one image's tile, enlarged, with each feather.

    Args:
        images: the image set.
        severity: severity of the seen types.
        position: index of the image in the set.
        seed: seed of the clutter.

    """
    figure, row = plt.subplots(1, len(_FEATHERS), figsize=(WIDE, 2.3))
    for feather, axes in zip(_FEATHERS, row, strict=True):
        batch = Clutter(severity=severity, seed=seed, feather=feather).render(images, [position])
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

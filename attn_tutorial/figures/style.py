"""One look for every figure and table: colours, sizes and fonts, in a light and a dark version.

`show` draws a figure twice, and the page shows the version that suits its theme; plain Jupyter shows the light one::

    def draw() -> Figure:
        figure, axes = plt.subplots()
        colours = palette(frame["variant"])
        sns.lineplot(frame, x="severity", y="accuracy", hue="variant", palette=colours, ax=axes)
        return figure

    show(draw, alt="Accuracy over severity, a line for each variant.", caption="Four variants, one seed each.")

A drawing takes its foreground from the active style (`plt.rcParams["text.color"]`), never a fixed black or white.
"""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Callable, Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import display
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from attn_tutorial.figures.colours import DARK_BACKGROUND, LIGHT_BACKGROUND

# Widths of figures in inches. A page has 96 pixels to the inch, and shrinks what is wider than its column.
WIDE = 6.4
"""For canvases or panels beside each other."""
FULL = 6.0
"""For one pair of axes."""
NARROW = 5.2
"""For few panels, or axes with names beside them: less to shrink, so that the text stays legible on a phone."""

# Sizes of text beside the usual 12, in points.
SMALLEST_TEXT = 9
SMALL_TEXT = 10
MEDIUM_TEXT = 11
TITLE_TEXT = 13

_SHARED_STYLE = {
    "figure.figsize": (FULL, 3.8),
    "figure.constrained_layout.use": True,
    "font.size": 12,
    "axes.titlesize": TITLE_TEXT,
    "axes.labelsize": 12,
    "figure.labelsize": 12,
    "legend.fontsize": MEDIUM_TEXT,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    # Pixels of a picture stay sharp squares, and a vector file holds them once, at their own size.
    "image.interpolation": "none",
    "image.composite_image": False,
    # The same drawing gives the same bytes, so that a rebuilt page differs only where its numbers do.
    "svg.hashsalt": "attn_tutorial",
}
_THEMES = {
    "light": (LIGHT_BACKGROUND, "#222222", "#dddddd"),
    "dark": (DARK_BACKGROUND, "#e0e0e0", "#3a3a3a"),
}
_FOREGROUND_KEYS = (
    "text.color",
    "axes.labelcolor",
    "axes.edgecolor",
    "axes.titlecolor",
    "xtick.color",
    "ytick.color",
)
_BACKGROUND_KEYS = ("figure.facecolor", "axes.facecolor", "savefig.facecolor")
_LARGEST_SVG = 200_000
_PNG_DPI = 200  # twice the pixels of a figure on a common screen


def mark_legend(figure: Figure, colours: Mapping[str, str], marks: Mapping[str, str]) -> None:
    """Draw a legend of variants below the axes: the colour and the marker of each."""
    handles = [Line2D([], [], color=colours[name], marker=marks[name], linestyle="", label=name) for name in marks]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=SMALL_TEXT)


def style(theme: str) -> dict[Any, Any]:
    """Return the matplotlib settings of the "light" or the "dark" theme, for `plt.rc_context`."""
    background, foreground, grid = _THEMES[theme]
    coloured = {
        **dict.fromkeys(_FOREGROUND_KEYS, foreground),
        **dict.fromkeys(_BACKGROUND_KEYS, background),
        "grid.color": grid,
    }
    return {**_SHARED_STYLE, **coloured}


def show(draw: Callable[[], Figure], alt: str, caption: str | None = None) -> None:
    """Display the figure that `draw` returns, in a light and a dark version.

    Args:
        draw: a function that makes a new figure and returns it; called once in each style.
        alt: a sentence that says what the figure shows, for readers who do not see it.
        caption: a line of text below the figure.

    Raises:
        ValueError: `alt` is empty.
        TypeError: `draw` returned something other than a figure.

    """
    if not alt.strip():
        raise ValueError("`alt` must say what the figure shows, but is empty. Write a sentence.")
    images = "".join(_image(draw, theme, alt) for theme in _THEMES)
    below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    page = f'<figure class="themed-figure" style="margin:1em 0">{images}{below}</figure>'
    display({"text/html": page, "text/plain": f"[figure: {alt}]"}, raw=True)


def show_table(frame: pd.DataFrame, caption: str) -> None:
    """Display a frame as a table with a caption, which scrolls in its own box where the page is narrow.

    Numbers appear as they are in the frame: round them (`frame.round(1)`) or format them before. An index without a
    name that only counts the rows is left out.
    """
    # The index's name goes to the corner of the header, instead of a row of its own.
    name = None if frame.index.name is None else str(frame.index.name)
    named = frame.rename_axis(index=None)
    above = [None] * (frame.columns.nlevels - 1)  # columns may stand in groups, whose names go above them
    named.columns = named.columns.set_names([*above, name])
    counts_rows = name is None and isinstance(frame.index, pd.RangeIndex)
    with pd.option_context("display.max_colwidth", None):  # or pandas cuts long texts off
        cells = named.to_html(index=not counts_rows, border=0, justify="left", na_rep="–")
    head, body = cells.split("<tbody>")
    head = re.sub(r"<th(?= colspan)", '<th scope="colgroup"', head)
    head = re.sub(r"<th(?! scope)(?=[ >])", '<th scope="col"', head)
    body = body.replace("<th>", '<th scope="row">')
    body = re.sub(r"<td>([^<]*)</td>", _wrapped_if_text, body)
    title = html.escape(caption)
    page = (
        f'<figure class="themed-table" style="margin:1em 0"><figcaption>{title}</figcaption>'
        f'<div role="region" aria-label="{title}" tabindex="0" style="overflow-x:auto">'
        f"{head}<tbody>{body}</div></figure>"
    )
    display({"text/html": page, "text/plain": f"{caption}\n{frame.to_string()}"}, raw=True)


def _wrapped_if_text(cell: re.Match[str]) -> str:
    """Let a cell wrap that has a text of several words; numbers with their intervals stay on one line."""
    text = cell[1]
    words = re.findall(r"[^\W\d_]{3,}", text)
    return f'<td class="text">{text}</td>' if len(text) > 40 or (len(text) > 20 and len(words) > 1) else cell[0]


def _image(draw: Callable[[], Figure], theme: str, alt: str) -> str:
    with plt.rc_context(style(theme)):
        figure = draw()
        if not isinstance(figure, Figure):
            raise TypeError(
                f"`draw` must return its matplotlib Figure, but returned {type(figure).__name__}. "
                "End it with `return figure`."
            )
        source = _data_uri(figure)
        width, height = (round(96 * inches) for inches in figure.get_size_inches())
        plt.close(figure)
    hidden = ";display:none" if theme == "dark" else ""
    return (
        f'<img class="figure-{theme} dark-light" src="{source}" alt="{html.escape(alt)}" width="{width}" '
        f'height="{height}" style="max-width:100%;height:auto{hidden}">'
    )


def _data_uri(figure: Figure) -> str:
    """Return the picture as SVG, which is sharp at any size, or as PNG where many marks would make a large SVG."""
    file, kind = io.BytesIO(), "svg+xml"
    figure.savefig(file, format="svg", metadata={"Date": None})
    if file.tell() > _LARGEST_SVG:
        file, kind = io.BytesIO(), "png"
        figure.savefig(file, format="png", dpi=_PNG_DPI)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"

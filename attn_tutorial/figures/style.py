"""One look for every figure and table: colours, sizes and fonts, in a light and a dark version.

``show`` draws a figure twice and lets the page pick the version that suits its theme; plain Jupyter shows the
light one::

    def draw() -> Figure:
        figure, axes = plt.subplots()
        colours = palette(frame["variant"])
        sns.lineplot(frame, x="severity", y="accuracy", hue="variant", palette=colours, ax=axes)
        return figure

    show(draw, alt="Accuracy over severity, one line a variant.", caption="Four variants, one seed each.")

A drawing takes its foreground from the active style (``plt.rcParams["text.color"]``), never a fixed black or
white.
"""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

WIDTH = 6.0
"""Width of a figure over the full text column, in inches."""

# Each has a contrast of 3 or more on white and on DARK_BACKGROUND. The first four follow Okabe and Ito; the
# others were picked to lie far from them and from each other, for normal and for colour-blind eyes.
VARIANT_COLOURS = {
    "baseline": "#808080",
    "se": "#0173b2",
    "cbam": "#d55e00",
    "non_local": "#029e73",
    "spatial": "#936135",
    "channel": "#8219f6",
    "static_gate": "#f53bfe",
}
VARIANT_MARKERS = {
    "baseline": "o",
    "se": "s",
    "cbam": "^",
    "non_local": "D",
    "spatial": "v",
    "channel": "P",
    "static_gate": "X",
}
_SPARE_COLOURS = ("#5f8a2f", "#c4566a", "#4f8f9f")

LIGHT_BACKGROUND = "#ffffff"
DARK_BACKGROUND = "#121212"  # the page's own, set by the book's theme

_SHARED_STYLE = {
    "figure.figsize": (WIDTH, 3.8),
    "figure.constrained_layout.use": True,
    "font.size": 12,
    "axes.titlesize": 13,
    "axes.labelsize": 12,
    "legend.fontsize": 11,
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
_PNG_DPI = 200  # twice the pixels of WIDTH on a common screen


def palette(variants: Iterable[str]) -> dict[str, str]:
    """The colour of each variant, for seaborn's ``palette=``.

    A variant that has no fixed colour gets a spare one, in order of appearance.
    """
    names = list(dict.fromkeys(variants))
    others = [name for name in names if name not in VARIANT_COLOURS]
    spare = {name: _SPARE_COLOURS[index % len(_SPARE_COLOURS)] for index, name in enumerate(others)}
    return {name: VARIANT_COLOURS.get(name) or spare[name] for name in names}


def markers(variants: Iterable[str]) -> dict[str, str]:
    """A marker for each variant, for matplotlib: its own where all have one, else numbers."""
    names = list(dict.fromkeys(variants))
    if all(name in VARIANT_MARKERS for name in names):
        return {name: VARIANT_MARKERS[name] for name in names}
    return {name: f"${number}$" for number, name in enumerate(names, 1)}


def draw_mark(axes: Axes, x: float, y: float, colour: str, marker: str) -> None:
    """Draw one of `markers`, over what lies there: a number in a circle, which lines would else make illegible."""
    ground = {"marker": "o", "markersize": 14, "markerfacecolor": plt.rcParams["axes.facecolor"]}
    if marker.startswith("$"):
        axes.plot(x, y, color=colour, zorder=3, **ground)
    axes.plot(x, y, color=colour, marker=marker, markersize=8, zorder=3)


def mark_legend(figure: Figure, colours: Mapping[str, str], marks: Mapping[str, str]) -> None:
    """Say below the axes which variant each of `markers` stands for."""
    handles = [Line2D([], [], color=colours[name], marker=marks[name], linestyle="", label=name) for name in marks]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=10)


def style(theme: str) -> dict[Any, Any]:
    """Matplotlib settings of the ``"light"`` or the ``"dark"`` theme, for ``plt.rc_context``."""
    background, foreground, grid = _THEMES[theme]
    coloured = {
        **dict.fromkeys(_FOREGROUND_KEYS, foreground),
        **dict.fromkeys(_BACKGROUND_KEYS, background),
        "grid.color": grid,
    }
    return {**_SHARED_STYLE, **coloured}


def show(draw: Callable[[], Figure], alt: str, caption: str | None = None) -> None:
    """Display the figure that ``draw`` returns, in a light and a dark version.

    Args:
        draw: makes a new figure and returns it; called once under each style.
        alt: what the figure shows, for readers who do not see it.
        caption: a line of text below the figure.

    Raises:
        ValueError: ``alt`` is empty.
        TypeError: ``draw`` returned something else than a figure.

    """
    if not alt.strip():
        raise ValueError("show() was given an empty alt: write what the figure shows, in a sentence.")
    images = "".join(_image(draw, theme, alt) for theme in _THEMES)
    below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    page = f'<figure class="themed-figure" style="margin:1em 0">{images}{below}</figure>'
    display({"text/html": page, "text/plain": f"[figure: {alt}]"}, raw=True)


def show_table(frame: pd.DataFrame, caption: str) -> None:
    """Display ``frame`` as a table with a caption, which scrolls inside its own box where the page is narrow.

    Numbers appear as they are in the frame: round them (``frame.round(1)``) or format them before. An index
    without a name that merely counts the rows is left out.
    """
    # The index's name goes to the corner of the header, instead of a row of its own.
    name = None if frame.index.name is None else str(frame.index.name)
    named = frame.rename_axis(index=None).rename_axis(columns=name)
    counts_rows = name is None and isinstance(frame.index, pd.RangeIndex)
    with pd.option_context("display.max_colwidth", None):  # or pandas cuts long texts off
        cells = named.to_html(index=not counts_rows, border=0, justify="left", na_rep="–")
    head, body = cells.split("<tbody>")
    head = re.sub(r"<th(?=[ >])", '<th scope="col"', head)
    body = body.replace("<th>", '<th scope="row">')
    title = html.escape(caption)
    page = (
        f'<figure class="themed-table" style="margin:1em 0"><figcaption>{title}</figcaption>'
        f'<div role="region" aria-label="{title}" tabindex="0" style="overflow-x:auto">'
        f"{head}<tbody>{body}</div></figure>"
    )
    display({"text/html": page, "text/plain": f"{caption}\n{frame.to_string()}"}, raw=True)


def _image(draw: Callable[[], Figure], theme: str, alt: str) -> str:
    with plt.rc_context(style(theme)):
        figure = draw()
        if not isinstance(figure, Figure):
            raise TypeError(
                f"show() was given a drawing that returns {type(figure).__name__}: "
                "it must return its matplotlib Figure."
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
    """SVG, which is sharp at any size, or PNG where many marks would make the SVG the larger file."""
    file, kind = io.BytesIO(), "svg+xml"
    figure.savefig(file, format="svg", metadata={"Date": None})
    if file.tell() > _LARGEST_SVG:
        file, kind = io.BytesIO(), "png"
        figure.savefig(file, format="png", dpi=_PNG_DPI)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"

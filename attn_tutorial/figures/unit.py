"""Draw a residual unit with the slot in which a block sits."""

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from attn_tutorial.figures.colours import ROLE_COLOURS
from attn_tutorial.figures.style import SMALL_TEXT, WIDE

_BRANCH = ("conv", "norm", "relu", "conv", "norm")
_HEIGHT, _WIDTH, _STEP = 0.5, 0.92, 1.3
_SHORTCUT = 1.15
"""How far the shortcut runs above the branch."""
_PLACES = {
    "standard": (5, "after the branch's last normalisation, before the addition"),
    "pre": (0, "before the branch"),
    "post": (7, "after the whole unit"),
    "identity": (-1, "on the shortcut"),
}


def unit_figure(position: str = "standard", block: str = "block") -> Figure:
    """Draw a residual unit: the branch below, the shortcut above, and the block at its place.

    Args:
        position: where the block sits: "standard", "pre", "post" or "identity", see `RunSpec.position`.
        block: the text in the block's box.

    """
    place, _ = _PLACES[position]
    names = list(_BRANCH)
    if place in (0, 5):
        names.insert(place, block)
    figure, axes = plt.subplots(figsize=(WIDE, 1.9))
    end = (len(names) + 1) * _STEP
    _arrow(axes, (-0.2, 0), (0.75, 0))
    axes.text(-0.3, 0, "input", ha="right", va="center", fontsize=SMALL_TEXT)
    for at, name in enumerate(names, start=1):
        _box(axes, at * _STEP, 0, name, marked=name == block)
        _arrow(axes, (at * _STEP + _WIDTH / 2, 0), ((at + 1) * _STEP - (_WIDTH / 2 if at < len(names) else 0.2), 0))
    axes.plot([0.2, 0.2, end, end], [0, _SHORTCUT, _SHORTCUT, 0.22], color=plt.rcParams["text.color"], linewidth=1.2)
    axes.text(0.35, _SHORTCUT + 0.1, "shortcut", ha="left", va="bottom", fontsize=SMALL_TEXT)
    if position == "identity":
        _box(axes, (end + 0.2) / 2, _SHORTCUT, block, marked=True)
    axes.text(end, 0, "+", ha="center", va="center", fontsize=SMALL_TEXT + 6)
    after = ["relu", block] if position == "post" else ["relu"]
    for at, name in enumerate(after, start=1):
        _arrow(axes, (end + (at - 1) * _STEP + (0.2 if at == 1 else _WIDTH / 2), 0), (end + at * _STEP - _WIDTH / 2, 0))
        _box(axes, end + at * _STEP, 0, name, marked=name == block)
    last = end + len(after) * _STEP
    _arrow(axes, (last + _WIDTH / 2, 0), (last + 1.1, 0))
    axes.text(last + 1.2, 0, "output", ha="left", va="center", fontsize=SMALL_TEXT)
    axes.set(xlim=(-1.1, last + 2.2), ylim=(-0.5, _SHORTCUT + 0.6))
    axes.set_axis_off()
    return figure


def describe_unit_figure(position: str = "standard", block: str = "block") -> str:
    """Say in a sentence what `unit_figure` shows, for readers who do not see it."""
    return (
        "A residual unit. The branch is convolution, normalisation, relu, convolution, normalisation. The shortcut "
        f"runs past it and is added to its output; a relu follows. The {block} sits {_PLACES[position][1]}."
    )


def _box(axes: Axes, x: float, y: float, text: str, marked: bool) -> None:
    colour = ROLE_COLOURS["curve"] if marked else plt.rcParams["text.color"]
    axes.add_patch(
        FancyBboxPatch(
            (x - _WIDTH / 2, y - _HEIGHT / 2), _WIDTH, _HEIGHT, boxstyle="round,pad=0.02,rounding_size=0.08",
            facecolor=colour if marked else plt.rcParams["axes.facecolor"], edgecolor=colour, linewidth=1.2,
            zorder=4,
        )
    )  # fmt: skip
    axes.text(x, y, text, ha="center", va="center", fontsize=SMALL_TEXT, color="white" if marked else colour, zorder=5)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    colour = plt.rcParams["text.color"]
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=10, color=colour, linewidth=1.2))

"""The colour and the marker of everything that figures draw.

A variant's hue shows its block, and its marker shows the block's options: SE is blue in every figure, with a square
where it has its usual options. Both depend on the variant's name only, never on what else a figure draws.
"""

from collections.abc import Iterable
from zlib import crc32

import seaborn as sns

LIGHT_BACKGROUND = "#ffffff"
DARK_BACKGROUND = "#121212"  # the page's own, set by the book's theme

# Each colour has a contrast of 3 or more on both backgrounds. The baseline, SE, CBAM and Non-local follow Okabe and
# Ito; the others were chosen to lie far from them and from each other, for normal and for colour-blind eyes.
BLOCK_STYLES = {
    "baseline": ("o", "#808080", "#656565", "#939393"),
    "se": ("s", "#0173b2", "#016aa5", "#6f96c1"),
    "eca": ("p", "#0a93a8", "#056f80", "#4c9eb0"),
    "channel": ("P", "#8219f6", "#8427f6", "#a47cf8"),
    "spatial": ("v", "#936135", "#8a5b31", "#ab8d7a"),
    "cbam": ("^", "#d55e00", "#a84800", "#d97954"),
    "bam": ("*", "#d0263f", "#c2233a", "#d9757d"),
    "non_local": ("D", "#029e73", "#017353", "#3ca47e"),
    "global_context": ("h", "#4f9a12", "#39720a", "#65a246"),
    "simam": ("<", "#8a8a10", "#696909", "#96964e"),
    "coordinate": (">", "#c93c8c", "#b0337a", "#d275a3"),
    "triplet": ("d", "#a178d6", "#75579d", "#a682d8"),
    "gather_excite": ("P", "#356e4d", "#356d4c", "#5aa078"),
    "ela": ("^", "#ff0080", "#c20062", "#ed60a7"),
    "strip": ("v", "#d67a5c", "#a14628", "#ca8068"),
    "ema": ("s", "#cc00cc", "#b000b0", "#eb4eeb"),
    "scsa": ("p", "#0055ff", "#0051f3", "#6391ee"),
    "lka": ("D", "#e8393f", "#c90000", "#ee6868"),
    "grn": ("h", "#00a300", "#007300", "#13ab13"),
    "se+spatial": ("8", "#5560d8", "#4f59c9", "#868bdf"),
    "se+non_local": ("*", "#3d8fe0", "#2a68a4", "#5296e1"),
    "cbam+non_local": ("p", "#b5811a", "#855e10", "#b98a43"),
    "static_gate": ("X", "#f53bfe", "#aa26b0", "#f23afb"),
    "static_spatial": ("h", "#b0459a", "#a7308f", "#c16eb1"),
    "random_gate": ("H", "#a3749f", "#7e597b", "#ad87a9"),
    "wider": ("d", "#66809c", "#52677e", "#8294aa"),
}
"""By block, with the baseline and the wider baseline: marker and colour with its usual options; a dark and a light
shade for other options."""

_OTHER_COLOURS = ("#5f8a2f", "#c4566a", "#4f8f9f")  # of a variant whose name begins with none of these blocks

# What a variant's name says after its block, or its whole name where it begins with no block. Names that are drawn
# together stand in one group: the place in it gives the marker and the shade.
_OPTIONS = (
    ("half", "identity", "standard", "pre", "post",
     "1×", "3×", "half 1×", "half 3×", "identity 1×", "identity 3×", "all backgrounds", "gain half"),
    ("clean", "seen types", "all types"),
    ("channel-spatial", "sequential", "spatial-channel", "parallel"),
    ("adaptive kernel", "kernel 1", "kernel 3", "kernel 5", "kernel 7", "kernel 9"),
    ("channel avg, spatial avg", "channel avg, spatial max", "channel avg, spatial both",
     "channel max, spatial avg", "channel max, spatial max", "channel max, spatial both",
     "channel both, spatial avg", "channel both, spatial max", "channel both, spatial both"),
    ("sum", "product", "max", "avg"),
    ("dilation 1", "dilation 2", "dilation 4"),
    ("attention add", "attention scale", "avg add", "avg scale"),
    ("embedded", "gaussian", "dot", "concat", "uniform"),
    ("stages 3", "stages 2+3", "stages 1+2+3"),
    ("stage 1", "stage 2", "stage 3", "stage 1+2+3"),
    ("sigmoid", "tanh", "relu"),
    ("reduction 2", "reduction 4", "reduction 8", "reduction 16"),
    ("λ 1e-06", "λ 0.0001", "λ 0.01", "λ 1.0"),
    ("cbam's parameters", "cbam's flops", "non_local's parameters", "non_local's flops"),
    ("tile_removed", "tile_removed_other_classes", "severity_0_only", "severity_0_only_blank", "oracle gate",
     "wrong oracle", "attention pooling", "supervised gate"),
    ("0.01", "0.05", "0.2", "0.8", "lr 0.01", "lr 0.05", "lr 0.2", "lr 0.8", "lr 3.2",
     "supervised gate 0.1", "supervised gate 1.0", "supervised gate 10.0"),
    ("width 32, ⅔×", "width 32, 1×", "width 48, ½×", "ResNet-14, ½×", "ResNet-20, ⅓×", "canvas 64, ⅔×"),
    ("a sixth", "a third", "two thirds"),
    ("as it is", "conv_lr 0.04", "conv_lr 0.16", "lr 0.02", "lr 0.1", "label_smoothing 0", "label_smoothing 0.2",
     "warmup 0.1", "warmup 0.3", "weight_decay 0", "weight_decay 0.002", "batch_size 64", "batch_size 256",
     "plain SGD", "plain SGD, lr 0.2"),
)  # fmt: skip
_PLACES = {option: place for group in _OPTIONS for place, option in enumerate(group)}
_OPTION_MARKERS = "sD^vPXp*h<>dH"  # filled ones only: seaborn does not mix them with others

ROLE_COLOURS = {
    "curve": "#0173b2",
    "reference": "#808080",
    "clear": "#0173b2",
    "noise": "#808080",
    "published": "#0173b2",
    "yours": "#d55e00",
}
"""Colours of what is not a variant, by its role in a figure: the only curve of a panel, and the runs that it is
compared with; a difference whose interval excludes 0, and one within noise; published records, and the reader's."""

SERIES_STYLES = (("#0173b2", "o"), ("#d55e00", "s"), ("#029e73", "D"), ("#8219f6", "^"))
"""Colour and marker of the first, second, ... line that is not a variant."""

ATTENTION_COLOURS = sns.color_palette("mako", as_cmap=True)  # the outline's yellow is seen on all of it
HARM_COLOURS = sns.color_palette("vlag", as_cmap=True)
OUTLINE_COLOUR = "#ffe600"  # seen on every canvas; it lies on the picture, so the page's theme does not matter


def palette(variants: Iterable[str]) -> dict[str, str]:
    """Return the colour of each variant, for seaborn's `palette=`."""
    return {variant: _style(variant)[1] for variant in variants}


def markers(variants: Iterable[str]) -> dict[str, str]:
    """Return the marker of each variant, for seaborn's `markers=`."""
    return {variant: _style(variant)[0] for variant in variants}


def _style(variant: str) -> tuple[str, str]:
    """Return the marker and the colour of a variant: its block's own, or those of its options."""
    if variant in BLOCK_STYLES:
        marker, colour, *_ = BLOCK_STYLES[variant]
        return marker, colour
    block = next((block for block in BLOCK_STYLES if variant.startswith((f"{block} ", f"{block},"))), "")
    option = variant.removeprefix(block).lstrip(" ,")
    shades = BLOCK_STYLES[block][2:] if block else _OTHER_COLOURS
    place = _PLACES.get(option, crc32(option.encode()))  # a checksum for a name that no study of the package has
    return _OPTION_MARKERS[place % len(_OPTION_MARKERS)], shades[place % len(shades)]

"""The data card of exported canvases: what they are, how they were made, and what they are good for."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

import attn_tutorial
from attn_tutorial.clutter.names import CLUTTER_TYPES, CLUTTER_VERSION
from attn_tutorial.clutter.renderer import Clutter
from attn_tutorial.clutter.severity import (
    FRAGMENTS,
    LEAST_VISIBLE,
    MOSAIC_CONTRAST,
    NOISE_SD,
    STROKES,
    VEIL_ALPHA,
    check_severity,
    fragment_levels,
)
from attn_tutorial.datasets.images import ImageSet
from attn_tutorial.datasets.names import TILE

CARD = "CARD.md"
TITLE = "# Clutter canvases"
_IMAGES_LICENCE = {
    "cifar10": (
        "The images are CIFAR-10's (Krizhevsky, *Learning multiple layers of features from tiny images*, technical "
        "report, University of Toronto, 2009). They remain their authors'. The data set's page names no explicit "
        "licence and asks that this report be cited: find out whether your use, and passing these files on, are "
        "allowed."
    ),
    "shapes": "The images were drawn by the package itself and contain nobody else's pictures.",
}
_FILES = {
    "npz": """\
`canvases.npz`, for `numpy.load`; canvas *i* is row *i* of each array:

| array | type and shape | |
|---|---|---|
| `canvas` | uint8 (N, 3, H, H) | the pictures: red, green, blue |
| `label` | int64 (N,) | the class of the tile, a position in `classes` |
| `severity` | int64 (N,) | 0 to 5 |
| `tile_box` | int64 (N, 4) | x, y, width, height of the tile in pixels |
| `visible_mask` | bool (N, H, H) | the pixels that show the tile |
| `object_mask` | bool (N, H, H) | those that show the object on it; only where the images have masks |
| `visible_pixels` | int64 (N,) | how many pixels show the tile |
| `fragment_id`, `fragment_class` | int64 (N, K) | each fragment's image, its place in its file, and class; -1: none |
| `index` | int64 (N,) | the image's place in its file |
| `classes` | text | the names of the classes |""",
    "png": """\
| file | |
|---|---|
| `images/<index>.png` | the pictures |
| `masks/<index>.png` | 255 in the pixels that show the tile |
| `object_masks/<index>.png` | 255 in those that show the object on it; only where the images have masks |
| `labels.csv` | one row a canvas, in order |

`index` is the image's place in its file. `labels.csv` has, beside it, the class of the tile (`label` and its name
`class`), the severity, the tile's place (`tile_x`, `tile_y`, `tile_width`, `tile_height`, in pixels), `visible_pixels`
(how many show the tile), and the fragments' images (places in their file) and classes, separated by spaces.""",
}


_CONTROLS = {
    ("tile", "removed"): "the tile is left out: no pixel shows it, and the records say where it would be",
    ("fragment_classes", "other"): "fragments are of all classes but the label's, so that they tell the label",
    ("background", "blank"): "at severity 0 the weak background is left out, for plain grey",
}


def data_card(
    images: ImageSet,
    clutter: Clutter,
    format: str,
    arrays: dict[str, NDArray[Any]],
    fragments: ImageSet | None = None,
) -> str:
    """Return the card of canvases, in Markdown.

    Args:
        images: what the canvases show.
        clutter: how they were made.
        format: how they lie on disk, "npz" or "png".
        arrays: their records: `label` and `visible_pixels`, (N,) each.
        fragments: the images that fragments were cut from, where they were given.

    """
    count, side, tile = len(images), clutter.canvas, images.images.shape[1]
    severities = check_severity(clutter.severity)
    pool = fragments or images.fragments or images
    if pool is images:
        lent = "the same images"
    else:
        lent = f"the {len(pool):,} images of the split `{pool.split}` of {pool.name}"
        if pool.fingerprint != images.fingerprint:
            lent += f" ({pool.source}), whose whole set has the fingerprint `{pool.fingerprint}`"
    origin = [
        ("images", images.source),
        ("split", f"`{images.split}`"),
        ("fingerprint (sha256) of the whole set", f"`{images.fingerprint}`"),
        ("fragments, mosaics and veils come from", lent),
        ("seed", clutter.seed),
    ]
    classes = np.bincount(arrays["label"], minlength=len(images.classes))
    visible = arrays["visible_pixels"] * 100 / tile**2
    strengths = [
        (kind, severity, _strength(kind, severity, clutter, tile))
        for kind in CLUTTER_TYPES
        for severity in (severities if kind in clutter.types else (0,))
    ]
    controls = [text for (name, value), text in _CONTROLS.items() if getattr(clutter, name) == value]
    spoiled = "".join(f"\n- A control, not the benchmark: {text}." for text in controls)
    covered = ""
    if clutter.feather == 0 and clutter.tile == "shown":
        covered = f"\n- At least {LEAST_VISIBLE} % of the tile stay visible; heavier occlusion is not covered."
    licence = _IMAGES_LICENCE.get(
        images.name, "The images remain their owners': ask them before passing these files on."
    )
    return f"""\
{TITLE}: {images.name} {images.split}, {"+".join(clutter.types)}, severity {", ".join(map(str, severities))}

{count:,} pictures of {side}×{side} pixels. Each shows one image of {tile}×{tile} pixels (the tile) at a random place,
among clutter, with an exact record of where everything is.

## What is here

{_FILES[format]}

| class | canvases |
|---|---|
{_rows(zip(images.classes, classes, strict=True))}

The tile's visible share is {visible.mean():.1f} % on average, and {visible.min():.1f} % at the least.

## How it was made

By attn_tutorial {attn_tutorial.__version__}, clutter benchmark version {CLUTTER_VERSION}, at epoch 0:

```python
{clutter!r}
```

| | |
|---|---|
{_rows(origin)}

The benchmark's table at this severity; a type that is not among the above stays at severity 0:

| type | severity | strength |
|---|---|---|
{_rows(strengths)}

The same call on images of the same fingerprint gives the same pixels on every machine: all of it is integer arithmetic
on random numbers that depend on nothing but the seed, the split, the image's index and the epoch.

## Licence

The code of attn_tutorial is under the MIT licence, which does not cover the images. {licence}

## Intended use

To measure how classifiers, and what they attend to, hold up as clutter grows: accuracy over severity, and attention
against the masks. Compare severities on the same images: a higher one keeps the tile's place and the fragments'
sources. Choose settings on other splits than the one that you report.

## Limits

- The clutter is synthetic: squares, noise, lines and blends, not scenes. What is found here need not hold for
  those.{covered}{spoiled}
- Classes, and mistakes in the labels, are those of the source.
- Each image has one canvas per seed: repeat with other seeds for the spread that comes from the clutter alone.
- Not for deciding anything about people.
"""


def _strength(kind: str, severity: int, clutter: Clutter, tile: int) -> str:
    if kind == "fragments":
        level, cap = fragment_levels(tile)[severity], FRAGMENTS[severity][2]
        return f"{level.count} squares of {level.size} px, over at most {cap} % of the tile" if level.count else "none"
    if kind == "noise":
        drawn = f"standard deviation {NOISE_SD[severity] / 1000:.3f} of the pixel range"
        severities = check_severity(clutter.severity)
        if severity or clutter.background == "noise" or 0 not in severities:
            return drawn
        # Blank are the canvases of severity 0, not those whose clutter leaves the noise out.
        return "none" if kind in clutter.types or severities == (0,) else f"{drawn}; none where the severity is 0"
    if kind == "strokes":
        number, width = STROKES[severity]
        return f"{number} lines, {width} px wide beside a tile of {TILE} px" if number else "none"
    share = (MOSAIC_CONTRAST if kind == "mosaic" else VEIL_ALPHA)[severity]
    return f"{share / 256:.2f} of another image" if share else "none"


def _rows(rows: Any) -> str:
    return "\n".join("| " + " | ".join(map(_cell, row)) + " |" for row in rows)


def _cell(value: Any) -> str:
    return " ".join(str(value).splitlines()).replace("|", "\\|")

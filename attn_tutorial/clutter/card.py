"""The data card of exported canvases: what they are, how they were made, and what to use them for."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

import attn_tutorial
from attn_tutorial.clutter.checks import pool_of
from attn_tutorial.clutter.layers import load_layers
from attn_tutorial.clutter.names import ALWAYS_DRAWN, OCCLUSION_TYPES, axis_of, versions_drawn
from attn_tutorial.clutter.renderer import Clutter
from attn_tutorial.clutter.severity import LEAST_VISIBLE, check_severity
from attn_tutorial.datasets.images import ImageSet

CARD = "CARD.md"
TITLE = "# Clutter canvases"
_IMAGES_LICENCE = {
    "cifar10": (
        "The images are CIFAR-10's (Krizhevsky, *Learning multiple layers of features from tiny images*, technical "
        "report, University of Toronto, 2009). They remain their authors'. The data set's page names no explicit "
        "licence and asks users to cite this report. Find out whether you may use these files and pass them on."
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
| `object_mask` | bool (N, H, H) | the pixels that show the object on it; only where the images have masks |
| `visible_pixels` | int64 (N,) | how many pixels show the tile |
| `fragment_id`, `fragment_class` | int64 (N, K) | each fragment's image (its place in its file) and class; -1: none |
| `fragment_layer` | text (K,) | the clutter type of each fragment |
| `index` | int64 (N,) | the image's place in its file |
| `classes` | text | the names of the classes |

Fragments are pieces of other images (`fragments`, `surround`) and smaller whole images (`crowd`).""",
    "png": """\
| file | |
|---|---|
| `images/<index>.png` | the pictures |
| `masks/<index>.png` | 255 in the pixels that show the tile |
| `object_masks/<index>.png` | 255 in the pixels that show the object on it; only where the images have masks |
| `labels.csv` | one row per canvas, in order |

`index` is the image's place in its file. `labels.csv` also has the class of the tile (`label` and its name `class`),
the severity, the tile's place (`tile_x`, `tile_y`, `tile_width`, `tile_height`, in pixels), `visible_pixels` (how many
show the tile), and of the fragments their images (places in their file), classes and clutter types, separated by
spaces. Fragments are pieces of other images (`fragments`, `surround`) and smaller whole images (`crowd`).""",
}
_CONTROLS = {
    ("tile", "removed"): "the tile is left out: no pixel shows it, and the records say where it would be",
    ("fragment_classes", "other"): "fragments are of all classes except the label's, so that they reveal the label",
    ("background", "blank"): "at severity 0 the weak background is left out, so that it is plain grey",
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
        format: how they are stored, "npz" or "png".
        arrays: their records: `label` and `visible_pixels`, (N,) each; `fragment_class` (N, K), `fragment_layer` (K,).
        fragments: the images that distractors were cut from, where they were given.

    """
    side, extent = clutter.canvas, images.images.shape[1]
    severities = check_severity(clutter.severity)
    classes = np.bincount(arrays["label"], minlength=len(images.classes))
    visible = arrays["visible_pixels"] * 100 / extent**2
    versions = ", ".join(f"{name} {version}" for name, version in versions_drawn(clutter.types, severities).items())
    licence = _IMAGES_LICENCE.get(
        images.name, "The images remain their owners': ask them before passing these files on."
    )
    return f"""\
{TITLE}: {images.name} {images.split}, {"+".join(clutter.types)}, severity {", ".join(map(str, severities))}

{len(images):,} pictures of {side}×{side} pixels. Each shows one image of {extent}×{extent} pixels (the tile,
{extent**2 * 100 / side**2:.0f} % of the picture's area) at a random place, among clutter, with an exact record of where
everything is.

## What is here

{_FILES[format]}

| class | canvases |
|---|---|
{_rows(zip(images.classes, classes, strict=True))}

The tile's visible share is {visible.mean():.1f} % on average, and {visible.min():.1f} % at the least.

## How it was made

By attn_tutorial {attn_tutorial.__version__}, at epoch 0. The pixels depend on the versions of these parts of the
clutter benchmark: {versions}.

```python
{clutter!r}
```

| | |
|---|---|
{_rows(_origin(images, clutter, fragments))}

Types on the axis *background* are drawn behind the tile and touch no pixel of it. Types on the axis *occlusion* are
drawn over the tile or in it:

| type | axis | what it draws |
|---|---|---|
{_rows((name, axis_of(name), load_layers()[name].description) for name in clutter.types)}

What the benchmark draws at this severity, beside a tile of {extent} px; a type that is not among the types above stays
at severity 0:

| type | severity | strength |
|---|---|---|
{_rows(_strengths(clutter, extent))}

The same call on images of the same fingerprint gives the same pixels on every machine: everything is integer arithmetic
on random numbers that depend only on the seed, the split, the image's index and the epoch.

## Licence

The code of attn_tutorial is under the MIT licence, which does not cover the images. {licence}

## Intended use

To measure how well classifiers, and what they attend to, withstand growing clutter: accuracy over severity, and
attention against the masks. Compare severities on the same images: a higher one keeps the tile's place and the
fragments' sources. Choose settings on other splits than the one that you report.

## Limits

- The clutter is synthetic: squares, small images, noise, lines and blends, not scenes. Findings need not hold for real
  scenes.
{_limits(clutter, arrays)}- Classes, and mistakes in the labels, are the source's.
- Each image has one canvas per seed: repeat with other seeds for the spread that comes from the clutter alone.
- Not for deciding anything about people.
"""


def _origin(images: ImageSet, clutter: Clutter, fragments: ImageSet | None) -> list[tuple[str, object]]:
    pool = pool_of(images, fragments)
    if pool is images:
        lent = "the same images"
    else:
        lent = f"the {len(pool):,} images of the split `{pool.split}` of {pool.name}"
        if pool.fingerprint != images.fingerprint:
            lent += f" ({pool.source}), whose whole set has the fingerprint `{pool.fingerprint}`"
    return [
        ("images", images.source),
        ("split", f"`{images.split}`"),
        ("fingerprint (sha256) of the whole set", f"`{images.fingerprint}`"),
        ("the images in the clutter come from", lent),
        ("seed", clutter.seed),
    ]


def _limits(clutter: Clutter, arrays: dict[str, NDArray[Any]]) -> str:
    """Return what limits these canvases in particular, a line each."""
    lines = []
    if clutter.feather == 0 and clutter.tile == "shown":
        if any(name in OCCLUSION_TYPES for name in clutter.types):
            lines.append(f"At least {LEAST_VISIBLE} % of the tile stays visible; heavier occlusion is not covered.")
        else:
            lines.append("Every pixel of the tile is visible: occlusion is not covered.")
    crowd = arrays["fragment_class"][:, arrays["fragment_layer"] == "crowd"]
    if count := int((crowd == arrays["label"][:, None]).any(1).sum()):
        lines.append(
            f"{count:,} of the canvases also show a smaller whole image of the tile's class, because the classes of "
            "`crowd` are drawn independently of the label. The records show which: report these separately, too."
        )
    for (name, value), text in _CONTROLS.items():
        # Without fragments, their classes make no difference.
        if getattr(clutter, name) == value and (name != "fragment_classes" or len(arrays["fragment_layer"])):
            lines.append(f"A control, not the benchmark: {text}.")
    return "".join(f"- {line}\n" for line in lines)


def _strengths(clutter: Clutter, extent: int) -> list[tuple[str, int, str]]:
    """Return type, severity and strength of everything that is drawn."""
    severities, layers = check_severity(clutter.severity), load_layers()
    rows = [
        (name, severity, layer.strength(severity, extent))
        for name, layer in layers.items()
        for severity in (severities if name in clutter.types else (0,))
    ]
    if clutter.background == "noise" or 0 not in severities:
        return rows
    text = "none"
    if ALWAYS_DRAWN not in clutter.types and severities != (0,):
        # The types leave the noise out, so that it is weak at the other severities, too.
        text = f"{layers[ALWAYS_DRAWN].strength(0, extent)}; none where the severity is 0"
    return [(*row[:2], text) if row[:2] == (ALWAYS_DRAWN, 0) else row for row in rows]


def _rows(rows: Any) -> str:
    return "\n".join("| " + " | ".join(map(_cell, row)) + " |" for row in rows)


def _cell(value: Any) -> str:
    return " ".join(str(value).splitlines()).replace("|", "\\|")

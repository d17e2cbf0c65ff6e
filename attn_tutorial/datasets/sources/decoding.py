"""Decoding an image file into 8-bit red, green and blue, or refusing it by name."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from attn_tutorial.datasets.names import TILE
from attn_tutorial.datasets.sources.layout import ImageSourceError

_FORMATS = ("PNG", "JPEG")
_MODES = ("1", "L", "P", "RGB", "CMYK")
"""Modes that Pillow converts to RGB without loss, except for the colours that CMYK has and RGB has not."""
_WITH_ALPHA = ("LA", "PA", "RGBA")
_DEEP_GREY = ("I", "I;16", "I;16B")
"""Modes in which Pillow gives grey images with 16 bits; which one depends on its version."""
_DEPTH_AT = 24
"""Where a PNG file says how many bits a value has."""


class _Refusal(Exception):
    """What an image must be, what it is instead, and what to do."""


def decode_image(source: Path, name: str, data: bytes) -> NDArray[np.uint8]:
    """Return the pixels of a PNG or JPEG file, uint8 (32, 32, 3).

    Grey images get three equal channels. Of a value with 16 bits, the upper 8 count. Transparent pixels have no colour
    of their own, so an image with any is refused; a transparency channel that is opaque everywhere is left out.

    Args:
        source: where the file lies, for messages.
        name: its path there.
        data: its bytes.

    Raises ImageSourceError, which names the file, if it has no such pixels.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            # before decoding, because a small file may claim to be a huge picture
            if image.size != (TILE, TILE):
                raise _Refusal(
                    f"must have {TILE}×{TILE} pixels, but has {image.size[0]}×{image.size[1]}. "
                    "Give the original CIFAR-10 images, unscaled."
                )
            depth = data[_DEPTH_AT] if image.format == "PNG" else 8
            return _as_rgb(image, depth)
    except _Refusal as refusal:
        raise ImageSourceError(f"{name} in {source} {refusal}") from None
    except Exception as error:  # decoders raise almost anything on damaged files
        raise ImageSourceError(
            f"{name} in {source} is not a readable PNG or JPEG image ({error}). Replace or remove it."
        ) from error


def _as_rgb(image: Image.Image, depth: int) -> NDArray[np.uint8]:
    _check_opaque(image, depth)
    if image.mode in _DEEP_GREY and depth == 16:
        # Pillow itself would clip at 255. It takes the upper byte of colours with 16 bits, so this does, too.
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return grey[..., None].repeat(3, axis=2)
    if image.mode not in _MODES + _WITH_ALPHA:
        raise _Refusal(
            f"must have grey values, colours or a palette, with 8 or 16 bits, but has the mode {image.mode}. "
            "Convert it to 8-bit RGB."
        )
    if image.mode == "P":
        _check_palette(image)
    return np.asarray(image.convert("RGB"))


def _check_opaque(image: Image.Image, depth: int) -> None:
    """Refuse an image with transparent pixels, or with a colour that may stand for them."""
    transparent = False
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        # Pillow compares a transparent colour correctly only with values of 8 bits.
        by_colour = image.mode not in (*_WITH_ALPHA, "P")
        transparent = (by_colour and depth != 8) or int(np.asarray(image.convert("RGBA"))[..., 3].min()) < 255
    if transparent:
        raise _Refusal(
            "must have opaque pixels, but has transparent ones, whose colours depend on the background. "
            "Put it on a background, and save it without transparency."
        )


def _check_palette(image: Image.Image) -> None:
    """Refuse a pixel that has no colour in the palette; Pillow would make it black."""
    colours = len(image.getpalette("RGB") or ()) // 3
    highest = int(np.asarray(image).max())
    if highest >= colours:
        raise _Refusal(
            f"must have a colour for each pixel, but its palette has {colours} colours and a pixel has number "
            f"{highest}. Replace it."
        )

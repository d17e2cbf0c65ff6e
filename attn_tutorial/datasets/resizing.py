"""Images resized by an integer box filter: the same pixels on every machine. Imports no torch.

A pixel of the resized image is the mean of the area that it covers, rounded half up. The weights of that mean are whole
numbers, so everything is computed in integers, and a result is rounded only once. Image libraries use floating point or
fixed-point approximations, which differ between versions.
"""

from math import gcd
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from attn_tutorial.errors import InputError

_Pixels = TypeVar("_Pixels", np.uint8, np.bool_)

_CHUNK = 256  # images resized at once: their sums stay in the processor's cache


def box_weights(n: int, m: int) -> NDArray[np.int64]:
    """Return the weights, int64 (m, n), by which a row of `n` pixels becomes a row of `m`.

    Output pixel i covers the input from i·n/m to (i + 1)·n/m. Its weight for an input pixel is the length that they
    share, in the largest unit in which all such lengths are whole numbers. Every row of weights has the sum
    n / gcd(n, m): from 32 to 24 pixels, for example, the weights are 3:1, 2:2 and 1:3 in turn, with the sum 4.
    """
    outputs, inputs = np.arange(m)[:, None] * n, np.arange(n) * m  # where pixels begin, in 1/m of an input pixel
    shared = np.minimum(outputs + n, inputs + m) - np.maximum(outputs, inputs)
    return shared.clip(min=0) // gcd(n, m)


def resize_images(images: NDArray[_Pixels], size: int) -> NDArray[_Pixels]:
    """Return square images resized to `size` pixels: the mean of the area that a pixel covers, rounded half up.

    Args:
        images: uint8 (N, H, H) or (N, H, H, channels); or masks, bool (N, H, H). A pixel of a resized mask is set if at
            least half of its area is set in the mask that was given.
        size: side of the resized images in pixels.

    Raises:
        InputError: `images` are of another type or shape, or `size` is less than 1.

    """
    if images.dtype not in (np.uint8, np.bool_) or images.ndim not in (3, 4) or images.shape[1] != images.shape[2]:
        raise InputError(
            "`images` must be uint8 or bool of shape (N, H, H) or (N, H, H, channels), but got "
            f"{images.dtype} of shape {images.shape}. Crop images that are not square, and convert others to uint8."
        )
    side = images.shape[1]
    if not 1 <= size <= side:
        raise InputError(
            f"`size` must be from 1 to the side of the images, {side} pixels, but got {size}. "
            "The box filter only makes images smaller."
        )
    resized = np.empty((len(images), size, size, *images.shape[3:]), dtype=images.dtype)
    for start in range(0, len(images), _CHUNK):
        part = slice(start, start + _CHUNK)
        resized[part] = _resize(images[part], size)
    return resized


def _resize(images: NDArray[_Pixels], size: int) -> NDArray[_Pixels]:
    side = images.shape[1]
    total = (side // gcd(side, size)) ** 2
    exact = np.min_scalar_type(255 * total + total // 2)  # the smallest integer type that contains every sum
    # Images come last, so that each step below is a sum of long rows.
    sums = np.moveaxis(images, 0, -1).astype(exact, order="C")
    sums = _along_first(sums, size)
    sums = _along_first(sums.swapaxes(0, 1), size).swapaxes(0, 1)
    # Of a mask's 0 and 1, this gives 1 where at least half of the total weight is set.
    return np.moveaxis((sums + total // 2) // total, -1, 0).astype(images.dtype)


def _along_first(values: NDArray, m: int) -> NDArray:
    """Return `values` (n, ...) as weighted sums (m, ...)."""
    # The weights repeat: n is `groups` times a row of n / gcd(n, m) pixels that becomes m / gcd(n, m).
    n = len(values)
    groups = gcd(n, m)
    weights = box_weights(n // groups, m // groups)
    grouped = values.reshape(groups, n // groups, *values.shape[1:])
    sums = np.zeros((groups, m // groups, *values.shape[1:]), dtype=values.dtype)
    for output, input_ in np.argwhere(weights).tolist():
        sums[:, output] += int(weights[output, input_]) * grouped[:, input_]
    return sums.reshape(m, *values.shape[1:])

"""Finds images that are, exactly or nearly, images of another array.

CIFAR-10's test images have near-duplicates among its training images: 3.25 % of them by Barz & Denzler ("Do We Train on
Test Data? Purging CIFAR of Near-Duplicates", J. Imaging 2020), who ranked neighbours by a network's features and judged
them by eye. Here no network is needed, so any image set can be searched. Three steps:

1. Exact duplicates, by their bytes.
2. Candidates, by a perceptual hash (pHash; Zauner, "Implementation and Benchmarking of Perceptual Image Hash
   Functions", 2010): the signs of the lowest 8×8 cosine coefficients of the grey image, less its mean's. Pairs that
   differ in at most `MOST_BITS` of the 63 are candidates, for the whole images, or for what both show where one is
   moved by 1/16 of its side along an axis. The whole images alone bring 82 % of the pairs that are found.
3. Confirmation on the pixels, by two correlations, which brightness and contrast do not change: *detail*, of the colour
   images at 32×32, band-passed by a difference of Gaussians (0.7 and 2 px), the highest over moves of up to 3 px; and
   *layout*, of the mean colours of 4×4 fields. Each alone makes mistakes: detail for one outline in other colours,
   layout for horizons. A near-duplicate has a detail of at least `LEAST_DETAIL`, and the product of what the two leave
   open, (1 - detail)(1 - layout), is at most `MOST_OPEN`.

The thresholds were fixed on CIFAR-10 (JPEG copy), all training against all test images: of 10⁹ pairs, mirrored ones
included, 31,446 are candidates and 578 (40 of them mirrored) are confirmed; none is exact. They contain 435 training
and 306 test images (3.06 %). On a sheet of 108 evenly picked pairs from the upper part of the range, 0.0045 to 0.007,
four looked like other pictures of the same kind (small aeroplanes, birds and cars on plain ground), and from 0.007 to
0.012 about one in ten did; the others were further copies. `MOST_OPEN` = 0.006, 0.007, 0.008, 0.01, 0.012 gives 281,
291, 306, 329, 343 test images. In the built-in shapes, drawn independently, the same search finds 751 look-alikes: one
outline in one place and in similar colours, of 640 training and 521 test images. At 0.01 it would find 1,250, hence
0.008.

Share of 1,000 altered test images that the search finds: 100 % if they were saved as JPEG of quality 75, brightened by
30, reduced to half the contrast, or given grain of 8 grey levels; 97 % if they were cut by 1 px on every side and
scaled back, or moved by 2 px; 87 % without colour; but 17 % if they were cut by 2 px and scaled back. Stronger cuts are
not found.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn, idctn, rfft2

from attn_tutorial.errors import InputError

MOST_BITS = 12
"""Most differing bits, of 63, with which two hashes make a candidate."""
LEAST_DETAIL = 0.7
"""Least correlation of the band-passed images, from -1 to 1."""
MOST_OPEN = 0.008
"""Most of (1 - detail)(1 - layout)."""

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

_GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # luma of ITU-R BT.601, as in JPEG
_GRID = 32  # detail is compared at this size
_WAVES = 8  # highest frequency compared, in periods per side: the band-pass leaves little above it
_MOVES = np.arange(-3, 4)  # along each axis of the grid, in its pixels
_CHUNK = 1000


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of duplicates, sorted, each pair once.

    An image may be in several pairs: `np.unique(pairs.index)` are the images that have a duplicate.
    """

    index: Ints
    """(K,): positions in `images`."""
    index_of: Ints
    """(K,): positions in `of`."""
    kind: NDArray[np.str_]
    """(K,): "exact" (the same bytes), "perceptual", or "mirrored" (left and right exchanged, exactly or nearly)."""


def near_duplicates(images: NDArray[np.uint8], of: NDArray[np.uint8]) -> Pairs:
    """Return all pairs of an image of `images` (N, S, S, 3) and an image of `of` (M, S, S, 3) that are duplicates.

    S must be a multiple of 4 and at least 16. Exchanging the two arrays exchanges the positions and gives the same
    pairs. An image whose grey has a standard deviation below 1 of 255 shows nothing, and has only exact duplicates.
    50,000 × 10,000 images with 32 pixels a side take 16 s of one core and 430 MB in addition to the images.

    Raises InputError if the images are of another type, shape or size.
    """
    for name, array in (("images", images), ("of", of)):
        side = array.shape[1] if array.ndim == 4 else 0
        if array.dtype != np.uint8 or array.shape[1:] != (side, side, 3) or side < 16 or side % 4:
            raise InputError(
                f"`{name}` must be uint8 (N, S, S, 3) with S a multiple of 4 and at least 16, but got {array.dtype} of "
                f"shape {array.shape}. Convert, cut or scale the images."
            )
    if images.shape[1] != of.shape[1]:
        raise InputError(
            f"`images` and `of` must have images of the same size, but got {images.shape[1]} and {of.shape[1]} "
            "pixels a side. Scale one of the arrays to the size of the other."
        )
    positions = defaultdict(list)
    for j, image in enumerate(of):
        positions[image.tobytes()].append(j)
    kinds = {(i, j): "exact" for i, image in enumerate(images) for j in positions.get(image.tobytes(), ())}
    shown, shown_of = _shows_something(images), _shows_something(of)
    hashes = _hashes(images[shown])
    for kind, others in (("perceptual", of[shown_of]), ("mirrored", of[shown_of, :, ::-1])):
        rows, columns = _candidates(hashes, _hashes(others))
        alike = _alike(images[shown], others, rows, columns)
        for i, j in zip(shown[rows[alike]].tolist(), shown_of[columns[alike]].tolist(), strict=True):
            kinds.setdefault((i, j), kind)
    ordered = sorted(kinds)
    index, index_of = np.array(ordered, dtype=np.int64).reshape(-1, 2).T
    return Pairs(index, index_of, np.array([kinds[pair] for pair in ordered], dtype=np.str_))


def _shows_something(images: NDArray[np.uint8]) -> Ints:
    """Return the positions of the images that are not flat. The hashes of flat ones would all be the same."""
    starts = range(0, len(images), _CHUNK)
    flat = [(images[start : start + _CHUNK] @ _GREY).std((1, 2)) < 1 for start in starts]
    return np.flatnonzero(~np.concatenate([np.zeros(0, dtype=bool), *flat]))


def _hashes(images: NDArray[np.uint8]) -> Floats:
    """Return hashes (5, N, 63) of ±1: of the whole images, and without their last or first rows or columns."""
    side = images.shape[1]
    whole, first, last = slice(0, side), slice(0, side - side // 16), slice(side // 16, side)
    views = ((whole, whole), (first, whole), (last, whole), (whole, first), (whole, last))
    hashes = np.empty((len(views), len(images), 63), dtype=np.float32)
    for start in range(0, len(images), _CHUNK):
        grey = images[start : start + _CHUNK] @ _GREY
        for view, (rows, columns) in enumerate(views):
            low = dctn(grey[:, rows, columns], axes=(1, 2), norm="ortho")[:, :8, :8].reshape(len(grey), 64)
            # above 0.5, not 0: the sign of a coefficient that is zero except for rounding means nothing
            hashes[view, start : start + _CHUNK] = np.where(low[:, 1:] > 0.5, 1, -1)
    return hashes


def _candidates(hashes: Floats, hashes_of: Floats) -> tuple[Ints, Ints]:
    """Return rows and columns of the pairs whose hashes agree in any view."""
    # what one image shows in its first rows, the other one, moved, shows in its last rows
    opposite = hashes_of[[0, 2, 1, 4, 3]].transpose(0, 2, 1)
    found = [np.zeros((0, 2), dtype=np.int64)]
    for row in range(0, hashes.shape[1], _CHUNK):
        for column in range(0, hashes_of.shape[1], _CHUNK):
            views = zip(hashes[:, row : row + _CHUNK], opposite[:, :, column : column + _CHUNK], strict=True)
            # the product of two vectors of ±1 is their length minus twice the number of entries that differ
            near = np.logical_or.reduce([mine @ other >= 63 - 2 * MOST_BITS for mine, other in views])
            found.append(np.argwhere(near) + np.array([row, column]))
    rows, columns = np.concatenate(found).T
    return rows, columns


def _alike(images: NDArray[np.uint8], of: NDArray[np.uint8], rows: Ints, columns: Ints) -> NDArray[np.bool_]:
    """Return which candidates the pixels confirm, (K,)."""
    own, row = np.unique(rows, return_inverse=True)
    own_of, column = np.unique(columns, return_inverse=True)
    spectra, layouts = _describe(images, own)
    spectra_of, layouts_of = _describe(of, own_of)
    # the cross-correlation at each move is a sum over waves: a product with this matrix of real and imaginary parts
    down, right = _MOVES.repeat(len(_MOVES))[:, None, None], np.tile(_MOVES, len(_MOVES))[:, None, None]
    angle = 2 * np.pi / _GRID * (down * np.arange(-_WAVES, _WAVES + 1)[:, None] + right * np.arange(_WAVES + 1))
    moved = np.exp(1j * angle).reshape(len(angle), -1).astype(np.complex64).view(np.float32).T
    alike = np.zeros(len(rows), dtype=bool)
    for start in range(0, len(rows), _CHUNK):
        i, j = row[start : start + _CHUNK], column[start : start + _CHUNK]
        layout = (layouts[i] * layouts_of[j]).sum(1)
        cross = (spectra[i] * spectra_of[j].conj()).sum(1)
        detail = (cross.view(np.float32) @ moved).max(1)
        alike[start : start + _CHUNK] = (detail >= LEAST_DETAIL) & ((1 - detail) * (1 - layout) <= MOST_OPEN)
    return alike


def _describe(images: NDArray[np.uint8], chosen: Ints) -> tuple[NDArray[np.complex64], Floats]:
    """Return spectra of the detail (K, 3, waves) and layouts (K, 48) of the chosen images, both of length 1."""
    side = images.shape[1]
    kept = min(side, _GRID)
    square = (np.arange(kept) * np.pi / _GRID) ** 2
    square = square[:, None] + square
    band = (np.exp(-(0.7**2) * square / 2) - np.exp(-(2**2) * square / 2)).astype(np.float32)
    spectra = np.empty((len(chosen), 3, (2 * _WAVES + 1) * (_WAVES + 1)), dtype=np.complex64)
    layouts = np.empty((len(chosen), 48), dtype=np.float32)
    for start in range(0, len(chosen), _CHUNK):
        pixels = images[chosen[start : start + _CHUNK]].transpose(0, 3, 1, 2).astype(np.float32)
        low = dctn(pixels, axes=(2, 3), norm="ortho")[:, :, :kept, :kept] * band
        waves = rfft2(idctn(low, s=(_GRID, _GRID), axes=(2, 3), norm="ortho"))[..., : _WAVES + 1]
        waves[..., 1:] *= np.sqrt(np.float32(2))  # each one also stands for its conjugate
        waves = np.roll(waves, _WAVES, axis=2)[:, :, : 2 * _WAVES + 1].reshape(spectra[start : start + _CHUNK].shape)
        spectra[start : start + _CHUNK] = waves / np.maximum(np.linalg.norm(waves, axis=(1, 2), keepdims=True), 1e-3)
        fields = pixels.reshape(len(pixels), 3, 4, side // 4, 4, side // 4).mean((3, 5)).reshape(len(pixels), 48)
        fields -= fields.mean(1, keepdims=True)
        layouts[start : start + _CHUNK] = fields / np.maximum(np.linalg.norm(fields, axis=1, keepdims=True), 1e-3)
    return spectra, layouts

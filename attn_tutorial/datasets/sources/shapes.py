"""The built-in image set: ten classes of shapes at 32×32, drawn in integers, with exact object masks.

Only the outline shows the class. Colours, textures, position, size and rotation are drawn independently of it, and the
object may be lighter or darker than its background, so no weighted sum of pixels separates the classes. All arithmetic
is in integers, because drawing libraries and floating-point functions differ between versions and machines, and results
on different pixels must never be pooled.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from attn_tutorial.datasets.names import TILE

Ints = NDArray[np.int32]
Bools = NDArray[np.bool_]

SHAPES_VERSION = 1
"""Raised whenever a drawn pixel changes."""

TRAIN_PER_CLASS = 1200
TEST_PER_CLASS = 500

_STREAMS = {"train": 0, "test": 1}
_FINE = 4  # samples along each side of a pixel, for smooth edges
_PIXEL = 64  # position units in one pixel
_UNIT = 1024  # shape units in one object radius
_TURN = 256  # angle steps in a full turn
_ONE = 1 << 14  # the sine of a right angle
_PERIOD = 512  # texture units in one repeat of a texture
_CHUNK = 32  # images drawn at once: their samples stay in the processor's cache

_QUARTER_SINE = (
    0, 402, 804, 1205, 1606, 2006, 2404, 2801, 3196, 3590, 3981, 4370, 4756,
    5139, 5520, 5897, 6270, 6639, 7005, 7366, 7723, 8076, 8423, 8765, 9102, 9434,
    9760, 10080, 10394, 10702, 11003, 11297, 11585, 11866, 12140, 12406, 12665, 12916, 13160,
    13395, 13623, 13842, 14053, 14256, 14449, 14635, 14811, 14978, 15137, 15286, 15426, 15557,
    15679, 15791, 15893, 15986, 16069, 16143, 16207, 16261, 16305, 16340, 16364, 16379, 16384,
)  # fmt: skip
_HALF_SINE = _QUARTER_SINE + _QUARTER_SINE[-2:0:-1]
SINE: Ints = np.array(_HALF_SINE + tuple(-value for value in _HALF_SINE), dtype=np.int32)
"""Sine of the angles k/256 of a turn, in units of 1/16384."""


def philox(counter: NDArray[np.uint64], key: tuple[int, int]) -> NDArray[np.uint64]:
    """Return the words of Philox4x32 with ten rounds (Salmon et al., "Parallel random numbers", SC 2011).

    `counter` and the result are (N, 4), with every entry less than 2**32.
    """
    low = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    first, second, third, fourth = counter.T
    for step in range(10):
        key_a = np.uint64((key[0] + step * 0x9E3779B9) & 0xFFFFFFFF)
        key_b = np.uint64((key[1] + step * 0xBB67AE85) & 0xFFFFFFFF)
        product_a = first * np.uint64(0xD2511F53)
        product_b = third * np.uint64(0xCD9E8D57)
        first, second = (product_b >> half) ^ second ^ key_a, product_b & low
        third, fourth = (product_a >> half) ^ fourth ^ key_b, product_a & low
    return np.stack([first, second, third, fourth], axis=1)


class _Draws:
    """Gives the random integers of a row of images: a pure function of (split, class, number of the image)."""

    def __init__(self, split: int, label: int, numbers: range) -> None:
        words = []
        for block in range(7):
            counter = np.zeros((len(numbers), 4), dtype=np.uint64)
            counter[:, 0] = np.arange(numbers.start, numbers.stop, dtype=np.uint64)
            counter[:, 1:] = label, split, block
            words.append(philox(counter, (SHAPES_VERSION, 0x53484150)))
        self._words = iter(np.concatenate(words, axis=1).T)

    def between(self, lowest: int | Ints, highest: int | Ints) -> Ints:
        """Return one integer for each image, (N,), uniform from `lowest` to `highest`, both included."""
        span = np.asarray(highest, dtype=np.int64) - lowest + 1
        return (lowest + ((next(self._words).astype(np.int64) * span) >> 32)).astype(np.int32)


def _in_disc(u: Ints, v: Ints, radius: int) -> Bools:
    return u * u + v * v <= radius * radius


def _in_box(u: Ints, v: Ints, half_width: int, half_height: int) -> Bools:
    return (abs(u) <= half_width) & (abs(v) <= half_height)


def _disc(u: Ints, v: Ints) -> Bools:
    return _in_disc(u, v, 900)


def _ring(u: Ints, v: Ints) -> Bools:
    return _in_disc(u, v, 980) & ~_in_disc(u, v, 560)


def _square(u: Ints, v: Ints) -> Bools:
    return _in_box(u, v, 740, 740)


def _triangle(u: Ints, v: Ints) -> Bools:
    # the sides lie at half the circumradius; 887/1024 is the cosine of 30°
    return (v >= -512) & (887 * abs(u) + 512 * v <= 512 * 1024)


def _cross(u: Ints, v: Ints) -> Bools:
    return _in_box(u, v, 980, 270) | _in_box(u, v, 270, 980)


def _star(u: Ints, v: Ints) -> Bools:
    # a five-pointed star is the area inside at least four of its five lines, each cos 72° from the centre
    inside = np.zeros(u.shape, dtype=np.int8)
    for along, across in ((0, 1024), (974, 316), (-974, 316), (602, -828), (-602, -828)):
        inside += along * u + across * v <= 316 * 1024
    return inside >= 4


def _crescent(u: Ints, v: Ints) -> Bools:
    return _in_disc(u, v, 1000) & ~_in_disc(u - 440, v, 800)


def _heart(u: Ints, v: Ints) -> Bools:
    # a square with a disc on each of two neighbouring sides
    u, v = u + 190, v + 190
    return _in_box(u, v, 500, 500) | _in_disc(u - 500, v, 500) | _in_disc(u, v - 500, 500)


def _arrow(u: Ints, v: Ints) -> Bools:
    shaft = (abs(v) <= 220) & (u >= -980) & (u <= 100)
    head = (u >= 0) & (abs(v) * 5 <= (980 - u) * 4)
    return shaft | head


def _bowtie(u: Ints, v: Ints) -> Bools:
    return (abs(u) <= 780) & (5 * abs(v) <= 4 * abs(u) + 400)


_OUTLINES: dict[str, Callable[[Ints, Ints], Bools]] = {
    "disc": _disc,
    "ring": _ring,
    "square": _square,
    "triangle": _triangle,
    "cross": _cross,
    "star": _star,
    "crescent": _crescent,
    "heart": _heart,
    "arrow": _arrow,
    "bowtie": _bowtie,
}
CLASSES = tuple(_OUTLINES)


def _plain(p: Ints, q: Ints) -> Bools:
    return np.zeros(p.shape, dtype=np.bool_)


def _stripes(p: Ints, q: Ints) -> Bools:
    return (p & (_PERIOD // 2)) != 0


def _checks(p: Ints, q: Ints) -> Bools:
    return ((p ^ q) & (_PERIOD // 2)) != 0


def _dots(p: Ints, q: Ints) -> Bools:
    middle = _PERIOD // 2
    return _in_disc((p & (_PERIOD - 1)) - middle, (q & (_PERIOD - 1)) - middle, 165)


_TEXTURES = (_plain, _stripes, _checks, _dots)


def _turned(origin_x: Ints, origin_y: Ints, angle: Ints, scale: Ints) -> tuple[Ints, Ints]:
    """Return the coordinates of every sample, turned by `angle` and scaled by `scale`/16384; 2 × (N, S, S)."""
    samples = np.arange(TILE * _FINE, dtype=np.int32) * (_PIXEL // _FINE) + _PIXEL // (2 * _FINE)
    x = samples - origin_x[:, None]
    y = samples - origin_y[:, None]
    cosine = ((SINE[(angle + _TURN // 4) % _TURN] * scale) >> 14)[:, None]
    sine = ((SINE[angle] * scale) >> 14)[:, None]
    u = (cosine * x)[:, None, :] + (sine * y)[:, :, None]
    v = (-sine * x)[:, None, :] + (cosine * y)[:, :, None]
    return u >> 14, v >> 14


def _colour(mean: Ints, hue: Ints, strength: Ints) -> Ints:
    """Return red, green and blue with the given mean and hue; (N, 3)."""
    thirds = hue[:, None] + np.array([0, 85, 171], dtype=np.int32)
    return mean[:, None] + ((SINE[thirds % _TURN] * strength[:, None]) >> 14)


def _surface(draw: _Draws, mean: Ints) -> tuple[Bools, Ints]:
    """Return a texture of two similarly bright colours: where the second one is (N, S, S), and both (2, N, 3)."""
    hue, strength = draw.between(0, _TURN - 1), draw.between(10, 45)
    other_hue, step = hue + draw.between(-25, 25), draw.between(11, 15)
    sign = 2 * draw.between(0, 1) - 1
    means = (mean - sign * step, mean + sign * step)
    colours = np.stack([_colour(means[0], hue, strength), _colour(means[1], other_hue, strength)])
    kind = draw.between(0, len(_TEXTURES) - 1)
    period = draw.between(5 * _PIXEL, 9 * _PIXEL)
    origin_x, origin_y = draw.between(0, 16 * _PIXEL), draw.between(0, 16 * _PIXEL)
    p, q = _turned(origin_x, origin_y, draw.between(0, _TURN - 1), (_PERIOD << 14) // period)
    second = np.empty(p.shape, dtype=np.bool_)
    for number, texture in enumerate(_TEXTURES):
        chosen = kind == number
        second[chosen] = texture(p[chosen], q[chosen])
    return second, colours


def _count(samples: Bools) -> Ints:
    """Return how many of a pixel's samples are set, 0 to 16; (N, S, S) -> (N, 32, 32)."""
    ones = samples.view(np.uint8)
    rows = ones[:, 0::4] + ones[:, 1::4] + ones[:, 2::4] + ones[:, 3::4]
    return (rows[..., 0::4] + rows[..., 1::4] + rows[..., 2::4] + rows[..., 3::4]).astype(np.int32)


def _draw(split: int, label: int, numbers: range) -> tuple[NDArray[np.uint8], Bools]:
    draw = _Draws(split, label, numbers)
    gap = draw.between(76, 120)
    dark = draw.between(62, 193 - gap)
    object_is_light = draw.between(0, 1)
    radius = draw.between(9 * _PIXEL, 13 * _PIXEL)
    room = radius + _PIXEL
    centre_x, centre_y = draw.between(room, TILE * _PIXEL - room), draw.between(room, TILE * _PIXEL - room)
    u, v = _turned(centre_x, centre_y, draw.between(0, _TURN - 1), (_UNIT << 14) // radius)
    inside = _OUTLINES[CLASSES[label]](u, v)
    front_second, front_colours = _surface(draw, dark + gap * object_is_light)
    back_second, back_colours = _surface(draw, dark + gap * (1 - object_is_light))

    total = np.full((len(numbers), TILE, TILE), _FINE * _FINE, dtype=np.int32)
    front = _count(inside)
    front_two = _count(inside & front_second)
    back_two = _count(~inside & back_second)
    shares = (front - front_two, front_two, total - front - back_two, back_two)
    pixels = np.zeros((*total.shape, 3), dtype=np.int32)
    for share, colour in zip(shares, (*front_colours, *back_colours), strict=True):
        pixels += share[..., None] * colour[:, None, None, :]
    return ((pixels + 8) >> 4).astype(np.uint8), front >= 8


def draw_shapes(split: str, per_class: int) -> tuple[NDArray[np.uint8], NDArray[np.int64], Bools]:
    """Draw `per_class` images of every class; image j of a class does not depend on `per_class`.

    Args:
        split: "train" or "test", which have separate random streams.
        per_class: number of images of each of the ten classes.

    Returns:
        images (N, 32, 32, 3) uint8, labels (N,) int64 and object masks (N, 32, 32) bool, sorted by class.
        The object is 14 to 26 px across and completely inside the image; a mask pixel is set where the object covers at
        least half of it. The means over red, green and blue of any object colour and any background colour differ by
        40 or more.

    """
    if split not in _STREAMS:
        raise ValueError(f"`split` must be 'train' or 'test', but got {split!r}. Cut val and bank from these two.")
    images = np.empty((len(CLASSES) * per_class, TILE, TILE, 3), dtype=np.uint8)
    masks = np.empty(images.shape[:3], dtype=np.bool_)
    for label in range(len(CLASSES)):
        for start in range(0, per_class, _CHUNK):
            stop = min(start + _CHUNK, per_class)
            place = slice(label * per_class + start, label * per_class + stop)
            images[place], masks[place] = _draw(_STREAMS[split], label, range(start, stop))
    return images, np.arange(len(CLASSES)).repeat(per_class), masks

"""A small bank of colour 1/f noise fields, drawn once in integer arithmetic.

An FFT rounds differently from machine to machine; octaves of value noise in fixed point do not. Each octave is a
lattice of random integers, interpolated smoothly. All octaves have the same weight, because the power of a 1/f
amplitude spectrum in two dimensions falls to a quarter with each octave, which covers four times the area.
"""

import functools

import torch
from torch import Tensor

from attn_tutorial.datasets.philox import philox

PERIOD = 64
"""Side of a field in pixels; fields are periodic, so that rolling one leaves no seam."""
FIELDS = 64
"""Number of fields in the bank: 16 random ones, each in its four flips."""
FIELD_SD = 40
"""Standard deviation of a field in units of int8, which has room for ±3.2 deviations."""
_DRAWN = 16
_KEY = (0x636C7574, 0x74657231)  # "clut", "ter1": the bank belongs to the benchmark, not to a run's seed
_LATTICES = (2, 4, 8, 16, 32, 64)
_CHROMA = 3  # colour octaves have 3/8 of the brightness octaves' weight: mostly grey, like natural images


@functools.cache
def noise_bank() -> Tensor:
    """Return the bank, int8 (FIELDS, PERIOD, PERIOD, 3), with mean 0 and standard deviation FIELD_SD."""
    brightness = _octaves(channels=1, stream=0)
    colour = _octaves(channels=3, stream=1)
    field = 8 * brightness + _CHROMA * colour
    count = field[0].numel()
    field = field - _rounded_quotient(field.sum((1, 2, 3), keepdim=True), count)
    variance = (field * field).sum((1, 2, 3), keepdim=True) // count
    deviation = torch.tensor([_integer_root(int(v)) for v in variance.flatten()]).view(variance.shape)
    field = _rounded_quotient(field * FIELD_SD, deviation).clamp(-127, 127).to(torch.int8)
    return torch.cat([field, field.flip(1), field.flip(2), field.flip((1, 2))])


def _octaves(channels: int, stream: int) -> Tensor:
    total = torch.zeros(_DRAWN, PERIOD, PERIOD, channels, dtype=torch.int64)
    for octave, cells in enumerate(_LATTICES):
        index = torch.arange(_DRAWN * cells * cells * channels)
        words = philox((index, octave, stream, 0), _KEY)
        # The sum of two words is triangular: closer to a bell than one alone.
        lattice = ((words[..., 0] >> 22) + (words[..., 1] >> 22) - 1023).view(_DRAWN, cells, cells, channels)
        total += _interpolate(_interpolate(lattice, 1), 2)
    return total


def _interpolate(lattice: Tensor, axis: int) -> Tensor:
    cells = lattice.shape[axis]
    step = PERIOD // cells
    position = torch.arange(PERIOD)
    left = position // step
    fraction = ((position % step) * 256) // step
    weight = (fraction * fraction * (768 - 2 * fraction)) >> 16  # smoothstep in 1/256
    weight = weight.view([-1 if a == axis else 1 for a in range(lattice.ndim)])
    before = lattice.index_select(axis, left)
    after = lattice.index_select(axis, (left + 1) % cells)
    return (before * (256 - weight) + after * weight + 128) >> 8


def _rounded_quotient(numerator: Tensor, denominator: Tensor | int) -> Tensor:
    return torch.div(2 * numerator + denominator, 2 * denominator, rounding_mode="floor")


def _integer_root(value: int) -> int:
    root = int(value**0.5)
    while root * root > value:
        root -= 1
    while (root + 1) * (root + 1) <= value:
        root += 1
    return root

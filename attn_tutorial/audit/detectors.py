"""Detectors that search canvases for the place of the target. Imports torch.

They look for what a layer would leave if it knew where the target is: a border of pieces that stop at the target, or a
hole that pieces keep clear of. A detector guesses one place on each canvas: a square of the target's size.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad
from tqdm import tqdm

from attn_tutorial.audit.promises import SEARCHED_SEVERITIES, SEARCHED_TYPES, Hits
from attn_tutorial.clutter import CanvasBatch, Clutter
from attn_tutorial.clutter.names import ALWAYS_DRAWN
from attn_tutorial.datasets import ImageSet
from attn_tutorial.spec import SEEN

WITHIN = 1
"""A guess is right if it is at most so many pixels away from the target's place, across and down."""
_PASTED = ("fragments", "surround", "crowd")
"""The layers that paste pieces: the hole detector is told where they are."""
_BATCH = 500


def search_all(images: ImageSet, count: int) -> list[Hits]:
    """Search canvases with both detectors.

    Searched are background types with the target removed, which promise 1 is about; `fragments` with the target
    removed, which slide until they hide little of the target, and so draw its outline; and, with the border detector
    only, canvases that show their target, so that there is something to find.

    Args:
        images: the images of the targets, of which `count` are taken, spread evenly over the set.
        count: number of canvases in each search, or all images if there are fewer.

    """
    rows = []
    for types in (*SEARCHED_TYPES, "fragments"):
        for severity in SEARCHED_SEVERITIES:
            rows += search(images, count, types, severity)
    for severity in SEARCHED_SEVERITIES:
        rows += search(images, count, SEEN, severity, shown=True)
    return rows


def search(images: ImageSet, count: int, types: str, severity: int, shown: bool = False) -> list[Hits]:
    """Search canvases of one kind for the places of their targets.

    Args:
        images: as for `search_all`.
        count: as for `search_all`.
        types: the composition of clutter types.
        severity: 1 to 5.
        shown: whether the canvases show their targets. The hole detector is left out then: it would be told.

    """
    names = tuple(types.split("+"))
    tile: Literal["removed", "shown"] = "shown" if shown else "removed"
    clutter = Clutter(names, severity, tile=tile)
    kept = tuple(name for name in names if name not in _PASTED)
    # Without a type that is not pasted, only the weak background of severity 0 is left.
    bare = Clutter(kept, severity, tile=tile) if kept else Clutter((ALWAYS_DRAWN,), 0, tile=tile)
    extent, places = images.images.shape[1], clutter.canvas - images.images.shape[1] + 1
    generator = torch.Generator().manual_seed(0)
    detectors: dict[Literal["border", "hole"], Callable[[CanvasBatch, Tensor], Tensor]] = {
        "border": lambda batch, part: border_guess(batch.canvas, extent)
    }
    if not shown:
        detectors["hole"] = lambda batch, part: hole_guess(
            (batch.canvas != bare.render(images, part).canvas).any(1), extent, generator
        )
    chosen = images.spread(count)
    right, chance = dict.fromkeys(detectors, 0), dict.fromkeys(detectors, 0)
    with tqdm(total=len(chosen), desc=f"search {types}", unit=" canvases", leave=False, disable=None) as bar:
        for part in chosen.split(_BATCH):
            batch = clutter.render(images, part)
            for name, guess in detectors.items():
                guessed = guess(batch, part)
                right[name] += int(((guessed - batch.tile_box[:, :2]).abs() <= WITHIN).all(1).sum())
                chance[name] += int(places_within(guessed, places).sum())
            bar.update(len(part))
    return [
        Hits(
            detector=name,
            types=types,
            severity=severity,
            tile=tile,
            canvases=len(chosen),
            hits=right[name],
            chance=chance[name] / (len(chosen) * places**2),
        )
        for name in detectors
    ]


def border_guess(canvas: Tensor, extent: int) -> Tensor:
    """Guess the square whose four sides have the largest mean step of colour across them.

    A side that lies on the canvas's border has no step, and is left out of the mean.

    Args:
        canvas: uint8 (batch, 3, side, side).
        extent: side of the target in pixels, less than the canvas's.

    Returns:
        x and y of the guessed corner, int64 (batch, 2).

    """
    pixels = canvas.permute(0, 2, 3, 1).to(torch.int16)
    places = canvas.shape[-1] - extent + 1
    # Entry i is the step between pixels i-1 and i; at the canvas's border there is none.
    across = pad(_steps(pixels[:, :, 1:], pixels[:, :, :-1]), (1, 1))
    down = pad(_steps(pixels[:, 1:], pixels[:, :-1]), (0, 0, 1, 1))
    upright, level = _sums(across, 1, extent), _sums(down, 2, extent)
    total = upright[:, :, :places] + upright[:, :, extent:] + level[:, :places] + level[:, extent:]
    at = torch.arange(places, device=canvas.device)
    sides = (at > 0).to(torch.int32) + (at < places - 1).to(torch.int32)
    return _corner((total / (sides[:, None] + sides)).flatten(1).argmax(1), places)


def hole_guess(pasted: Tensor, extent: int, generator: torch.Generator) -> Tensor:
    """Guess the square with the fewest pasted pixels.

    Args:
        pasted: bool (batch, side, side), the pixels that show a pasted piece.
        extent: side of the target in pixels.
        generator: chooses among squares with equally few.

    Returns:
        x and y of the guessed corner, int64 (batch, 2).

    """
    covered = _sums(_sums(pasted.to(torch.int32), 1, extent), 2, extent)
    either = torch.rand(covered.shape, generator=generator, device=pasted.device)
    return _corner((covered + either).flatten(1).argmin(1), covered.shape[-1])


def places_within(guess: Tensor, places: int) -> Tensor:
    """Return for how many of all `places` × `places` places each guess would be right: int64 (batch,).

    Args:
        guess: x and y, int64 (batch, 2).
        places: number of places along an axis.

    """
    first, last = (guess - WITHIN).clamp(min=0), (guess + WITHIN).clamp(max=places - 1)
    return (last - first + 1).prod(1)


def _steps(one: Tensor, other: Tensor) -> Tensor:
    return (one - other).abs().sum(-1, dtype=torch.int32)


def _sums(values: Tensor, axis: int, length: int) -> Tensor:
    """Return the sums of `length` values in a row along an axis: one for each place where a row can begin."""
    total = torch.cat((torch.zeros_like(values.narrow(axis, 0, 1)), values.cumsum(axis, dtype=values.dtype)), axis)
    count = values.shape[axis] - length + 1
    return total.narrow(axis, length, count) - total.narrow(axis, 0, count)


def _corner(place: Tensor, places: int) -> Tensor:
    return torch.stack((place % places, place // places), 1)

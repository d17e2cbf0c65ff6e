"""Clutter type `fragments`: square pieces of other images, pasted over the canvas."""

import torch
from torch import Tensor

from attn_tutorial.datasets import severity as levels
from attn_tutorial.datasets.draws import Draws, Stream, below
from attn_tutorial.datasets.images import ImageSet
from attn_tutorial.datasets.names import TILE
from attn_tutorial.datasets.tables import table

# Sixteen directions whose longer component is 256: one step of a slide is a whole pixel along it.
_DIRECTIONS = (
    (256, 0), (256, 106), (256, 256), (106, 256), (0, 256), (-106, 256), (-256, 256), (-256, 106),
    (-256, 0), (-256, -106), (-256, -256), (-106, -256), (0, -256), (106, -256), (256, -256), (256, -106),
)  # fmt: skip
_SLIDES = TILE + levels.MAX_FRAGMENT + 1
"""Places on a slide: the last lies off the tile, wherever the first was and whatever the direction."""
_MARGIN = levels.MAX_FRAGMENT
"""Of the padded canvas that is painted on, so that a fragment hanging over an edge needs no clipping."""


def paint_fragments(
    draws: Draws, severity: Tensor, tile: Tensor, pool: ImageSet, own: Tensor | None, most: int, canvas: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Choose, place and paint the fragments of a batch, later ones over earlier ones.

    Args:
        draws: the batch's random words.
        severity: int64 (B,).
        tile: int64 (B, 2), the tile's corner as x, y.
        pool: the images that fragments are cut from.
        own: int64 (B,), each canvas's own image where it lies in the pool, and so must not be drawn; or None.
        most: the largest number of fragments at the severities that can occur; known without looking at the batch.
        canvas: side of the canvas in pixels.

    Returns:
        the source of every canvas pixel, as a position among the pool's pixels, or -1 where no fragment is: (B, H, W);
        every fragment's image, as its place in its split's file, and its class; -1 where none is drawn: (B, most).

    """
    count, size, cap = (
        table([getattr(level, name) for level in levels.FRAGMENTS], severity.device)[severity]
        for name in ("count", "size", "overlap")
    )
    drawn = torch.arange(most, device=severity.device) < count[:, None]
    words = draws(Stream.FRAGMENT_SOURCE, most)
    image = pool.pick(words[..., 0], words[..., 1], own)
    # Crop centres stay half the largest size inside the image, so that one centre serves every size.
    half = levels.MAX_FRAGMENT // 2
    crop = half + below(words[..., 2:], TILE - 2 * half + 1) - (size // 2)[:, None, None]
    corner = _slide_off(*_paths(draws, size, tile, most, canvas), size, cap, tile, drawn)
    source = _paint(image, crop, corner, size, drawn, canvas)
    return source, pool.index[image].masked_fill(~drawn, -1), pool.labels[image].masked_fill(~drawn, -1)


def _paths(draws: Draws, size: Tensor, tile: Tensor, most: int, canvas: int) -> tuple[Tensor, Tensor]:
    """Each fragment's first corner (B, most, 2) and the direction in which it would slide (B, most, 2), in 1/256 px."""
    words = draws(Stream.FRAGMENT_PLACE, most)
    centre = below(words[..., :2], canvas)
    direction = table(_DIRECTIONS, size.device)[below(words[..., 2], len(_DIRECTIONS))]
    outward = centre - (tile + TILE // 2)[:, None]
    inward = (direction * outward).sum(-1, keepdim=True) < 0
    return centre - (size // 2)[:, None, None], torch.where(inward, -direction, direction)


def _slide_off(first: Tensor, direction: Tensor, size: Tensor, cap: Tensor, tile: Tensor, drawn: Tensor) -> Tensor:
    """Slide each fragment to the first place where all together hide at most `cap` pixels of the tile: (B, most, 2).

    Fragments are placed one after the other, since the cap is on the area of their union.
    """
    steps = torch.arange(_SLIDES, device=size.device)[:, None]
    at = torch.arange(TILE, device=size.device)
    free = torch.ones(len(size), TILE, TILE, dtype=torch.bool, device=size.device)
    budget = cap
    corners = []
    for j in range(drawn.shape[1]):
        path = first[:, j, None] + ((direction[:, j, None] * steps + 128) >> 8)
        low = (path - tile[:, None]).clamp(0, TILE)
        high = (path - tile[:, None] + size[:, None, None]).clamp(0, TILE)
        hides = _area(free, low, high)
        step = (hides <= budget[:, None]).to(torch.uint8).argmax(1, keepdim=True)
        corner, low, high = (edge.gather(1, step[..., None].expand(-1, 1, 2)) for edge in (path, low, high))
        over = (at >= low.mT) & (at < high.mT) & drawn[:, j, None, None]  # (B, x and y, TILE)
        free &= ~(over[:, 1, :, None] & over[:, 0, None, :])
        budget = budget - torch.where(drawn[:, j], hides.gather(1, step)[:, 0], 0)
        corners.append(corner)
    return torch.cat(corners, dim=1)


def _area(free: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Number of free pixels in each box: free (B, T, T), low and high (B, S, 2) as x, y -> (B, S)."""
    total = torch.zeros(len(free), TILE + 1, TILE + 1, dtype=torch.int32, device=free.device)
    total[:, 1:, 1:] = free.cumsum(1, dtype=torch.int32).cumsum(2, dtype=torch.int32)
    total = total.flatten(1)

    def upto(x: Tensor, y: Tensor) -> Tensor:
        return total.gather(1, y * (TILE + 1) + x)

    (x0, y0), (x1, y1) = low.unbind(-1), high.unbind(-1)
    return upto(x1, y1) - upto(x0, y1) - upto(x1, y0) + upto(x0, y0)


def _paint(image: Tensor, crop: Tensor, corner: Tensor, size: Tensor, drawn: Tensor, canvas: int) -> Tensor:
    """The source of every pixel of the canvas, later fragments over earlier ones; -1 where none is: (B, H, W)."""
    batch, most = drawn.shape
    side = canvas + 2 * _MARGIN
    offset = torch.arange(levels.MAX_FRAGMENT, device=size.device)
    inside = offset < size[:, None]
    # A fragment that has slid off the canvas ends in the margin, out of sight.
    corner = corner.clamp(-_MARGIN, canvas) + _MARGIN
    x, y = (edge[..., None] + offset for edge in corner.unbind(-1))  # (B, most, largest size)
    u, v = (edge[..., None] + offset for edge in crop.unbind(-1))
    pixel = (((image[..., None] * TILE + v) * TILE)[..., None] + u[..., None, :]).to(torch.int32)
    target = (y * side)[..., None] + x[..., None, :]
    # What is not painted goes to one spare pixel at the end.
    painted = inside[:, None, :, None] & inside[:, None, None, :] & drawn[:, :, None, None]
    target = torch.where(painted, target, side * side)
    source = torch.full((batch, side * side + 1), -1, dtype=torch.int32, device=size.device)
    for j in range(most):
        source.scatter_(1, target[:, j].flatten(1), pixel[:, j].flatten(1))
    source = source[:, :-1].view(batch, side, side)
    return source[:, _MARGIN : _MARGIN + canvas, _MARGIN : _MARGIN + canvas]

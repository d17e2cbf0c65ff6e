"""The clutter benchmark one image at a time, as one would write it with Pillow: the renderer's oracle and yardstick.

With `attn_tutorial.clutter.Clutter` it shares the random words, the noise fields and the severity table, and nothing
else. It has hard edges only. `tests/clutter/test_clutter_oracle.py` checks that both give the same pixels.
"""

import functools
import math

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import Dataset

from attn_tutorial.clutter import Clutter
from attn_tutorial.clutter.draws import Draws, Stream
from attn_tutorial.clutter.layers import crowd, fragments, mosaic, noise, strokes, surround, veil
from attn_tutorial.clutter.noise_bank import FIELDS, PERIOD
from attn_tutorial.clutter.severity import LEAST_VISIBLE, check_severity
from attn_tutorial.datasets import ImageSet
from attn_tutorial.datasets.names import SPLITS, TILE
from attn_tutorial.datasets.pixels import unpacked

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


class PilClutter(Dataset):
    """Gives the canvas, visible mask and object mask (None where the images have no masks) of each image of a set.

    Everything that needs no canvas is made beforehand: images, their smaller copies and noise fields are Pillow images,
    and the words of all images are drawn at once.
    """

    def __init__(self, image_set: ImageSet, clutter: Clutter, epoch: int = 0):
        self.image_set, self.clutter = image_set, clutter
        pool = image_set.fragments or image_set
        self.images = as_pillow(image_set.images)
        self.pool = self.images if pool is image_set else as_pillow(pool.images)
        self.own_pool = pool is image_set
        self.tile = image_set.images.shape[1]
        self.severities = check_severity(clutter.severity)
        self.levels = fragments.fragment_levels(self.tile)
        self.lend = [True] * len(pool) if pool.may_lend is None else pool.may_lend.tolist()
        self.members = [torch.nonzero(pool.labels == c)[:, 0].tolist() for c in range(len(pool.classes))]
        # So wide that every window is one crop.
        fields = unpacked(noise.noise_fields(torch.device("cpu")))[..., :3]
        repeats = 1 + math.ceil(clutter.canvas / PERIOD)
        self.fields = as_pillow(fields.repeat(1, repeats, repeats, 1))
        cells = math.ceil(clutter.canvas / (self.tile // 4)) ** 2
        most_fragments = self.levels[max(self.severities)].count
        most_strokes = strokes.LEVELS[max(self.severities)][0]
        most_pieces, most_whole = (layer.LEVELS[max(self.severities)][0] for layer in (surround, crowd))
        # Beside a target of 32 px, and rounded for others.
        self.piece_sizes = [math.floor(size * self.tile / TILE + 0.5) for _, size in surround.LEVELS]
        self.whole_sizes = [math.floor(size * self.tile / TILE) for _, size in crowd.LEVELS]
        used = {self.whole_sizes[s] for s in self.severities if s} if "crowd" in clutter.types else set()
        self.smaller = {size: as_pillow(smaller(pool.images, size)) for size in used}
        counts = {Stream.SEVERITY: 1, Stream.TILE: 1, noise.Stream.NOISE: 1}
        for name, wanted in {
            "fragments": {
                fragments.Stream.FRAGMENT_SOURCE: most_fragments,
                fragments.Stream.FRAGMENT_PLACE: most_fragments,
            },
            "strokes": {strokes.Stream.STROKE_PLACE: most_strokes, strokes.Stream.STROKE_COLOUR: most_strokes},
            "mosaic": {mosaic.Stream.MOSAIC_SOURCE: 1, mosaic.Stream.MOSAIC_ORDER: 4 * math.ceil(cells / 16)},
            "veil": {veil.Stream.VEIL_SOURCE: 1, veil.Stream.VEIL_ORDER: 4},
            "surround": {surround.Stream.SURROUND_SOURCE: most_pieces, surround.Stream.SURROUND_PLACE: most_pieces},
            "crowd": {crowd.Stream.CROWD_SOURCE: most_whole, crowd.Stream.CROWD_PLACE: most_whole},
        }.items():
            counts |= wanted if name in clutter.types else {}
        draws = Draws((clutter.seed, SPLITS.index(image_set.split)), image_set.index, epoch)
        self.words = {stream: words.numpy() for stream, words in draws.together(counts).items()}

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[Pixels, Mask, Mask | None]:
        words = {stream: all_words[i].tolist() for stream, all_words in self.words.items()}
        types, side, tile = self.clutter.types, self.clutter.canvas, self.tile
        severity = self.severities[below(words[Stream.SEVERITY][0][0], len(self.severities))]
        x, y = (below(word, side - tile + 1) for word in words[Stream.TILE][0][:2])

        field, top, left = (
            below(w, n) for w, n in zip(words[noise.Stream.NOISE][0], (FIELDS, PERIOD, PERIOD), strict=False)
        )
        fields = self.fields[FIELDS * (severity if "noise" in types else 0) + field]
        canvas = fields.crop((left, top, left + side, top + side))
        if "mosaic" in types:
            behind = self.shuffled(
                self.pick(words[mosaic.Stream.MOSAIC_SOURCE][0], i), words[mosaic.Stream.MOSAIC_ORDER], side
            )
            canvas = mixed(canvas, behind, mosaic.LEVELS[severity])
        if "surround" in types:
            size, largest = self.piece_sizes[severity], max(self.piece_sizes)
            for j in range(surround.LEVELS[severity][0]):
                source, place = words[surround.Stream.SURROUND_SOURCE][j], words[surround.Stream.SURROUND_PLACE][j]
                u, v = self.piece(source, size, largest)
                piece = self.pool[self.pick(source, i)].crop((u, v, u + size, v + size))
                canvas.paste(piece, tuple(below(word, side) - size // 2 for word in place[:2]))
        if "crowd" in types:
            size = self.whole_sizes[severity]
            for j in range(crowd.LEVELS[severity][0]):
                source, place = words[crowd.Stream.CROWD_SOURCE][j], words[crowd.Stream.CROWD_PLACE][j]
                whole = self.smaller[size][self.pick(source, i)]
                canvas.paste(whole, tuple(below(word, side) - size // 2 for word in place[:2]))
        shown = self.images[i]
        if "veil" in types:
            over = self.shuffled(self.pick(words[veil.Stream.VEIL_SOURCE][0], i), words[veil.Stream.VEIL_ORDER], tile)
            shown = mixed(shown, over, veil.LEVELS[severity])
        canvas.paste(shown, (x, y))
        visible = np.zeros((side, side), dtype=bool)
        visible[y : y + tile, x : x + tile] = True

        if "fragments" in types:
            level = self.levels[severity]
            sources, places = (
                words[fragments.Stream.FRAGMENT_SOURCE][: level.count],
                words[fragments.Stream.FRAGMENT_PLACE][: level.count],
            )
            budget = level.overlap
            for source, place in zip(sources, places, strict=True):
                (left, top), overlap = self.slide(place, (x, y), level.size, budget)
                budget -= overlap
                u, v = self.piece(source, level.size, max(level.size for level in self.levels))
                piece = self.pool[self.pick(source, i)].crop((u, v, u + level.size, v + level.size))
                canvas.paste(piece, (left, top))
                visible[max(top, 0) : max(top + level.size, 0), max(left, 0) : max(left + level.size, 0)] = False
        pixels = np.array(canvas)
        if "strokes" in types:
            count, width = strokes.LEVELS[severity]
            places, colours = words[strokes.Stream.STROKE_PLACE][:count], words[strokes.Stream.STROKE_COLOUR][:count]
            for place, colour in zip(places, colours, strict=True):
                covered = self.stroke(place, width)
                left_over = visible & ~covered
                if 100 * left_over.sum() >= tile * tile * LEAST_VISIBLE:
                    visible = left_over
                    pixels[covered] = [word >> 24 for word in colour[:3]]

        if self.image_set.masks is None:
            return pixels, visible, None
        whole = np.zeros_like(visible)
        whole[y : y + tile, x : x + tile] = self.image_set.masks[i].numpy()
        return pixels, visible, whole & visible

    def pick(self, words: list[int], i: int) -> int:
        """Return the position in the pool of the image that two words choose for the canvas of image `i`."""
        members = self.members[below(words[0], len(self.members))]
        chosen = below(words[1], len(members))
        while not self.lend[members[chosen]] or (self.own_pool and members[chosen] == i):
            chosen = (chosen + 1) % len(members)
        return members[chosen]

    def piece(self, words: list[int], size: int, largest: int) -> tuple[int, int]:
        """Return the corner in its image of the piece that two words choose; its centre serves pieces of every size."""
        u, v = (largest // 2 + below(word, self.tile - largest + 1) - size // 2 for word in words[2:])
        return u, v

    def slide(
        self, words: list[int], tile_corner: tuple[int, int], size: int, budget: int
    ) -> tuple[tuple[int, int], int]:
        """Return a fragment's corner on the canvas and how much it hides of the tile, at most `budget` pixels."""
        x, y = (below(word, self.clutter.canvas) for word in words[:2])
        across, down = compass(below(words[2], 16))
        if across * (x - tile_corner[0] - self.tile // 2) + down * (y - tile_corner[1] - self.tile // 2) < 0:
            across, down = -across, -down
        first_u, first_v = x - size // 2 - tile_corner[0], y - size // 2 - tile_corner[1]
        step = 0
        while True:
            u, v = first_u + ((across * step + 128) >> 8), first_v + ((down * step + 128) >> 8)
            if -size < u < self.tile and -size < v < self.tile:
                overlap = (min(u + size, self.tile) - max(u, 0)) * (min(v + size, self.tile) - max(v, 0))
            else:
                overlap = 0
            if overlap <= budget:
                return (tile_corner[0] + u, tile_corner[1] + v), overlap
            step += 1

    def shuffled(self, position: int, words: list[list[int]], side: int) -> Image.Image:
        """Return a square of the shuffled blocks of an image of the pool; each sixteen words order its blocks once."""
        block = self.tile // 4
        across = math.ceil(side / block)
        order = [k for group in np.reshape(words, (-1, 16)) for k in np.argsort(group, kind="stable").tolist()]
        image, square = self.pool[position], Image.new("RGB", (side, side))
        for cell in range(across * across):
            u, v = order[cell] % 4 * block, order[cell] // 4 * block
            square.paste(image.crop((u, v, u + block, v + block)), (cell % across * block, cell // across * block))
        return square

    def stroke(self, words: list[int], width: int) -> Mask:
        """Return the pixels that a stroke covers: the ones whose centre lies in its rectangle."""
        side = self.clutter.canvas
        shortest, longest = 8 * self.tile // TILE, 16 * self.tile // TILE
        middle_x, middle_y = (below(word, side) for word in words[:2])
        angle = math.pi * below(words[2], 16) / 16
        cosine, sine = round(256 * math.cos(angle)), round(256 * math.sin(angle))
        length = shortest + below(words[3], longest - shortest + 1)
        thick = (width * self.tile + TILE // 2) // TILE
        y, x = np.mgrid[-middle_y : side - middle_y, -middle_x : side - middle_x]
        along, across = x * cosine + y * sine, y * cosine - x * sine
        return (along >= -128 * length) & (along < 128 * length) & (across >= -128 * thick) & (across < 128 * thick)


def as_pillow(images: torch.Tensor) -> list[Image.Image]:
    return [Image.fromarray(np.ascontiguousarray(image)) for image in images.numpy()]


def smaller(images: torch.Tensor, size: int) -> torch.Tensor:
    """Return images resized by a box filter, uint8 (N, size, size, 3), with halves rounded up."""
    side = images.shape[1]
    # How many of the parts that make up a new pixel lie in each old one, if each old pixel is cut into `size` parts.
    shares = np.eye(side).repeat(size, axis=0).reshape(size, side, side).sum(1)
    resized = np.empty((len(images), size, size, 3), dtype=np.uint8)
    for start in range(0, len(images), 1000):
        channels = images[start : start + 1000].numpy().transpose(0, 3, 1, 2).astype(np.float64)
        sums = (shares @ channels @ shares.T).astype(np.int64)  # exact: whole numbers far below 2^53
        resized[start : start + 1000] = ((sums + side**2 // 2) // side**2).transpose(0, 2, 3, 1)
    return torch.from_numpy(resized)


def below(word: int, bound: int) -> int:
    return word * bound >> 32


@functools.cache
def compass(k: int) -> tuple[int, int]:
    """Return the k-th of sixteen directions, scaled so that its longer component is 256."""
    cosine, sine = math.cos(math.pi * k / 8), math.sin(math.pi * k / 8)
    scale = 256 / max(abs(cosine), abs(sine))
    return round(cosine * scale), round(sine * scale)


def mixed(under: Image.Image, over: Image.Image, weight: int) -> Image.Image:
    """Return `over` mixed into `under` with a weight in 1/256, rounded to the nearest value."""
    below_it, above = (np.asarray(image, dtype=np.int32) for image in (under, over))
    return Image.fromarray(((below_it * (256 - weight) + above * weight + 128) >> 8).astype(np.uint8))

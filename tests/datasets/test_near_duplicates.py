import io
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import idctn

from attn_tutorial.datasets.near_duplicates import Pairs, near_duplicates
from attn_tutorial.datasets.sources import shapes
from attn_tutorial.datasets.sources.cifar10 import read_cifar10
from attn_tutorial.datasets.store import available_cifar10
from attn_tutorial.errors import InputError

Images = NDArray[np.uint8]


def photos(count: int, side: int = 32, seed: int = 0) -> Images:
    """Fields whose amplitude falls as 1/f and whose colours differ less than their light, as a photograph's do."""
    waves = np.random.default_rng(seed).normal(size=(count, side, side, 4)) * [1, 1, 1, 3]
    waves = waves[..., :3] + waves[..., 3:]
    frequency = np.hypot(*np.mgrid[:side, :side])
    fields = idctn(waves / (1 + frequency)[:, :, None], axes=(1, 2), norm="ortho")
    return np.clip(128 + 50 * fields / fields.std((1, 2, 3), keepdims=True), 0, 255).astype(np.uint8)


def found(pairs: Pairs) -> list[tuple[int, int, str]]:
    return list(zip(pairs.index.tolist(), pairs.index_of.tolist(), pairs.kind.tolist(), strict=True))


def each(kind: str, count: int) -> list[tuple[int, int, str]]:
    return [(i, i, kind) for i in range(count)]


def with_pillow(change):
    return lambda images: np.stack([np.asarray(change(Image.fromarray(image))) for image in images])


def jpeg(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=75)
    return Image.open(file)


CHANGES = {
    "jpeg": with_pillow(jpeg),
    "cut by 1 px all around and scaled": with_pillow(lambda image: image.resize(image.size, box=(1, 1, 31, 31))),
    "moved by 2 px": lambda images: np.pad(images, ((0, 0), (2, 0), (0, 0), (0, 0)), mode="edge")[:, :32],
    "brighter": lambda images: np.clip(images.astype(int) + 30, 0, 255).astype(np.uint8),
    "less contrast": lambda images: (64 + images // 2).astype(np.uint8),
    "grain": lambda images: np.clip(images + np.random.default_rng(1).normal(0, 8, images.shape), 0, 255).astype("u1"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_altered_copies(name: str) -> None:
    least = 70 if name == "moved by 2 px" else 90
    images = photos(100)
    copies = CHANGES[name](images)
    for kind, given in (("perceptual", copies), ("mirrored", copies[:, :, ::-1])):
        pairs = found(near_duplicates(given, images))
        assert set(pairs) <= set(each(kind, 100))
        assert len(pairs) >= least


def test_exact_copies() -> None:
    images = photos(50)
    twice = np.concatenate([images[:2], images[:2]])
    assert found(near_duplicates(images, images)) == each("exact", 50)
    assert found(near_duplicates(images[:, :, ::-1], images)) == each("mirrored", 50)
    assert found(near_duplicates(twice, images)) == [(0, 0, "exact"), (1, 1, "exact"), (2, 0, "exact"), (3, 1, "exact")]
    pairs = near_duplicates(images[:0], images)
    assert (pairs.index.dtype, pairs.index_of.dtype) == (np.int64, np.int64)


def test_different_pictures() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1200, 32, 32, 3), dtype=np.uint8)
    assert found(near_duplicates(noise[:600], noise[600:])) == []
    assert found(near_duplicates(photos(600), photos(600, seed=1))) == []


def test_same_outline_in_other_colours() -> None:
    """What the layout is for: the band-passed images of these two agree."""
    rows, columns = np.mgrid[:32, :32] - 16
    disc = (rows**2 + columns**2 < 81)[..., None]
    pink = np.where(disc, [230, 180, 190], [60, 90, 20]).astype(np.uint8)[None]
    blue = np.where(disc, [130, 160, 230], [70, 20, 60]).astype(np.uint8)[None]
    assert found(near_duplicates(pink, blue)) == []
    assert found(near_duplicates(CHANGES["less contrast"](pink), pink)) == each("perceptual", 1)


def test_same_colours_in_other_detail() -> None:
    """What the detail is for: the hashes and layouts of these two agree."""
    stripes = np.where(np.arange(32) // 2 % 2, 40, -40)
    smooth = np.kron(photos(1, 16)[:, ::4, ::4], np.ones((1, 8, 8, 1))) // 2 + 64
    down, across = (
        np.clip(smooth + lines, 0, 255).astype(np.uint8) for lines in (stripes[:, None, None], stripes[:, None])
    )
    assert found(near_duplicates(down, across)) == []
    assert found(near_duplicates(CHANGES["jpeg"](down), down)) == each("perceptual", 1)


def test_constant_images() -> None:
    grey, red = np.full((1, 32, 32, 3), 128, dtype=np.uint8), np.full((1, 32, 32, 3), (200, 0, 0), dtype=np.uint8)
    assert found(near_duplicates(grey, grey)) == each("exact", 1)
    assert found(near_duplicates(grey, np.concatenate([red, grey + 1, photos(1)]))) == []
    dither = grey + np.random.default_rng(0).integers(0, 2, (32, 32, 1), dtype=np.uint8)
    assert found(near_duplicates(dither, dither)) == each("exact", 1)
    assert found(near_duplicates(dither, dither + 1)) == []


def test_two_fields() -> None:
    """Most coefficients of such images are zero but for rounding, and their signs mean nothing."""
    colours = np.random.default_rng(0).integers(0, 256, (20, 2, 3), dtype=np.uint8)
    fields = np.stack([np.where(np.arange(32)[:, None] < 7 + i, *colours[i]) for i in range(20)])
    images = np.repeat(fields[:, :, None], 32, axis=2).astype(np.uint8)
    pairs = found(near_duplicates(CHANGES["jpeg"](images), images))
    assert len(set(pairs) & set(each("perceptual", 20))) >= 19


def test_exchanged() -> None:
    images = photos(200)
    others = np.concatenate([CHANGES["moved by 2 px"](images), CHANGES["grain"](images)[:, :, ::-1], images[::-1]])
    pairs = near_duplicates(images, others)
    exchanged = near_duplicates(others, images)
    assert len(pairs.index) > 550
    assert sorted((j, i, kind) for i, j, kind in found(exchanged)) == found(pairs)


def test_more_images_than_a_chunk() -> None:
    """Copies are found wherever they lie, and the places that are reported are theirs."""
    images, others = photos(1100, 16), photos(2100, 16, seed=1)
    places = np.array([0, 999, 1000, 1999, 2099])
    others[places] = CHANGES["brighter"](images[[1099, 1000, 999, 5, 0]])
    expected = [(0, 2099), (5, 1999), (999, 1000), (1000, 999), (1099, 0)]
    assert [pair[:2] for pair in found(near_duplicates(images, others))] == expected


@pytest.mark.parametrize("side", [16, 20, 48, 64])
def test_other_sizes(side: int) -> None:
    images = photos(40, side)
    copies = CHANGES["jpeg"](images)
    assert found(near_duplicates(copies, images)) == each("perceptual", 40)
    assert found(near_duplicates(photos(40, side, seed=1), images)) == []


def test_nothing_to_compare() -> None:
    images = photos(3)
    assert found(near_duplicates(images[:0], images)) == found(near_duplicates(images, images[:0])) == []
    assert found(near_duplicates(images[:0], images[:0])) == []


@pytest.mark.parametrize(
    ("images", "of", "message"),
    [
        (np.zeros((2, 32, 32, 3)), photos(1), r"`images` must be uint8 .* but got float64 of shape \(2, 32, 32, 3\)"),
        (
            photos(1),
            np.zeros((2, 3, 32, 32), np.uint8),
            r"`of` must .* but got uint8 of shape \(2, 3, 32, 32\)",
        ),
        (np.zeros((2, 32, 16, 3), np.uint8), photos(1), "`images` must be uint8"),
        (photos(1), np.zeros((32, 32, 3), np.uint8), "`of` must be uint8"),
        (photos(1, 12), photos(1), "at least 16, .* Convert, cut or scale"),
        (photos(1, 18), photos(1), "a multiple of 4"),
        (photos(1, 16), photos(1), "the same size, but got 16 and 32 pixels a side"),
    ],
)
def test_bad_input(images: Images, of: Images, message: str) -> None:
    with pytest.raises(InputError, match=message):
        near_duplicates(images, of)


def test_shapes_are_not_taken_for_copies() -> None:
    """Drawn independently, they hold no copy; of the whole set's 60 million pairs 751 look alike."""
    train, test = (shapes.draw_shapes(split, 60)[0] for split in ("train", "test"))
    assert len(near_duplicates(train, test).index) <= 20
    assert [(i, j) for i, j, _ in found(near_duplicates(CHANGES["jpeg"](test[:50]), test)) if i == j] == [
        (i, i) for i in range(50)
    ]


def test_torch_is_not_imported() -> None:
    code = "import sys, attn_tutorial.datasets.near_duplicates; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.cifar
def test_real_cifar10() -> None:
    if not os.environ.get("ATTN_TUTORIAL_CIFAR10"):
        pytest.skip("ATTN_TUTORIAL_CIFAR10 is not set: CIFAR-10 itself is not tested")
    source = available_cifar10()
    assert source is not None
    decoded = read_cifar10(source)
    if "subset" in decoded.source:
        pytest.skip(f"the duplicates are counted in the whole of CIFAR-10, and this is {decoded.source}")
    train, test = decoded.train.images, decoded.test.images
    planted = {4: CHANGES["jpeg"], 5: CHANGES["brighter"], 6: CHANGES["moved by 2 px"], 7: lambda images: images}
    for place, change in planted.items():
        train[place * 1000 : place * 1000 + 100] = change(test[:100])
    begun = time.process_time()
    pairs = near_duplicates(train, test)
    assert time.process_time() - begun < 60
    copies = {(i, j): kind for i, j, kind in found(pairs)}
    for place, least in ((4, 95), (5, 90), (6, 70), (7, 100)):
        assert sum((place * 1000 + j, j) in copies for j in range(100)) >= least, place
    assert all(copies[7000 + j, j] == "exact" for j in range(100))
    others = (pairs.index_of >= 100) & (pairs.kind != "exact")
    # 3.25 % of the test images have one, by eye (Barz & Denzler 2020)
    assert 250 <= len(np.unique(pairs.index_of[others])) <= 360
    assert 20 <= (pairs.kind[others] == "mirrored").sum() <= 90

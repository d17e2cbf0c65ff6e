"""The drawn shapes: pinned pixels, exact masks, and a class that only the outline tells."""

import ast
import hashlib
import inspect
import math

import numpy as np
import pytest
import torch

from attn_tutorial.datasets.sources import shapes
from attn_tutorial.datasets.sources.shapes import CLASSES, SINE, draw_shapes, philox

PER_CLASS = 60


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return draw_shapes("train", PER_CLASS)


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ([0] * 4, (0, 0), [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 4, (0xFFFFFFFF,) * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            (0xA4093822, 0x299F31D0),
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_philox_known_answers(counter: list[int], key: tuple[int, int], words: list[int]) -> None:
    """The answers published with the generator (Random123, kat_vectors)."""
    assert philox(np.array([counter], dtype=np.uint64), key)[0].tolist() == words


def test_sine_table() -> None:
    assert SINE.tolist() == [round(16384 * math.sin(2 * math.pi * k / 256)) for k in range(256)]


def test_pixels_are_pinned() -> None:
    digest = hashlib.sha256()
    for split in ("train", "test"):
        for array in draw_shapes(split, 40):
            digest.update(array.tobytes())
    assert digest.hexdigest() == "16c87d62518432c3b88f8f12dcba7c6689cf7ca07551b9e50f5d6b1e47936586", (
        "other pixels: raise SHAPES_VERSION with the hash"
    )


def test_integers_only() -> None:
    """No float constant, division or floating-point type, and no random generator of NumPy's."""
    tree = list(ast.walk(ast.parse(inspect.getsource(shapes))))
    assert not [node for node in tree if isinstance(node, ast.Constant) and isinstance(node.value, float)]
    assert not [node for node in tree if isinstance(node, ast.Div)]
    names = {node.attr for node in tree if isinstance(node, ast.Attribute)}
    assert not names & {"random", "sin", "cos", "sqrt", "float32", "float64", "mean"}


def test_layout(drawn: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    images, labels, masks = drawn
    assert (images.shape, images.dtype) == ((600, 32, 32, 3), np.uint8)
    assert (masks.shape, masks.dtype) == ((600, 32, 32), np.bool_)
    assert labels.dtype == np.int64
    assert labels.tolist() == [label for label in range(10) for _ in range(PER_CLASS)]
    assert len({image.tobytes() for image in images}) == 600


def test_image_does_not_depend_on_the_number_drawn(drawn: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    images, _, masks = drawn
    few_images, _, few_masks = draw_shapes("train", 7)
    np.testing.assert_array_equal(few_images.reshape(10, 7, -1), images.reshape(10, PER_CLASS, -1)[:, :7])
    np.testing.assert_array_equal(few_masks.reshape(10, 7, -1), masks.reshape(10, PER_CLASS, -1)[:, :7])


def test_test_images_are_others(drawn: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    train = {image.tobytes() for image in drawn[0]}
    assert not train & {image.tobytes() for image in draw_shapes("test", PER_CLASS)[0]}


def _grown(mask: np.ndarray, steps: int) -> np.ndarray:
    for _ in range(steps):
        mask = np.logical_or.reduce([np.roll(mask, shift, axis) for shift in (-1, 0, 1) for axis in (0, 1)])
    return mask


def test_object_is_whole_large_and_visible(drawn: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    images, _, masks = drawn
    assert not masks[:, [0, -1]].any()
    assert not masks[:, :, [0, -1]].any()
    for image, mask in zip(images, masks, strict=True):
        rows, columns = np.nonzero(mask)
        points = np.stack([rows, columns], axis=1)
        across = np.linalg.norm(points[:, None] - points[None], axis=-1).max() + 1
        assert 14 <= across <= 28
        # smooth edges and tips mix both sides, so pixels near the outline are not compared
        inner, outer = ~_grown(~mask, 1), ~_grown(mask, 3)
        brightness = image.mean(axis=2)
        low, high = sorted([brightness[inner], brightness[outer]], key=np.mean)
        assert high.min() - low.max() >= 40


def test_either_side_may_be_the_light_one(drawn: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    images, labels, masks = drawn
    brightness = images.mean(axis=3)
    lighter = [b[m].mean() > b[~m].mean() for b, m in zip(brightness, masks, strict=True)]
    shares = np.bincount(labels, lighter) / PER_CLASS
    assert (abs(shares - 0.5) < 0.3).all(), shares


def test_masks_have_the_area_of_their_outlines(drawn: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """Mean share of the circumscribed square, against areas known from geometry."""
    _, labels, _ = drawn
    side = np.arange(-1023, 1024, 2, dtype=np.int32)
    u, v = np.meshgrid(side, side)
    areas = {name: shapes._OUTLINES[name](u, v).mean() * 4 for name in CLASSES}
    r = 1 / 1024
    assert areas["disc"] == pytest.approx(math.pi * (900 * r) ** 2, rel=0.01)
    assert areas["ring"] == pytest.approx(math.pi * ((980 * r) ** 2 - (560 * r) ** 2), rel=0.01)
    assert areas["triangle"] == pytest.approx(3 * math.sqrt(3) / 4, rel=0.01)
    assert areas["square"] == pytest.approx((2 * 740 * r) ** 2, rel=0.01)
    star = 10 * 0.5 * math.sin(math.pi / 5) * math.cos(2 * math.pi / 5) / math.cos(math.pi / 5)
    assert areas["star"] == pytest.approx(star, rel=0.02)
    assert areas["heart"] == pytest.approx((2 * 500 * r) ** 2 + math.pi * (500 * r) ** 2, rel=0.01)
    for name, area in areas.items():
        # radii are uniform over 9 to 13 px
        expected = area * (13**3 - 9**3) / 12
        assert drawn[2][labels == CLASSES.index(name)].sum() / PER_CLASS == pytest.approx(expected, rel=0.15)


def test_every_outline_lies_within_its_radius() -> None:
    side = np.arange(-2047, 2048, 2, dtype=np.int32)
    u, v = np.meshgrid(side, side)
    for name, outline in shapes._OUTLINES.items():
        inside = outline(u, v)
        reach = np.sqrt((u * u + v * v)[inside].max())
        assert 880 <= reach <= 1090, name


def test_pixels_alone_do_not_tell_the_class() -> None:
    """Softmax regression stays far below the 60 % that the benchmark allows."""
    torch.manual_seed(0)
    train, labels, _ = draw_shapes("train", 100)
    test, test_labels, _ = draw_shapes("test", 60)
    x, y = torch.from_numpy(train).flatten(1) / 255 - 0.5, torch.from_numpy(labels)
    model = torch.nn.Linear(3 * 32 * 32, 10)
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(80):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()
    guess = model(torch.from_numpy(test).flatten(1) / 255 - 0.5).argmax(1)
    accuracy = (guess == torch.from_numpy(test_labels)).double().mean()
    assert accuracy < 0.4, accuracy


def test_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="val"):
        draw_shapes("val", 1)

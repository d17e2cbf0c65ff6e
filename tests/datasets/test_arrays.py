"""A user's own arrays as an image set."""

import numpy as np
import pytest
import torch

from attn_tutorial.clutter import Clutter
from attn_tutorial.datasets import SPLITS, as_image_set


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), dtype=np.uint8)


LABELS = [0, 1, 2] * 4
FORMS = {
    "array": lambda pixels: pixels,
    "channels first": lambda pixels: pixels.transpose(0, 3, 1, 2),
    "tensor": torch.from_numpy,
    "tensor, channels first": lambda pixels: torch.from_numpy(pixels).permute(0, 3, 1, 2),
    "tensor, channels first, without gaps": lambda pixels: torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(),
    "red, green, blue of four channels": lambda pixels: np.pad(pixels, ((0, 0),) * 3 + ((0, 1),))[..., :3],
    "the last of four channels": lambda pixels: torch.from_numpy(np.pad(pixels, ((0, 0),) * 3 + ((1, 0),)))[..., 1:],
    "backwards": lambda pixels: pixels[:, ::-1].copy()[:, ::-1],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_same_images_gives_the_same_set_and_canvases(pixels, form):
    given = FORMS[form](pixels)
    images = as_image_set(given, LABELS)
    plain = as_image_set(pixels, LABELS)
    assert np.array_equal(images.images.numpy(), pixels)
    assert images.fingerprint == plain.fingerprint
    assert images.index.tolist() == list(range(12))
    clutter = Clutter(("fragments", "mosaic"), canvas=32)
    assert torch.equal(clutter.render(images, [0, 5, 11]).canvas, clutter.render(plain, [0, 5, 11]).canvas)


def test_images_are_copied_and_may_be_read_only(pixels, recwarn):
    kept = pixels.copy()
    pixels.flags.writeable = False
    images = as_image_set(pixels)
    assert not recwarn.list
    pixels.flags.writeable = True
    pixels[:] = 0
    assert np.array_equal(images.images.numpy(), kept)


def test_without_labels_all_are_of_one_class(pixels):
    images = as_image_set(pixels)
    assert images.labels.tolist() == [0] * 12
    assert len(images.classes) == 1
    lent = {int(i) for i in Clutter(canvas=32, severity=5).render(images, range(12)).fragment_id.flatten()}
    assert lent == set(range(12))


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor, lambda x: np.array(x, dtype=np.uint8)])
def test_labels_and_classes(pixels, kind):
    images = as_image_set(pixels, kind(LABELS), classes=["a", "b", "c", "never"])
    assert images.labels.tolist() == LABELS
    assert images.labels.dtype == torch.int64
    assert images.classes == ("a", "b", "c", "never")
    assert as_image_set(pixels, kind(LABELS)).classes == ("0", "1", "2")


def test_the_split_gives_other_clutter(pixels):
    canvases = {
        split: Clutter(canvas=32).render(as_image_set(pixels, split=split), range(12)).canvas for split in SPLITS
    }
    assert not torch.equal(canvases["train"], canvases["test"])
    with pytest.raises(ValueError, match="Did you mean 'test'"):
        as_image_set(pixels, split="tests")


def test_the_fingerprint_is_of_pixels_and_labels(pixels):
    base = as_image_set(pixels, LABELS).fingerprint
    other = pixels.copy()
    other[-1, -1, -1, -1] ^= 1
    assert base != as_image_set(other, LABELS).fingerprint
    assert base != as_image_set(pixels, LABELS[::-1]).fingerprint


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([[1, 2], [3, 4]], "but got a list.*numpy.stack"),
        (np.zeros((4, 32, 32, 3)), r"but got float64.*convert them to uint8"),
        (torch.zeros(4, 3, 32, 32), r"but got torch.float32.*convert them to uint8"),
        (np.zeros((4, 32, 32), np.uint8), r"shape \(4, 32, 32\)\. .*grey images three equal channels"),
        (np.zeros((32, 32, 3), np.uint8), r"shape \(32, 32, 3\)\. "),
        (np.zeros((4, 32, 32, 4), np.uint8), r"shape \(4, 32, 32, 4\)\. "),
        (np.zeros((4, 32, 28, 3), np.uint8), r"shape \(4, 32, 28, 3\)\. .*Crop or resize"),
        (torch.zeros(4, 3, 32, 28, dtype=torch.uint8), r"shape \(4, 3, 32, 28\)\. .*Crop or resize"),
        (np.zeros((4, 30, 30, 3), np.uint8), r"multiple of 4 and at least 16"),
        (np.zeros((4, 12, 12, 3), np.uint8), r"multiple of 4 and at least 16"),
        (np.zeros((0, 32, 32, 3), np.uint8), r"at least one image"),
    ],
)
def test_bad_images(images, message):
    with pytest.raises(ValueError, match=message):
        as_image_set(images)


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        ([0] * 11, None, r"shape \(12,\), one per image, but got .* shape \(11,\)"),
        ([[0]] * 12, None, r"shape \(12, 1\)"),
        ([0.5] * 12, None, "got float64"),
        (torch.full((12,), 0.5), None, "got torch.float32"),
        ([True] * 12, None, "got bool"),
        (["cat", "dog"] * 6, None, "must be whole numbers.* got <U3 .*names as `classes`"),
        ([-1] + [0] * 11, None, "but got -1 to 0"),
        (LABELS, ["a", "b"], "number of classes - 1, which is 1, but got 0 to 2"),
        (None, ["a"], "together with `labels`"),
    ],
)
def test_bad_labels(pixels, labels, classes, message):
    with pytest.raises(ValueError, match=message):
        as_image_set(pixels, labels, classes)


def test_too_few_images_of_a_class_for_fragments(pixels):
    images = as_image_set(pixels, [0] * 11 + [1])
    Clutter(("noise",), canvas=32).render(images, [0])
    with pytest.raises(ValueError, match="at least 2 images"):
        Clutter(("fragments",), canvas=32).render(images, [0])

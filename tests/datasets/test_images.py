"""Splits of an image set as tensors."""

import io
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from attn_tutorial.datasets import store
from attn_tutorial.datasets.images import ImageSet, load_images
from attn_tutorial.datasets.sources import cifar10, shapes
from attn_tutorial.datasets.sources.cifar10 import CLASSES
from attn_tutorial.datasets.store import prepare
from attn_tutorial.errors import InputError

TRAIN, TEST = 29, 14  # images of a class, which 10 % and 20 % do not divide


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders whose image j of class c has the constant colour (c, j, split)."""
    folder = tmp_path_factory.mktemp("images")
    for split, count in (("train", TRAIN), ("test", TEST)):
        for label, name in enumerate(CLASSES):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                file = io.BytesIO()
                colour = (label, number, split == "test")
                Image.new("RGB", (32, 32), tuple(map(int, colour))).save(file, "PNG")
                (folder / split / name / f"{number:04}.png").write_bytes(file.getvalue())
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.mark.parametrize(
    ("split", "numbers", "count"),
    [
        ("train", range(0, 27), TRAIN),
        ("val", range(27, 29), TRAIN),
        ("test", range(0, 12), TEST),
        ("bank", range(12, 14), TEST),
    ],
)
def test_splits(folder: Path, root: Path, split: str, numbers: range, count: int) -> None:
    images = load_images("cifar10", split, root, folder)
    expected = [(label, number) for label in range(10) for number in numbers]
    colours = images.images.flatten(1, 2)
    assert (colours == colours[:, :1]).all()
    assert colours[:, 0, :2].tolist() == [list(pair) for pair in expected]
    assert (colours[:, 0, 2] == (split in ("test", "bank"))).all()
    assert images.labels.tolist() == [label for label, _ in expected]
    assert images.index.tolist() == [label * count + number for label, number in expected]
    assert len(images) == len(expected)
    assert (images.images.dtype, images.labels.dtype, images.index.dtype) == (
        torch.uint8,
        torch.int64,
        torch.int64,
    )
    prepared = prepare("cifar10", root, folder)
    assert (images.name, images.split, images.classes) == ("cifar10", split, CLASSES)
    assert (images.source, images.fingerprint) == (prepared.source, prepared.fingerprint)
    assert images.masks is None


def test_order_of_the_file_is_kept(tmp_path: Path, folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The official archive mixes its classes: the last of each class are val, in the order there."""
    order = np.random.default_rng(0).permutation(10 * TRAIN)
    read = cifar10.read_cifar10

    def read_mixed(source: Path) -> cifar10.Cifar10:
        decoded = read(source)
        train = cifar10.Split(decoded.train.images[order], decoded.train.labels[order])
        return replace(decoded, train=train)

    monkeypatch.setattr(store, "read_cifar10", read_mixed)
    labels = np.repeat(np.arange(10), TRAIN)[order]
    seen = np.array([(labels[:position] == label).sum() for position, label in enumerate(labels)])
    for split, chosen in (("train", seen < 27), ("val", seen >= 27)):
        images = load_images("cifar10", split, tmp_path, folder)
        assert images.index.tolist() == np.flatnonzero(chosen).tolist()
        assert images.labels.tolist() == labels[chosen].tolist()
        assert images.images[:, 0, 0, 0].tolist() == labels[chosen].tolist()


def test_take(folder: Path, root: Path) -> None:
    images = load_images("cifar10", "train", root, folder)
    shuffled = ImageSet(**{**vars(images), "labels": images.labels.flip(0), "images": images.images.flip(0)})
    for source in (images, shuffled):
        few = source.take(40)
        assert torch.bincount(few.labels).tolist() == [4] * 10
        kept = [int(i) for label in range(10) for i in torch.nonzero(source.labels == label)[:4, 0]]
        assert few.index.tolist() == source.index[sorted(kept)].tolist()
        assert few.images[:, 0, 0, 0].tolist() == few.labels.tolist()
    assert len(images.take(270)) == len(images)


@pytest.mark.parametrize("count", [0, -10, 15, 280])
def test_take_refuses(folder: Path, root: Path, count: int) -> None:
    images = load_images("cifar10", "train", root, folder)
    with pytest.raises(
        ValueError, match=f"images of cifar10 train must be a multiple of 10 from 10 to 270, .* but got {count}"
    ):
        images.take(count)


def test_unknown_split_and_name(root: Path) -> None:
    with pytest.raises(
        ValueError, match=r"split must be one of train, val, test, bank, but got 'tests'\. Did you mean 'test'"
    ):
        load_images("shapes", "tests", root)
    with pytest.raises(ValueError, match=r"data set must be one of .* but got 'shape'\. Did you mean 'shapes'"):
        load_images("shape", "test", root)


def test_shapes_have_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "TRAIN_PER_CLASS", 20)
    monkeypatch.setattr(shapes, "TEST_PER_CLASS", 10)
    drawn, _, masks = shapes.draw_shapes("test", 10)
    images = load_images("shapes", "bank", tmp_path)
    assert images.index.tolist() == [label * 10 + number for label in range(10) for number in (8, 9)]
    assert images.masks is not None
    np.testing.assert_array_equal(images.images.numpy(), drawn[images.index])
    np.testing.assert_array_equal(images.masks.numpy(), masks[images.index])
    few = images.take(10)
    assert few.masks is not None
    np.testing.assert_array_equal(few.masks.numpy(), masks[few.index])


def test_to_moves_every_tensor(folder: Path, root: Path) -> None:
    moved = load_images("cifar10", "val", root, folder).to("meta")
    tensors = [value for value in vars(moved).values() if isinstance(value, torch.Tensor)]
    assert [tensor.device.type for tensor in tensors] == ["meta"] * 4


@pytest.mark.cifar
def test_real_cifar10(real_root: Path) -> None:
    sizes = {split: len(load_images("cifar10", split, real_root)) for split in ("train", "val", "test", "bank")}
    assert sizes == {"train": 45_000, "val": 5_000, "test": 8_000, "bank": 2_000}
    images = load_images("auto", "test", real_root)
    assert torch.bincount(images.labels).tolist() == [800] * 10
    assert images.source.startswith("CIFAR-10")
    # published channel means of the training images, in thousandths: 491, 482, 447
    means = load_images("cifar10", "train", real_root).images.numpy().mean((0, 1, 2)) / 255
    assert means.tolist() == pytest.approx([0.491, 0.482, 0.447], abs=0.004)


@pytest.mark.cifar
def test_real_cifar10_loads_fast_the_second_time(real_root: Path) -> None:
    load_images("cifar10", "train", real_root)
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        load_images("cifar10", "train", real_root)
        seconds.append(time.perf_counter() - begun)
    assert min(seconds) < 0.3, seconds


@pytest.mark.cifar
def test_real_cifar10_has_a_stable_fingerprint(real_root: Path) -> None:
    prepared = prepare("cifar10", real_root)
    if prepared.archive_sha256 != "45b041e867f5a40f79bfde38d3dd1fd511103d50068c1afecf6445e25234d4db":
        pytest.skip(f"the fingerprint of {prepared.source} is not pinned")
    # JPEG decoders may differ by version, so this pins the libjpeg that Pillow brings as well
    assert prepared.fingerprint.startswith("8e1f0a7128c3")


def next_that_may(slots: list[int], begin: int, may: torch.Tensor) -> int:
    return next(slots[k % len(slots)] for k in range(begin, begin + len(slots)) if may[slots[k % len(slots)]])


@pytest.mark.parametrize("seed", range(40))
def test_who_may_not_lend_is_replaced_by_the_next_of_its_class(seed: int, make_images: Callable[..., ImageSet]) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (24,), generator=generator)
    may = torch.rand(24, generator=generator) < 0.6
    images = replace(make_images(24), labels=labels, classes=("a", "b", "c"), may_lend=may)
    if min(int(((labels == c) & may).sum()) for c in range(3)) < 2:
        with pytest.raises(InputError, match="at least 2 images that may be fragments"):
            images.pick(torch.zeros(1, 1, dtype=torch.int64), torch.zeros(1, 1, dtype=torch.int64))
        return
    for label in range(3):
        members = torch.nonzero(labels == label)[:, 0].tolist()
        class_word = torch.tensor([[(label << 32) // 3 + 1000]])
        for place in range(len(members)):
            word = torch.tensor([[(place << 32) // len(members) + 1000]])
            expected = next_that_may(members, place, may)
            assert images.pick(class_word, word).item() == expected
            own = torch.tensor([expected])
            other = next_that_may(members, members.index(expected) + 1, may)
            assert images.pick(class_word, word, own).item() == other != expected
    drawn = torch.randint(0, 2**32, (2, 100, 10), generator=generator)
    except_class = torch.arange(100) % 3
    picked = images.pick(*drawn, except_class=except_class)
    assert may[picked].all()
    assert (labels[picked] != except_class[:, None]).all()
    assert set(labels[picked][0].tolist()) == {1, 2}


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("visible", [None, "7"])
def test_a_device_that_is_not_there_is_refused_with_the_variable_that_hides_it(make_images, monkeypatch, visible):
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(InputError, match=r"`device` must be one that torch can use here, but got 'cuda:0'") as refused:
        make_images(20).to("cuda:0")
    assert ("CUDA_VISIBLE_DEVICES is set to '7'" in str(refused.value)) == (visible is not None)
    with pytest.raises(InputError, match="but got 'gpu'"):
        make_images(20).to("gpu")
    assert make_images(20).to("cpu").images.device.type == "cpu"

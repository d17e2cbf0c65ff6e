"""Workers that are not forked map the images again: what they are sent is small, and their canvases are the same."""

import copy
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from attn_tutorial.clutter import CLUTTER_TYPES, AddClutter, Clutter, ClutterDataset
from attn_tutorial.datasets import ImageSet, load_images
from attn_tutorial.datasets.sources import shapes
from attn_tutorial.errors import InputError

CLUTTER = Clutter(CLUTTER_TYPES, severity=(1, 3, 5), canvas=64, seed=5)
SMALL = 20_000
"""Bytes; the mapped images of these tests have 1.2 to 2.5 million, and those that `Clutter` makes of them even more."""


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("root")


@pytest.fixture(params=["train", "test", "24px"])
def images(request, tiny_cifar, root) -> ImageSet:
    """Memory-mapped images of the cache; those of test have a bank."""
    if request.param == "24px":
        return load_images("cifar10", "train", root, tiny_cifar, size=24)
    return load_images("cifar10", request.param, root, tiny_cifar)


def canvases(dataset: ClutterDataset, **how) -> torch.Tensor:
    return torch.cat([canvas for canvas, _ in DataLoader(dataset, batch_size=20, **how)])


def same(a: ImageSet | None, b: ImageSet | None) -> bool:
    if a is None or b is None:
        return a is b
    names = [name for name, value in vars(a).items() if isinstance(value, torch.Tensor)]
    assert names
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in names) and same(a.fragments, b.fragments)


def test_a_pickle_is_small_and_gives_the_same_images(images) -> None:
    dataset = ClutterDataset(images, CLUTTER)
    assert images.kept or images.fragments.kept, "nothing was computed that a pickle could contain"
    data = pickle.dumps(dataset)
    assert len(data) < SMALL
    assert len(ForkingPickler.dumps(AddClutter(images, CLUTTER))) < SMALL
    loaded = pickle.loads(data)
    assert same(loaded.images, images)
    assert loaded.images.images.stride() == images.images.stride()
    assert (loaded.images.classes, loaded.images.fingerprint) == (images.classes, images.fingerprint)
    assert torch.equal(canvases(loaded), canvases(dataset))
    assert len(pickle.dumps(loaded)) < SMALL


@pytest.mark.parametrize(
    ("images", "start"), [("train", "spawn"), ("test", "spawn"), ("24px", "forkserver")], indirect=["images"]
)
def test_canvases_of_other_processes_are_the_same(images, start: str) -> None:
    dataset = ClutterDataset(images, CLUTTER, epoch=2)
    expected = canvases(dataset, num_workers=0)
    assert torch.equal(canvases(dataset, num_workers=2, multiprocessing_context=start), expected)


def test_the_first_images_are_mapped_again_too(images) -> None:
    few = images.take(len(images) // 20 * 10)
    assert len(pickle.dumps(few)) < SMALL
    assert len(pickle.dumps(few.take(10))) < SMALL
    for taken in (few, few.take(10)):
        loaded = pickle.loads(pickle.dumps(taken))
        assert same(loaded, taken)
        assert loaded.images.stride() == taken.images.stride()


def test_masks_are_mapped_again(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(shapes, "TRAIN_PER_CLASS", 100)
    monkeypatch.setattr(shapes, "TEST_PER_CLASS", 10)
    images = load_images("shapes", "train", tmp_path)
    for mapped in (images, images.take(500)):
        data = pickle.dumps(mapped)
        assert len(data) < SMALL
        assert same(pickle.loads(data), mapped)


@pytest.mark.parametrize("change", ["torch", "numpy", "labels", "replace"])
def test_pixels_that_were_written_to_are_sent(tiny_cifar, root, change: str) -> None:
    images = load_images("cifar10", "train", root, tiny_cifar)
    if change == "torch":
        images.images[3, 4, 5] ^= 255
    elif change == "numpy":
        images.images.numpy()[-1, -1, -1, 0] ^= 255
    elif change == "labels":
        images.labels[0] += 1
    else:
        images = replace(images, images=images.images.flip(0))
    loaded = pickle.loads(pickle.dumps(images))
    assert same(loaded, images)
    few = images.take(100)
    few.images[0] ^= 255
    assert same(pickle.loads(pickle.dumps(few)), few)


def test_images_in_memory_are_sent_as_before(train) -> None:
    assert same(pickle.loads(pickle.dumps(train)), train)
    assert same(pickle.loads(pickle.dumps(train.take(10))), train.take(10))


def test_copies_are_the_same(images) -> None:
    for copied in (copy.copy(images), copy.deepcopy(images), copy.deepcopy(images.take(10))):
        assert isinstance(copied.images, torch.Tensor)
        assert same(copied, images) or same(copied, images.take(10))
    copied = copy.deepcopy(images)
    copied.images.zero_()
    assert images.images.any()


def test_a_file_that_changed_or_went_is_named(tiny_cifar, tmp_path) -> None:
    images = load_images("cifar10", "val", tmp_path, tiny_cifar)
    data = pickle.dumps(images)
    [file] = (tmp_path / "raw" / "cache").glob("*/train_images.npy")
    before = file.stat()
    os.utime(file, ns=(0, 0))
    for _ in range(2):
        with pytest.raises(
            InputError, match=r"train_images\.npy must stay as it is .* changed or removed. Load the im"
        ):
            pickle.loads(data)
        assert same(pickle.loads(pickle.dumps(images)), images)  # its mapping is still there
        file.unlink(missing_ok=True)
    np.save(file, np.zeros((600, 32, 32, 4), np.uint8))
    assert file.stat().st_size == before.st_size
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert same(pickle.loads(pickle.dumps(images)), images)  # not the other file's


LOAD = """
import sys, torch
from torch.utils.data import DataLoader
from attn_tutorial.clutter import Clutter, ClutterDataset
from attn_tutorial.datasets import load_images

if __name__ == "__main__":
    root, source, mapped = sys.argv[1:]
    images = load_images("cifar10", "train", root, source)
    if mapped == "no":
        images.images[0, 0, 0, 0] ^= 1
    dataset = ClutterDataset(images, Clutter())
    alone, others = (
        torch.cat([canvas.clone() for canvas, _ in DataLoader(dataset, 20, num_workers=n, multiprocessing_context=how)])
        for n, how in ((0, None), (2, "spawn"))
    )
    assert torch.equal(alone, others)
    print("the same")
"""
WITH_SMALL_SHM = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
MOUNT = 'mount -t tmpfs -o size=2m tmpfs /dev/shm && exec "$@"'


def test_a_small_shared_memory_is_enough(tiny_cifar, root, tmp_path) -> None:
    load_images("cifar10", "train", root, tiny_cifar)
    script = tmp_path / "load.py"
    script.write_text(LOAD)
    try:
        subprocess.run([*WITH_SMALL_SHM, MOUNT, "sh", "true"], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this system gives no other /dev/shm to a process: {error}")

    def run(mapped: str) -> subprocess.CompletedProcess:
        command = [*WITH_SMALL_SHM, MOUNT, "sh", sys.executable, str(script), str(root), str(tiny_cifar), mapped]
        return subprocess.run(command, capture_output=True, text=True, timeout=200)

    passed = run("yes")
    assert passed.stdout == "the same\n", passed.stderr
    sent = run("no")
    assert sent.returncode, "the shared memory was large enough for the pixels, so this test shows nothing"
    assert "No space left" in sent.stderr or "Bus error" in sent.stderr or "bus error" in sent.stderr, sent.stderr

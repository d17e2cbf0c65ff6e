"""Preparing an image set: what is found and kept, and what a kill, a second process or a full disk may do."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attn_tutorial.datasets import store
from attn_tutorial.datasets.sources import shapes
from attn_tutorial.datasets.sources.layout import ARCHIVE_NAME, CLASSES, ImageSourceError
from attn_tutorial.datasets.store import available_cifar10, prepare

PER_CLASS = 10


@pytest.fixture(autouse=True)
def _no_cifar10_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATTN_TUTORIAL_CIFAR10", raising=False)


def put_images(folder: Path, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    for split in ("train", "test"):
        for name in CLASSES:
            (folder / split / name).mkdir(parents=True, exist_ok=True)
            for number in range(PER_CLASS):
                file = io.BytesIO()
                Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(file, "PNG")
                (folder / split / name / f"{number:04}.png").write_bytes(file.getvalue())
    return folder


@pytest.fixture
def few_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "TRAIN_PER_CLASS", 20)
    monkeypatch.setattr(shapes, "TEST_PER_CLASS", 10)


def test_prepare_cifar10(tmp_path: Path) -> None:
    source = put_images(tmp_path / "images")
    prepared = prepare("cifar10", tmp_path / "data", source)
    assert prepared.name == "cifar10"
    assert prepared.classes == CLASSES
    assert prepared.archive_sha256 is None
    assert prepared.folder.parent == tmp_path / "data" / "raw" / "cache"
    for split in ("train", "test"):
        images = np.load(prepared.folder / f"{split}_images.npy", mmap_mode="r")
        labels = np.load(prepared.folder / f"{split}_labels.npy")
        assert (images.shape, images.dtype) == ((100, 32, 32, 4), np.uint8)
        assert (images[..., 3] == 0).all()
        assert labels.dtype == np.int64
        index = np.load(prepared.folder / f"{split}_index.npy")
        assert labels[np.argsort(index)].tolist() == np.repeat(np.arange(10), PER_CLASS).tolist()
        expected = np.asarray(Image.open(source / split / "cat" / "0004.png"))
        np.testing.assert_array_equal(images[index == 34][0, ..., :3], expected)
    manifest = json.loads((prepared.folder / "manifest.json").read_text())
    assert manifest["first_split"] == {"train": 90, "test": 80}
    assert prepare("cifar10", tmp_path / "data", source) == prepared


def test_prepare_shapes(tmp_path: Path, few_shapes: None) -> None:
    prepared = prepare("shapes", tmp_path)
    images, labels, masks = shapes.draw_shapes("test", 10)
    index = np.load(prepared.folder / "test_index.npy")
    np.testing.assert_array_equal(np.load(prepared.folder / "test_images.npy")[..., :3], images[index])
    np.testing.assert_array_equal(np.load(prepared.folder / "test_labels.npy"), labels[index])
    np.testing.assert_array_equal(np.load(prepared.folder / "test_masks.npy"), masks[index])
    assert prepared.classes == shapes.CLASSES
    assert "shapes" in prepared.source
    with pytest.raises(ImageSourceError, match="drawn and need none"):
        prepare("shapes", tmp_path, tmp_path)


def test_second_call_reads_no_image(tmp_path: Path) -> None:
    source = put_images(tmp_path / "images")
    first = prepare("cifar10", tmp_path, source)
    # changed in place, with the folder's time as it was: seen only by reading the file itself
    (source / "train" / "cat" / "0000.png").write_bytes(b"no image")
    assert prepare("cifar10", tmp_path, source) == first


def test_changed_source_is_decoded_again(tmp_path: Path) -> None:
    source = put_images(tmp_path / "images")
    first = prepare("cifar10", tmp_path, source)
    (source / "train" / "cat" / "0000.png").rename(source / "train" / "cat" / "9999.png")
    second = prepare("cifar10", tmp_path, source)
    assert second.folder != first.folder
    assert second.fingerprint != first.fingerprint


def test_fingerprint_is_of_pixels_and_labels(tmp_path: Path) -> None:
    here = prepare("cifar10", tmp_path / "a", put_images(tmp_path / "here"))
    there = prepare("cifar10", tmp_path / "b", put_images(tmp_path / "there"))
    other = prepare("cifar10", tmp_path / "b", put_images(tmp_path / "other", seed=1))
    assert here.fingerprint == there.fingerprint != other.fingerprint
    rng = np.random.default_rng(0)
    train, test = (rng.integers(0, 256, (100, 32, 32, 3), dtype=np.uint8) for _ in range(2))
    digest = hashlib.sha256()
    labels = np.repeat(np.arange(10, dtype="<i8"), PER_CLASS)
    for name, images in (("train", train), ("test", test)):
        digest.update(f"{name}_images (100, 32, 32, 3)".encode() + images.tobytes())
        digest.update(f"{name}_labels (100,)".encode() + labels.tobytes())
    assert here.fingerprint == digest.hexdigest()


def test_fingerprint_is_of_every_image() -> None:
    """Also where there are so many that they are read in pieces."""
    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    digest = hashlib.sha256()
    for file, count in (("train", 9001), ("test", 4096)):
        arrays[f"{file}_images"] = rng.integers(0, 256, (count, 2, 2, 3), dtype=np.uint8)
        arrays[f"{file}_labels"] = rng.integers(0, 10, count)
        digest.update(f"{file}_images ({count}, 2, 2, 3)".encode() + arrays[f"{file}_images"].tobytes())
        digest.update(f"{file}_labels ({count},)".encode() + arrays[f"{file}_labels"].astype("<i8").tobytes())
    assert store._fingerprint(arrays) == digest.hexdigest()


def test_what_auto_takes(tmp_path: Path, few_shapes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "data"
    assert available_cifar10(root) is None
    assert prepare("auto", root).name == "shapes"
    in_raw = put_images(root / "raw" / "cifar10-images")
    assert available_cifar10(root) == in_raw
    assert prepare("auto", root).name == "cifar10"
    named = put_images(tmp_path / "named")
    monkeypatch.setenv("ATTN_TUTORIAL_CIFAR10", str(named))
    assert available_cifar10(root) == named
    given = put_images(tmp_path / "given")
    assert available_cifar10(root, given) == given
    monkeypatch.setenv("ATTN_TUTORIAL_CIFAR10", "")
    (root / "raw" / ARCHIVE_NAME).write_bytes(b"x")
    assert available_cifar10(root) == root / "raw" / ARCHIVE_NAME


def test_auto_says_that_it_took_shapes(tmp_path: Path, few_shapes: None, caplog: pytest.LogCaptureFixture) -> None:
    store._say_shapes.cache_clear()
    prepare("auto", tmp_path)
    prepare("auto", tmp_path)
    [message] = [record.getMessage() for record in caplog.records if "CIFAR-10 is not on disk" in record.getMessage()]
    assert "data fetch" in message


def test_what_is_named_must_be_there(tmp_path: Path, few_shapes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("auto", "cifar10"):
        with pytest.raises(ImageSourceError, match="missing does not exist"):
            prepare(name, tmp_path, tmp_path / "missing")
    monkeypatch.setenv("ATTN_TUTORIAL_CIFAR10", str(tmp_path / "missing"))
    with pytest.raises(ImageSourceError, match=r"ATTN_TUTORIAL_CIFAR10 is set to .*missing does not exist"):
        prepare("auto", tmp_path)
    monkeypatch.delenv("ATTN_TUTORIAL_CIFAR10")
    with pytest.raises(ImageSourceError, match=r"No CIFAR-10 was found in .*raw.*attn-tutorial data fetch"):
        prepare("cifar10", tmp_path)


def test_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"must be one of cifar10, shapes, auto, but got 'cifar-10'\. Did you mean 'cifar10'"
    ):
        prepare("cifar-10", tmp_path)


def test_bad_images_leave_nothing(tmp_path: Path) -> None:
    source = put_images(tmp_path / "images")
    (source / "test" / "truck" / "0009.png").write_bytes(b"no image")
    with pytest.raises(ImageSourceError, match="truck"):
        prepare("cifar10", tmp_path, source)
    assert [entry.suffix for entry in (tmp_path / "raw" / "cache").iterdir()] in ([], [".lock"])


def test_damaged_cache_is_made_again(tmp_path: Path) -> None:
    source = put_images(tmp_path / "images")
    first = prepare("cifar10", tmp_path, source)
    images = first.folder / "train_images.npy"
    whole = images.read_bytes()
    for damage in (
        lambda: images.write_bytes(whole[:-1]),
        images.unlink,
        (first.folder / "manifest.json").unlink,
    ):
        damage()
        assert prepare("cifar10", tmp_path, source) == first
        assert images.read_bytes() == whole


def test_root_that_cannot_be_written(tmp_path: Path, few_shapes: None) -> None:
    (tmp_path / "raw").write_text("a file, not a folder")
    with pytest.raises(ImageSourceError, match=r"cannot be written to .*cache .*make the folder writable"):
        prepare("shapes", tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to read-only folders")
def test_read_only_root(tmp_path: Path, few_shapes: None) -> None:
    (tmp_path / "raw").mkdir(mode=0o555)
    with pytest.raises(ImageSourceError, match=r"cannot be written to .*Permission denied"):
        prepare("shapes", tmp_path)


def test_whole_cache_is_read_without_writing(tmp_path: Path, few_shapes: None) -> None:
    prepared = prepare("shapes", tmp_path)
    lock = prepared.folder.with_suffix(".lock")
    lock.unlink(missing_ok=True)
    before = sorted((tmp_path / "raw" / "cache").rglob("*"))
    assert prepare("shapes", tmp_path) == prepared
    assert sorted((tmp_path / "raw" / "cache").rglob("*")) == before


PREPARE = "import sys; from attn_tutorial.datasets.store import prepare; print(prepare('cifar10', *sys.argv[1:]))"


def start_preparing(root: Path, source: Path) -> subprocess.Popen:
    command = [sys.executable, "-c", PREPARE, str(root), str(source)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_at_once(tmp_path: Path) -> None:
    source = put_images(tmp_path / "images")
    both = [start_preparing(tmp_path, source) for _ in range(2)]
    outputs = {process.communicate(timeout=60)[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert outputs == {f"{prepare('cifar10', tmp_path, source)}\n"}


def test_killed_while_writing(tmp_path: Path) -> None:
    source = put_images(tmp_path / "images")
    cache = tmp_path / "raw" / "cache"
    # stopped for good where the first array is on disk and the second is not
    stop = "import numpy, time; save = numpy.save\n"
    stop += "numpy.save = lambda *a: (save(*a), time.sleep(60)) if 'images' in str(a[0]) else save(*a)\n"
    command = [sys.executable, "-c", stop + PREPARE, str(tmp_path), str(source)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(cache.glob("*.partial/train_images.npy")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    [partial] = cache.glob("*.partial")
    prepared = prepare("cifar10", tmp_path, source)
    assert not partial.exists()
    assert prepared.fingerprint == prepare("cifar10", tmp_path / "fresh", source).fingerprint


def test_torch_is_not_imported() -> None:
    code = "import sys, attn_tutorial.datasets.store; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

"""A small CIFAR-10 in class folders, and ways to write it into folders and archives, for the tests of all forms."""

import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attn_tutorial.datasets.sources.cifar10 import Cifar10
from attn_tutorial.datasets.sources.layout import CLASSES

PER_CLASS = 10


def _pixels(split: str, label: int, number: int) -> np.ndarray:
    seed = [("train", "test").index(split), label, number]
    return np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def _png(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def _class_files() -> dict[str, bytes]:
    return {
        f"{split}/{name}/{number:04}.png": _png(_pixels(split, label, number))
        for split in ("train", "test")
        for label, name in enumerate(CLASSES)
        for number in range(PER_CLASS)
    }


@pytest.fixture
def files(_class_files: dict[str, bytes]) -> dict[str, bytes]:
    """Ten PNG files of each class and split, by path."""
    return dict(_class_files)


@pytest.fixture
def pixels() -> Callable[[str, int, int], np.ndarray]:
    """Returns what an image of `files` shows, by split, label and number."""
    return _pixels


def _write_folder(path: Path, files: Mapping[str, bytes], links: Mapping[str, str], hard: bool) -> None:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    for name, target in links.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        if hard:
            (path / name).hardlink_to(path / target)
        else:
            (path / name).symlink_to(target)


def _write_tar(path: Path, files: Mapping[str, bytes], links: Mapping[str, str], hard: bool) -> None:
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as archive:
        for name, target in links.items():  # first, so that what they lead to comes later
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.LNKTYPE if hard else tarfile.SYMTYPE, target
            archive.addfile(member)
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def _write_zip(path: Path, files: Mapping[str, bytes], links: Mapping[str, str]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, target in links.items():
            member = zipfile.ZipInfo(name)
            member.create_system, member.external_attr = 3, 0o120777 << 16
            archive.writestr(member, target)
        for name, data in files.items():
            archive.writestr(name, data)


@pytest.fixture
def write() -> Callable[..., Path]:
    """Writes files and links into a folder or, by its ending, an archive. Hard links name targets from the top."""

    def written(path: Path, files: Mapping[str, bytes], links: Mapping[str, str] | None = None, hard=False) -> Path:
        if path.suffix == ".zip":
            _write_zip(path, files, links or {})
        elif path.suffix in (".tgz", ".tar"):
            _write_tar(path, files, links or {}, hard)
        else:
            _write_folder(path, files, links or {}, hard)
        return path

    return written


@pytest.fixture
def check_images() -> Callable[[Cifar10], None]:
    """Asserts that exactly the images of `files` were read."""

    def check(decoded: Cifar10) -> None:
        for split, part in (("train", decoded.train), ("test", decoded.test)):
            expected = [_pixels(split, label, number) for label in range(10) for number in range(PER_CLASS)]
            np.testing.assert_array_equal(part.images, np.stack(expected))
            np.testing.assert_array_equal(part.labels, np.repeat(np.arange(10), PER_CLASS))

    return check

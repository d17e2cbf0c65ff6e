"""Reads CIFAR-10 (Krizhevsky 2009) from every form it is passed around in, never writing anything to disk.

Three forms: the official archive, its unpacked folder of pickled batches, and class folders of PNG or JPEG
files, these also inside a tar or zip archive. Pickles can run code when read, so batches are unpickled by a
reader that knows nothing but arrays, and inside an archive only after its md5 has been found to be the
official one.
"""

import hashlib
import io
import pickle
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from attn_tutorial.datasets.names import TILE
from attn_tutorial.errors import InputError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ARCHIVE_NAME = "cifar-10-python.tar.gz"
ARCHIVE_MD5 = "c58f30108f718f92721af3b95e74349a"
LEAST_PER_CLASS = 10
"""Fewest images of a class in train and in test: a validation split and a fragment bank are cut from them."""

_FOLDER_SPLITS = ("train", "test")
_BATCHES = {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)}
_BATCH_NAMES = _BATCHES["train"] + _BATCHES["test"]
_IMAGE_ENDINGS = (".png", ".jpg", ".jpeg")
_ARCHIVE_ENDINGS = (".tar.gz", ".tgz", ".tar", ".zip")
_LARGEST_IMAGE_FILE = 1 << 16  # bytes; a 32×32 image in raw RGB has 3,072
_LARGEST_BATCH_FILE = 1 << 26  # bytes; an official batch has 31 million

ALLOWED = (
    f"Allowed are: the official archive {ARCHIVE_NAME}, its unpacked folder cifar-10-batches-py, or "
    f"class folders train/<class>/*.png|jpg|jpeg and test/<class>/*.png|jpg|jpeg, as a folder or inside a "
    f"{', '.join(_ARCHIVE_ENDINGS)} archive"
)


class ImageSourceError(InputError):
    """The images given cannot be used; the message says what was given, what is allowed and what to do."""


@dataclass(frozen=True)
class Split:
    """The images of one file of a data set: ``images`` (N, 32, 32, 3) uint8 and ``labels`` (N,) int64."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Cifar10:
    """All of one source, decoded. ``source`` is its name for people, ``archive_sha256`` None for a folder."""

    train: Split
    test: Split
    source: str
    archive_sha256: str | None


def find_source(path: Path) -> Path:
    """The archive or folder of images meant by ``path``: itself, or the one that it holds.

    Raises ImageSourceError where ``path`` does not exist, is of an unknown kind, or holds no images or
    several sources.
    """
    if path.is_file():
        if not path.name.lower().endswith(_ARCHIVE_ENDINGS):
            raise ImageSourceError(f"{path} is not an archive of a known kind. {ALLOWED}.")
        return path
    if not path.is_dir():
        raise ImageSourceError(f"{path} does not exist. {ALLOWED}. Check the path.")
    if _holds_images(path):
        return path
    inside = sorted(path.iterdir())
    found = [entry for entry in inside if entry.is_dir() and _holds_images(entry)]
    found += [entry for entry in inside if entry.is_file() and entry.name.lower().endswith(_ARCHIVE_ENDINGS)]
    official = [entry for entry in found if entry.name == ARCHIVE_NAME]
    if official:
        return official[0]
    if not found:
        raise ImageSourceError(f"The folder {path} holds no CIFAR-10 images. {ALLOWED}. Check the path.")
    if len(found) > 1:
        names = ", ".join(entry.name for entry in found)
        raise ImageSourceError(f"The folder {path} holds several sources of images ({names}). Name the one to use.")
    return found[0]


def _holds_images(folder: Path) -> bool:
    splits = any((folder / split).is_dir() for split in _FOLDER_SPLITS)
    return splits or any((folder / name).is_file() for name in _BATCH_NAMES)


def source_key(source: Path) -> list[list[str | int]]:
    """Path, size in bytes and time of change in nanoseconds of ``source`` and, for a folder, of its parts.

    It changes when files are added, removed or renamed, and is cheap: of class folders it looks at the
    folders, not at each of 60,000 files.
    """
    parts = [source.resolve()]
    if source.is_dir():
        parts += [part for split in _FOLDER_SPLITS for part in sorted(parts[0].glob(f"{split}/*"))]
        parts += [parts[0] / name for name in _BATCH_NAMES if (parts[0] / name).is_file()]
    return [[str(part), stat.st_size, stat.st_mtime_ns] for part in parts for stat in [part.stat()]]


def read_cifar10(source: Path) -> Cifar10:
    """Decode the archive or folder that ``find_source`` gave; every defect in it raises ImageSourceError."""
    sha256 = None
    md5 = None
    if source.is_file():
        md5, sha256 = _hashes(source)
        if source.name == ARCHIVE_NAME:
            _check_md5(source, md5)
    files = _read_files(source)
    batches = {PurePosixPath(name).name: data for name, data in files.items()}
    if any(name in batches for name in _BATCH_NAMES):
        if md5 is not None:
            _check_md5(source, md5)
        train, test = (_read_batches(source, batches, split) for split in _FOLDER_SPLITS)
        text = "CIFAR-10, official archive" if md5 else f"CIFAR-10, unpacked batches ({source.resolve().name})"
    else:
        by_class = _class_folders(source, files)
        train, test = (_decode(source, by_class, split) for split in _FOLDER_SPLITS)
        jpeg = any(not name.lower().endswith(".png") for names in by_class.values() for name in names)
        copy = "CIFAR-10, JPEG copy" if jpeg else "CIFAR-10, PNG copy"
        text = f"{copy} (class folders, {source.resolve().name})"
    _check_counts(source, train, test)
    if (len(train.labels), len(test.labels)) != (50_000, 10_000):
        text += f", a subset of {len(train.labels):,} + {len(test.labels):,} images"
    return Cifar10(train, test, text, sha256)


def _hashes(path: Path) -> tuple[str, str]:
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            md5.update(block)
            sha256.update(block)
    return md5.hexdigest(), sha256.hexdigest()


def _check_md5(path: Path, md5: str) -> None:
    if md5 != ARCHIVE_MD5:
        raise ImageSourceError(
            f"{path} has the md5 {md5}, the official archive {ARCHIVE_MD5}: it is incomplete or altered, and "
            f"its pickled batches are not read. Delete it and get it again with `attn-tutorial data fetch`."
        )


def _read_files(source: Path) -> dict[str, bytes]:
    """The contents of every file that may be an image or a batch, by its path inside ``source``."""
    if source.is_dir():
        return _read_folder(source)
    read = _read_zip if source.name.lower().endswith(".zip") else _read_tar
    try:
        return read(source)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise ImageSourceError(
            f"{source} cannot be read to its end ({error}): it is truncated, or not the archive that its "
            f"name says. Copy or download it again."
        ) from error


def _wanted(name: str) -> bool:
    """Whether a file lies in a split's folder or is a batch, and is not hidden nor a macOS resource fork."""
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    in_split = any(part in _FOLDER_SPLITS for part in parts[:2]) and len(parts) > 2
    return not hidden and (in_split or parts[-1] in _BATCH_NAMES)


def _readable(source: Path, name: str, size: int) -> bool:
    """Whether a file is wanted; one too large for what it should be is refused before it fills the memory."""
    if not _wanted(name):
        return False
    largest = _LARGEST_BATCH_FILE if PurePosixPath(name).name in _BATCH_NAMES else _LARGEST_IMAGE_FILE
    if size > largest:
        raise ImageSourceError(
            f"{name} in {source} has {size:,} bytes, too many for what it should be (at most {largest:,}). "
            f"Remove it, or give images of {TILE}×{TILE} pixels."
        )
    return True


def _read_folder(source: Path) -> dict[str, bytes]:
    files = {}
    for path in source.rglob("*"):
        name = path.relative_to(source).as_posix()
        if path.is_file() and _readable(source, name, path.stat().st_size):
            files[name] = path.read_bytes()
    return files


def _read_tar(source: Path) -> dict[str, bytes]:
    files = {}
    with tarfile.open(source, "r:" if source.name.lower().endswith(".tar") else "r:gz") as archive:
        for member in archive:
            if member.isfile() and _readable(source, member.name, member.size):
                file = archive.extractfile(member)
                assert file is not None
                files[member.name] = file.read()
        # tarfile takes a damaged header, and a cut between two members, for the end; a real end is a block of zeros.
        assert archive.fileobj is not None
        archive.fileobj.seek(archive.offset)
        if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("a damaged header, or no end-of-archive mark")
        while archive.fileobj.read(1 << 20):  # to the very end, where gzip keeps the checksum
            pass
    return files


def _read_zip(source: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(source) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        return {
            member.filename: archive.read(member)
            for member in members
            if _readable(source, member.filename, member.file_size)
        }


_RECONSTRUCT = np.empty(0).__reduce__()[0]
_ARRAY_PARTS: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Knows arrays, lists, dictionaries, text and numbers, and nothing that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ARRAY_PARTS[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}, which no batch needs") from None


def _unpickle(data: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    # latin1: the official batches were pickled by Python 2, whose strings are bytes
    batch = _ArrayUnpickler(io.BytesIO(data), encoding="latin1").load()
    pixels, labels = batch["data"], np.asarray(batch["labels"], dtype=np.int64)
    width = 3 * TILE * TILE
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape != (len(labels), width):
        raise ValueError(f"its data are not {len(labels)} rows of {width} bytes")
    if labels.ndim != 1 or not np.isin(labels, range(len(CLASSES))).all():
        raise ValueError("its labels are not numbers from 0 to 9")
    return pixels, labels


def _read_batches(source: Path, batches: Mapping[str, bytes], split: str) -> Split:
    """One split of the official form, in its own order; a row is 1,024 red, then green, then blue values."""
    missing = [name for name in _BATCHES[split] if name not in batches]
    if missing:
        raise ImageSourceError(
            f"{source} lacks {', '.join(missing)}. Needed are {', '.join(_BATCH_NAMES)}. Unpack {ARCHIVE_NAME} again."
        )
    pixels, labels = [], []
    for name in tqdm(_BATCHES[split], desc=f"reading CIFAR-10 {split}", unit="batch", disable=None):
        try:
            batch_pixels, batch_labels = _unpickle(batches[name])
        except Exception as error:  # a broken pickle raises almost anything
            raise ImageSourceError(
                f"{name} in {source} is not a batch of CIFAR-10: {error}. Unpack {ARCHIVE_NAME} again."
            ) from error
        pixels.append(batch_pixels)
        labels.append(batch_labels)
    planes = np.concatenate(pixels).reshape(-1, 3, TILE, TILE)
    return Split(np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), np.concatenate(labels))


def _class_folders(source: Path, files: Mapping[str, bytes]) -> dict[tuple[str, str], dict[str, bytes]]:
    """The files of each (split, class), sorted by name; refuses any other layout."""
    found: dict[tuple[str, str], dict[str, bytes]] = {}
    wrappers = set()
    for name in sorted(files):
        parts = PurePosixPath(name).parts
        depth = 0 if parts[0] in _FOLDER_SPLITS else 1
        wrappers.add(parts[:depth])
        if len(parts) != depth + 3:
            raise ImageSourceError(
                f"{name} in {source} does not lie at <split>/<class>/<image>. {ALLOWED}. Move or remove it."
            )
        split, label, file = parts[depth:]
        if not file.lower().endswith(_IMAGE_ENDINGS):
            raise ImageSourceError(
                f"{name} in {source} is not an image by its name. A class folder holds files ending in "
                f"{', '.join(_IMAGE_ENDINGS)} only. Remove it."
            )
        found.setdefault((split, label), {})[name] = files[name]
    if not found:
        raise ImageSourceError(f"{source} holds no CIFAR-10 images. {ALLOWED}. Check what it holds.")
    if len(wrappers) > 1:
        names = ", ".join("/".join(wrapper) or "the top level" for wrapper in sorted(wrappers))
        raise ImageSourceError(f"{source} has train/ or test/ in several places ({names}). Keep one data set in it.")
    for split in _FOLDER_SPLITS:
        given = {label for part, label in found if part == split}
        missing, unknown = sorted(set(CLASSES) - given), sorted(given - set(CLASSES))
        if missing or unknown:
            defects = [f"lacks images of {', '.join(missing)}"] * bool(missing)
            defects += [f"has the unknown class folder {', '.join(unknown)}"] * bool(unknown)
            raise ImageSourceError(
                f"{split}/ in {source} {' and '.join(defects)}. "
                f"The class folders must be exactly: {', '.join(CLASSES)}."
            )
    return found


def _decode(source: Path, by_class: Mapping[tuple[str, str], Mapping[str, bytes]], split: str) -> Split:
    """One split of the class folders, ordered by class (CIFAR-10's own order), then file name."""
    named = [(name, data) for label in CLASSES for name, data in by_class[split, label].items()]
    images = np.empty((len(named), TILE, TILE, 3), dtype=np.uint8)
    with tqdm(named, desc=f"decoding CIFAR-10 {split}", unit="image", disable=None) as progress:
        for row, (name, data) in enumerate(progress):
            images[row] = _decode_image(source, name, data)
    counts = [len(by_class[split, label]) for label in CLASSES]
    return Split(images, np.arange(len(CLASSES)).repeat(counts))


def _decode_image(source: Path, name: str, data: bytes) -> NDArray[np.uint8]:
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
            size = image.size
            # looked at first: a small file may claim to be a huge picture
            if size == (TILE, TILE):
                return np.asarray(image.convert("RGB"))
    except Exception as error:  # decoders raise almost anything on damaged files
        raise ImageSourceError(
            f"{name} in {source} is not a readable PNG or JPEG image ({error}). Replace or remove it."
        ) from error
    raise ImageSourceError(
        f"{name} in {source} has {size[0]}×{size[1]} pixels; every image must have {TILE}×{TILE}. "
        f"Give the original CIFAR-10 images, unscaled."
    )


def _check_counts(source: Path, train: Split, test: Split) -> None:
    for split, labels in (("train", train.labels), ("test", test.labels)):
        counts = np.bincount(labels, minlength=len(CLASSES))
        least = int(counts.argmin())
        if counts[least] < LEAST_PER_CLASS:
            raise ImageSourceError(
                f"{split} in {source} has {counts[least]} images of {CLASSES[least]}; "
                f"at least {LEAST_PER_CLASS} of each class are needed. Add images."
            )

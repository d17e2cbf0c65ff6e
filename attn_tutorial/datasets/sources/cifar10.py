"""Reads CIFAR-10 (Krizhevsky 2009) in every form in which it is distributed, without writing anything to disk.

There are four forms: the official archive, its unpacked folder of pickled batches, class folders of PNG or JPEG files,
and the parquet files of Hugging Face. The last two may be inside a tar or zip archive. Pickled batches inside an
archive are read only if the archive's md5 is the official one.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from attn_tutorial.datasets.sources.batches import read_batches
from attn_tutorial.datasets.sources.class_folders import decode_split, sort_by_class
from attn_tutorial.datasets.sources.files import read_files
from attn_tutorial.datasets.sources.layout import (
    ARCHIVE_MD5,
    ARCHIVE_NAME,
    BATCH_NAMES,
    CLASSES,
    FOLDER_SPLITS,
    LEAST_PER_CLASS,
    ImageSourceError,
    Split,
)
from attn_tutorial.datasets.sources.places import table_split
from attn_tutorial.datasets.sources.tables import read_tables


@dataclass(frozen=True)
class Cifar10:
    """All images of one source, decoded."""

    train: Split
    test: Split
    source: str
    """Its name, for people."""
    archive_sha256: str | None
    """None for a folder."""


def read_cifar10(source: Path) -> Cifar10:
    """Decode an archive or folder that `find_source` gave; raise ImageSourceError for every defect in it."""
    sha256 = None
    md5 = None
    if source.is_file():
        md5, sha256 = _hashes(source)
        if source.name == ARCHIVE_NAME:
            _check_md5(source, md5)
    files = read_files(source)
    batches = {PurePosixPath(name).name: data for name, data in files.items()}
    if any(name in batches for name in BATCH_NAMES):
        if md5 is not None:
            _check_md5(source, md5)
        train, test = (read_batches(source, batches, split) for split in FOLDER_SPLITS)
        text = "CIFAR-10, official archive" if md5 else f"CIFAR-10, unpacked batches ({source.resolve().name})"
    elif files and all(map(table_split, files)):
        train, test, jpeg = read_tables(source, files)
        text = f"{_copy(jpeg)} (parquet, {source.resolve().name})"
    else:
        by_class = sort_by_class(source, files)
        train, test = (decode_split(source, by_class, split) for split in FOLDER_SPLITS)
        jpeg = any(not name.lower().endswith(".png") for names in by_class.values() for name in names)
        text = f"{_copy(jpeg)} (class folders, {source.resolve().name})"
    _check_counts(source, train, test)
    if (len(train.labels), len(test.labels)) != (50_000, 10_000):
        text += f", a subset of {len(train.labels):,} + {len(test.labels):,} images"
    return Cifar10(train, test, text, sha256)


def _copy(jpeg: bool) -> str:
    return "CIFAR-10, JPEG copy" if jpeg else "CIFAR-10, PNG copy"


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
            f"{path} must have the md5 of the official archive, {ARCHIVE_MD5}, but has {md5}. It is incomplete or "
            f"altered, so its pickled batches are not read. Delete it and download it again with "
            f"`attn-tutorial data fetch`."
        )


def _check_counts(source: Path, train: Split, test: Split) -> None:
    for split, labels in (("train", train.labels), ("test", test.labels)):
        counts = np.bincount(labels, minlength=len(CLASSES))
        least = int(counts.argmin())
        if counts[least] < LEAST_PER_CLASS:
            raise ImageSourceError(
                f"{split} in {source} must have at least {LEAST_PER_CLASS} images of each class, but has "
                f"{counts[least]} of {CLASSES[least]}. Add images."
            )

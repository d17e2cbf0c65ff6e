"""Where CIFAR-10 is: the archive or folder that a path means, and a key that changes when it changes."""

import os
from pathlib import Path

from attn_tutorial.datasets.sources.layout import (
    ARCHIVE_ENDINGS,
    ARCHIVE_NAME,
    BATCH_NAMES,
    FOLDER_SPLITS,
    REQUIRED,
    ImageSourceError,
)
from attn_tutorial.datasets.sources.places import is_ignored, table_split

_TABLES = ("*.parquet", "*/*.parquet", *(f"*/{split}/*.parquet" for split in FOLDER_SPLITS), "snapshots/*/*/*.parquet")
"""Where tables are looked for in a folder; the last is Hugging Face's cache."""


def find_source(path: Path) -> Path:
    """Return the archive or folder of images that `path` means: itself, or the one that it contains.

    Raises ImageSourceError if `path` does not exist, is of an unknown kind, or contains no images or several sources.
    """
    if path.is_file():
        if not path.name.lower().endswith(ARCHIVE_ENDINGS):
            raise ImageSourceError(f"{REQUIRED}, but {path} is not an archive of a known kind.")
        return path
    if not path.is_dir():
        raise ImageSourceError(f"{path} does not exist. {REQUIRED}. Check the path.")
    if _has_images(path):
        return path
    # A name with ._ is what macOS keeps about a file on a disk of another system.
    inside = [entry for entry in sorted(path.iterdir()) if not _left_by_system(entry.name)]
    found = [entry for entry in inside if entry.is_dir() and _has_images(entry)]
    found += [entry for entry in inside if entry.is_file() and entry.name.lower().endswith(ARCHIVE_ENDINGS)]
    official = [entry for entry in found if entry.name == ARCHIVE_NAME]
    if official:
        return official[0]
    if not found and _tables(path):
        return path
    found = found or [entry for entry in inside if entry.is_dir() and _tables(entry)]
    if not found:
        raise ImageSourceError(f"The folder {path} contains no CIFAR-10 images. {REQUIRED}. Check the path.")
    if len(found) > 1:
        names = ", ".join(entry.name for entry in found)
        raise ImageSourceError(f"The folder {path} contains several sources of images ({names}). Name the one to use.")
    return found[0]


def _left_by_system(name: str) -> bool:
    return name.startswith("._") or (is_ignored(name) and not name.startswith("."))


def _has_images(folder: Path) -> bool:
    splits = any((folder / split).is_dir() or _is_broken(folder / split) for split in FOLDER_SPLITS)
    return splits or any((folder / name).is_file() or _is_broken(folder / name) for name in BATCH_NAMES)


def _is_broken(path: Path) -> bool:
    """Return whether a path is a link that leads nowhere; then reading the folder says so."""
    return path.is_symlink() and not os.path.exists(path)


def _tables(folder: Path) -> list[Path]:
    """Return the parquet files of a folder that name a split, broken links among them."""
    found = {path for pattern in _TABLES for path in folder.glob(pattern)}
    return sorted(path for path in found if table_split(path.relative_to(folder).as_posix()))


def source_key(source: Path) -> list[list[str | int]]:
    """Return path, size in bytes and time of change in nanoseconds of `source` and, for a folder, of its parts.

    The key changes when files are added, removed or renamed. It is quick: for class folders it reads the folders and
    not each of 60,000 files.
    """
    parts = [source.resolve()]
    if source.is_dir():
        parts += [part for split in FOLDER_SPLITS for part in sorted(parts[0].glob(f"{split}/*"))]
        parts += [parts[0] / name for name in BATCH_NAMES if (parts[0] / name).is_file()]
        if len(parts) == 1:
            parts += _tables(parts[0])
    # A link counts with what it leads to, and one that leads nowhere with itself: reading it then says what is wrong.
    stats = [(part, os.stat(part, follow_symlinks=not _is_broken(part))) for part in parts]
    return [[str(part), stat.st_size, stat.st_mtime_ns] for part, stat in stats]

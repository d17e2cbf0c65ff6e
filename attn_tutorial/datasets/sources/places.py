"""Which files of a source can contain images, by their path inside it."""

import re
from pathlib import PurePosixPath

from attn_tutorial.datasets.sources.layout import BATCH_NAMES, FOLDER_SPLITS

_LEFT_BY_SYSTEMS = ("__macosx", "@eadir", "thumbs.db", "desktop.ini")
"""What macOS, Synology and Windows put beside images, in small letters; `.DS_Store` is hidden by its name."""
_TABLE = re.compile(rf"({'|'.join(FOLDER_SPLITS)})(?:[-_.].*)?\.parquet")
_DEEPEST_TABLE = 4
"""Most parts in a table's path: in Hugging Face's cache, it is `snapshots/<revision>/<configuration>/<table>`."""


def is_ignored(name: str) -> bool:
    """Return whether a file or folder of this name is hidden, or was left there by an operating system."""
    return name.startswith(".") or name.lower() in _LEFT_BY_SYSTEMS


def is_image_or_batch(path: str) -> bool:
    """Return whether a file lies in a split's folder or is a batch, and neither it nor a folder above is ignored."""
    parts = PurePosixPath(path).parts
    in_split = leads_to_images(path) and len(parts) > 2
    return not any(map(is_ignored, parts)) and (in_split or parts[-1] in BATCH_NAMES)


def leads_to_images(path: str) -> bool:
    """Return whether a path is a split's folder, lies in one, or is named like a batch."""
    parts = PurePosixPath(path).parts
    return any(part in FOLDER_SPLITS for part in parts[:2]) or parts[-1] in BATCH_NAMES


def table_split(path: str) -> str | None:
    """Return the split of a parquet file, or None for another file.

    Hugging Face names it `<configuration>/train-00000-of-00001.parquet`, or `<configuration>/train/0000.parquet`.
    """
    parts = PurePosixPath(path).parts
    if len(parts) > _DEEPEST_TABLE or any(map(is_ignored, parts)) or not parts[-1].endswith(".parquet"):
        return None
    if len(parts) > 1 and parts[-2] in FOLDER_SPLITS:
        return parts[-2]
    named = _TABLE.fullmatch(parts[-1])
    in_class = any(part in FOLDER_SPLITS for part in parts[:-1])
    return named[1] if named and not in_class else None

"""CIFAR-10 as the parquet files of Hugging Face: a row has an image's PNG or JPEG file (`img`), and its `label`."""

import io
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from attn_tutorial.datasets.sources.decoding import decode_image
from attn_tutorial.datasets.sources.layout import CLASSES, FOLDER_SPLITS, ImageSourceError, Split
from attn_tutorial.datasets.sources.places import table_split

_PART = re.compile(r".*-(\d+)-of-(\d+)\b.*")
_TOGETHER = 1000  # rows read at once
_JPEG = b"\xff\xd8"
_REQUIRED = "must be a parquet file with the columns `img` (the image files, as `bytes`) and `label` (0 to 9)"


def read_tables(source: Path, files: Mapping[str, bytes]) -> tuple[Split, Split, bool]:
    """Return train, test, and whether any image is a JPEG file; rows are in the order of the files, sorted by name.

    Args:
        source: the folder or archive that they are from, for messages.
        files: the parquet files by their path there; `places.table_split` says which split each belongs to.

    Raises ImageSourceError, which names the file and the row, for every defect.
    """
    folders = {PurePosixPath(name).parent for name in files}
    folders = {folder.parent if folder.name in FOLDER_SPLITS else folder for folder in folders}
    if len(folders) > 1:
        names = ", ".join(map(str, sorted(folders)))
        raise ImageSourceError(f"{source} has parquet files in several places ({names}). Keep one data set in it.")
    splits, jpeg = [], False
    for split in FOLDER_SPLITS:
        images, labels = [], []
        for name in _complete(source, files, split):
            for image, label, is_jpeg in _rows(source, name, files[name]):
                images.append(image)
                labels.append(label)
                jpeg |= is_jpeg
        if not images:
            raise ImageSourceError(f"{split} in {source} must have images, but its parquet files have none. Add them.")
        splits.append(Split(np.stack(images), np.array(labels, dtype=np.int64)))
    return splits[0], splits[1], jpeg


def _complete(source: Path, files: Mapping[str, bytes], split: str) -> list[str]:
    """Return the names of a split's files in order; refuse a split that lacks any."""
    names = sorted(name for name in files if table_split(name) == split)
    if not names:
        raise ImageSourceError(
            f"{source} must have parquet files of {' and '.join(FOLDER_SPLITS)}, but has none of {split}. Add them."
        )
    parts = [part for name in names if (part := _PART.fullmatch(PurePosixPath(name).name))]
    numbers = [int(part[1]) for part in parts]
    counts = {int(part[2]) for part in parts}
    if parts and (numbers != list(range(len(names))) or counts != {len(names)}):
        raise ImageSourceError(
            f"The parquet files of {split} in {source} must be all parts of one table, numbered from 0, but are "
            f"{', '.join(names)}. Download the missing ones, and remove those of another table."
        )
    return names


def _rows(source: Path, name: str, data: bytes) -> Iterator[tuple[NDArray[np.uint8], int, bool]]:
    """Give image, label, and whether it is a JPEG file, of each row."""
    for number, (img, label) in enumerate(_cells(source, name, data)):
        file = img.get("bytes") if isinstance(img, dict) else None
        row = f"row {number} of {name}"
        if not isinstance(file, bytes):
            raise ImageSourceError(
                f"{row} in {source} must have an image file as `bytes` in `img`, but has none. "
                "Download the images together with the table."
            )
        if type(label) is not int or not 0 <= label < len(CLASSES):
            raise ImageSourceError(
                f"{row} in {source} must have a whole number from 0 to {len(CLASSES) - 1} as `label`, but has "
                f"{label!r}. Download the file again."
            )
        yield decode_image(source, row, file), label, file.startswith(_JPEG)


def _cells(source: Path, name: str, data: bytes) -> Iterator[tuple[Any, Any]]:
    """Give the cells of `img` and `label` of each row."""
    from pyarrow import parquet  # imported here, because every command would wait for it

    try:
        table = parquet.ParquetFile(io.BytesIO(data))
        columns, metadata = table.schema_arrow.names, table.schema_arrow.metadata or {}
    except Exception as error:  # pyarrow raises errors of many kinds
        raise ImageSourceError(f"{name} in {source} {_REQUIRED}, but is not readable ({error}). Replace it.") from error
    if not {"img", "label"} <= set(columns):
        raise ImageSourceError(
            f"{name} in {source} {_REQUIRED}, but has the columns {', '.join(columns)}. Rename them, or replace it."
        )
    _check_classes(source, name, metadata.get(b"huggingface"))
    with tqdm(total=table.metadata.num_rows, desc=f"decoding {name}", unit="image", disable=None) as progress:
        batches = table.iter_batches(_TOGETHER, columns=["img", "label"])
        while True:
            try:
                batch = next(batches, None)
            except Exception as error:
                raise ImageSourceError(
                    f"{name} in {source} {_REQUIRED}, but is damaged ({error}). Replace it."
                ) from error
            if batch is None:
                return
            rows = batch.to_pydict()
            yield from zip(rows["img"], rows["label"], strict=True)
            progress.update(len(batch))


def _check_classes(source: Path, name: str, about: bytes | None) -> None:
    """Refuse a table whose labels mean other classes, if it says what they mean."""
    try:
        named = json.loads(about or b"")["info"]["features"]["label"]["names"]
    except (ValueError, KeyError, TypeError):
        return
    if tuple(named) != CLASSES:
        raise ImageSourceError(
            f"The labels of {name} in {source} must mean {', '.join(CLASSES)}, in this order, but mean "
            f"{', '.join(map(str, named))}. Give CIFAR-10."
        )

"""The official form of CIFAR-10: batches pickled by Python 2, or pickled again by Python 3 with any protocol.

Pickles can run code when they are read, so batches are read by an unpickler that knows only arrays.
"""

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from attn_tutorial.datasets.names import TILE
from attn_tutorial.datasets.sources.layout import ARCHIVE_NAME, BATCH_NAMES, BATCHES, CLASSES, ImageSourceError, Split

_ARRAY = np.zeros(1, dtype=np.uint8)
_RECONSTRUCT = _ARRAY.__reduce__()[0]
_FROM_BUFFER = _ARRAY.__reduce_ex__(5)[0]
_SCALAR = np.int64(0).__reduce__()[0]


def _text_as_bytes(text: str, encoding: str) -> bytes:
    """Stand for `codecs.encode`, by which protocols 0 to 2 write bytes; it knows no other encoding."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it encodes text as {encoding}, which no batch needs")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Stand for the class `bytes`, by which protocols 0 to 2 write empty bytes."""
    return b""


_ARRAY_PARTS: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _text_as_bytes,
    ("__builtin__", "bytes"): _no_bytes,
}
for _core in ("numpy.core", "numpy._core"):  # before and since NumPy 2
    _ARRAY_PARTS[f"{_core}.multiarray", "_reconstruct"] = _RECONSTRUCT
    _ARRAY_PARTS[f"{_core}.multiarray", "scalar"] = _SCALAR
    _ARRAY_PARTS[f"{_core}.numeric", "_frombuffer"] = _FROM_BUFFER


class _ArrayUnpickler(pickle.Unpickler):
    """Reads arrays, lists, dictionaries, text and numbers, and refuses everything that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ARRAY_PARTS[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}, which no batch needs") from None


def _unpickle(data: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    # latin1: the official batches were pickled by Python 2, whose strings are bytes
    batch = _with_text_keys(_ArrayUnpickler(io.BytesIO(data), encoding="latin1").load())
    pixels, labels = batch["data"], np.asarray(batch["labels"], dtype=np.int64)
    width = 3 * TILE * TILE
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape != (len(labels), width):
        raise ValueError(f"its data are not {len(labels)} rows of {width} bytes")
    if labels.ndim != 1 or not np.isin(labels, range(len(CLASSES))).all():
        raise ValueError("its labels are not numbers from 0 to 9")
    return pixels, labels


def _with_text_keys(batch: Mapping[str | bytes, Any]) -> dict[str, Any]:
    """Return a batch whose keys are text; they are bytes where it was loaded with `encoding="bytes"` in between."""
    renamed = {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in batch.items()}
    if len(renamed) < len(batch):
        raise ValueError("it has the same key as text and as bytes")
    return renamed


def read_batches(source: Path, batches: Mapping[str, bytes], split: str) -> Split:
    """Return one split in its own order; a row of a batch is 1,024 red, then green, then blue values."""
    missing = [name for name in BATCHES[split] if name not in batches]
    if missing:
        raise ImageSourceError(
            f"{source} must contain {', '.join(BATCH_NAMES)}, but lacks {', '.join(missing)}. "
            f"Unpack {ARCHIVE_NAME} again."
        )
    pixels, labels = [], []
    for name in tqdm(BATCHES[split], desc=f"reading CIFAR-10 {split}", unit="batch", disable=None):
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

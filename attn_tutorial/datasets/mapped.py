"""Tensors from memory-mapped files. Another process maps the file again instead of receiving a copy of the bytes.

Worker processes that are not forked get what they need as a pickle, and tensors in shared memory. The pixels of
CIFAR-10 take 206 MB there, and containers often have 64 MB.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from attn_tutorial.errors import InputError

_FILES: WeakValueDictionary[int, np.memmap] = WeakValueDictionary()
"""By its address in memory, every mapped file that a tensor still uses."""
_ROWS: Any = WeakTensorKeyDictionary()
"""For each tensor that was copied from rows of a mapped one, which rows these are."""


@dataclass(frozen=True, eq=False)
class MappedPart:
    """Where the values of a tensor are in a file in NumPy's format; small, so that it can be pickled instead."""

    file: Path
    stamp: tuple[int, int]
    """The file's size in bytes and time of change in nanoseconds."""
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    """In values, as `offset`."""
    offset: int
    rows: Tensor | None = None
    """int64 (N,): which rows the tensor has; None for all."""

    def open(self) -> Tensor:
        """Return the tensor, mapped again. Rows are copied.

        Raises InputError if the file has changed or disappeared.
        """
        if _stamp(self.file) != self.stamp:
            raise InputError(
                f"{self.file} must stay as it is while other processes use its images, but it was changed or removed. "
                "Load the images again, and start the processes again."
            )
        mapped = map_file(self.file).as_strided(self.shape, self.stride, self.offset)
        return mapped if self.rows is None else mapped[self.rows]

    def shows(self, tensor: Tensor) -> bool:
        """Return whether the file has the values of `tensor`: neither of the two was written to since."""
        try:
            mapped = self.open()
        except (OSError, ValueError):
            return False
        if self.rows is None:  # as one stretch, which is compared many times faster
            mapped, tensor = _stretch(mapped), _stretch(tensor)
        return torch.equal(mapped, tensor)


def map_file(file: Path) -> Tensor:
    """Return the array in a file in NumPy's format as a tensor that is read from the disk when it is used.

    Writing to the tensor does not change the file, and processes share the memory of what they only read.
    """
    array = np.load(file, mmap_mode="c")
    tensor = torch.from_numpy(array)  # keeps the array alive, so that `_FILES` has it as long as its memory is in use
    if array.size:
        _FILES[tensor.untyped_storage().data_ptr()] = array
    return tensor


def mapped_part(tensor: Tensor) -> MappedPart | None:
    """Return where a tensor's values are in a file, or None if no file has them."""
    part = _part(tensor)
    return part if part is not None and part.shows(tensor) else None


def remember_rows(taken: Tensor, tensor: Tensor, rows: Tensor) -> None:
    """Remember that a tensor has the values of `tensor[rows]`, for `mapped_part`."""
    part = _part(tensor)
    if part is not None:
        _ROWS[taken] = replace(part, rows=rows if part.rows is None else part.rows[rows])


def _part(tensor: Tensor) -> MappedPart | None:
    if type(tensor) is not Tensor or tensor.device.type != "cpu":
        return None
    if tensor in _ROWS:
        return _ROWS[tensor]
    array = _FILES.get(tensor.untyped_storage().data_ptr()) if tensor.numel() else None
    if array is None or torch.from_numpy(array).dtype != tensor.dtype:
        return None
    file = Path(str(array.filename)).absolute()
    stamp = _stamp(file)
    if stamp is None:
        return None
    return MappedPart(file, stamp, tuple(tensor.shape), tensor.stride(), int(tensor.storage_offset()))


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        stat = os.stat(file)
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def _stretch(tensor: Tensor) -> Tensor:
    """Return a view of everything from a tensor's first value to its last, in the order of the memory."""
    extent = 1 + sum((count - 1) * step for count, step in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.as_strided((extent,), (1,), tensor.storage_offset())

"""Small constant tables as tensors, kept on the device that uses them."""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor


def table(
    values: Sequence[int] | Sequence[tuple[int, ...]], device: torch.device, dtype: torch.dtype = torch.int64
) -> Tensor:
    """Return `values` as a tensor on `device`, made only once: on a GPU each new one is a copy from the host."""
    return _table(tuple(values), device, dtype)


@functools.cache
def _table(values: tuple[object, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.tensor(values, dtype=dtype, device=device)

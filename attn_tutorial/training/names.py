"""Names of devices and precisions. Imports no torch, so that a misspelt name is refused before anything is loaded."""

import os
from typing import Literal, get_args

from attn_tutorial.errors import InputError, check_choice

DEVICES = ("auto", "cpu", "cuda", "mps")
Precision = Literal["float32", "bfloat16"]
PRECISIONS = ("auto", *get_args(Precision))
VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"
"""The environment variable that says which GPUs a process sees."""


def check_device(name: str) -> None:
    """Raise `InputError` unless `name` is "auto" or the name of a device, whether this machine has it or not."""
    if hint := numbered_gpu_hint(name):
        raise InputError(f"device must be one of {', '.join(DEVICES)}, but got {name!r}. {hint}")
    check_choice("device", name, DEVICES)


def numbered_gpu_hint(name: object) -> str:
    """Return how to choose a single GPU, if a device is named such as "cuda:0"; otherwise an empty text."""
    if not (isinstance(name, str) and name.startswith("cuda:")):
        return ""
    given = os.environ.get(VISIBLE_GPUS)
    now = "which is not set" if given is None else f"which is set to {given!r}"
    return f"Give cuda, and choose the GPU by the environment variable {VISIBLE_GPUS}, {now}."


def check_precision(name: str) -> None:
    """Raise `InputError` unless `name` is "auto" or the name of a precision."""
    check_choice("precision", name, PRECISIONS)

"""Names of devices and precisions. Imports no torch, so that a misspelt name is refused before anything is loaded."""

from typing import Literal, get_args

from attn_tutorial.errors import check_choice

DEVICES = ("auto", "cpu", "cuda", "mps")
Precision = Literal["float32", "bfloat16"]
PRECISIONS = ("auto", *get_args(Precision))


def check_device(name: str) -> None:
    """Raise `InputError` unless `name` is "auto" or the name of a device, whether this machine has it or not."""
    check_choice("device", name, DEVICES)


def check_precision(name: str) -> None:
    """Raise `InputError` unless `name` is "auto" or the name of a precision."""
    check_choice("precision", name, PRECISIONS)

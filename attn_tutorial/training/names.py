"""Names of devices and precisions, free of torch, so that a misspelt one is refused before anything is loaded."""

from typing import Literal, get_args

from attn_tutorial.errors import InputError

DEVICES = ("auto", "cpu", "cuda", "mps")
Precision = Literal["float32", "bfloat16"]
PRECISIONS = ("auto", *get_args(Precision))


def check_device(name: str) -> None:
    """Raise `InputError` unless `name` is a device's, be it there or not, or "auto"."""
    if name not in DEVICES:
        raise InputError(f"device {name!r} was given; allowed are {', '.join(DEVICES)}")


def check_precision(name: str) -> None:
    """Raise `InputError` unless `name` is a precision, or "auto"."""
    if name not in PRECISIONS:
        raise InputError(f"precision {name!r} was given; allowed are {', '.join(PRECISIONS)}")

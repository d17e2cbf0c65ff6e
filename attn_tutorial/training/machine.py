"""The device that trains, and how its memory is handled."""

import ctypes
import platform

import torch

from attn_tutorial.errors import InputError

DEVICES = ("auto", "cpu", "cuda", "mps")
# glibc's mallopt parameters, from malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4


def choose_device(name: str = "auto") -> torch.device:
    """Return the device called `name`; "auto" is the first of cuda, mps and cpu that is there."""
    if name not in DEVICES:
        raise InputError(f"device {name!r} was given; allowed are {', '.join(DEVICES)}")
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(device for device, is_there in there.items() if is_there))
    if not there[name]:
        found = ", ".join(device for device, is_there in there.items() if is_there)
        raise InputError(f"device {name!r} was given, but torch finds none here; it finds {found}: choose one, or auto")
    return torch.device(name)


def keep_memory() -> bool:
    """Have the C library keep freed memory for this process; returns whether it could (glibc only).

    By default glibc gives every large block back to the system when an activation is freed, and the next step pays
    for page faults on the same memory: about a fifth to a third of a training step on a CPU.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 64 * 2**20))
    return all(libc.mallopt(parameter, value) for parameter, value in settings)

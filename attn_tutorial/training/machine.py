"""The machine that trains: its device, how it computes there, and how its memory is handled."""

import contextlib
import ctypes
import functools
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Literal, Self, get_args

import torch
from torch import nn
from torch.nn import functional

from attn_tutorial.backbones import resnet
from attn_tutorial.errors import InputError
from attn_tutorial.spec import BackboneSpec
from attn_tutorial.training.names import VISIBLE_GPUS, Precision, check_device, check_precision

MemoryFormat = Literal["channels_last", "contiguous"]
# glibc's mallopt parameters, from malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_TRIAL_IMAGES, _TRIAL_ROUNDS = 16, 3
_CLEARLY = 1.1


def choose_device(name: str = "auto") -> torch.device:
    """Return the device called `name`; "auto" is the first of cuda, mps and cpu that this machine has."""
    check_device(name)
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(device for device, is_there in there.items() if is_there))
    if not there[name]:
        found = ", ".join(device for device, is_there in there.items() if is_there)
        visible = os.environ.get(VISIBLE_GPUS) if name == "cuda" else None
        hint = (
            "" if visible is None else f" {VISIBLE_GPUS} is set to {visible!r}, which can hide GPUs: unset it to check."
        )
        raise InputError(
            f"device must be one that torch finds here ({found}), but got {name!r}. Choose one, or auto.{hint}"
        )
    return torch.device(name)


@dataclass(frozen=True)
class Execution:
    """How a machine computes a run. It changes the bits of the weights and the speed, but not what is trained."""

    precision: Precision
    """Number format of the forward and backward pass; weights, optimisers and tests always use float32."""
    memory_format: MemoryFormat
    threads: int
    compiled: bool

    @classmethod
    def choose(cls, device: torch.device, precision: str, backbone: BackboneSpec, canvas: int) -> Self:
        """Choose for this machine: the faster memory format, and bfloat16 if the device supports it.

        Args:
            device: the device that trains.
            precision: "auto", "float32" or "bfloat16".
            backbone: the network whose steps are timed.
            canvas: the side of its input, in pixels.

        """
        check_precision(precision)
        chosen: Precision = native_precision(device) if precision == "auto" else precision  # type: ignore[assignment]
        threads = torch.get_num_threads()
        memory_format = _faster_memory_format(device, chosen, backbone, canvas, threads)
        # torch.compile needs triton on a GPU. On a CPU it compiles for minutes, longer than a short run gains from it.
        return cls(chosen, memory_format, threads, device.type == "cuda" and find_spec("triton") is not None)

    def as_dict(self) -> dict[str, str | int | bool]:
        """Return plain values, for checkpoints and records."""
        return asdict(self)

    def autocast(self, device: torch.device) -> contextlib.AbstractContextManager[object]:
        """Return the context manager for the forward pass."""
        if self.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(device.type, torch.bfloat16)

    def place(self, model: nn.Module, device: torch.device) -> nn.Module:
        """Move a network to a device, in this memory format."""
        return model.to(device).to(memory_format=torch_format(self.memory_format))


def native_precision(device: torch.device) -> Precision:
    """Return bfloat16 if the device has instructions for it, otherwise float32: bfloat16 would be emulated there."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    able = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return "bfloat16" if able.get("avx512_bf16") or able.get("amx_bf16") else "float32"


def torch_format(name: MemoryFormat) -> torch.memory_format:
    """Return PyTorch's own object for a memory format."""
    return torch.channels_last if name == "channels_last" else torch.contiguous_format


@functools.cache
def _faster_memory_format(
    device: torch.device, precision: Precision, backbone: BackboneSpec, canvas: int, threads: int
) -> MemoryFormat:
    """Time a few small steps in both formats, and return the faster one.

    A near tie goes to channels-last, so that the same machine always makes the same choice. On a CPU the processor's
    time counts, because other programs on a busy machine hardly change it.
    """
    now = time.process_time if device.type == "cpu" else time.perf_counter
    label = torch.zeros(_TRIAL_IMAGES, dtype=torch.int64, device=device)
    fastest: dict[MemoryFormat, float] = {}
    trials: dict[MemoryFormat, tuple[nn.Module, torch.Tensor]] = {}
    for name in get_args(MemoryFormat):
        way = Execution(precision, name, threads, compiled=False)
        with torch.random.fork_rng(devices=[]):
            model = way.place(resnet(backbone.depth, backbone.width, stem=backbone.stem), device)
        x = torch.zeros(_TRIAL_IMAGES, 3, canvas, canvas, device=device)
        trials[name] = model, x.contiguous(memory_format=torch_format(name))
    for round_ in range(_TRIAL_ROUNDS + 1):
        for name, (model, x) in trials.items():
            began = now()
            with Execution(precision, name, threads, compiled=False).autocast(device):
                loss = functional.cross_entropy(model(x), label)
            loss.backward()
            loss.item()  # waits for a device that works asynchronously
            if round_:  # the first one warms up
                fastest[name] = min(fastest.get(name, float("inf")), now() - began)
    return "contiguous" if fastest["contiguous"] * _CLEARLY < fastest["channels_last"] else "channels_last"


@contextlib.contextmanager
def thread_count(threads: int) -> Iterator[None]:
    """Let torch use this many threads inside the context."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def keep_memory() -> bool:
    """Tell the C library to keep freed memory for this process; return whether it could (glibc only).

    By default glibc returns every large block to the system when an activation is freed, and the next step pays for
    page faults on the same memory: about a fifth to a third of a training step on a CPU.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 64 * 2**20))
    return all(libc.mallopt(parameter, value) for parameter, value in settings)

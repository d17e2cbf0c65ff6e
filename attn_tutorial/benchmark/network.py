"""Networks of any origin as one kind of thing: a function from input to logits, with a hash that names it."""

import contextlib
import hashlib
import logging
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from attn_tutorial.backbones import ResNet
from attn_tutorial.benchmark.reads import NAMED, PACKAGE, UINT8, Reads
from attn_tutorial.errors import InputError, check_choice
from attn_tutorial.paths import user_path
from attn_tutorial.training.model import weights_sha256

KINDS = {".onnx": "ONNX", ".pt2": "torch.export", ".pt": "TorchScript", ".pth": "TorchScript", ".ts": "TorchScript"}
"""Kinds of files by their ending."""
LARGEST_BATCH = 1000
"""The largest batch for which a network may be exported: all its canvases are in memory at once."""
_CODE = (b"constants/opaque_obj", b"constants/custom_obj", b"/aotinductor/")
"""In a file of `torch.export`, the places of what runs code when it is loaded."""
_WEIGHTS_ONLY = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
_LOCATION = re.compile(rb"\n\x08location\x12([\x80-\xff]?[\x00-\x7f])")
"""In an ONNX file, what stands before the name of a second file with weights: the number of its bytes."""
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Network:
    """A network that can be tested."""

    run: Callable[[Tensor], Tensor]
    """From input, as `reads` gives it, to logits (B, classes)."""
    kind: str
    """"module", or the kind of its file: "ONNX", "torch.export" or "TorchScript"."""
    sha256: str
    """Of the file, and of the files with its weights where an ONNX file has some; of a module, of its weights."""
    reads: Reads
    batch: int | None = None
    """The only batch size that it takes; None if it takes any."""
    device: torch.device = CPU
    """Where its input must be."""


def as_network(network: nn.Module | str | Path | Any, reads: Reads | str | None, device: torch.device) -> Network:
    """Return a network to test.

    Args:
        network: a module, a program that `torch.export` made, a TorchScript module, or a file of one of these or of
            ONNX.
        reads: how it reads canvases, see `Reads`, or a name in `NAMED`; None for what a network of this package or an
            ONNX file shows by itself, and otherwise "uint8".
        device: where it computes; ONNX files always use the CPU.

    Raises:
        InputError: the network is not one of these, cannot be read, or its input does not fit.

    """
    chosen = _reads(reads)
    if isinstance(network, str | Path):
        return _of_file(user_path(network, "network"), chosen, device)
    if isinstance(network, torch.export.ExportedProgram):
        return _of_module(network.module(), "torch.export", chosen, device)
    if isinstance(network, nn.Module):
        kind = "TorchScript" if isinstance(network, torch.jit.ScriptModule) else "module"
        return _of_module(network, kind, chosen, device)
    raise InputError(
        "`network` must be a torch module, a program of torch.export, or the path of an ONNX, torch.export (.pt2) or "
        f"TorchScript (.pt) file, but got {type(network).__name__}."
    )


def _reads(reads: Reads | str | None) -> Reads | None:
    if isinstance(reads, str):
        check_choice("reads", reads, NAMED)
        return NAMED[reads]
    if reads is not None and not isinstance(reads, Reads):
        raise InputError(f"`reads` must be one of {', '.join(NAMED)}, or a `Reads`, but got {reads!r}.")
    return reads


def _of_module(module: nn.Module, kind: str, reads: Reads | None, device: torch.device) -> Network:
    if reads is None:
        reads = PACKAGE if isinstance(module, ResNet) else UINT8
    if kind != "torch.export":  # such a program has no modes
        module.eval()
    try:
        return Network(module.to(device), kind, weights_sha256(module), reads, device=device)
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"`network` must have weights that can be moved to {device} and hashed, but they cannot be ({reason}). "
            "Call a lazy module once, give one of device meta its weights, or export the network to ONNX."
        ) from None


def _of_file(path: Path, reads: Reads | None, device: torch.device) -> Network:
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        raise InputError(
            f"a network's file must end in {', '.join(KINDS)}, but got {str(path)!r}. Export the network to ONNX, or "
            "save it with torch.export.save (.pt2) or torch.jit.save (.pt)."
        )
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: the path contains a null character
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} must be a file that can be read, but is not ({reason}).") from None
    digest = hashlib.sha256(content)
    if kind == "ONNX":
        network = _onnx(path, reads)
        for each in _files_of_weights(path, content):
            digest.update(hashlib.sha256(each.read_bytes()).digest())
        return replace(network, sha256=digest.hexdigest())
    try:
        if kind == "torch.export":
            if any(part in content.lower() for part in _CODE):
                raise InputError("it contains Python objects or compiled code, which could run anything")
            with _no_code():
                loaded = torch.export.load(path).module()
        else:
            loaded = torch.jit.load(path, device)
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{path} must be a network that {'torch.export.save' if kind == 'torch.export' else 'torch.jit.save'} "
            f"wrote, but it cannot be loaded ({reason}). Files of weights alone (state_dict) contain no network: build "
            "it in Python and give the module to attn_tutorial.benchmark.benchmark."
        ) from None
    return replace(_of_module(loaded, kind, reads, device), sha256=digest.hexdigest())


@contextlib.contextmanager
def _no_code() -> Iterator[None]:
    """Keep `torch.export.load` from running a pickled file's code, and from logging how it failed.

    Example inputs that are more than tensors make it load them again without `weights_only`, which runs any code.
    """
    before, silenced = os.environ.get(_WEIGHTS_ONLY), logging.root.manager.disable
    os.environ[_WEIGHTS_ONLY] = "1"
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(silenced)
        if before is None:
            del os.environ[_WEIGHTS_ONLY]
        else:
            os.environ[_WEIGHTS_ONLY] = before


def _files_of_weights(path: Path, content: bytes) -> list[Path]:
    """Return the files beside an ONNX file in which it has weights, in the order of their names."""
    names = set()
    for found in _LOCATION.finditer(content):
        *low, high = found[1]
        length = high if not low else low[0] - 128 + 128 * high
        names.add(content[found.end() : found.end() + length])
    files = [path.parent / os.fsdecode(name) for name in sorted(names) if name and b"\0" not in name]
    return [each for each in files if each.is_file()]


def _onnx(path: Path, reads: Reads | None) -> Network:
    if find_spec("onnxruntime") is None:
        raise InputError(
            "ONNX files need the package onnxruntime, which is not installed. Install it with: pip install onnxruntime"
        )
    import onnxruntime

    try:
        # By its path, so that weights in a second file beside it are found.
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{path} must be an ONNX network that can be run, but is not ({reason}).") from None
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        shapes = ", ".join(f"{each.name} {each.shape}" for each in inputs)
        raise InputError(
            f"{path} must have one input (batch, 3, height, width), but has {shapes}. Export it without others."
        )
    (canvas,) = inputs
    floats = {"tensor(float)": "float", "tensor(uint8)": "uint8"}
    if (pixels := floats.get(canvas.type)) is None:
        raise InputError(f"the input of {path} must be uint8 or float32, but is {canvas.type}.")
    if reads is None and pixels == "float":
        raise InputError(
            f"{path} reads float32, so its normalisation must be stated, but `reads` was not given. Give one of "
            f"{', '.join(name for name in NAMED if name != 'uint8')}, or mean and std."
        )
    reads = reads or UINT8
    if reads.pixels != pixels:
        raise InputError(f"`reads` must be {pixels}, as the input of {path} is, but got {reads.pixels}.")

    def run(x: Tensor) -> Tensor:
        (logits, *_) = session.run([outputs[0].name], {canvas.name: x.numpy()})
        return torch.from_numpy(logits)

    batch = canvas.shape[0]
    if isinstance(batch, int) and not 1 <= batch <= LARGEST_BATCH:
        raise InputError(
            f"{path} must take batches of 1 to {LARGEST_BATCH:,} canvases, but takes {batch:,}. Export it with a free "
            "batch size."
        )
    return Network(run, "ONNX", "", reads, batch if isinstance(batch, int) else None)

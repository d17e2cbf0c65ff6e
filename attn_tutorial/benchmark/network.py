"""Networks of any origin as one kind of thing: a function from input to logits, with a hash that names it."""

import hashlib
from collections.abc import Callable
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


CPU = torch.device("cpu")


@dataclass(frozen=True)
class Network:
    """A network that can be tested."""

    run: Callable[[Tensor], Tensor]
    """From input, as `reads` gives it, to logits (B, classes)."""
    kind: str
    """"module", or the kind of its file: "ONNX", "torch.export" or "TorchScript"."""
    sha256: str
    """Of the file; of a module, of its weights."""
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
    return Network(module.to(device), kind, weights_sha256(module), reads, device=device)


def _of_file(path: Path, reads: Reads | None, device: torch.device) -> Network:
    kind = KINDS.get(path.suffix)
    if kind is None:
        raise InputError(
            f"a network's file must end in {', '.join(KINDS)}, but got {str(path)!r}. Export the network to ONNX, or "
            "save it with torch.export.save (.pt2) or torch.jit.save (.pt)."
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} must be a file that can be read, but is not ({error.strerror}).") from None
    digest = hashlib.sha256(content).hexdigest()
    if kind == "ONNX":
        return replace(_onnx(path, content, reads), sha256=digest)
    try:
        loaded = torch.export.load(path).module() if kind == "torch.export" else torch.jit.load(path, device)
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"{path} must be a network that {'torch.export.save' if kind == 'torch.export' else 'torch.jit.save'} "
            f"wrote, but it cannot be loaded ({reason}). Files of weights alone (state_dict) contain no network: build "
            "it in Python and give the module to attn_tutorial.benchmark.benchmark."
        ) from None
    return replace(_of_module(loaded, kind, reads, device), sha256=digest)


def _onnx(path: Path, content: bytes, reads: Reads | None) -> Network:
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
    return Network(run, "ONNX", "", reads, batch if isinstance(batch, int) else None)

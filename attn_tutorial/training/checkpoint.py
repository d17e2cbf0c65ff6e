"""Checkpoints: written whole or not at all, checked when read, the last two kept."""

import hashlib
import io
import warnings
from pathlib import Path
from typing import Any

import torch

from attn_tutorial import __version__
from attn_tutorial.errors import InputError
from attn_tutorial.training.files import write_whole

_KEPT = 2
_DIGEST = hashlib.sha256().digest_size


def save_checkpoint(folder: Path, run_id: str, step: int, state: dict[str, Any], device: torch.device) -> None:
    """Write `state` (tensors and plain values) as the checkpoint after `step` steps, and drop all but the last two."""
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save({**state, "run_id": run_id, "made_with": _made_with(device)}, buffer)
    content = buffer.getvalue()
    write_whole(folder / f"step-{step:09d}.pt", hashlib.sha256(content).digest() + content)
    for old in _newest_first(folder)[_KEPT:]:
        old.unlink()


def load_checkpoint(folder: Path, run_id: str, device: torch.device) -> dict[str, Any] | None:
    """Return the newest checkpoint that is whole, or None; a damaged one is set aside with a warning.

    So is one that was made by other versions or on another kind of device: going on from it would give weights that
    no machine can give again. What is set aside stays in the folder under another name.

    Raises `InputError` where the folder holds checkpoints of another run: they are that run's, and stay.
    """
    for path in _newest_first(folder):
        content = path.read_bytes()
        if hashlib.sha256(content[_DIGEST:]).digest() == content[:_DIGEST]:
            state: dict[str, Any] = torch.load(io.BytesIO(content[_DIGEST:]), map_location=device, weights_only=True)
            if state["run_id"] != run_id:
                raise InputError(
                    f"checkpoints {folder} was given for run {run_id}, but holds those of run {state['run_id']}: "
                    "give each run a folder of its own"
                )
            if state["made_with"] == _made_with(device):
                return state
            cause = f"was made with {state['made_with']}, and this is {_made_with(device)}"
        else:
            cause = "is damaged"
        aside = path.with_name(f"aside-{path.name}")  # or it would be taken for the newest again
        path.replace(aside)
        warnings.warn(
            f"checkpoint {path} {cause}; it is set aside as {aside.name}; going back to the one before it, or to the "
            "start",
            stacklevel=3,
        )
    return None


def _made_with(device: torch.device) -> dict[str, str]:
    return {"attn_tutorial": __version__, "torch": str(torch.__version__), "device": device.type}


def _newest_first(folder: Path) -> list[Path]:
    return sorted((path for path in folder.glob("step-*.pt") if path.is_file()), reverse=True)

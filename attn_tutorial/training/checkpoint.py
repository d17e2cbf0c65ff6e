"""Checkpoints: written whole or not at all, checked when read, the last two kept."""

import hashlib
import io
import os
import warnings
from pathlib import Path
from typing import Any

import torch

_KEPT = 2
_DIGEST = hashlib.sha256().digest_size


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write `state` (tensors and plain values) as the checkpoint after `step` steps, and drop all but the last two."""
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    write_whole(folder / f"step-{step:09d}.pt", hashlib.sha256(content).digest() + content)
    for old in _newest_first(folder)[_KEPT:]:
        old.unlink()


def load_checkpoint(folder: Path, device: torch.device) -> dict[str, Any] | None:
    """Return the newest checkpoint that is whole, or None; a damaged one is passed over with a warning."""
    for path in _newest_first(folder):
        content = path.read_bytes()
        if hashlib.sha256(content[_DIGEST:]).digest() == content[:_DIGEST]:
            state: dict[str, Any] = torch.load(io.BytesIO(content[_DIGEST:]), map_location=device, weights_only=True)
            return state
        warnings.warn(f"checkpoint {path} is damaged; going back to the one before it", stacklevel=2)
    return None


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, even if the machine stops in the middle."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.pt"), reverse=True)


def delete_checkpoints(folder: Path) -> None:
    """Remove a run's checkpoints and their folder, once its record is safe."""
    for path in _newest_first(folder):
        path.unlink()
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()

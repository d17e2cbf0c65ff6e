"""Checkpoints: each file is written whole or not at all, and checked when it is read; the last two are kept."""

import hashlib
import io
import time
import warnings
from pathlib import Path
from typing import Any

import torch

from attn_tutorial import __version__
from attn_tutorial.errors import InputError
from attn_tutorial.training.files import write_whole

_KEPT = 2
_DIGEST = hashlib.sha256().digest_size


class Checkpoints:
    """The checkpoints of one run. Without a folder nothing is read or written.

    Args:
        folder: the folder of this run's checkpoints, or None.
        run_id: the id of the run.
        device: the device that trains; a checkpoint serves only this kind of device.
        every: seconds between two checkpoints.

    """

    def __init__(self, folder: Path | None, run_id: str, device: torch.device, every: float = 60.0):
        self.folder, self.run_id, self.device, self.every = folder, run_id, device, every
        self._saved_at = time.perf_counter()

    def load(self) -> dict[str, Any] | None:
        """Return the state in the newest checkpoint that can be used, or None.

        A checkpoint cannot be used if it is damaged, or if another version or another kind of device made it: no
        machine could reproduce the weights of a run that continues from it. Such a file stays in the folder under
        another name, and a warning says so.

        Raises `InputError` if the folder contains checkpoints of another run. They stay as they are.
        """
        state = None
        for path in self._newest_first():
            state, problem = self._read(path)
            if state:
                break
            aside = path.with_name(f"aside-{path.name}")  # or it would be taken for the newest again
            path.replace(aside)
            warnings.warn(
                f"checkpoint {path} {problem}; it is set aside as {aside.name}. The run continues from the checkpoint "
                "before it, or starts again if there is none.",
                stacklevel=3,
            )
        return state

    def due(self) -> bool:
        """Return whether it is time for the next checkpoint."""
        return self.folder is not None and time.perf_counter() - self._saved_at >= self.every

    def save(self, state: dict[str, Any]) -> bool:
        """Write a checkpoint, delete all but the last two, and return whether it was written.

        If the disk is full, a warning says so and the training continues: hours of it are worth more than a checkpoint.

        Args:
            state: tensors and plain values; `step` is the number of steps made.

        """
        if self.folder is None:
            return False
        try:
            self._write(self.folder / f"step-{state['step']:09d}.pt", state)
        except OSError as error:
            warnings.warn(f"no checkpoint was written to {self.folder} ({error}). Free some space.", stacklevel=3)
            return False
        finally:
            self._saved_at = time.perf_counter()
        return True

    def _write(self, path: Path, state: dict[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        torch.save({**state, "run_id": self.run_id, "made_with": self._made_with()}, buffer)
        content = buffer.getvalue()
        write_whole(path, hashlib.sha256(content).digest() + content)
        for old in self._newest_first()[_KEPT:]:
            old.unlink()

    def _read(self, path: Path) -> tuple[dict[str, Any] | None, str]:
        """Return a file's state, or None and what is wrong with the file."""
        content = path.read_bytes()
        if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
            return None, "is damaged"
        state = torch.load(io.BytesIO(content[_DIGEST:]), map_location=self.device, weights_only=True)
        if state["run_id"] != self.run_id:
            raise InputError(
                f"`checkpoints` must be a folder of run {self.run_id} alone, but {path.parent} contains checkpoints of "
                f"run {state['run_id']}. Give each run its own folder."
            )
        if state["made_with"] != self._made_with():
            return None, f"was made with {state['made_with']}, but this is {self._made_with()}"
        return state, ""

    def _made_with(self) -> dict[str, str]:
        return {"attn_tutorial": __version__, "torch": str(torch.__version__), "device": self.device.type}

    def _newest_first(self) -> list[Path]:
        found = self.folder.glob("step-*.pt") if self.folder else ()
        return sorted((path for path in found if path.is_file()), reverse=True)

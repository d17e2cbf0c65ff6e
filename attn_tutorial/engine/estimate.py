"""Estimate how long a study takes on this machine. Imports torch only to measure the speed of networks."""

import hashlib
import json
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from tqdm import tqdm

from attn_tutorial.errors import InputError
from attn_tutorial.paths import user_path
from attn_tutorial.spec import RunSpec
from attn_tutorial.study.study import PlannedRun
from attn_tutorial.training.files import write_whole

_TEST_IMAGES = 8_000
"""All test images of CIFAR-10, for a preset that does not say how many to test."""
_RECALIBRATION_IMAGES = 1_000
_LOOKS, _LOOKS_WITH_GATES = 1, 9
"""Roughly how many forward passes an image needs to measure where a network looks beside the one for its accuracy:
without gates, and with gates and their lesions."""
_BATCH, _STEPS = 64, 3


@dataclass(frozen=True)
class Pace:
    """Seconds that one process needs for an image; on a CPU, with one thread."""

    training: float
    """Forward pass, backward pass and update."""
    testing: float
    """Forward pass."""


class Speeds:
    """The paces of networks on this machine, measured once and kept in a file.

    Args:
        root: the folder that contains `raw/`.
        device: "auto", "cpu", "cuda" or "mps".

    """

    def __init__(self, root: Path, device: str = "auto"):
        self.path = user_path(root, "root") / "raw" / "cache" / "speeds.json"
        self._device = device
        machine = (platform.node(), platform.machine(), device, metadata.version("torch"))
        self._machine = hashlib.sha256(repr(machine).encode()).hexdigest()[:16]
        try:
            known = json.loads(self.path.read_text("utf-8"))
        except (OSError, ValueError):  # only a cache: what cannot be read is measured again
            known = None
        self._known: dict[str, list[float]] = known if isinstance(known, dict) else {}

    def get(self, spec: RunSpec) -> Pace | None:
        """Return the pace of a run's network, or None if it was not measured on this machine."""
        pace = self._known.get(self._key(spec))
        return None if pace is None else Pace(*pace)

    def measure(self, specs: Iterable[RunSpec]) -> None:
        """Time a few steps of each network that was not measured here; the smallest take about a second each."""
        missing = {self._key(spec): spec for spec in specs if self.get(spec) is None}
        if not missing:
            return
        from attn_tutorial.training.pace import seconds_per_image

        try:  # now, because measuring may take minutes
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, json.dumps(self._known).encode())
        except OSError as error:
            raise InputError(
                f"root must be a folder that can be written, but {self.path} cannot be written ({error.strerror}). "
                "Name another folder."
            ) from None
        for key, spec in tqdm(missing.items(), "Timing networks", unit=" networks", disable=None, leave=False):
            self._known[key] = list(seconds_per_image(spec, self._device, _BATCH, _STEPS))
        write_whole(self.path, json.dumps(self._known, indent=1).encode())

    def seconds(self, runs: Iterable[PlannedRun]) -> float | None:
        """Estimate how many seconds one process needs for some runs; None if one of their networks was not measured."""
        total = 0.0
        for run in runs:
            pace = self.get(run.spec)
            if pace is None:
                return None
            total += pace.training * run.spec.training.samples + pace.testing * _forward_passes(run.spec)
        return total

    def _key(self, spec: RunSpec) -> str:
        network: dict[str, Any] = spec.model_dump(
            mode="json", include={"backbone", "block", "block_options", "stages", "position"}
        )
        # Only where they are used, so that what was measured before such runs existed still counts.
        told = {"oracle": spec.oracle is not None, "mask_loss": spec.training.mask_loss > 0}
        network |= {name: True for name, used in told.items() if used}
        what = (self._machine, sorted(network.items()), spec.clutter.canvas, spec.training.conv_optimizer)
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


def _forward_passes(spec: RunSpec) -> int:
    test = spec.evaluation
    images = {cell: test.images_of(*cell, _TEST_IMAGES) for cell in test.cells()}
    again = {cell for cell in images if (test.recalibrated if not cell[1] else cell[0] in test.recalibrated)}
    passes = sum(images.values()) + sum(images[cell] + min(images[cell], _RECALIBRATION_IMAGES) for cell in again)
    if test.look is None:
        return passes
    looked = [min(count, test.look.images) for cell, count in images.items() if test.looks_at(*cell)]
    each = _LOOKS_WITH_GATES if spec.block else _LOOKS
    return passes + each * sum(looked)


def in_words(seconds: float) -> str:
    """Return a duration as people write it: "40 s", "12 min", "3.5 h", "2 days"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 36 * 3600 else f"{seconds / 86400:.0f} days"

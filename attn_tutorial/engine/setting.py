"""What runners and runs tell each other. Free of torch, so that workers start before their starter has loaded it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from attn_tutorial.datasets.store import Prepared

Outcome = Literal["done", "diverged", "failed", "stopped", "busy", "lost", "given up"]
"""How a run ended. `stopped`: at a checkpoint; `busy`: left to another process that trains it; `lost`: with its worker,
and to be trained again; `given up`: after that happened too often."""


@dataclass(frozen=True)
class Setting:
    """What the runs of one call of a study have in common."""

    study: str
    preset: str
    images: Prepared
    root: Path
    """The folder that holds `raw/`, the images' cache."""
    source: Path | None
    """Where CIFAR-10 was read from, if the user named it."""
    results: Path
    device: str
    checkpoint_every: float
    """Seconds."""
    precision: str = "auto"

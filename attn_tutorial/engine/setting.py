"""What runners and runs tell each other. Imports no torch, so that workers start before their starter has loaded it."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

from attn_tutorial.datasets.store import Prepared
from attn_tutorial.engine.options import RunOptions
from attn_tutorial.paths import user_path

Ending = Literal["done", "diverged", "failed", "stopped", "busy", "lost", "given up"]
"""How a run ended. `stopped`: at a checkpoint; `busy`: left to another process that is training it; `lost`: with its
worker, to be trained again; `given up`: after this happened too often."""


@dataclass(frozen=True)
class Setting:
    """What the runs of one call of a study have in common."""

    study: str
    preset: str
    images: Prepared
    root: Path
    """The folder that contains `raw/`, the images' cache."""
    source: Path | None
    """Where CIFAR-10 was read from, if the user named it."""
    results: Path
    options: RunOptions = field(default_factory=RunOptions)
    protocol: str | None = None
    """Hash of the study's protocol, if it has one."""

    def __post_init__(self) -> None:
        for name in ("root", "source", "results"):
            if (given := getattr(self, name)) is not None:
                object.__setattr__(self, name, user_path(given, name))

    def with_options(self, **changes: Any) -> Self:
        """Return the same setting with some options changed; raises `SpecError` if they are not valid."""
        return replace(self, options=RunOptions.parse({**self.options.model_dump(), **changes}))

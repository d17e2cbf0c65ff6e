"""How far a training is. Imports no torch, so the process that displays progress starts quickly."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a training is."""

    step: int
    steps: int
    loss: float
    """Mean training loss since the last point of the curve."""
    accuracy: float
    """Training accuracy over the same batches, 0 to 1."""
    samples_per_second: float

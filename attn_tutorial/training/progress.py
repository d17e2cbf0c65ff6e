"""Where a training is. Free of torch, for the process that shows it may do without."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Where a training is."""

    step: int
    steps: int
    loss: float
    """Mean training loss since the last point of the curve."""
    accuracy: float
    """Training accuracy over the same batches, 0 to 1."""
    samples_per_second: float

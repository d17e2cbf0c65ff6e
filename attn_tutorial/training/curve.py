"""The learning curve of a training."""

import math
import time
from typing import Any

import torch
from torch import Tensor

from attn_tutorial.training.progress import Progress

_POINTS = 40


class LearningCurve:
    """Loss and training accuracy in about forty points, each a mean over the steps since the point before.

    The numbers of each step stay on the device. They are read only when a point is due, so no other step waits.

    Args:
        steps: the length of the training.
        batch_size: images per step.
        device: the device that trains.

    """

    def __init__(self, steps: int, batch_size: int, device: torch.device):
        self.step = 0
        """Steps made."""
        self.points: list[dict[str, float]] = []
        """Each with `samples` seen, mean `loss` and `accuracy`."""
        self._steps, self._batch_size = steps, batch_size
        self._every = max(1, steps // _POINTS)
        self._since = 0  # the step of the last point
        self._recent = torch.zeros(self._every + steps % self._every, 2, device=device)
        self._start_clock()

    def add(self, loss_and_accuracy: Tensor) -> None:
        """Add what one step gave: loss and accuracy, float (2,), on the device."""
        self._recent[self.step - self._since] = loss_and_accuracy
        self.step += 1

    def due(self) -> bool:
        """Return whether a point follows this step. The last one also covers the steps that are left over."""
        left = self._steps - self.step
        return left == 0 or (self.step % self._every == 0 and left >= self._every)

    def divergence(self) -> tuple[int, float] | None:
        """Return the first step since the last point whose loss is not finite, counted from 1, and this loss."""
        losses = self._recent[: self.step - self._since, 0].tolist()
        return next(((self._since + i, loss) for i, loss in enumerate(losses, 1) if not math.isfinite(loss)), None)

    def add_point(self) -> Progress:
        """Add a point, and return how far the training is."""
        seconds = time.perf_counter() - self._clock[1]
        loss, accuracy = self._recent[: self.step - self._since].mean(0).tolist()
        self.points.append({"samples": self.step * self._batch_size, "loss": loss, "accuracy": accuracy})
        rate = (self.step - self._clock[0]) * self._batch_size / seconds
        self._since = self.step
        self._start_clock()
        return Progress(self.step, self._steps, loss, accuracy, rate)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint contains of the curve."""
        return {"step": self.step, "since": self._since, "recent": self._recent, "curve": self.points}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue a curve from a checkpoint's state."""
        self.step, self._since, self._recent, self.points = (
            state[name] for name in ("step", "since", "recent", "curve")
        )
        self._start_clock()

    def _start_clock(self) -> None:
        """Measure the speed from here: from the last point, or from the step at which the run was resumed."""
        self._clock = self.step, time.perf_counter()

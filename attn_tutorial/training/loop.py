"""The training loop: from a `RunSpec` to a trained network, resumable at any moment to the same bits."""

import contextlib
import math
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from attn_tutorial.clutter import Batches
from attn_tutorial.datasets import ImageSet
from attn_tutorial.spec import RunSpec
from attn_tutorial.training.checkpoint import load_checkpoint, save_checkpoint
from attn_tutorial.training.machine import Execution, thread_count
from attn_tutorial.training.model import build_model, train_clutter
from attn_tutorial.training.optimisers import make_optimisers, set_learning_rates
from attn_tutorial.training.progress import Progress

_POINTS = 40
"""Points of a learning curve; the loss is read from the device only then."""


@dataclass
class Trained:
    """A trained network and how it came about."""

    model: nn.Module
    execution: Execution
    """How the machine computed it."""
    curve: list[dict[str, float]] = field(default_factory=list)
    """Points with `samples` seen, mean `loss` and training `accuracy` since the point before."""
    seconds: float = 0.0
    """Of training, those before an interruption included; rendering included, evaluation not."""
    resumed_at: list[int] = field(default_factory=list)
    """Steps at which the run was resumed from a checkpoint."""


class Diverged(RuntimeError):
    """The loss became NaN or infinite."""

    def __init__(self, step: int, steps: int, loss: float, trained: Trained):
        super().__init__(f"the loss became {loss} at step {step} of {steps}: lower the learning rates")
        self.step = step
        """The step, counted from 1, whose loss was the first that is not finite."""
        self.trained = trained
        """The network as it is, and its curve until then."""


class OutOfMemory(RuntimeError):
    """The device has no memory for a step."""


class Stopped(RuntimeError):
    """The run was asked to stop, and has left a checkpoint to go on from."""


def fit(
    spec: RunSpec,
    train: ImageSet,
    checkpoints: Path | None = None,
    checkpoint_every: float = 60.0,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
    precision: str = "auto",
) -> Trained:
    """Train a run from its start, or from its newest checkpoint where there is one.

    Args:
        spec: the run.
        train: the training images, on the device that trains.
        checkpoints: folder of this run's checkpoints; without one nothing is written.
        checkpoint_every: seconds between checkpoints.
        on_progress: called at every point of the learning curve.
        should_stop: asked after every step; when true, a checkpoint is written and `Stopped` raised.
        precision: "float32", "bfloat16", or "auto": bfloat16 where the device computes in it.

    The same spec, images, machine, precision and number of threads give the same weights bit for bit, interrupted or
    not: a resumed run goes on with the precision, memory format and number of threads that it began with.

    Raises `Diverged` when the loss is no longer finite, `OutOfMemory`, `ValueError` when the spec does not fit the
    images, `InputError` when `checkpoints` holds those of another run.

    """
    if spec.data.train_images is not None:
        train = train.take(spec.data.train_images)
    recipe, device = spec.training, train.images.device
    batches = Batches(train, train_clutter(spec), recipe.batch_size)
    steps = recipe.samples // recipe.batch_size
    if steps < 1:
        raise ValueError(
            f"samples {recipe.samples} is less than one batch of {recipe.batch_size}: raise samples or lower batch_size"
        )
    run_id = spec.run_id(train.fingerprint)
    state = load_checkpoint(checkpoints, run_id, device) if checkpoints else None
    execution = (
        Execution(**state["execution"])
        if state
        else Execution.choose(device, precision, spec.backbone, spec.clutter.canvas)
    )
    with _surroundings(spec.seed, execution, device):
        model = execution.place(build_model(spec, train), device)
        optimisers = make_optimisers(model, recipe)
        trained = Trained(model, execution)
        every = max(1, steps // _POINTS)
        recent = torch.zeros(every + steps % every, 2, device=device)  # loss and accuracy since the last point
        first, since = 0, 0
        if state:
            model.load_state_dict(state["model"])
            for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
                optimiser.load_state_dict(saved)
            first, since, recent = state["step"], state["since"], state["recent"]
            trained.curve, trained.seconds = state["curve"], state["seconds"]
            trained.resumed_at = [*state["resumed_at"], first]
            _set_random_state(state["random"], device)

        def save(step: int) -> bool:
            if not checkpoints:
                return False
            saved: dict[str, Any] = {
                "model": model.state_dict(),
                "optimisers": [optimiser.state_dict() for optimiser in optimisers],
                "step": step,
                "since": since,
                "recent": recent,
                "curve": trained.curve,
                "seconds": before + time.perf_counter() - began,
                "resumed_at": trained.resumed_at,
                "execution": execution.as_dict(),
                "random": _random_state(device),
            }
            try:
                save_checkpoint(checkpoints, run_id, step, saved, device)
            except OSError as error:
                # Hours of training are worth more than the checkpoint: it goes on, and tries again next time.
                warnings.warn(f"no checkpoint was written to {checkpoints} ({error}): free some space", stacklevel=3)
                return False
            return True

        stepping: Any = torch.compile(model) if execution.compiled else model
        model.train()
        before, began = trained.seconds, time.perf_counter()
        saved_at = point_at = began
        for step in range(first, steps):
            x, label = batches.at(step)
            set_learning_rates(optimisers, recipe, step, steps)
            recent[step - since] = train_step(stepping, optimisers, x, label, recipe.label_smoothing, execution)
            done = step + 1
            if (done % every == 0 and steps - done >= every) or done == steps:
                now = time.perf_counter()
                losses = recent[: done - since, 0].tolist()
                trained.seconds = before + now - began
                if bad := [place for place, loss in enumerate(losses) if not math.isfinite(loss)]:
                    raise Diverged(since + bad[0] + 1, steps, losses[bad[0]], trained)
                loss, accuracy = recent[: done - since].mean(0).tolist()
                trained.curve.append({"samples": done * recipe.batch_size, "loss": loss, "accuracy": accuracy})
                rate = (done - max(since, first)) * recipe.batch_size / (now - point_at)
                on_progress(Progress(done, steps, loss, accuracy, rate))
                since, point_at = done, now
            if should_stop() and done < steps:
                where = "there" if save(done) else "its last checkpoint, or from the start if there is none"
                raise Stopped(f"stopped after step {done} of {steps}; the same command goes on from {where}")
            if time.perf_counter() - saved_at >= checkpoint_every:
                save(done)
                saved_at = time.perf_counter()
        save(steps)
    return trained


def train_step(
    model: nn.Module,
    optimisers: list[Optimizer],
    x: Tensor,
    label: Tensor,
    label_smoothing: float,
    execution: Execution,
) -> Tensor:
    """Make one step; returns the batch's loss and accuracy, (2,), left on the device so that nothing waits for it."""
    if execution.memory_format == "contiguous":
        x = x.contiguous()
    with execution.autocast(x.device):
        logits = model(x).float()
        loss = functional.cross_entropy(logits, label, label_smoothing=label_smoothing)
    for optimiser in optimisers:
        optimiser.zero_grad(set_to_none=True)
    loss.backward()
    for optimiser in optimisers:
        optimiser.step()
    return torch.stack((loss.detach(), (logits.detach().argmax(1) == label).float().mean()))


@contextlib.contextmanager
def _surroundings(seed: int, execution: Execution, device: torch.device) -> Iterator[None]:
    """Random numbers of the run's own (a block may draw some), its threads, and an explanation where memory ends."""
    devices = [device] if device.type == "cuda" else []
    deterministic = torch.backends.cudnn.flags(deterministic=True, benchmark=False)
    with torch.random.fork_rng(devices), thread_count(execution.threads), deterministic:
        torch.manual_seed(seed)
        try:
            yield
        except RuntimeError as error:
            if not (isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)):
                raise
            raise OutOfMemory(
                f"{device.type} has no memory for a step ({str(error).splitlines()[0]}): lower the batch size, the "
                "width or the canvas, or train fewer runs at a time (workers)"
            ) from None


def _random_state(device: torch.device) -> list[Tensor]:
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def _set_random_state(states: list[Tensor], device: torch.device) -> None:
    torch.set_rng_state(states[0].cpu())
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1].cpu(), device)

"""The training loop: from a `RunSpec` to a trained network, resumable at any moment to the same bits."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Optimizer

from attn_tutorial.datasets import Batches, ImageSet
from attn_tutorial.spec import RunSpec, TrainingSpec
from attn_tutorial.training.checkpoint import load_checkpoint, save_checkpoint
from attn_tutorial.training.model import build_model, train_clutter
from attn_tutorial.training.muon import Muon

_POINTS = 40
"""Points of a learning curve; the loss is read from the device only then."""


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


@dataclass
class Trained:
    """A trained network and how it came about."""

    model: nn.Module
    curve: list[dict[str, float]]
    """Points with `samples` seen, mean `loss` and training `accuracy` since the point before."""
    seconds: float
    """Of training, those before an interruption included; rendering included, evaluation not."""
    samples: int
    resumed_at: list[int] = field(default_factory=list)
    """Steps at which the run was resumed from a checkpoint."""


class Diverged(RuntimeError):
    """The loss became NaN or infinite."""


class Stopped(RuntimeError):
    """The run was asked to stop, and has left a checkpoint to go on from."""


def fit(
    spec: RunSpec,
    train: ImageSet,
    checkpoints: Path | None = None,
    checkpoint_every: float = 60.0,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Trained:
    """Train a run from its start, or from its newest checkpoint where there is one.

    Args:
        spec: the run.
        train: the training images, on the device that trains.
        checkpoints: folder of this run's checkpoints; without one nothing is written.
        checkpoint_every: seconds between checkpoints.
        on_progress: called at every point of the learning curve.
        should_stop: asked after every step; when true, a checkpoint is written and `Stopped` raised.

    The same spec, images, machine and number of threads give the same weights bit for bit, interrupted or not.
    Raises `Diverged` when the loss is no longer finite, `ValueError` when the spec does not fit the images.

    """
    if spec.data.train_images is not None:
        train = train.take(spec.data.train_images)
    recipe = spec.training
    batches = Batches(train, train_clutter(spec), recipe.batch_size)
    steps = recipe.samples // recipe.batch_size
    if steps < 1:
        raise ValueError(
            f"samples {recipe.samples} is less than one batch of {recipe.batch_size}: raise samples or lower batch_size"
        )
    device = train.images.device
    model = build_model(spec, train)
    optimisers = make_optimisers(model, recipe)
    trained = Trained(model, [], 0.0, steps * recipe.batch_size)
    totals = torch.zeros(2, device=device)
    first, since = 0, 0

    state = load_checkpoint(checkpoints, device) if checkpoints else None
    if state is not None:
        model.load_state_dict(state["model"])
        for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        first, since, totals = state["step"], state["since"], state["totals"]
        trained.curve, trained.seconds = state["curve"], state["seconds"]
        trained.resumed_at = [*state["resumed_at"], first]

    def save(step: int) -> None:
        if checkpoints:
            saved: dict[str, Any] = {
                "model": model.state_dict(),
                "optimisers": [optimiser.state_dict() for optimiser in optimisers],
                "step": step,
                "since": since,
                "totals": totals,
                "curve": trained.curve,
                "seconds": before + time.perf_counter() - began,
                "resumed_at": trained.resumed_at,
            }
            save_checkpoint(checkpoints, step, saved, device)

    model.train()
    before, began = trained.seconds, time.perf_counter()
    saved_at = point_at = began
    every = max(1, steps // _POINTS)
    for step in range(first, steps):
        x, label = batches.at(step)
        for optimiser, peaks in zip(optimisers, _peaks(recipe), strict=True):
            for group in optimiser.param_groups:
                group["lr"] = peaks * schedule(step, steps, recipe.warmup)
        totals += train_step(model, optimisers, x, label, recipe.label_smoothing)
        done = step + 1
        if done % every == 0 or done == steps:
            now = time.perf_counter()
            loss, accuracy = (totals / (done - since)).tolist()
            if not torch.isfinite(torch.tensor(loss)):
                raise Diverged(
                    f"the loss became {loss} between steps {since} and {done} of {steps}: lower the learning rates"
                )
            trained.curve.append({"samples": done * recipe.batch_size, "loss": loss, "accuracy": accuracy})
            rate = (done - max(since, first)) * recipe.batch_size / (now - point_at)
            on_progress(Progress(done, steps, loss, accuracy, rate))
            totals, since, point_at = torch.zeros_like(totals), done, now
        if should_stop() and done < steps:
            save(done)
            raise Stopped(f"stopped after step {done} of {steps}; the same command goes on from there")
        if time.perf_counter() - saved_at >= checkpoint_every:
            save(done)
            saved_at = time.perf_counter()
    if device.type == "cuda":
        torch.cuda.synchronize()
    trained.seconds = before + time.perf_counter() - began
    save(steps)
    return trained


def train_step(
    model: nn.Module, optimisers: list[Optimizer], x: Tensor, label: Tensor, label_smoothing: float
) -> Tensor:
    """Make one step; returns the batch's loss and accuracy, (2,), left on the device so that nothing waits for it."""
    precision = torch.autocast("cuda", torch.bfloat16) if x.is_cuda else contextlib.nullcontext()
    with precision:
        logits = model(x)
        loss = functional.cross_entropy(logits, label, label_smoothing=label_smoothing)
    for optimiser in optimisers:
        optimiser.zero_grad(set_to_none=True)
    loss.backward()
    for optimiser in optimisers:
        optimiser.step()
    return torch.stack((loss.detach(), (logits.detach().argmax(1) == label).float().mean()))


def make_optimisers(model: nn.Module, recipe: TrainingSpec) -> list[Optimizer]:
    """Nesterov SGD for all weights, or Muon for the backbone's convolutions and SGD for the rest, blocks included."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    in_slots = {id(weight) for block in model.slots().values() for weight in block.parameters()}  # type: ignore[operator]
    shaped = [weight for weight in weights if weight.ndim > 1 and id(weight) not in in_slots]
    filters = [weight for weight in shaped if weight.ndim == 4 and recipe.conv_optimizer == "muon"]
    moved = {id(weight) for weight in filters}
    decayed = [weight for weight in shaped if id(weight) not in moved]
    moved |= {id(weight) for weight in decayed}
    # Gains, biases and blocks are not shrunk: a gate pulled to its middle would be an effect of the decay.
    free = [weight for weight in weights if id(weight) not in moved]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": free, "weight_decay": 0.0}]
    sgd = SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.momentum > 0)
    return [sgd, Muon(filters)] if filters else [sgd]


def _peaks(recipe: TrainingSpec) -> tuple[float, ...]:
    return (recipe.lr, recipe.conv_lr) if recipe.conv_optimizer == "muon" else (recipe.lr,)


def schedule(step: int, steps: int, warmup: float) -> float:
    """Share of the peak learning rate at a step: a line up over the first `warmup` of the steps, then a line to 0."""
    rise = warmup * steps
    return min((step + 1) / rise if rise else 1.0, (steps - step) / (steps - rise), 1.0)

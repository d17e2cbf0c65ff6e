"""The training loop: from a `RunSpec` to a trained network, resumable at any moment to the same bits."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from attn_tutorial.clutter import Batches
from attn_tutorial.datasets import ImageSet
from attn_tutorial.spec import RunSpec
from attn_tutorial.training.checkpoint import Checkpoints
from attn_tutorial.training.curve import LearningCurve
from attn_tutorial.training.machine import Execution, thread_count
from attn_tutorial.training.model import build_model, network_input, train_clutter
from attn_tutorial.training.optimisers import make_optimisers, set_learning_rates
from attn_tutorial.training.progress import Progress
from attn_tutorial.training.supervision import Supervision, recorded_gates


@dataclass
class Trained:
    """A trained network and how it was trained."""

    model: nn.Module
    execution: Execution
    """How the machine computed it."""
    curve: list[dict[str, float]] = field(default_factory=list)
    """Points with `samples` seen, and mean `loss` and training `accuracy` since the point before."""
    seconds: float = 0.0
    """Duration of the training, including rendering and the time before an interruption, without evaluation."""
    resumed_at: list[int] = field(default_factory=list)
    """Steps at which the run was resumed from a checkpoint."""


class Diverged(RuntimeError):
    """The loss became NaN or infinite."""

    def __init__(self, step: int, steps: int, loss: float, trained: Trained):
        super().__init__(f"the loss became {loss} at step {step} of {steps}: lower the learning rates")
        self.step = step
        """The first step, counted from 1, whose loss is not finite."""
        self.trained = trained
        """The network as it is now, and its curve up to this step."""


class OutOfMemory(RuntimeError):
    """The device does not have enough memory for a step."""


class Stopped(RuntimeError):
    """The run was asked to stop, and has left a checkpoint to continue from."""


def fit(
    spec: RunSpec,
    train: ImageSet,
    checkpoints: Path | None = None,
    checkpoint_every: float = 60.0,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
    precision: str = "auto",
) -> Trained:
    """Train a run from its newest checkpoint, or from its start if there is none.

    The same spec, images, machine, precision and number of threads give the same weights bit for bit, interrupted or
    not: a resumed run continues with the precision, memory format and number of threads that it began with.

    Args:
        spec: the run.
        train: the training images, on the device that trains.
        checkpoints: the folder of this run's checkpoints; without one nothing is written.
        checkpoint_every: seconds between checkpoints.
        on_progress: called at every point of the learning curve.
        should_stop: asked after every step; if it returns True, a checkpoint is written and `Stopped` is raised.
        precision: "float32", "bfloat16", or "auto" for bfloat16 where the device supports it.

    Raises `Diverged` if the loss is not finite, `OutOfMemory`, `ValueError` if the spec does not fit the images, and
    `InputError` if `checkpoints` contains checkpoints of another run.

    """
    if spec.data.train_images is not None:
        train = train.take(spec.data.train_images)
    if (side := train.images.shape[1]) != spec.data.size:
        raise ValueError(
            f"`train` must have images of {spec.data.size} px (the run's data.size), but got {side} px. "
            f"Load them with load_images(..., size={spec.data.size}), or change data.size."
        )
    recipe, device = spec.training, train.images.device
    batches = make_batches(spec, train)
    steps = recipe.samples // recipe.batch_size
    if steps < 1:
        raise ValueError(f"`samples` must fill a batch of {recipe.batch_size}, but got {recipe.samples}. Raise it.")
    saved = Checkpoints(checkpoints, spec.run_id(train.fingerprint), device, checkpoint_every)
    state = saved.load()
    execution = (
        Execution(**state["execution"])
        if state
        else Execution.choose(device, precision, spec.backbone, spec.clutter.canvas)
    )
    if recipe.mask_loss:  # a compiled network does not show its gates
        execution = replace(execution, compiled=False)
    with _surroundings(spec.seed, execution, device):
        curve = LearningCurve(steps, recipe.batch_size, device)
        trained = Trained(execution.place(build_model(spec, train), device).train(), execution, curve.points)
        optimisers = make_optimisers(trained.model, recipe)
        if state:
            _resume(state, trained, optimisers, curve, device)
        model: Any = torch.compile(trained.model) if execution.compiled else trained.model
        began = time.perf_counter() - trained.seconds
        for step in range(curve.step, steps):
            x, label, taught = step_input(spec, batches, step)
            set_learning_rates(optimisers, recipe, step, steps)
            curve.add(train_step(model, optimisers, x, label, recipe.label_smoothing, execution, taught))
            trained.seconds = time.perf_counter() - began
            if curve.due():
                if divergence := curve.divergence():
                    first_bad, loss = divergence
                    raise Diverged(first_bad, steps, loss, trained)
                on_progress(curve.add_point())
            if should_stop() and curve.step < steps:
                written = saved.save(_state(trained, optimisers, curve, device))
                where = "there" if written else "its last checkpoint, or from the start if there is none"
                raise Stopped(f"stopped after step {curve.step} of {steps}; the same command continues from {where}")
            if saved.due():
                saved.save(_state(trained, optimisers, curve, device))
        saved.save(_state(trained, optimisers, curve, device))
    return trained


def make_batches(spec: RunSpec, train: ImageSet) -> Batches:
    """Return the training batches of a run, with the targets' masks if its network or its loss needs them."""
    masks = spec.oracle is not None or spec.training.mask_loss > 0
    return Batches(train, train_clutter(spec), spec.training.batch_size, masks)


def step_input(spec: RunSpec, batches: Batches, step: int) -> tuple[Tensor, Tensor, Supervision | None]:
    """Return what `train_step` needs of a run's batch: the network's input, the labels, and the second loss or None.

    Args:
        spec: the run.
        batches: its batches, from `make_batches`.
        step: the number of the step, from 0.

    """
    x, label = batches.at(step)
    if not batches.masks:
        return x, label, None
    visible, weight = batches.masks_at(step), spec.training.mask_loss
    return network_input(x, visible, spec.oracle), label, Supervision(weight, visible) if weight else None


def train_step(
    model: nn.Module,
    optimisers: list[Optimizer],
    x: Tensor,
    label: Tensor,
    label_smoothing: float,
    execution: Execution,
    taught: Supervision | None = None,
) -> Tensor:
    """Make one step; return the batch's loss and accuracy, (2,), left on the device so that nothing waits for it.

    With `taught` the loss has a second part, which pulls the spatial gates of the network, a `ResNet`, towards the
    targets' masks.
    """
    if execution.memory_format == "contiguous":
        x = x.contiguous()
    slots = model.slots() if taught else {}  # type: ignore[operator]
    with recorded_gates(slots) as gates, execution.autocast(x.device):
        logits = model(x).float()
        loss = functional.cross_entropy(logits, label, label_smoothing=label_smoothing)
    if taught:
        loss = loss + taught.loss(gates)
    for optimiser in optimisers:
        optimiser.zero_grad(set_to_none=True)
    loss.backward()
    for optimiser in optimisers:
        optimiser.step()
    return torch.stack((loss.detach(), (logits.detach().argmax(1) == label).float().mean()))


@contextlib.contextmanager
def _surroundings(seed: int, execution: Execution, device: torch.device) -> Iterator[None]:
    """Give a run its own random numbers (a block may draw some) and threads, and explain when memory runs out."""
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
                f"{device.type} does not have enough memory for a step ({str(error).splitlines()[0]}). Lower the batch "
                "size, the width or the canvas, or train fewer runs at once (`workers`)."
            ) from None


def _state(trained: Trained, optimisers: list[Optimizer], curve: LearningCurve, device: torch.device) -> dict[str, Any]:
    """Return all that a checkpoint needs, so that a resumed run ends with the same bits."""
    return {
        "model": trained.model.state_dict(),
        "optimisers": [optimiser.state_dict() for optimiser in optimisers],
        **curve.state_dict(),
        "seconds": trained.seconds,
        "resumed_at": trained.resumed_at,
        "execution": trained.execution.as_dict(),
        "random": [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])],
    }


def _resume(
    state: dict[str, Any], trained: Trained, optimisers: list[Optimizer], curve: LearningCurve, device: torch.device
) -> None:
    """Continue from a checkpoint's state."""
    trained.model.load_state_dict(state["model"])
    for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
        optimiser.load_state_dict(saved)
    curve.load_state_dict(state)
    trained.curve, trained.seconds = curve.points, state["seconds"]
    trained.resumed_at = [*state["resumed_at"], curve.step]
    torch.set_rng_state(state["random"][0].cpu())
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["random"][1].cpu(), device)

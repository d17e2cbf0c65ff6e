"""How fast a network trains and predicts on this machine, measured over a few steps."""

import time
from collections.abc import Callable

import torch

from attn_tutorial.datasets import CLASS_COUNT
from attn_tutorial.spec import RunSpec
from attn_tutorial.training.loop import train_step
from attn_tutorial.training.machine import Execution, choose_device, native_precision, thread_count
from attn_tutorial.training.model import build_network, network_input
from attn_tutorial.training.optimisers import make_optimisers, set_learning_rates
from attn_tutorial.training.supervision import Supervision


def seconds_per_image(spec: RunSpec, device: str, batch: int, steps: int) -> tuple[float, float]:
    """Time training steps and forward passes of a run's network on empty canvases, on one thread.

    Args:
        spec: the run.
        device: "auto", "cpu", "cuda" or "mps".
        batch: canvases per step.
        steps: how many steps are timed, after one to warm up; the fastest counts.

    Returns:
        Seconds per image of a training step, and of a forward pass.

    """
    where = choose_device(device)
    execution = Execution(native_precision(where), "channels_last", threads=1, compiled=False)
    with thread_count(1):
        model = execution.place(build_network(spec, CLASS_COUNT), where)
        optimisers = make_optimisers(model, spec.training)
        set_learning_rates(optimisers, spec.training, 0, 1)
        mask = torch.ones(batch, spec.clutter.canvas, spec.clutter.canvas, dtype=torch.bool, device=where)
        x = torch.zeros(batch, 3, spec.clutter.canvas, spec.clutter.canvas, device=where)
        x = network_input(x.to(memory_format=torch.channels_last), mask, spec.oracle)
        taught = Supervision(spec.training.mask_loss, mask) if spec.training.mask_loss else None
        label = torch.zeros(batch, dtype=torch.int64, device=where)

        def train() -> None:
            train_step(model, optimisers, x, label, 0.0, execution, taught)

        @torch.inference_mode()
        def predict() -> None:
            model(x)

        training = _fastest(train, steps, where)
        model.eval()
        return training / batch, _fastest(predict, steps, where) / batch


def _fastest(work: Callable[[], None], steps: int, device: torch.device) -> float:
    seconds = []
    for _ in range(1 + steps):
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:])

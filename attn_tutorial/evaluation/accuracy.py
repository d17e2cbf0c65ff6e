"""Accuracy of a trained network over clutter types and severities."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from attn_tutorial.datasets import Clutter, ImageSet, to_input
from attn_tutorial.spec import RunSpec

_BATCH = 250
_TEST_SEED = 0  # the test canvases are the same for every run, whatever its own seed


@torch.inference_mode()
def accuracy_by_severity(
    model: nn.Module, spec: RunSpec, test: ImageSet, should_stop: Callable[[], bool] = lambda: False
) -> list[dict[str, Any]]:
    """Test a network on every composition of types at every severity that its spec names.

    Args:
        model: the trained network, on the images' device; it is put into evaluation mode.
        spec: says which types, severities and how many images.
        test: the test images; their fragments come from their own bank.
        should_stop: asked between batches; when true, `InterruptedError` is raised.

    Returns:
        one row for each composition and severity: `types`, `severity`, `accuracy` (0 to 1) and `images`. At severity 0
        every composition is the same weak background, and is tested once.

    """
    model.eval()
    if spec.evaluation.images is not None:
        test = test.take(spec.evaluation.images)

    @functools.cache
    def accuracy(types: tuple[str, ...], severity: int) -> float:
        clutter = Clutter(types, severity, spec.clutter.canvas, seed=_TEST_SEED)
        correct = torch.zeros((), dtype=torch.int64, device=test.images.device)
        for indices in torch.arange(len(test), device=test.images.device).split(_BATCH):
            if should_stop():
                raise InterruptedError("stopped while testing")
            batch = clutter.render(test, indices)
            correct += (model(to_input(batch.canvas)).argmax(1) == batch.label).sum()
        return correct.item() / len(test)

    return [
        {
            "types": types,
            "severity": severity,
            "accuracy": accuracy(tuple(types.split("+")) if severity else ("noise",), severity),
            "images": len(test),
        }
        for types in spec.evaluation.types
        for severity in spec.evaluation.severities
    ]

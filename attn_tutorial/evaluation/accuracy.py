"""Accuracy of a trained network over clutter types and severities."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from attn_tutorial.datasets import Clutter, ImageSet, to_input
from attn_tutorial.evaluation.recalibration import recalibrated
from attn_tutorial.spec import RunSpec

_BATCH = 250
_RECALIBRATION_IMAGES = 1000
_TEST_SEED = 0  # the test canvases are the same for every run, whatever its own seed


@torch.inference_mode()
def accuracy_by_severity(
    model: nn.Module, spec: RunSpec, test: ImageSet, train: ImageSet, should_stop: Callable[[], bool] = lambda: False
) -> list[dict[str, Any]]:
    """Test a network on every composition of types at every severity that its spec names.

    Args:
        model: the trained network, on the images' device; it is put into evaluation mode.
        spec: says which types, severities and how many images.
        test: the test images; their fragments come from their own bank.
        train: the training images, from which BatchNorm statistics are taken anew where the spec asks for it.
        should_stop: asked between batches; when true, `InterruptedError` is raised.

    Returns:
        one row for each composition and severity: `types`, `severity`, `accuracy` (0 to 1), `images`, and
        `recalibrated` (0 to 1, or None where not asked for). At severity 0 every composition is the same weak
        background, and is tested once.

    """
    model.eval()
    if spec.evaluation.images is not None:
        test = test.take(spec.evaluation.images)

    def clutter(types: tuple[str, ...], severity: int) -> Clutter:
        return Clutter(types, severity, seed=_TEST_SEED, **spec.clutter.render_options())

    def share_right(network: nn.Module, types: tuple[str, ...], severity: int) -> float:
        correct = torch.zeros((), dtype=torch.int64, device=test.images.device)
        for indices in torch.arange(len(test), device=test.images.device).split(_BATCH):
            if should_stop():
                raise InterruptedError("stopped while testing")
            batch = clutter(types, severity).render(test, indices)
            correct += (network(to_input(batch.canvas)).argmax(1) == batch.label).sum()
        return correct.item() / len(test)

    @functools.cache
    def accuracy(types: tuple[str, ...], severity: int) -> float:
        return share_right(model, types, severity)

    @functools.cache
    def accuracy_recalibrated(types: tuple[str, ...], severity: int) -> float:
        parts = train.spread(_RECALIBRATION_IMAGES).split(_BATCH)
        renders = (clutter(types, severity).render(train, part) for part in parts)
        return share_right(recalibrated(model, (to_input(batch.canvas) for batch in renders)), types, severity)

    rows = []
    for name in spec.evaluation.types:
        for severity in spec.evaluation.severities:
            types = tuple(name.split("+")) if severity else ("noise",)
            again = accuracy_recalibrated(types, severity) if name in spec.evaluation.recalibrated else None
            rows.append(
                {
                    "types": name,
                    "severity": severity,
                    "accuracy": accuracy(types, severity),
                    "images": len(test),
                    "recalibrated": again,
                }
            )
    return rows

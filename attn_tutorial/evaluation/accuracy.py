"""Accuracy of a trained network over clutter types and severities."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from attn_tutorial.datasets import Clutter, ImageSet, to_input
from attn_tutorial.evaluation.recalibration import recalibrated
from attn_tutorial.evaluation.scores import scores
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
        one row for each composition and severity: `types`, `severity`, `images`, what `scores` says (`accuracy`, 0 to
        1, `per_class`, `ece`, `nll`, `brier`), and `recalibrated` (accuracy, or None where not asked for). At severity
        0 every composition is the same weak background, and is tested once.

    """
    model.eval()
    if spec.evaluation.images is not None:
        test = test.take(spec.evaluation.images)

    def clutter(types: tuple[str, ...], severity: int) -> Clutter:
        return Clutter(types, severity, seed=_TEST_SEED, **spec.clutter.render_options())

    def answers(network: nn.Module, types: tuple[str, ...], severity: int) -> dict[str, Any]:
        logits = []
        for indices in torch.arange(len(test), device=test.images.device).split(_BATCH):
            if should_stop():
                raise InterruptedError("stopped while testing")
            batch = clutter(types, severity).render(test, indices)
            logits.append(network(to_input(batch.canvas)).float())
        return scores(torch.cat(logits), test.labels)

    @functools.cache
    def as_trained(types: tuple[str, ...], severity: int) -> dict[str, Any]:
        return answers(model, types, severity)

    @functools.cache
    def accuracy_recalibrated(types: tuple[str, ...], severity: int) -> float:
        parts = train.spread(_RECALIBRATION_IMAGES).split(_BATCH)
        renders = (clutter(types, severity).render(train, part) for part in parts)
        network = recalibrated(model, (to_input(batch.canvas) for batch in renders))
        return float(answers(network, types, severity)["accuracy"])

    rows = []
    for name in spec.evaluation.types:
        for severity in spec.evaluation.severities:
            types = tuple(name.split("+")) if severity else ("noise",)
            again = accuracy_recalibrated(types, severity) if name in spec.evaluation.recalibrated else None
            rows.append(
                {
                    "types": name,
                    "severity": severity,
                    "images": len(test),
                    **as_trained(types, severity),
                    "recalibrated": again,
                }
            )
    return rows

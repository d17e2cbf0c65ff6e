"""Accuracy of a trained network over clutter types and severities."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from attn_tutorial.clutter import CanvasBatch, to_input
from attn_tutorial.datasets import ImageSet
from attn_tutorial.evaluation.canvases import BATCH, RECALIBRATION_CANVASES, clutter_of_test
from attn_tutorial.evaluation.recalibration import recalibrated
from attn_tutorial.evaluation.scoring import scores
from attn_tutorial.spec import RunSpec
from attn_tutorial.training import network_input


@torch.inference_mode()
def accuracy_by_severity(
    model: nn.Module, spec: RunSpec, test: ImageSet, train: ImageSet, should_stop: Callable[[], bool] = lambda: False
) -> list[dict[str, Any]]:
    """Test a network on every composition of types at every severity that its spec names.

    Args:
        model: the trained network, on the images' device; it is put into evaluation mode.
        spec: the run, which names the types, the severities and the number of images.
        test: the test images; their fragments come from their own bank.
        train: the training images, for new BatchNorm statistics where the spec asks for them.
        should_stop: asked between batches; if it returns True, `InterruptedError` is raised.

    Returns:
        One row per composition and severity: `types`, `severity`, `images`, and the results of `scores` (`accuracy`, 0
        to 1, `per_class`, `ece`, `nll`, `brier`). `recalibrated` is the accuracy with new statistics, or None where the
        spec does not ask for it; the new statistics come from as many training canvases as there are test images, and
        at most 1,000. Where canvases show a smaller image of the target's own class, `own_class` is the accuracy on
        these, and `own_class_images` their number. At severity 0 every composition is the same weak background and is
        tested once.

    """
    model.eval()
    if spec.evaluation.images is not None:
        test = test.take(spec.evaluation.images)

    def inputs(batch: CanvasBatch) -> Tensor:
        return network_input(to_input(batch.canvas), batch.visible_mask, spec.oracle)

    @functools.cache
    def tested(name: str, severity: int, recalibrate: bool) -> tuple[dict[str, Any], float | None]:
        """Return the network's scores and, if asked for, its accuracy with new statistics on the same canvases."""
        clutter = clutter_of_test(spec, name, severity)
        networks = [model]
        if recalibrate:
            parts = train.spread(min(len(test), RECALIBRATION_CANVASES)).split(BATCH)
            networks.append(recalibrated(model, (inputs(clutter.render(train, part)) for part in parts)))
        logits: list[list[Tensor]] = [[] for _ in networks]
        beside: list[Tensor] = []
        for indices in torch.arange(len(test), device=test.images.device).split(BATCH):
            if should_stop():
                raise InterruptedError("stopped while testing")
            batch = clutter.render(test, indices)
            beside.append(shows_own_class(batch))
            x = inputs(batch)
            for network, found in zip(networks, logits, strict=True):
                found.append(network(x).float())
        first, *rest = (scores(torch.cat(found), test.labels) for found in logits)
        if (own := torch.cat(beside)).any():
            right = torch.cat(logits[0])[own].argmax(1) == test.labels[own]
            first |= {"own_class": int(right.sum()) / len(right), "own_class_images": len(right)}
        return first, float(rest[0]["accuracy"]) if rest else None

    rows = []
    for name in spec.evaluation.types:
        for severity in spec.evaluation.severities:
            asked = name in spec.evaluation.recalibrated
            # At severity 0 all compositions share one test, which is recalibrated if any of them asks for it.
            key = (name, severity, asked) if severity else ("noise", 0, bool(spec.evaluation.recalibrated))
            found, recalibrated_accuracy = tested(*key)
            rows.append(
                {
                    "types": name,
                    "severity": severity,
                    "images": len(test),
                    **found,
                    "recalibrated": recalibrated_accuracy if asked else None,
                }
            )
    return rows


def shows_own_class(batch: CanvasBatch) -> Tensor:
    """Return which canvases show a smaller whole image (`crowd`) of the target's own class: bool (B,)."""
    whole = [layer == "crowd" for layer in batch.fragment_layer]
    return (batch.fragment_class[:, whole] == batch.label[:, None]).any(1)

"""Accuracy of a trained network in one clutter, and its answer to every image."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from attn_tutorial.clutter import CanvasBatch, Clutter, to_input
from attn_tutorial.datasets import ImageSet
from attn_tutorial.evaluation.canvases import BATCH, RECALIBRATION_CANVASES
from attn_tutorial.evaluation.names import NOT_TESTED
from attn_tutorial.evaluation.recalibration import recalibrated
from attn_tutorial.evaluation.scoring import scores
from attn_tutorial.spec import RunSpec
from attn_tutorial.training import network_input


class Answers:
    """A network's answers in one clutter, as its batches come in.

    Args:
        images: the test images.

    """

    def __init__(self, images: ImageSet):
        self._images = images
        self._logits: list[Tensor] = []
        self._positions: list[Tensor] = []
        self._beside: list[Tensor] = []

    def add(self, positions: Tensor, batch: CanvasBatch, logits: Tensor) -> None:
        """Take the logits (B, K) of a batch of canvases, whose images are at these positions, int64 (B,)."""
        self._positions.append(positions)
        self._logits.append(logits.float())
        self._beside.append(shows_own_class(batch))

    def scores(self) -> dict[str, Any]:
        """Return how many `images` there were, and the results of `scores`.

        Where canvases show a smaller image of the target's own class, also return `own_class`, the accuracy on these,
        and `own_class_images`, their number.
        """
        positions, order = torch.cat(self._positions).sort()
        logits, own = torch.cat(self._logits)[order], torch.cat(self._beside)[order]
        labels = self._images.labels[positions]
        found = {"images": len(labels), **scores(logits, labels)}
        if own.any():
            right = logits[own].argmax(1) == labels[own]
            found |= {"own_class": int(right.sum()) / len(right), "own_class_images": len(right)}
        return found

    def by_image(self) -> np.ndarray:
        """Return the class that the network named for each image, uint8 (N,); `NOT_TESTED` for the others."""
        named = np.full(len(self._images), NOT_TESTED, np.uint8)
        named[torch.cat(self._positions).cpu().numpy()] = torch.cat(self._logits).argmax(1).cpu().numpy()
        return named


def batches_of(
    images: ImageSet, positions: Tensor, clutter: Clutter, should_stop: Callable[[], bool]
) -> Iterable[tuple[Tensor, CanvasBatch]]:
    """Yield the canvases of some images in batches, each with its images' positions.

    Raises `InterruptedError` if `should_stop`, which is asked before each batch, returns True.
    """
    for part in positions.split(BATCH) if len(positions) else ():
        if should_stop():
            raise InterruptedError("stopped while testing")
        yield part, clutter.render(images, part)


def input_of(batch: CanvasBatch, spec: RunSpec) -> Tensor:
    """Return canvases as the input of a run's network."""
    return network_input(to_input(batch.canvas), batch.visible_mask, spec.oracle)


@torch.no_grad()
def recalibrated_accuracy(
    model: nn.Module, spec: RunSpec, test: ImageSet, train: ImageSet, positions: Tensor, clutter: Clutter
) -> float:
    """Return the accuracy, 0 to 1, with BatchNorm statistics of the clutter of the test.

    The statistics come from as many training canvases in this clutter as images are tested, and at most 1,000.
    """
    parts = train.spread(min(len(positions), RECALIBRATION_CANVASES)).split(BATCH)
    network = recalibrated(model, (input_of(clutter.render(train, part), spec) for part in parts))
    right = 0
    for part, batch in batches_of(test, positions, clutter, lambda: False):
        right += int((network(input_of(batch, spec)).argmax(1) == test.labels[part]).sum())
    return right / len(positions)


def shows_own_class(batch: CanvasBatch) -> Tensor:
    """Return which canvases show a smaller whole image (`crowd`) of the target's own class: bool (B,)."""
    whole = [layer == "crowd" for layer in batch.fragment_layer]
    return (batch.fragment_class[:, whole] == batch.label[:, None]).any(1)

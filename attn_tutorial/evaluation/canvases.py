"""The canvases that a trained network is tested on: the same for every run, whatever its own seed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from attn_tutorial.backbones.names import Oracle
from attn_tutorial.clutter import CanvasBatch, Clutter, to_input
from attn_tutorial.datasets import ImageSet
from attn_tutorial.spec import RunSpec
from attn_tutorial.training import network_input

BATCH = 250
RECALIBRATION_CANVASES = 1000
_TEST_SEED = 0
_GROUP = 50
"""Canvases whose maps are in memory at once: a Non-local map of 48 × 48 places takes 21 MB per canvas."""


def clutter_of_test(spec: RunSpec, composition: str, severity: int) -> Clutter:
    """Return the clutter of a test; at severity 0 every composition is the same weak background."""
    types = tuple(composition.split("+")) if severity else ("noise",)
    return Clutter(types, severity, seed=_TEST_SEED, **spec.clutter.render_options())


@dataclass(frozen=True)
class Group:
    """Equally many canvases per class, so that every canvas has a partner of its own class and one of another."""

    batch: CanvasBatch
    same_class: Tensor | None
    """int64 (B,): for each canvas, the place in the group of another canvas of its class; None if there is none."""
    other_class: Tensor
    """int64 (B,): for each canvas, the place in the group of a canvas of another class."""
    oracle: Oracle | None = None
    """Whether the network is also told where the target is: the field `oracle` of its run's spec."""

    def __len__(self) -> int:
        return len(self.batch.label)

    def input(self) -> Tensor:
        """Return the canvases as network input, see `training.network_input`."""
        return network_input(to_input(self.batch.canvas), self.batch.visible_mask, self.oracle)


@dataclass(frozen=True)
class Groups:
    """Rendered groups, which can be iterated over many times."""

    groups: tuple[Group, ...]
    should_stop: Callable[[], bool]
    """Asked before each group; if it returns True, `InterruptedError` is raised."""

    def __iter__(self) -> Iterator[Group]:
        for group in self.groups:
            if self.should_stop():
                raise InterruptedError("stopped while testing")
            yield group

    def __len__(self) -> int:
        return len(self.groups)


def groups_of(
    images: ImageSet,
    count: int,
    clutter: Clutter,
    should_stop: Callable[[], bool] = lambda: False,
    oracle: Oracle | None = None,
) -> Groups:
    """Render the first `count` / classes images of each class in groups, or fewer if a class has fewer images.

    In a group the classes take turns. The partner of the same class is its next image, in a ring. The partner of
    another class is from the next class in the first turn, from the class after it in the second turn, and so on.

    Args:
        images: images of at least two classes.
        count: the number of images.
        clutter: the clutter in which they are rendered.
        should_stop: see `Groups`.
        oracle: see `Group`.

    """
    classes = len(images.classes)
    each = min(count // classes, *(int((images.labels == label).sum()) for label in range(classes)))
    if not each:
        return Groups((), should_stop)
    device = images.labels.device
    place = torch.stack([torch.nonzero(images.labels == label)[:each, 0] for label in range(classes)], 1)
    turn, own = torch.arange(each, device=device)[:, None], torch.arange(classes, device=device)
    partner = (own + 1 + turn % (classes - 1)) % classes  # each, classes
    pieces = max(1, each // max(2, _GROUP // classes))

    def render(chosen: Tensor, partners: Tensor) -> Group:
        grid = torch.arange(chosen.numel(), device=device).view(chosen.shape)
        return Group(
            clutter.render(images, chosen.flatten()),
            grid.roll(-1, 0).flatten() if len(chosen) > 1 else None,
            grid.gather(1, partners).flatten(),
            oracle,
        )

    return Groups(tuple(map(render, place.tensor_split(pieces), partner.tensor_split(pieces))), should_stop)

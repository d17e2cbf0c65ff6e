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
_ORDER_SEED = 0
_GROUP = 50
"""Canvases whose maps are in memory at once: a Non-local map of 48 × 48 places takes 21 MB per canvas."""
_ELSEWHERE = 1
"""The epoch whose clutter is drawn for the same targets in other clutter; tests use epoch 0."""


def clutter_of_test(spec: RunSpec, composition: str, severity: int) -> Clutter:
    """Return the clutter of a test; at severity 0 every composition is the same weak background."""
    types = tuple(composition.split("+")) if severity else ("noise",)
    return Clutter(types, severity, seed=_TEST_SEED, **spec.clutter.render_options())


@dataclass(frozen=True)
class Group:
    """Some canvases of random images, with two canvases whose gates each of them could get instead of its own.

    One is another canvas of the group, of a random image. The other shows the same target at another place in other
    clutter. Neither is chosen by the label, which would tell the network the class.
    """

    images: ImageSet
    positions: Tensor
    """int64 (B,): which images are the targets."""
    clutter: Clutter
    batch: CanvasBatch
    oracle: Oracle | None = None
    """Whether the network is also told where the target is: the field `oracle` of its run's spec."""

    def __len__(self) -> int:
        return len(self.positions)

    def input(self) -> Tensor:
        """Return the canvases as network input, see `training.network_input`."""
        return self._input_of(self.batch)

    def input_elsewhere(self) -> Tensor:
        """Return the same targets in other clutter at other places, in the same order, as network input."""
        return self._input_of(self.clutter.render(self.images, self.positions, _ELSEWHERE))

    def _input_of(self, batch: CanvasBatch) -> Tensor:
        return network_input(to_input(batch.canvas), batch.visible_mask, self.oracle)


@dataclass(frozen=True)
class Groups:
    """Groups of canvases, which are rendered one at a time, and again each time that they are iterated over."""

    images: ImageSet
    positions: Tensor
    """int64 (N,): the targets, in an order of their own."""
    clutter: Clutter
    should_stop: Callable[[], bool] = lambda: False
    """Asked before each group; if it returns True, `InterruptedError` is raised."""
    oracle: Oracle | None = None

    def __iter__(self) -> Iterator[Group]:
        for part in self.positions.tensor_split(len(self)) if len(self) else ():
            if self.should_stop():
                raise InterruptedError("stopped while testing")
            yield Group(self.images, part, self.clutter, self.clutter.render(self.images, part), self.oracle)

    def __len__(self) -> int:
        return -(-len(self.positions) // _GROUP)


def groups_of(
    images: ImageSet,
    count: int,
    clutter: Clutter,
    should_stop: Callable[[], bool] = lambda: False,
    oracle: Oracle | None = None,
) -> Groups:
    """Return the first `count` / classes images of each class, or fewer if a class has fewer, as groups of canvases.

    They are in a random order, which is the same each time, so neighbours are of random classes.

    Args:
        images: images of at least two classes.
        count: the number of images.
        clutter: the clutter in which they are rendered.
        should_stop: see `Groups`.
        oracle: see `Group`.

    """
    fewest = int(torch.bincount(images.labels, minlength=len(images.classes)).min())
    each = min(count // len(images.classes), fewest)
    first = images.first(each * len(images.classes)) if each else images.labels[:0]
    order = torch.randperm(len(first), generator=torch.Generator().manual_seed(_ORDER_SEED)).to(first.device)
    return Groups(images, first[order], clutter, should_stop, oracle)

"""The map-style data set of canvases, for `torch.utils.data.DataLoader`."""

import copy
from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch.utils.data import Dataset
from torchvision import tv_tensors

from attn_tutorial.clutter.checks import check_epoch
from attn_tutorial.clutter.renderer import CanvasBatch, Clutter
from attn_tutorial.datasets.images import ImageSet


class ClutterDataset(Dataset[Any]):
    """Gives the canvases of an image set as a map-style data set.

    Sample *i* shows image *i*. Its pixels are a pure function of the clutter's seed, the split, the image and the
    epoch, whatever the batch size, the order, the number of workers and how they start.

    Args:
        images: from `as_image_set` or `load_images`.
        clutter: what is drawn around them.
        epoch: see `set_epoch`; 0 for test.
        fragments: the images that distractors are cut from; see `Clutter.render`.
        records: False: a sample is (canvas, label), uint8 (3, H, H) and int. True: a sample is a dict with the fields
            of `CanvasBatch`: "canvas" a `tv_tensors.Image`, "visible_mask" (and "object_mask", where the images have
            masks) `tv_tensors.Mask` (H, H), "tile_box" `tv_tensors.BoundingBoxes` (1, 4) of format XYWH, "label" and
            "severity" int, "fragment_id" and "fragment_class" int64 (K,), "fragment_layer" a tuple of K names.
        transform: called with each sample as a whole. Transforms of `torchvision.transforms.v2` take both forms, leave
            labels alone, and move masks and boxes along with the canvas.

    Canvases are rendered a batch at a time where the loader fetches whole batches, as `DataLoader` does by default.
    This is several times faster than one by one.

    A copy (`copy.copy`, `copy.deepcopy`) starts at the same epoch and has its own from then on.

    Raises InputError in the cases in which `Clutter.render` raises it.

    """

    def __init__(
        self,
        images: ImageSet,
        clutter: Clutter,
        epoch: int = 0,
        fragments: ImageSet | None = None,
        records: bool = False,
        transform: Callable[[Any], Any] | None = None,
    ):
        self.images, self.clutter, self.fragments = images, clutter, fragments
        self.records, self.transform = records, transform
        self._epoch = _shared_epoch()
        self.set_epoch(epoch)
        # A trial, so that input that the renderer refuses is named here and not by a worker later.
        clutter.render(images, [0], fragments=fragments)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, 0 to 2^32-1, whose clutter is drawn. Call it before iterating over a loader."""
        check_epoch(epoch)
        self._epoch.fill_(epoch)

    def __copy__(self) -> Self:
        copied = object.__new__(type(self))
        vars(copied).update(vars(self), _epoch=_shared_epoch())
        copied.set_epoch(int(self._epoch))
        return copied

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._epoch.share_memory_()  # as in a new set; in a worker it is shared already

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copied = memo[id(self)] = copy.copy(self)
        # torch's copy of the epoch would not be shared with workers.
        fields = {name: value for name, value in vars(self).items() if name != "_epoch"}
        vars(copied).update(copy.deepcopy(fields, memo))
        return copied

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        # A range accepts negative positions, and raises IndexError after the last one, which ends an iteration.
        return self.__getitems__([range(len(self))[index]])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Return the samples at `indices`, rendered together."""
        batch = self.clutter.render(self.images, indices, int(self._epoch), self.fragments)
        samples = _records(batch) if self.records else list(zip(batch.canvas, batch.label.tolist(), strict=True))
        return samples if self.transform is None else [self.transform(sample) for sample in samples]


def _shared_epoch() -> torch.Tensor:
    """Return epoch 0, shared so that workers that outlive an epoch (persistent_workers=True) see the next one."""
    return torch.zeros((), dtype=torch.int64).share_memory_()


def _records(batch: CanvasBatch) -> list[dict[str, Any]]:
    size = tuple(batch.canvas.shape[-2:])
    columns: dict[str, Any] = {
        "canvas": map(tv_tensors.Image, batch.canvas),
        "label": batch.label.tolist(),
        "severity": batch.severity.tolist(),
        "tile_box": (tv_tensors.BoundingBoxes(box, format="XYWH", canvas_size=size) for box in batch.tile_box),
        "visible_mask": map(tv_tensors.Mask, batch.visible_mask),
        "fragment_id": batch.fragment_id,
        "fragment_class": batch.fragment_class,
        "fragment_layer": [batch.fragment_layer] * len(batch.label),
    }
    if batch.object_mask is not None:
        columns["object_mask"] = map(tv_tensors.Mask, batch.object_mask)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

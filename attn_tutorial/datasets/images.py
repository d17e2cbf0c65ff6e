"""Image sets as tensors: train and val are cut from the training file, test and bank from the test file."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from attn_tutorial.datasets.draws import below
from attn_tutorial.datasets.names import SPLITS
from attn_tutorial.datasets.store import check_choice, prepare
from attn_tutorial.errors import InputError

_CUTS = (("train", "train", "val"), ("test", "test", "bank"))
"""Of each file: its name, its first split and its second; `store.HELD_OUT` says how large the second is."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of one split, in the order of the file that it was cut from.

    images: uint8 (N, H, W, 3); labels: int64 (N,); index: int64 (N,), each image's position in that file;
    masks: bool (N, H, W), the object's silhouette, or None where it is not known;
    source: for people, where the images come from; fingerprint: sha256 of the whole set before it was split.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    split: str
    index: Tensor
    name: str
    source: str
    fingerprint: str
    masks: Tensor | None
    fragments: "ImageSet | None" = None
    """Where clutter's fragments come from, if not from this set itself: the bank, for "test"."""

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: str | torch.device) -> "ImageSet":
        """The same set with its tensors on ``device``."""
        return replace(
            self,
            images=self.images.to(device),
            labels=self.labels.to(device),
            index=self.index.to(device),
            masks=None if self.masks is None else self.masks.to(device),
            fragments=None if self.fragments is None else self.fragments.to(device),
        )

    def take(self, count: int) -> "ImageSet":
        """The first ``count`` / classes images of each class, in order.

        Raises ValueError where ``count`` is not a positive multiple of the number of classes, or a class has
        too few.
        """
        each, rest = divmod(count, len(self.classes))
        fewest = int(torch.bincount(self.labels, minlength=len(self.classes)).min())
        if each < 1 or rest or each > fewest:
            raise InputError(
                f"{count} images of {self.name} {self.split} were asked for. Allowed are multiples of "
                f"{len(self.classes)}, from {len(self.classes)} to {fewest * len(self.classes)}, so that "
                f"every class has as many. Ask for such a number, or give more images."
            )
        first = [torch.nonzero(self.labels == label)[:each, 0] for label in range(len(self.classes))]
        chosen = torch.cat(first).sort().values
        return replace(
            self,
            images=self.images[chosen],
            labels=self.labels[chosen],
            index=self.index[chosen],
            masks=None if self.masks is None else self.masks[chosen],
        )

    def pick(self, class_words: Tensor, member_words: Tensor, but: Tensor | None = None) -> Tensor:
        """Positions in this set drawn by 32-bit words (B, K): a class, each as likely, then one of its images.

        Where that is the image ``but`` (B,), the next one of its class is taken.
        """
        order, first, count = self._by_class
        label = below(class_words, len(self.classes))
        member = below(member_words, count[label])
        position = order[first[label] + member]
        if but is None:
            return position
        return torch.where(position == but[:, None], order[first[label] + (member + 1) % count[label]], position)

    @cached_property
    def _by_class(self) -> tuple[Tensor, Tensor, Tensor]:
        """Positions sorted by class; of each class, where it begins among them, and how many there are."""
        classes = torch.arange(len(self.classes), device=self.labels.device)
        count = (self.labels[:, None] == classes).sum(0)  # bincount would have a GPU's host wait
        if self.labels.device.type == "cpu" and int(count.min()) < 2:
            raise InputError(
                f"{self.name} {self.split} has a class of fewer than 2 images: fragments need at least 2 of each class"
            )
        return self.labels.argsort(stable=True), count.cumsum(0) - count, count


def load_images(
    name: str, split: str, root: str | Path = "data", source: str | Path | None = None
) -> ImageSet:
    """One split of an image set, decoded and cached by the first call.

    The last 10 % of each class of the training file are "val", the rest "train"; the last 20 % of each class
    of the test file are "bank" (reserved for fragments), the rest "test". Order is that of the file: class,
    then file name; in CIFAR-10's official archive its own.

    Args:
        name: "cifar10", "shapes", or "auto": CIFAR-10 if it is on disk, else shapes.
        split: "train", "val", "test" or "bank".
        root: the data folder.
        source: folder or archive of CIFAR-10; by default $ATTN_TUTORIAL_CIFAR10, else what ``root``/raw has.

    Raises:
        ValueError: unknown name or split, with near matches.
        ImageSourceError: see ``prepare``.

    """
    check_choice("split", split, SPLITS)
    prepared = prepare(name, root, source)
    file, first, _ = next(cut for cut in _CUTS if split in cut[1:])
    size = prepared.first_split[file]
    part = slice(0, size) if split == first else slice(size, None)
    masks = prepared.folder / f"{file}_masks.npy"
    return ImageSet(
        images=_mapped(prepared.folder / f"{file}_images.npy")[part],
        labels=_mapped(prepared.folder / f"{file}_labels.npy")[part],
        classes=prepared.classes,
        split=split,
        index=_mapped(prepared.folder / f"{file}_index.npy")[part],
        name=prepared.name,
        source=prepared.source,
        fingerprint=prepared.fingerprint,
        masks=_mapped(masks)[part] if masks.exists() else None,
        fragments=load_images(name, "bank", root, source) if split == "test" else None,
    )


def _mapped(file: Path) -> Tensor:
    # Copy-on-write: the tensor may be written to without the file changing, and processes share what they only read.
    return torch.from_numpy(np.load(file, mmap_mode="c"))

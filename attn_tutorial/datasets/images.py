"""Image sets as tensors: train and val are cut from the training file, test and bank from the test file."""

import os
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attn_tutorial.datasets.mapped import MappedPart, map_file, mapped_part, remember_rows
from attn_tutorial.datasets.names import SPLITS, TILE
from attn_tutorial.datasets.philox import below
from attn_tutorial.datasets.pixels import packed, padded, unpacked
from attn_tutorial.datasets.store import prepare_size
from attn_tutorial.errors import InputError, check_choice

_CUTS = (("train", "train", "val"), ("test", "test", "bank"))
"""For each file its name, its first split and its second; `store.HELD_OUT` says how large the second is."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """The images of one split, in the order of the file that it was cut from.

    A pickle of a set from `load_images` does not contain the pixels but the name of their file, which is mapped again
    where the pickle is loaded. So a pickle is for another process on the same machine, not to be kept.
    """

    images: Tensor
    """uint8 (N, H, W, 3), stored with four bytes a pixel."""
    labels: Tensor
    """int64 (N,)."""
    classes: tuple[str, ...]
    split: str
    index: Tensor
    """int64 (N,): each image's position in the file."""
    name: str
    source: str
    """Where the images come from, for people."""
    fingerprint: str
    """sha256 of the whole set before it was split."""
    masks: Tensor | None
    """bool (N, H, W): the object's silhouette, or None where it is not known."""
    fragments: "ImageSet | None" = None
    """Where clutter's fragments come from, if not from this set itself: for "test", the bank."""
    may_lend: Tensor | None = None
    """bool (N,): which images may be cut into fragments, or None for all. Near-duplicates of test images may not."""

    def __post_init__(self) -> None:
        # Clutter moves a pixel as one piece of four bytes, and checks type and shape itself.
        if self.images.dtype == torch.uint8 and self.images.ndim == 4 and self.images.shape[-1] == 3:
            object.__setattr__(self, "images", padded(self.images))

    def __getstate__(self) -> dict[str, Any]:
        # Without what is computed when it is needed (`kept`, `_by_class`), which can be larger than the images.
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: (mapped_part(v) or v) if isinstance(v, Tensor) else v for name, v in values.items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value.open() if isinstance(value, MappedPart) else value)
        self.__post_init__()

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: str | torch.device) -> "ImageSet":
        """Return the same set with its tensors on `device`; raises `InputError` if torch cannot use that here."""
        _check_device(device)
        return replace(
            self,
            images=self._map_images(lambda words: words.to(device)),
            labels=self.labels.to(device),
            index=self.index.to(device),
            masks=None if self.masks is None else self.masks.to(device),
            may_lend=None if self.may_lend is None else self.may_lend.to(device),
            fragments=None if self.fragments is None else self.fragments.to(device),
        )

    def take(self, count: int) -> "ImageSet":
        """Return the first images of each class, `count` in all, in order.

        Raises InputError if `count` is not a positive multiple of the number of classes, or if a class has too few.
        """
        chosen = self.first(count)
        taken = replace(
            self,
            images=self._map_images(lambda words: words[chosen]),
            labels=self.labels[chosen],
            index=self.index[chosen],
            masks=None if self.masks is None else self.masks[chosen],
            may_lend=None if self.may_lend is None else self.may_lend[chosen],
        )
        remember_rows(taken.images, self.images, chosen)
        if taken.masks is not None and self.masks is not None:
            remember_rows(taken.masks, self.masks, chosen)
        return taken

    def first(self, count: int) -> Tensor:
        """Return the positions of the first images of each class, `count` in all, in order: int64 (count,).

        Raises InputError as `take` does.
        """
        each, rest = divmod(count, len(self.classes))
        fewest = int(torch.bincount(self.labels, minlength=len(self.classes)).min())
        if each < 1 or rest or each > fewest:
            raise InputError(
                f"The number of images of {self.name} {self.split} must be a multiple of {len(self.classes)} from "
                f"{len(self.classes)} to {fewest * len(self.classes)}, so that every class has equally many, but got "
                f"{count}. Ask for such a number, or give more images."
            )
        first = [torch.nonzero(self.labels == label)[:each, 0] for label in range(len(self.classes))]
        return torch.cat(first).sort().values

    def spread(self, count: int) -> Tensor:
        """Return positions of `count` images, or of all if there are fewer, evenly spaced: int64 (count,).

        The first images of a set from class folders would all be of one class.
        """
        count = min(count, len(self))
        return torch.arange(count, device=self.labels.device) * len(self) // count

    def _map_images(self, change: Callable[[Tensor], Tensor]) -> Tensor:
        """Return images with a change made to their pixel words, so that they keep four bytes a pixel."""
        return unpacked(change(packed(self.images)))[..., :3]

    def pick(
        self,
        class_words: Tensor,
        member_words: Tensor,
        except_image: Tensor | None = None,
        except_class: Tensor | None = None,
    ) -> Tensor:
        """Return positions in this set, int64 (batch, count): each class is equally likely, then each of its images.

        Args:
            class_words: 32-bit words, int64 (batch, count), which choose the class.
            member_words: 32-bit words, int64 (batch, count), which choose one of its images.
            except_image: int64 (batch,), a position that is not drawn.
            except_class: int64 (batch,), a class that is not drawn.

        An image that may not be a fragment (`may_lend`) is replaced by the next one of its class that may, and so is
        `except_image`.

        """
        order, other, first, count = self._by_class
        if except_class is None:
            label = below(class_words, len(self.classes))
        else:
            label = below(class_words, len(self.classes) - 1)
            label = label + (label >= except_class[:, None])
        slot = first[label] + below(member_words, count[label])
        position = order[slot]
        if except_image is None:
            return position
        return torch.where(position == except_image[:, None], other[slot], position)

    @cached_property
    def kept(self) -> dict[tuple[int, ...], Tensor]:
        """What `clutter.smaller` has made of these images, so that it is made only once."""
        return {}

    @cached_property
    def _by_class(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return slots sorted by class: the position that each one stands for, and the next position in its class.

        Also return the first slot of each class, and its number of slots. Images that may not lend keep a slot of their
        own, so that finding one more of them changes no other canvas.
        """
        device = self.labels.device
        classes = torch.arange(len(self.classes), device=device)
        count = (self.labels[:, None] == classes).sum(0)  # bincount would make a GPU's host wait
        first = count.cumsum(0) - count
        order = self.labels.argsort(stable=True)
        label = self.labels[order]
        may = torch.ones_like(label, dtype=torch.bool) if self.may_lend is None else self.may_lend[order]
        slots = torch.arange(len(order), device=device)
        # The nearest slot to the right of each one that may lend, or at a class's end the first of the class.
        nearest = torch.where(may, slots, len(slots)).flip(0).cummin(0).values.flip(0)
        start, end = first[label], first[label] + count[label]

        def lender(slot: Tensor) -> Tensor:
            # At the end of a class `slot` is the next class's first slot, or does not exist.
            there = torch.where(slot < end, nearest[slot.clamp(max=len(slots) - 1)], len(slots))
            return torch.where(there < end, there, nearest[start])

        shown = lender(slots)
        if device.type == "cpu" and (int(count.min()) < 2 or bool((lender(shown + 1) == shown).any())):
            raise InputError(
                f"Every class of {self.name} {self.split} must have at least 2 images that may be fragments, "
                "but one has fewer. Give more images."
            )
        return order[shown], order[lender(shown + 1)], first, count


def load_images(
    name: str, split: str, root: str | Path = "data", source: str | Path | None = None, size: int = TILE
) -> ImageSet:
    """Return one split of an image set; what the first call decodes, or resizes, is cached.

    The last 10 % of each class of the training file are "val", the rest "train"; the last 20 % of each class of the
    test file are "bank" (reserved for fragments), the rest "test". The order is the file's: by class, then file name;
    CIFAR-10's official archive has an order of its own.

    Args:
        name: "cifar10", "shapes", or "auto": CIFAR-10 if it is on disk, else shapes.
        split: "train", "val", "test" or "bank".
        root: the data folder.
        source: folder or archive of CIFAR-10; by default $ATTN_TUTORIAL_CIFAR10, else what is in `root`/raw.
        size: side of the images in pixels: 16, 24 or 32. Their own is 32; for another size the images, their masks and
            the bank are resized (`resize_images`). A resized set has a fingerprint and a source of its own.

    Raises:
        InputError: unknown name or split (the message names the nearest match), or another size.
        ImageSourceError: see `prepare` and `prepare_size`.

    """
    check_choice("split", split, SPLITS)
    prepared = prepare_size(name, root, source, size)
    file, first, _ = next(cut for cut in _CUTS if split in cut[1:])
    count = prepared.first_split[file]
    part = slice(0, count) if split == first else slice(count, None)
    masks = prepared.folder / f"{file}_masks.npy"
    return ImageSet(
        images=map_file(prepared.folder / f"{file}_images.npy")[part][..., :3],
        labels=map_file(prepared.folder / f"{file}_labels.npy")[part],
        classes=prepared.classes,
        split=split,
        index=map_file(prepared.folder / f"{file}_index.npy")[part],
        name=prepared.name,
        source=prepared.source,
        fingerprint=prepared.fingerprint,
        masks=map_file(masks)[part] if masks.exists() else None,
        may_lend=map_file(prepared.folder / f"{file}_may_lend.npy")[part],
        fragments=load_images(name, "bank", root, source, size) if split == "test" else None,
    )


def _check_device(device: str | torch.device) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        hint = "" if visible is None else f" CUDA_VISIBLE_DEVICES is set to {visible!r}, which can hide GPUs."
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise InputError(
            f"`device` must be one that torch can use here, but got {str(device)!r} ({reason}).{hint} Choose another "
            "device, such as cpu."
        ) from None

"""The answers of one network: the class that it names for every test image, in every tested condition."""

import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attn_tutorial.datasets.names import CLASS_COUNT
from attn_tutorial.evaluation.names import NOT_TESTED
from attn_tutorial.ledger.reading import LedgerError
from attn_tutorial.ledger.record import Accuracy, Condition, Record
from attn_tutorial.training.files import write_whole

Classes = NDArray[np.uint8]
"""uint8 (N,): a class for each image of a split, in the split's order."""
_TOLERANCE = 1e-9  # of an accuracy, which is a quotient of whole numbers
_CLASS_TOLERANCE = 1e-6  # of the accuracy on one class, which records contain with six digits
_LABELS = re.compile(r"labels/(test|val)")
_CONDITION = re.compile(r"(test|val)/([a-z\d_]+(?:\+[a-z\d_]+)*)/([0-5])")
_COUNT = slice(-12, -10)  # where a zip file without a comment says how many files it contains
_BROKEN = (zipfile.BadZipFile, zlib.error, ValueError, EOFError, KeyError, NotImplementedError, RuntimeError)


class AnswersError(LedgerError):
    """Answers that cannot be used. The text says why, and what to do."""


@dataclass(frozen=True, eq=False)
class Answers:
    """The class that one network names for every image of a split, by tested condition.

    Args:
        labels: by split, the true classes of all its images.
        predicted: by condition, the classes that the network names, for the same images in the same order; `NOT_TESTED`
            where an image was not tested.

    Raises:
        AnswersError: an array is not uint8 (N,), its length is not that of its split's labels, it contains a number
            that is not a class, or a condition has no tested image.

    """

    labels: Mapping[str, Classes]
    predicted: Mapping[Condition, Classes]

    def __post_init__(self) -> None:
        for split, labels in self.labels.items():
            _check_classes(f"labels/{split}", labels, labels)
        for condition, predicted in self.predicted.items():
            if condition[0] not in self.labels:
                raise AnswersError(
                    f"answers must come with the labels of their split, but labels/{condition[0]} is not there."
                )
            _check_classes(name_of(condition), predicted, self.labels[condition[0]], allowed=(NOT_TESTED,))
            if not self.images(condition):
                raise AnswersError(
                    f"{name_of(condition)} must contain the answer for at least one image, but contains none."
                )

    @classmethod
    def of_test(cls, split: str, labels: Classes, found: Mapping[tuple[str, int], Classes]) -> "Answers":
        """Return the answers that a test on one split gave.

        Args:
            split: "test" or "val".
            labels: the true classes of all images of the split, integers (N,).
            found: by composition of clutter types and severity, as `evaluation.evaluate` returns them.

        """
        predicted = {(split, types, severity): classes for (types, severity), classes in found.items()}
        return cls({split: np.asarray(labels).astype(np.uint8)} if predicted else {}, predicted)

    def joined(self, others: "Answers") -> "Answers":
        """Return all these answers and others, which replace the former where both have a condition.

        Raises:
            AnswersError: the two have different labels for one split.

        """
        for split in self.labels.keys() & others.labels.keys():
            if not np.array_equal(self.labels[split], others.labels[split]):
                raise AnswersError(
                    f"answers can be joined only where the labels are the same, but labels/{split} differs: "
                    "they are about different images."
                )
        return Answers({**self.labels, **others.labels}, {**self.predicted, **others.predicted})

    def only(self, conditions: Iterable[Condition]) -> "Answers":
        """Return the answers in some conditions; those that are not there are ignored."""
        wanted = set(conditions)
        predicted = {condition: classes for condition, classes in self.predicted.items() if condition in wanted}
        splits = {split for split, *_ in predicted}
        return Answers({split: labels for split, labels in self.labels.items() if split in splits}, predicted)

    def images(self, condition: Condition) -> int:
        """Return how many images were tested in a condition."""
        return int((self.predicted[condition] != NOT_TESTED).sum())

    def accuracy(self, condition: Condition) -> float:
        """Return the share of the tested images that the network names correctly, 0 to 1."""
        return int((self.predicted[condition] == self.labels[condition[0]]).sum()) / self.images(condition)

    def per_class(self, condition: Condition) -> list[float | None]:
        """Return the same for the images of each class, in the order of the classes; None where none was tested."""
        labels, predicted = self.labels[condition[0]], self.predicted[condition]
        tested = np.bincount(labels[predicted != NOT_TESTED], minlength=CLASS_COUNT).tolist()
        right = np.bincount(labels[predicted == labels], minlength=CLASS_COUNT).tolist()
        return [part / whole if whole else None for part, whole in zip(right, tested, strict=True)]

    def differing(self, record: Record) -> dict[Condition, str]:
        """Return, by condition, how the answers differ from a record's accuracies.

        Only conditions that both have are compared: their number of images, accuracy and, where the record has it, the
        accuracy by class.
        """
        rows = {row.condition: row for row in record.accuracy}
        compared = {condition: self._difference(rows[condition]) for condition in self.predicted if condition in rows}
        return {condition: difference for condition, difference in compared.items() if difference}

    def check(self, record: Record) -> None:
        """Raise `AnswersError` if the answers differ from a record's accuracies: see `differing`."""
        if found := self.differing(record):
            first = next(iter(found))
            more = f", and {len(found) - 1} more conditions differ" if len(found) > 1 else ""
            raise AnswersError(
                f"the answers must give the accuracies of record {record.run_id}, but {name_of(first)} differs: "
                f"{found[first]}{more}. They are about another test or another network, and are not used."
            )

    def agreeing(self, record: Record) -> "Answers":
        """Return the answers in those conditions that a record has too, with the same results."""
        return self.only(record.conditions - self.differing(record).keys())

    def to_bytes(self) -> bytes:
        """Return the content of a file: a compressed NumPy archive, the same bytes for the same answers."""
        arrays = {f"labels/{split}": labels for split, labels in self.labels.items()}
        arrays |= {name_of(condition): classes for condition, classes in self.predicted.items()}
        content = io.BytesIO()
        np.savez_compressed(content, **dict(sorted(arrays.items())))  # type: ignore[arg-type]
        return content.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Answers":
        """Return the answers that a file contains.

        Raises:
            AnswersError: it is damaged, or contains an array that does not belong to answers.

        """
        labels: dict[str, Classes] = {}
        predicted: dict[Condition, Classes] = {}
        for name, array in _arrays(content):
            if found := _LABELS.fullmatch(name):
                labels[found[1]] = array
            elif found := _CONDITION.fullmatch(name):
                predicted[found[1], found[2], int(found[3])] = array
            else:
                raise AnswersError(
                    "arrays must be named like labels/test or test/surround+noise/3 (split, clutter types, severity "
                    f"from 0 to 5), but one is named {name!r}."
                )
        return cls(labels, predicted)

    def write(self, path: Path) -> None:
        """Write a file, whole or not at all; its folder must exist. Raises `OSError` if that is not possible."""
        write_whole(path, self.to_bytes())

    @classmethod
    def read(cls, path: Path) -> "Answers":
        """Read a file.

        Raises:
            AnswersError: it cannot be read, is damaged, or does not contain answers.
            FileNotFoundError: there is no such file.

        """
        try:
            return cls.from_bytes(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise FileNotFoundError(path) from None
        except OSError as error:
            raise AnswersError(
                f"{path} must be readable, but it is not ({error.strerror}). Change its permissions, or move it."
            ) from None
        except AnswersError as error:
            raise AnswersError(
                f"{path} does not contain answers that can be used: {error} Move or delete it."
            ) from None

    def _difference(self, row: Accuracy) -> str:
        """Say how a condition's answers differ from a record's row about it; nothing if they agree."""
        images, accuracy = self.images(row.condition), self.accuracy(row.condition)
        if images != row.images or abs(accuracy - row.accuracy) > _TOLERANCE:
            mine, others = f"{accuracy:.4%} of {images:,} images", f"{row.accuracy:.4%} of {row.images:,}"
            return f"the accuracy is {mine}, but {others} in the record"
        if not row.per_class:
            return ""
        mine_by_class = self.per_class(row.condition)
        if len(row.per_class) != len(mine_by_class):
            return f"there are {len(mine_by_class)} classes, but {len(row.per_class)} in the record"
        for label, (one, other) in enumerate(zip(mine_by_class, row.per_class, strict=True)):
            if one is not None and abs(one - other) > _CLASS_TOLERANCE:
                return f"the accuracy on class {label} is {one:.4%}, but {other:.4%} in the record"
        return ""


def name_of(condition: Condition) -> str:
    """Return the name of a condition's array in a file, such as "test/surround+noise/3"."""
    split, types, severity = condition
    return f"{split}/{types}/{severity}"


def _arrays(content: bytes) -> Iterable[tuple[str, Classes]]:
    """Yield the arrays of a NumPy archive by name. Unlike `numpy.load`, verify the zip file's checksums."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            if len(set(names)) < len(names):
                raise ValueError("it contains two arrays of one name")
            if int.from_bytes(content[_COUNT], "little") != len(names):  # `zipfile` itself does not compare them
                raise ValueError("it lists fewer arrays than it counts")
            for name in names:
                file = io.BytesIO(archive.read(name))
                array = np.lib.format.read_array(file, allow_pickle=False)
                if file.read(1):
                    raise ValueError(f"{name} is longer than its array")
                yield name.removesuffix(".npy"), array
    except AnswersError:
        raise
    except _BROKEN as error:
        raise AnswersError(f"it must be a whole NumPy archive (.npz), but is damaged ({error}).") from None


def _check_classes(name: str, array: Classes, labels: Classes, allowed: Iterable[int] = ()) -> None:
    if array.dtype != np.uint8 or array.ndim != 1:
        raise AnswersError(f"{name} must be uint8 (N,), but is {array.dtype} {array.shape}.")
    if array.shape != labels.shape:
        raise AnswersError(
            f"{name} must have a class for each of the {len(labels):,} images of its split, but has {len(array):,}."
        )
    wrong = set(np.unique(array).tolist()) - {*range(CLASS_COUNT), *allowed}
    if wrong:
        or_not = f", or {NOT_TESTED} for an image that was not tested" if allowed else ""
        raise AnswersError(
            f"{name} must contain classes from 0 to {CLASS_COUNT - 1}{or_not}, but contains {min(wrong)}."
        )

"""Image sets on disk: found, decoded once, and kept as memory-mapped arrays beside a manifest.

The arrays are written to a folder of another name, which is renamed when it is complete. So a process that is killed,
or two that prepare the same images at once, leave nothing behind that could be mistaken for a complete set.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from tqdm import tqdm

from attn_tutorial.datasets.names import DATASETS, RESIZE_VERSION, SIZES, TILE
from attn_tutorial.datasets.resizing import resize_images
from attn_tutorial.datasets.sources import shapes
from attn_tutorial.datasets.sources.cifar10 import read_cifar10
from attn_tutorial.datasets.sources.finding import find_source, source_key
from attn_tutorial.datasets.sources.layout import ARCHIVE_NAME, CLASSES, ImageSourceError
from attn_tutorial.errors import InputError, check_choice
from attn_tutorial.paths import user_path

ENVIRONMENT_VARIABLE = "ATTN_TUTORIAL_CIFAR10"
HOW_TO_GET_CIFAR10 = (
    f"To use CIFAR-10, run `attn-tutorial data fetch`, or put {ARCHIVE_NAME} in data/raw/, "
    f"or set {ENVIRONMENT_VARIABLE} to a folder or archive of it."
)
HELD_OUT = {"train": 10, "test": 20}
"""Percent of each class, the last images of each file, that become a split of their own: "val" and "bank"."""
CACHE_VERSION = 5
"""Raised whenever the layout of the cache or the rule of `near_duplicates` changes; other caches are not read."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """A decoded image set in `folder`.

    For each file, train and test, the folder contains `<file>_images.npy`, uint8 (N, 32, 32, 4), red, green, blue and a
    zero; `<file>_labels.npy`, int64 (N,); `<file>_index.npy`, int64 (N,), each image's position in the file;
    `<file>_may_lend.npy`, bool (N,), whether an image may be cut into fragments; and, for shapes, `<file>_masks.npy`,
    bool (N, 32, 32). `near_duplicates.json` lists the pairs because of which an image may not. A set that was resized
    (`prepare_size`) has a folder with the same files, in which images and masks have its size instead of 32.

    The images of the second split (`HELD_OUT`) come after the ones of the first, so that a split is one stretch of the
    array, which is mapped and not copied. Within a split the order is the file's.
    """

    name: str
    source: str
    """Where the images come from, for people."""
    fingerprint: str
    """sha256 of the pixels and labels of both files."""
    folder: Path
    classes: tuple[str, ...]
    archive_sha256: str | None
    """sha256 of the archive that the images came from, or None if there was none."""
    first_split: dict[str, int]
    """By file, how many images belong to the first split."""
    near_duplicates: dict[str, dict[str, int]]
    """By split, how many of its images have an `exact`, `perceptual` or `mirrored` duplicate among test images."""


def available_cifar10(root: str | Path = "data", source: str | Path | None = None) -> Path | None:
    """Return the available CIFAR-10 archive or folder: `source`, else $ATTN_TUTORIAL_CIFAR10, else in `root`/raw.

    Raises ImageSourceError if `source` or the variable names something that does not exist or is not CIFAR-10, because
    something that was asked for by name is never replaced silently. Returns None if nothing was named and nothing was
    found.
    """
    if source is not None:
        return find_source(user_path(source, "source"))
    if named := os.environ.get(ENVIRONMENT_VARIABLE):
        try:
            return find_source(user_path(named, ENVIRONMENT_VARIABLE))
        except ImageSourceError as error:
            raise ImageSourceError(f"{ENVIRONMENT_VARIABLE} is set to {named}: {error}") from error
    raw = user_path(root, "root") / "raw"
    known = (raw / ARCHIVE_NAME, raw / "cifar-10-batches-py", *sorted(raw.glob("cifar*")), raw)
    return next((found for path in known if (found := _find_or_none(path))), None)


def _find_or_none(path: Path) -> Path | None:
    try:
        return find_source(path)
    except ImageSourceError:
        return None


def prepare(name: str, root: str | Path = "data", source: str | Path | None = None) -> Prepared:
    """Decode an image set into `root`/raw/cache; later calls only read its manifest.

    Args:
        name: "cifar10", "shapes", or "auto": CIFAR-10 if `available_cifar10` finds it, else shapes.
        root: the data folder; the cache takes 245 MB in it for CIFAR-10 and 90 MB for shapes.
        source: folder or archive of CIFAR-10; by default what `available_cifar10` finds.

    Raises:
        ValueError: unknown name.
        ImageSourceError: the images cannot be found or used, or the cache cannot be written.

    """
    check_choice("data set", name, (*DATASETS, "auto"))
    if name == "shapes":
        if source is not None:
            raise ImageSourceError(
                f"`source` must be left out for shapes, which are drawn and need none, but got {source}. "
                f"Leave it out, or use cifar10."
            )
        return _prepare("shapes", root, None)
    found = available_cifar10(root, source)
    if found is not None:
        return _prepare("cifar10", root, found)
    if name == "cifar10":
        raise ImageSourceError(f"No CIFAR-10 was found in {user_path(root, 'root') / 'raw'}. {HOW_TO_GET_CIFAR10}")
    _say_shapes()
    return _prepare("shapes", root, None)


@cache
def _say_shapes() -> None:
    _log.warning("CIFAR-10 is not on disk, so the built-in shapes are used. %s", HOW_TO_GET_CIFAR10)


def _prepare(name: str, root: str | Path, source: Path | None) -> Prepared:
    key = json.dumps([CACHE_VERSION, source_key(source) if source else shapes.SHAPES_VERSION])
    folder = user_path(root, "root") / "raw" / "cache" / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    return _kept(folder, folder.with_suffix(".lock"), 260, lambda: _build(name, source, folder))


def prepare_size(name: str, root: str | Path = "data", source: str | Path | None = None, size: int = TILE) -> Prepared:
    """Prepare an image set with images of `size` pixels; the first call for a size resizes and caches them.

    The resized images are kept in a folder inside the one of `prepare`. They have a fingerprint of their own, made from
    their own pixels. Which images may be cut into fragments stays as it was judged at 32 px.

    Args:
        name: as for `prepare`, which prepares the images of 32 px.
        root: the data folder; the resized images of CIFAR-10 take 140 MB more in it at 24 px and 65 MB at 16 px.
        source: as for `prepare`.
        size: side of the images in pixels: 16, 24 or 32. 32 is their own: then this is `prepare`.

    Raises:
        InputError: another size.
        ImageSourceError: see `prepare`; or the resized images cannot be written.

    """
    if size not in SIZES:
        raise InputError(
            f"`size` must be one of {', '.join(map(str, SIZES))} (pixels), but got {size!r}. Use one of these, "
            "or make a set of images of another size with `as_image_set`."
        )
    prepared = prepare(name, root, source)
    if size == TILE:
        return prepared
    folder = prepared.folder / f"{size}px-v{RESIZE_VERSION}"
    lock = prepared.folder.with_suffix(".lock")  # one lock, so that no process replaces what another one is resizing
    return _kept(folder, lock, 140, lambda: _build_size(prepared, size, folder))


def _kept(folder: Path, lock: Path, megabytes: int, build: Callable[[], Prepared]) -> Prepared:
    """Return the set in `folder`, after building it there if it is not complete."""
    # without the lock, so that a prepared set can be read from a read-only disk
    if kept := _read_manifest(folder):
        return kept
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock):
            return _read_manifest(folder) or build()
    except OSError as error:
        raise ImageSourceError(
            f"The decoded images cannot be written to {folder.parent} ({error}). They need {megabytes} MB there: "
            f"make the folder writable, free some space, or use another data folder."
        ) from error


def _read_manifest(folder: Path) -> Prepared | None:
    """Return what the manifest says, if the folder is complete."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        whole = all((folder / file).stat().st_size == size for file, size in manifest["bytes"].items())
        prepared = Prepared(
            manifest["name"],
            manifest["source"],
            manifest["fingerprint"],
            folder,
            tuple(manifest["classes"]),
            manifest["archive_sha256"],
            manifest["first_split"],
            manifest["near_duplicates"],
        )
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError, KeyError):
        return None
    return prepared if whole else None


def _build(name: str, source: Path | None, folder: Path) -> Prepared:
    """Decode or draw the images into `folder`; the caller must have acquired its lock."""
    arrays, about = _decode_cifar10(source) if source else _draw_shapes()
    sizes = {}
    with _renamed_when_complete(folder) as partial:
        for file in HELD_OUT:
            index, sizes[file] = _held_out_last(arrays[f"{file}_labels"], HELD_OUT[file])
            np.save(partial / f"{file}_index.npy", index)
            for part in ("images", "labels", "masks"):
                if f"{file}_{part}" in arrays:
                    array = arrays[f"{file}_{part}"][index]
                    np.save(partial / f"{file}_{part}.npy", _padded(array) if part == "images" else array)
        pairs = _find_near_duplicates(partial, sizes)
        (partial / "near_duplicates.json").write_text(json.dumps(pairs), encoding="utf-8")
        manifest = {
            "name": name,
            **about,
            "fingerprint": _fingerprint(arrays),
            "first_split": sizes,
            "near_duplicates": _count_near_duplicates(pairs),
        }
        _write_manifest(partial, manifest)
    prepared = _read_manifest(folder)
    assert prepared is not None
    return prepared


def _build_size(prepared: Prepared, size: int, folder: Path) -> Prepared:
    """Resize a prepared set into `folder`; the caller must have acquired the lock of the set."""
    arrays = {}
    with _renamed_when_complete(folder) as partial:
        shutil.copyfile(prepared.folder / "near_duplicates.json", partial / "near_duplicates.json")
        for native in sorted(prepared.folder.glob("*.npy")):
            if native.stem.endswith(("_images", "_masks")):
                np.save(partial / native.name, resize_images(np.load(native, mmap_mode="r"), size))
            else:
                shutil.copyfile(native, partial / native.name)
        for file in HELD_OUT:
            in_order_of_file = np.argsort(np.load(partial / f"{file}_index.npy"))
            for part in ("images", "labels"):
                array = np.load(partial / f"{file}_{part}.npy", mmap_mode="r")
                arrays[f"{file}_{part}"] = array[in_order_of_file]
            arrays[f"{file}_images"] = arrays[f"{file}_images"][..., :3]
        manifest = {
            "name": prepared.name,
            "source": f"{prepared.source}, resized to {size} px",
            "classes": prepared.classes,
            "archive_sha256": prepared.archive_sha256,
            "fingerprint": _fingerprint(arrays),
            "first_split": prepared.first_split,
            "near_duplicates": prepared.near_duplicates,
        }
        _write_manifest(partial, manifest)
    resized = _read_manifest(folder)
    assert resized is not None
    return resized


@contextmanager
def _renamed_when_complete(folder: Path) -> Iterator[Path]:
    """Give an empty folder of another name, which gets its own name at the end, or is removed after an exception."""
    partial = folder.with_suffix(".partial")
    for leftover in (partial, folder):
        if leftover.exists():
            shutil.rmtree(leftover)
    partial.mkdir()
    try:
        yield partial
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _write_manifest(folder: Path, about: Mapping[str, object]) -> None:
    """Write what `_read_manifest` reads: what the set is, and how large each file in `folder` is."""
    manifest = {**about, "bytes": {file.name: file.stat().st_size for file in sorted(folder.iterdir())}}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _padded(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images with a fourth byte for each pixel, which is how clutter reads them."""
    return np.pad(images, ((0, 0), (0, 0), (0, 0), (0, 1)))


def _held_out_last(labels: NDArray[np.int64], percent: int) -> tuple[NDArray[np.int64], int]:
    """Return positions in the file, the first split's before the second's, and how many the first split has."""
    held_out = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        positions = np.flatnonzero(labels == label)
        held_out[positions[len(positions) - len(positions) * percent // 100 :]] = True
    index = np.argsort(held_out, kind="stable")
    return index, int((~held_out).sum())


def _find_near_duplicates(folder: Path, sizes: dict[str, int]) -> list[tuple[str, int, int, str]]:
    """Write which images may lend fragments; return why others may not: (split, place, place of the test image, kind).

    An image of the training file may not if any image of the test file looks like it. An image of the bank may not if
    an image of the split "test" does. Places are positions in the files that the splits were cut from.
    """
    from attn_tutorial.datasets.near_duplicates import (
        near_duplicates,
    )  # imported here, because every command would wait for scipy

    images, index = (
        {file: np.load(folder / f"{file}_{part}.npy", mmap_mode="r") for file in HELD_OUT}
        for part in ("images", "index")
    )
    cuts = {"train": slice(0, sizes["train"]), "val": slice(sizes["train"], None)}
    searched = [("train", split, part, slice(0, None)) for split, part in cuts.items()]
    searched.append(("test", "bank", slice(sizes["test"], None), slice(0, sizes["test"])))
    may_lend = {file: np.ones(len(index[file]), dtype=bool) for file in HELD_OUT}
    found = []
    for file, split, part, of in tqdm(
        searched, "Looking for near-duplicates of test images", disable=None, leave=False
    ):
        own = index[file][part]
        pairs = near_duplicates(images[file][part][..., :3], images["test"][of][..., :3])
        may_lend[file][part][pairs.index] = False
        rows = zip(own[pairs.index].tolist(), index["test"][of][pairs.index_of].tolist(), pairs.kind, strict=True)
        found += [(split, place, test, str(kind)) for place, test, kind in rows]
    for file, may in may_lend.items():
        np.save(folder / f"{file}_may_lend.npy", may)
    return found


def _count_near_duplicates(pairs: list[tuple[str, int, int, str]]) -> dict[str, dict[str, int]]:
    """Return the number of images by split and kind, each image counted once, under the first of its kinds."""
    kinds = ("exact", "perceptual", "mirrored")
    counts = {split: dict.fromkeys(kinds, 0) for split in ("train", "val", "bank")}
    best: dict[tuple[str, int], str] = {}
    for split, place, _, kind in pairs:
        best[split, place] = min(kind, best.get((split, place), kind), key=kinds.index)
    for (split, _), kind in best.items():
        counts[split][kind] += 1
    return counts


def _decode_cifar10(source: Path) -> tuple[dict[str, NDArray], dict[str, object]]:
    try:
        decoded = read_cifar10(source)
    except OSError as error:
        raise ImageSourceError(f"{source} cannot be read ({error}). Check its permissions.") from error
    arrays: dict[str, NDArray] = {
        "train_images": decoded.train.images,
        "train_labels": decoded.train.labels,
        "test_images": decoded.test.images,
        "test_labels": decoded.test.labels,
    }
    about: dict[str, object] = {
        "source": decoded.source,
        "classes": CLASSES,
        "archive_sha256": decoded.archive_sha256,
    }
    return arrays, about


def _draw_shapes() -> tuple[dict[str, NDArray], dict[str, object]]:
    arrays: dict[str, NDArray] = {}
    for split, per_class in (("train", shapes.TRAIN_PER_CLASS), ("test", shapes.TEST_PER_CLASS)):
        images, labels, masks = shapes.draw_shapes(split, per_class)
        arrays |= {f"{split}_images": images, f"{split}_labels": labels, f"{split}_masks": masks}
    text = f"shapes, drawn by attn_tutorial (version {shapes.SHAPES_VERSION})"
    return arrays, {"source": text, "classes": shapes.CLASSES, "archive_sha256": None}


def _fingerprint(arrays: dict[str, NDArray]) -> str:
    digest = hashlib.sha256()
    for part in ("train_images", "train_labels", "test_images", "test_labels"):
        array = arrays[part]
        digest.update(f"{part} {array.shape}".encode())
        for start in range(0, len(array), 4096):  # in pieces, because each one is copied
            piece = array[start : start + 4096]
            digest.update(piece.astype(piece.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()

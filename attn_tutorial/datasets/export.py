"""Canvases as files, for use without this package."""

import csv
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from attn_tutorial.datasets.card import CARD, TITLE, data_card
from attn_tutorial.datasets.clutter import Clutter
from attn_tutorial.datasets.images import ImageSet
from attn_tutorial.datasets.store import check_choice
from attn_tutorial.errors import InputError

FORMATS = ("npz", "png")
_BATCH = 256
_PICTURES = {"canvas": "images", "visible_mask": "masks", "object_mask": "object_masks"}
"""Of each field that is a picture, its folder."""


def export_canvases(
    images: ImageSet, clutter: Clutter, out: str | Path, format: str = "npz", force: bool = False
) -> Path:
    """Write the canvases of all images of a set at epoch 0, with their masks, records and a data card, to a new folder.

    The folder gets its name when it is whole. Until then it is called `<out>.partial`; that is removed when the export
    fails or is interrupted, and after a kill by the next export.

    Args:
        images: from `as_image_set` or `load_images`; `take` gives fewer of them.
        clutter: what is drawn around them.
        out: the folder to make.
        format: "npz": `canvases.npz` with the fields of `CanvasBatch` as arrays of the same names, shapes and types,
            and `index` int64 (N,), each image's place in its file, `visible_pixels` int64 (N,), `classes` (names).
            "png": `images/<index>.png`, `masks/<index>.png` (and `object_masks/`, where the images have masks; 255
            inside) and everything else in `labels.csv`, one row a canvas.
        force: replace an earlier export of that name, when the new one is whole.

    Returns:
        the folder.

    Raises:
        InputError: `out` is there, or being written, or cannot be written; or see `Clutter.render`.

    """
    check_choice("format", format, FORMATS)
    out = Path(out).expanduser().resolve()
    try:
        with _new_folder(out, force) as folder:
            arrays = (
                _write_pictures(folder, images, clutter) if format == "png" else _write_arrays(folder, images, clutter)
            )
            (folder / CARD).write_text(data_card(images, clutter, format, arrays), encoding="utf-8")
    except OSError as error:
        megabytes = -(-len(images) * clutter.canvas**2 * 5 // 10**6)
        raise InputError(
            f"the canvases cannot be written to {out} ({error.strerror or error}). They need up to {megabytes} MB "
            "there: choose a folder that can be written, free some space, or export fewer images"
        ) from error
    return out


def _write_arrays(folder: Path, images: ImageSet, clutter: Clutter) -> dict[str, NDArray[Any]]:
    arrays = _joined(list(_rendered(images, clutter)))
    members: dict[str, Any] = {**arrays, "classes": np.array(images.classes)}
    np.savez_compressed(folder / "canvases.npz", **members)
    return arrays


def _write_pictures(folder: Path, images: ImageSet, clutter: Clutter) -> dict[str, NDArray[Any]]:
    batches = []
    for batch in _rendered(images, clutter):
        for name in _PICTURES.keys() & batch.keys():
            (folder / _PICTURES[name]).mkdir(exist_ok=True)
            for index, picture in zip(batch["index"], batch.pop(name), strict=True):
                values = picture.transpose(1, 2, 0) if name == "canvas" else picture.astype(np.uint8) * 255
                Image.fromarray(values).save(folder / _PICTURES[name] / _file(index))
        batches.append(batch)
    records = _joined(batches)
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(
            "file index label class severity tile_x tile_y tile_width tile_height visible_pixels "
            "fragment_ids fragment_classes".split()
        )
        for i, index in enumerate(records["index"]):
            label, drawn = records["label"][i], records["fragment_id"][i] >= 0
            fragments = (" ".join(map(str, records[name][i][drawn])) for name in ("fragment_id", "fragment_class"))
            numbers = (records["severity"][i], *records["tile_box"][i], records["visible_pixels"][i])
            table.writerow((_file(index), index, label, images.classes[label], *numbers, *fragments))
    return records


def _file(index: int) -> str:
    return f"{index:05}.png"


def _rendered(images: ImageSet, clutter: Clutter) -> Iterator[dict[str, NDArray[Any]]]:
    """The canvases in order, some at a time, as arrays: the fields of `CanvasBatch`, `index` and `visible_pixels`."""
    with tqdm(total=len(images), desc="canvases", unit="canvas", disable=None) as bar:
        for rows in torch.arange(len(images), device=images.images.device).split(_BATCH):
            batch = clutter.render(images, rows)
            tensors = {name: value for name, value in vars(batch).items() if value is not None}
            tensors |= {"index": images.index[rows], "visible_pixels": batch.visible_mask.sum((1, 2))}
            yield {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
            bar.update(len(rows))


def _joined(batches: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


@contextmanager
def _new_folder(out: Path, force: bool) -> Iterator[Path]:
    """A folder to write to, which is called `out` once this ends well, and is gone if it does not."""
    _check_free(out, force)
    partial = out.with_name(f"{out.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    # In the folder itself, so that none is left beside the export.
    lock = FileLock(partial / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(f"{out} is being written by another export; wait for it, or choose another folder") from None
    try:
        for leftover in set(partial.iterdir()) - {partial / ".lock"}:
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        yield partial
        _check_free(out, force)
        (partial / ".lock").unlink()
        replaced = out.with_name(f"{out.name}.replaced")
        shutil.rmtree(replaced, ignore_errors=True)
        if out.exists():
            out.rename(replaced)
        partial.rename(out)
        shutil.rmtree(replaced, ignore_errors=True)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    finally:
        lock.release()


def _check_free(out: Path, force: bool) -> None:
    if not out.exists():
        return
    if not force:
        raise InputError(
            f"{out} is there already; choose another folder, or replace an earlier export by force (--force)"
        )
    card = out / CARD
    if not card.is_file() or not card.read_text(encoding="utf-8", errors="replace").startswith(TITLE):
        raise InputError(f"{out} is there and holds no {CARD} of an export: it is not replaced; choose another folder")

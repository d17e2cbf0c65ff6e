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

from attn_tutorial.clutter.card import CARD, TITLE, data_card
from attn_tutorial.clutter.renderer import Clutter
from attn_tutorial.datasets.images import ImageSet
from attn_tutorial.errors import InputError, check_choice

FORMATS = ("npz", "png")
_BATCH_PIXELS = 256 * 48**2
"""Of the canvases that are rendered at once."""
_PICTURES = {"canvas": "images", "visible_mask": "masks", "object_mask": "object_masks"}
"""Of each field that is a picture, its folder."""


def export_canvases(
    images: ImageSet,
    clutter: Clutter,
    out: str | Path,
    format: str = "npz",
    force: bool = False,
    fragments: ImageSet | None = None,
) -> Path:
    """Write the canvases of all images of a set at epoch 0, with their masks, records and a data card, to a new folder.

    The folder gets its name when it is whole. Until then it is called `<out>.partial`; that is removed when the export
    fails or is interrupted, and after a kill by the next export. A folder of that name that no export has made stays.

    Args:
        images: from `as_image_set` or `load_images`; `take` gives fewer of them.
        clutter: what is drawn around them.
        out: the folder to make.
        format: "npz": `canvases.npz` with the fields of `CanvasBatch` as arrays of the same names, shapes and types,
            and `index` int64 (N,), each image's place in its file, `visible_pixels` int64 (N,), `classes` (names).
            "png": `images/<index>.png`, `masks/<index>.png` (and `object_masks/`, where the images have masks; 255
            inside) and everything else in `labels.csv`, one row a canvas.
        force: replace an earlier export of that name, when the new one is whole. Until the new one is in its place, it
            is called `<out>.replaced`.
        fragments: the images that fragments, mosaics and veils are cut from; by default as in `Clutter.render`.

    Returns:
        the folder.

    Raises:
        InputError: `out` is there, or being written, or cannot be written; `<out>.partial` or `<out>.replaced` is there
            and is no export's; memory does not suffice; or see `Clutter.render`.

    """
    check_choice("format", format, FORMATS)
    out = Path(out).expanduser().resolve()
    try:
        with _new_folder(out, force) as folder:
            write = _write_pictures if format == "png" else _write_arrays
            arrays = write(folder, images, clutter, fragments)
            (folder / CARD).write_text(data_card(images, clutter, format, arrays, fragments), encoding="utf-8")
    except OSError as error:
        megabytes = -(-len(images) * clutter.canvas**2 * 5 // 10**6)
        raise InputError(
            f"the canvases cannot be written to {out} ({error.strerror or error}). They need up to {megabytes} MB "
            "there: choose a folder that can be written, free some space, or export fewer images"
        ) from error
    except (MemoryError, RuntimeError) as error:
        # PyTorch has an exception of its own for accelerators only.
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "DefaultCPUAllocator" not in str(error):
            raise
        raise InputError(
            f"memory does not suffice for {len(images):,} canvases of {clutter.canvas} px in format {format}: lower "
            "the canvas, export fewer images, or give format png, which holds few pictures at a time"
        ) from error
    return out


def _write_arrays(
    folder: Path, images: ImageSet, clutter: Clutter, fragments: ImageSet | None
) -> dict[str, NDArray[Any]]:
    arrays = _joined(list(_rendered(images, clutter, fragments)))
    members: dict[str, Any] = {**arrays, "classes": np.array(images.classes)}
    np.savez_compressed(folder / "canvases.npz", **members)
    return arrays


def _write_pictures(
    folder: Path, images: ImageSet, clutter: Clutter, fragments: ImageSet | None
) -> dict[str, NDArray[Any]]:
    batches = []
    for batch in _rendered(images, clutter, fragments):
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
            lent = (" ".join(map(str, records[name][i][drawn])) for name in ("fragment_id", "fragment_class"))
            numbers = (records["severity"][i], *records["tile_box"][i], records["visible_pixels"][i])
            table.writerow((_file(index), index, label, images.classes[label], *numbers, *lent))
    return records


def _file(index: int) -> str:
    return f"{index:05}.png"


def _rendered(images: ImageSet, clutter: Clutter, fragments: ImageSet | None) -> Iterator[dict[str, NDArray[Any]]]:
    """The canvases in order, some at a time, as arrays: the fields of `CanvasBatch`, `index` and `visible_pixels`."""
    at_once = max(1, _BATCH_PIXELS // clutter.canvas**2)
    with tqdm(total=len(images), desc="canvases", unit="canvas", disable=None) as bar:
        for rows in torch.arange(len(images), device=images.images.device).split(at_once):
            batch = clutter.render(images, rows, fragments=fragments)
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
    if any(partial.iterdir()) and not (partial / ".lock").is_file():
        raise InputError(
            f"{partial} is there, holds files and is no unfinished export; move it away, or choose another folder"
        )
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
    replaced = out.with_name(f"{out.name}.replaced")
    if replaced.exists() and not _is_export(replaced):
        raise InputError(
            f"{replaced} is there and holds no {CARD} of an export; an earlier export would be kept under that name "
            "until it is replaced: move it away, or choose another folder"
        )
    if not out.exists():
        return
    if not force:
        raise InputError(
            f"{out} is there already; choose another folder, or replace an earlier export by force (--force)"
        )
    if not _is_export(out):
        raise InputError(f"{out} is there and holds no {CARD} of an export: it is not replaced; choose another folder")


def _is_export(folder: Path) -> bool:
    card = folder / CARD
    return card.is_file() and card.read_text(encoding="utf-8", errors="replace").startswith(TITLE)

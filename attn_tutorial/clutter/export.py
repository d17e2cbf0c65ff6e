"""Export of canvases as files, for use without this package."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from attn_tutorial.clutter.card import CARD, data_card
from attn_tutorial.clutter.export_folder import new_folder
from attn_tutorial.clutter.renderer import Clutter
from attn_tutorial.datasets.images import ImageSet
from attn_tutorial.errors import InputError, check_choice
from attn_tutorial.paths import user_path

FORMATS = ("npz", "png")
_BATCH_PIXELS = 256 * 48**2
"""Number of pixels of the canvases that are rendered together."""
_PICTURES = {"canvas": "images", "visible_mask": "masks", "object_mask": "object_masks"}
"""The folder for each field that is a picture."""
_ONCE = "fragment_layer"
"""The field that is the same for all canvases: its values are those of the fragments, in their order."""


def export_canvases(
    images: ImageSet,
    clutter: Clutter,
    out: str | Path,
    format: str = "npz",
    force: bool = False,
    fragments: ImageSet | None = None,
) -> Path:
    """Write the canvases of all images of a set at epoch 0, with their masks, records and a data card, to a new folder.

    The folder gets its name when it is complete. Until then it is called `<out>.partial`, which is removed when the
    export fails or is interrupted, and by the next export after a kill. A folder of that name that is not an export's
    is left alone.

    Args:
        images: from `as_image_set` or `load_images`; `ImageSet.take` gives fewer of them.
        clutter: what is drawn around them.
        out: the folder to make.
        format: "npz": `canvases.npz` with the fields of `CanvasBatch` as arrays of the same names, shapes and types,
            and `index` int64 (N,), each image's place in its file, `visible_pixels` int64 (N,), `fragment_layer` and
            `classes` (names).
            "png": `images/<index>.png`, `masks/<index>.png` (and `object_masks/`, where the images have masks; 255
            inside) and everything else in `labels.csv`, one row per canvas.
        force: replace an earlier export of that name when the new one is complete. Until the new one is in its place,
            the earlier one is called `<out>.replaced`.
        fragments: the images that distractors are cut from; by default as in `Clutter.render`.

    Returns:
        the path of the folder.

    Raises:
        InputError: `out` exists already, is being written, or cannot be written; `<out>.partial` or `<out>.replaced`
            exists and is not an export's; memory does not suffice; or see `Clutter.render`.

    """
    check_choice("format", format, FORMATS)
    out = user_path(out, "out").resolve()
    try:
        with new_folder(out, force) as folder:
            write = _write_pictures if format == "png" else _write_arrays
            arrays = write(folder, images, clutter, fragments)
            (folder / CARD).write_text(data_card(images, clutter, format, arrays, fragments), encoding="utf-8")
    except OSError as error:
        megabytes = -(-len(images) * clutter.canvas**2 * 5 // 10**6)
        raise InputError(
            f"The canvases cannot be written to {out} ({error.strerror or error}). They need up to {megabytes} MB "
            "there: choose a folder that can be written, free some space, or export fewer images."
        ) from error
    except (MemoryError, RuntimeError) as error:
        # PyTorch has an exception class of its own only for accelerators.
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "DefaultCPUAllocator" not in str(error):
            raise
        raise InputError(
            f"Memory does not suffice for {len(images):,} canvases of {clutter.canvas} px in format {format}: lower "
            "the canvas, export fewer images, or give format png, which keeps few pictures in memory."
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
            "fragment_ids fragment_classes fragment_layers".split()
        )
        for i, index in enumerate(records["index"]):
            label, drawn = records["label"][i], records["fragment_id"][i] >= 0
            of_each = (records["fragment_id"][i], records["fragment_class"][i], records[_ONCE])
            lent = (" ".join(map(str, values[drawn])) for values in of_each)
            numbers = (records["severity"][i], *records["tile_box"][i], records["visible_pixels"][i])
            table.writerow((_file(index), index, label, images.classes[label], *numbers, *lent))
    return records


def _file(index: int) -> str:
    return f"{index:05}.png"


def _rendered(images: ImageSet, clutter: Clutter, fragments: ImageSet | None) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield the canvases in order, some at a time, as arrays: fields of `CanvasBatch`, `index`, `visible_pixels`.

    `_ONCE` is the array of its values; every other array has a row per canvas.
    """
    at_once = max(1, _BATCH_PIXELS // clutter.canvas**2)
    with tqdm(total=len(images), desc="canvases", unit="canvas", disable=None) as bar:
        for rows in torch.arange(len(images), device=images.images.device).split(at_once):
            batch = clutter.render(images, rows, fragments=fragments)
            tensors = {name: value for name, value in vars(batch).items() if isinstance(value, torch.Tensor)}
            tensors |= {"index": images.index[rows], "visible_pixels": batch.visible_mask.sum((1, 2))}
            arrays = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
            yield {**arrays, _ONCE: np.array(batch.fragment_layer, dtype=np.str_)}
            bar.update(len(rows))


def _joined(batches: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    return {
        name: first if name == _ONCE else np.concatenate([batch[name] for batch in batches])
        for name, first in batches[0].items()
    }

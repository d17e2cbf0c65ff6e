"""CIFAR-10 as class folders of PNG or JPEG files, `train/<class>/<image>` and `test/<class>/<image>`."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np
from tqdm import tqdm

from attn_tutorial.datasets.names import TILE
from attn_tutorial.datasets.sources.decoding import decode_image
from attn_tutorial.datasets.sources.layout import CLASSES, FOLDER_SPLITS, REQUIRED, ImageSourceError, Split

_IMAGE_ENDINGS = (".png", ".jpg", ".jpeg")


def sort_by_class(source: Path, files: Mapping[str, bytes]) -> dict[tuple[str, str], dict[str, bytes]]:
    """Return the files of each (split, class), sorted by name; refuse any other layout."""
    found: dict[tuple[str, str], dict[str, bytes]] = {}
    wrappers = set()
    for name in sorted(files):
        parts = PurePosixPath(name).parts
        depth = 0 if parts[0] in FOLDER_SPLITS else 1
        wrappers.add(parts[:depth])
        if len(parts) != depth + 3:
            raise ImageSourceError(
                f"{name} in {source} does not lie at <split>/<class>/<image>. {REQUIRED}. Move or remove it."
            )
        split, label, file = parts[depth:]
        if not file.lower().endswith(_IMAGE_ENDINGS):
            raise ImageSourceError(
                f"{name} in {source} is not an image by its name. The files in a class folder must end in "
                f"{', '.join(_IMAGE_ENDINGS)}. Remove it."
            )
        found.setdefault((split, label), {})[name] = files[name]
    if not found:
        raise ImageSourceError(f"{source} contains no CIFAR-10 images. {REQUIRED}. Check what it contains.")
    if len(wrappers) > 1:
        names = ", ".join("/".join(wrapper) or "the top level" for wrapper in sorted(wrappers))
        raise ImageSourceError(f"{source} has train/ or test/ in several places ({names}). Keep one data set in it.")
    for split in FOLDER_SPLITS:
        given = {label for part, label in found if part == split}
        missing, unknown = sorted(set(CLASSES) - given), sorted(given - set(CLASSES))
        if missing or unknown:
            defects = [f"lacks images of {', '.join(missing)}"] * bool(missing)
            defects += [f"has the unknown class folder {', '.join(unknown)}"] * bool(unknown)
            raise ImageSourceError(
                f"{split}/ in {source} {' and '.join(defects)}. "
                f"The class folders must be exactly: {', '.join(CLASSES)}."
            )
    return found


def decode_split(source: Path, by_class: Mapping[tuple[str, str], Mapping[str, bytes]], split: str) -> Split:
    """Return one split of the class folders, ordered by class (CIFAR-10's own order), then file name."""
    named = [(name, data) for label in CLASSES for name, data in by_class[split, label].items()]
    images = np.empty((len(named), TILE, TILE, 3), dtype=np.uint8)
    with tqdm(named, desc=f"decoding CIFAR-10 {split}", unit="image", disable=None) as progress:
        for row, (name, data) in enumerate(progress):
            images[row] = decode_image(source, name, data)
    counts = [len(by_class[split, label]) for label in CLASSES]
    return Split(images, np.arange(len(CLASSES)).repeat(counts))

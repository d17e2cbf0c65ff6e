"""Prepare the images that a user names: by a name, a folder or an archive, or not at all."""

from pathlib import Path

from attn_tutorial.datasets.names import DATASETS
from attn_tutorial.datasets.store import Prepared, available_cifar10, prepare
from attn_tutorial.paths import user_path
from attn_tutorial.spec import Images
from attn_tutorial.study.presets import Preset


def prepare_images(data: str | None, root: Path, preset: str | None = None) -> tuple[Prepared, Path | None]:
    """Prepare the images and return them with the path of CIFAR-10, if `data` is one.

    Args:
        data: "auto" (CIFAR-10 if it is on disk, else the built-in shapes), "cifar10", "shapes", or the path of a folder
            or archive of CIFAR-10; None or "" leaves the choice to the preset, or to "auto" without one.
        root: the folder that contains `raw/`.
        preset: name of the preset.

    """
    named = data or (Preset.load(preset).data if preset else "auto")
    if named in (*DATASETS, "auto"):
        return prepare(named, root), None
    source = user_path(named, "data").resolve()
    return prepare("cifar10", root, source), source


def likely_images(preset: str, root: Path) -> Images:
    """Return which images a preset would use, without preparing them.

    They have no fingerprint, so they are good for counting runs, but not for the runs' ids.
    """
    wanted = Preset.load(preset).data
    name = wanted if wanted != "auto" else "cifar10" if available_cifar10(root) else "shapes"
    return Images(name=name, source=name, fingerprint="", archive_sha256=None)

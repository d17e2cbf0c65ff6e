"""From what a user says of the images (a name, a folder, an archive, nothing) to a prepared image set."""

from pathlib import Path

from attn_tutorial.datasets.names import DATASETS
from attn_tutorial.datasets.store import Prepared, prepare
from attn_tutorial.study.study import Preset


def prepare_images(data: str | None, root: Path, preset: str | None = None) -> tuple[Prepared, Path | None]:
    """Prepare the images and return them with the path of CIFAR-10, if `data` is one.

    Args:
        data: "auto" (CIFAR-10 if it is on disk, else the built-in shapes), "cifar10", "shapes", or the folder or
            archive of CIFAR-10; None or "" leaves the choice to the preset.
        root: the folder that holds `raw/`.
        preset: name of the preset.

    """
    named = data or (Preset.load(preset).data if preset else "auto")
    if named in (*DATASETS, "auto"):
        return prepare(named, root), None
    source = Path(named).expanduser().resolve()
    return prepare("cifar10", root, source), source

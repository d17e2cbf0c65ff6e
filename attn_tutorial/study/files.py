"""The files of this room, and the YAML files of a user's studies."""

from importlib import resources
from pathlib import Path
from typing import Any

from attn_tutorial.errors import InputError, check_choice
from attn_tutorial.paths import user_path
from attn_tutorial.spec import SpecError
from attn_tutorial.study.read_yaml import read_yaml

_PACKAGE = resources.files("attn_tutorial.study")
_FIRST = ("headline", "backgrounds", "main")


def study_names() -> list[str]:
    """Return the names of the package's studies; the studies that compare all blocks come first."""
    names = package_files("studies", ".yaml")
    return [name for name in _FIRST if name in names] + [name for name in names if name not in _FIRST]


def package_files(folder: str, ending: str) -> list[str]:
    """Return the names, without their ending, of the files in a folder of this room."""
    files = _PACKAGE.joinpath(folder).iterdir()
    return sorted(path.name.removesuffix(ending) for path in files if path.name.endswith(ending))


def read_package_file(path: str) -> dict[str, Any]:
    """Return what a YAML file of this room contains, such as "presets.yaml"."""
    return read_yaml(read_package_text(path), path)


def read_package_text(path: str) -> str:
    """Return a text file of this room, such as "protocols/backgrounds.md"."""
    return _PACKAGE.joinpath(path).read_text("utf-8")


def read_study_file(name: str) -> tuple[dict[str, Any], str]:
    """Return the fields of a study, and what to call its file in a message.

    Args:
        name: a study of the package, or the path of a YAML file of your own. The study has the name of its file.

    Raises:
        SpecError: there is no such study, or its file cannot be read, or is not valid YAML.

    """
    if name.lower().endswith((".yaml", ".yml")):
        path = user_path(name, "study")
        study, source, values = path.stem, name, _read_own_file(path)
    else:
        try:
            check_choice("study", name, study_names())
        except InputError as error:
            raise SpecError(f"{error} For a study of your own, give its YAML file, such as my.yaml.") from None
        study, source = name, f"{name}.yaml"
        values = read_package_file(f"studies/{source}")
    if "name" in values:
        raise SpecError(f"{source}: name must be left out, because a study has the name of its file.")
    return {"name": study, **values}, source


def _read_own_file(path: Path) -> dict[str, Any]:
    if path.stem in study_names():
        raise SpecError(
            f"study must be a file whose name differs from the package's studies, but got {path}: a ledger could not "
            f"tell it from {path.stem!r}. Rename the file."
        )
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else error
        raise SpecError(f"study must be a readable YAML file, but {path} cannot be read ({cause}).") from None
    return read_yaml(text, path)

"""What every notebook starts with: validated parameters, and the project's folder.

A notebook's first cell, tagged `parameters`, assigns the names that papermill may replace: papermill adds a cell of its
own after it. The second cell declares which values are valid and reads them, before it defines any other name::

    from typing import Literal

    from pydantic import PositiveInt

    from attn_tutorial.pages import Parameters, read_parameters


    class Settings(Parameters):
        severity: Literal[0, 1, 2, 3, 4, 5]
        images: PositiveInt


    settings = read_parameters(globals(), Settings)

From then on the notebook uses only `settings.severity`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from attn_tutorial.errors import InputError
from attn_tutorial.spec import is_number

_IPYTHON_NAMES = frozenset({"In", "Out"})
_READ_MARK = "_parameters_read"
_TYPE_NAMES = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "True or False",
    "null": "None",
    "array": "a list",
    "object": "a mapping",
}
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


class Parameters(BaseModel):
    """Base class of a notebook's parameters: types are not converted, and nothing changes after reading."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class ParameterError(InputError):
    """A notebook was given a parameter that it does not have, or a value that is not valid."""


class RunError(InputError):
    """Runs that a notebook started failed. Raised after everything was shown, so that papermill fails too."""


_Model = TypeVar("_Model", bound=BaseModel)


def read_parameters(namespace: dict[str, Any], model: type[_Model]) -> _Model:
    """Return a notebook's parameters after checking their names and values.

    A misspelt papermill parameter arrives as one more name in the notebook, so every name that is not a field of the
    model is refused, except modules, classes, functions and names that start with an underscore. A cell that is run
    again by hand also sees the names of later cells: once the parameters were read, only their values are checked.

    Args:
        namespace: the notebook's `globals()`.
        model: a subclass of `Parameters` whose fields are the notebook's parameters.

    Raises:
        ParameterError: a name is unknown or missing, or a value has the wrong type or lies outside its range.

    """
    properties = model.model_json_schema()["properties"]
    unknown = [] if _READ_MARK in namespace else _unknown_names(namespace, properties)
    problems = [f"{name!r} is not a parameter of this notebook.{_near(name, properties)}" for name in unknown]
    given = {name: namespace[name] for name in properties if name in namespace}
    settings: _Model | None = None
    try:
        settings = model.model_validate(given)
    except ValidationError as error:
        problems += [_explain(problem, given, properties) for problem in error.errors(include_url=False)]
    if settings is None or problems:
        allowed = [f"  {name}: {_allowed(schema)}" for name, schema in properties.items()]
        raise ParameterError(
            "\n".join([*problems, "", "This notebook's parameters:", *allowed, "", _what_to_do()])
        ) from None
    namespace[_READ_MARK] = True
    return settings


def project_root() -> Path:
    """Return the folder that contains the book's `_config.yml` and `pyproject.toml`.

    It is searched upwards from the current folder (papermill runs in the caller's folder, the book's build in the
    notebook's), then upwards from the package, which finds it for an editable installation.

    Raises:
        FileNotFoundError: neither search found the folder.

    """
    for start in (Path.cwd(), Path(__file__).resolve().parent):
        for folder in (start, *start.parents):
            if (folder / "_config.yml").is_file() and (folder / "pyproject.toml").is_file():
                return folder
    raise FileNotFoundError(
        f"The current folder must lie inside the project, the folder with _config.yml and pyproject.toml, but is "
        f"{Path.cwd()}. Start inside a clone of the repository, or install the package from there: pip install -e ."
    )


def _unknown_names(namespace: dict[str, Any], known: Iterable[str]) -> list[str]:
    ignored = {*known, *_IPYTHON_NAMES}
    return [
        name
        for name, value in namespace.items()
        if name not in ignored
        and not name.startswith("_")
        and not isinstance(value, ModuleType)
        and not callable(value)
    ]


def _near(word: object, choices: Iterable[object]) -> str:
    matches = difflib.get_close_matches(str(word), [str(choice) for choice in choices], n=3)
    return f" Did you mean {' or '.join(map(repr, matches))}?" if matches else ""


def _explain(problem: Any, given: dict[str, Any], properties: dict[str, Any]) -> str:
    """Explain a problem that pydantic found: what is valid, what was given, and the usual cause."""
    name = str(problem["loc"][0]) if problem["loc"] else ""
    if name not in given:
        return f"{name or 'parameters'}: {problem['msg']}."
    value, schema = given[name], properties[name]
    text = f"`{name}` must be {_allowed(schema)}, but got {value!r} ({type(value).__name__})."
    return text + _near(value, schema.get("enum", ())) + _hint(value, schema)


def _hint(value: object, schema: dict[str, Any]) -> str:
    """Return why a value that looks right is text, or nothing."""
    kinds = {schema.get("type"), *(option.get("type") for option in schema.get("anyOf", ()))}
    if not isinstance(value, str):
        return ""
    if "boolean" in kinds and value.lower() in {"true", "false", "yes", "no", "on", "off"}:
        return " This is text: write -p NAME True (or False), or in YAML true without quotes."
    if kinds & {"integer", "number"} and is_number(value):
        return " This is text: YAML reads 1e-3 as text, so write 0.001 or 1.0e-3, and no quotes."
    return ""


def _allowed(schema: dict[str, Any]) -> str:
    if "const" in schema:
        return repr(schema["const"])
    if "enum" in schema:
        return "one of " + ", ".join(map(repr, schema["enum"]))
    if "anyOf" in schema:
        return " or ".join(_allowed(option) for option in schema["anyOf"])
    bounds = [f"{sign} {schema[key]}" for key, sign in _BOUNDS.items() if key in schema]
    return " ".join([_TYPE_NAMES.get(schema.get("type", ""), "any value"), " and ".join(bounds)]).strip()


def _what_to_do() -> str:
    return (
        "Correct the cell tagged 'parameters', or what papermill is given: "
        "-p NAME VALUE, or -y '{NAME: VALUE}' with YAML's types."
    )

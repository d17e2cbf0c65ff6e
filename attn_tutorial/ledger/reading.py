"""From a file of a ledger to a record: whole, of a known schema, and about the benchmark and the blocks of today."""

from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from attn_tutorial.backbones.names import ORACLE_VERSION
from attn_tutorial.blocks.options import BLOCK_VERSIONS
from attn_tutorial.clutter.names import CANVAS_VERSION, LAYER_VERSIONS
from attn_tutorial.datasets.names import RESIZE_VERSION
from attn_tutorial.errors import InputError
from attn_tutorial.ledger.record import SCHEMA, TESTS, CurvePoint, Heading, Record
from attn_tutorial.spec.introduced import with_introduced
from attn_tutorial.spec.run_ids import schema_1_id, training_id

Read = TypeVar("Read", Record, Heading)
_ROWS: dict[str, type[BaseModel]] = {**TESTS, "curve": CurvePoint}
_CLUTTER_2 = {"canvas": 1, "fragments": 1, "noise": 1, "mosaic": 1, "strokes": 1, "veil": 1}
"""What version 2 of the clutter benchmark was, when all layers had one number: the versions of its parts."""


class LedgerError(InputError):
    """A results folder that cannot be used. The text says why, and what to do."""


class Damaged(Exception):
    """A file that is not a whole record."""


class Foreign(Exception):
    """A whole record that cannot be used here."""


def read_record(path: Path, model: type[Read] = Record) -> Read:  # type: ignore[assignment]
    """Read one file of a ledger.

    A field that did not exist when the record was written has the value that it had when it was introduced
    (`spec.introduced`), whatever today's default is. Results on a clutter type whose version has changed since are left
    out: they do not count any more.

    Args:
        path: the file.
        model: `Record`, or `Heading` for the part that says how the run ended.

    Raises:
        Damaged: the file is not a record, or not the one that its name says.
        Foreign: the record was trained on another version of a clutter type or of its block, or with a block that is
            not registered here.
        LedgerError: a newer version of the package wrote it, or it cannot be read.
        FileNotFoundError: there is no such file.

    """
    values = _values(path)
    run_id, written = values.get("run_id"), values.get("spec")
    fingerprint = values["data"].get("fingerprint", "") if isinstance(values.get("data"), dict) else ""
    try:
        values["spec"] = with_introduced(written)  # type: ignore[arg-type]
        trained = _versions_trained(values)
        own_id = (
            schema_1_id(written, fingerprint)  # type: ignore[arg-type]
            if values["schema_version"] == 1
            else training_id(values["spec"], fingerprint, trained)
        )
    except (KeyError, TypeError, AttributeError, ValueError):
        own_id = None  # the validation below says what is wrong
    else:
        _keep_what_counts(values, trained)
    try:
        record = model.model_validate(_heading(values) if model is Heading else _declared(values))
    except ValidationError as error:
        _refuse(error)
    if run_id != own_id or path.stem != run_id:
        raise Damaged("its run_id is not that of its spec and images")
    _check_versions(values["versions_trained"])
    return record


def _values(path: Path) -> dict[str, Any]:
    """Return what a file contains, if it is a record of a schema that this version reads."""
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise LedgerError(
            f"record {path} must be readable, but it is not ({error.strerror}). Change its permissions, or move it."
        ) from None
    try:
        values = from_json(text)  # several times faster than the json module
    except ValueError:
        raise Damaged("it is not JSON, and may have been cut off") from None
    version = values.get("schema_version") if isinstance(values, dict) else None
    if isinstance(version, int) and version > SCHEMA:
        raise LedgerError(
            f"{path} was written by a newer version of the package (schema {version}; this one reads up to {SCHEMA}). "
            "Update the package, or name another results folder."
        )
    if version not in (1, SCHEMA):
        raise Damaged(f"its schema_version is {version!r}, and this version reads 1 and {SCHEMA}")
    return dict(values)


def _versions_trained(values: dict[str, Any]) -> dict[str, int]:
    """Return the versions of the parts that a record was trained with; complete those of schema 1."""
    if "clutter_version" in values and "versions_trained" not in values:
        if (version := values.pop("clutter_version")) != 2:
            raise Foreign(f"it was made with version {version} of the clutter benchmark, which is not known here")
        spec = values["spec"]
        shown = spec["clutter"]["types"] if any(spec["clutter"]["severities"]) else []
        parts = {"canvas", "noise", *shown}
        values["versions_trained"] = {name: number for name, number in _CLUTTER_2.items() if name in parts}
        if spec["block"] is not None:
            values["versions_trained"][f"block {spec['block']}"] = 1
        values["versions_tested"] = _CLUTTER_2
        for row in (row for field in TESTS for row in values.get(field, [])):
            row.setdefault("split", spec["evaluation"]["split"])
    versions: dict[str, int] = values["versions_trained"]
    return versions


def _keep_what_counts(values: dict[str, Any], trained: dict[str, int]) -> None:
    """Leave out the results on clutter types whose version has changed, and name these types under "void"."""
    today = {"canvas": CANVAS_VERSION, **LAYER_VERSIONS}
    changed = {name for name, version in values["versions_tested"].items() if today.get(name, version) != version}
    for field in TESTS if changed else ():
        values[field] = [row for row in values.get(field, []) if not changed & _parts(row)]
    values["void"] = sorted(changed)


def _parts(row: dict[str, Any]) -> set[str]:
    return {"canvas", "noise", *(row["types"].split("+") if row["severity"] else ())}


def _declared(values: dict[str, Any]) -> dict[str, Any]:
    """Drop fields that this version does not know: a later one may have added them without changing the others."""
    known = _only(values, Record)
    for field, row in _ROWS.items():
        if isinstance(known.get(field), list):
            known[field] = [_only(each, row) if isinstance(each, dict) else each for each in known[field]]
    return known


def _only(values: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    names = model.model_fields  # once: pydantic looks it up at every access
    return {name: value for name, value in values.items() if name in names}


def _heading(values: dict[str, Any]) -> dict[str, Any]:
    rows = [row for row in values.get("accuracy", []) if isinstance(row, dict)]
    tested = {(row.get("split", "test"), row.get("types"), row.get("severity")) for row in rows}
    return {**_only(values, Heading), "conditions": tested}


def _check_versions(trained: dict[str, int]) -> None:
    parts = {
        "canvas": ("canvas", CANVAS_VERSION),
        "oracle": ("the oracle", ORACLE_VERSION),
        "resize": ("the resizing of images", RESIZE_VERSION),
        **{name: (f"clutter type {name}", version) for name, version in LAYER_VERSIONS.items()},
        **{f"block {name}": (f"block {name}", version) for name, version in BLOCK_VERSIONS.items()},
    }
    for name, version in trained.items():
        part, today = parts.get(name, (name if name.startswith("block ") else f"clutter type {name}", None))
        if today != version:
            here = "it is not known here" if today is None else f"this is version {today}"
            raise Foreign(f"it was trained with version {version} of {part}, and {here}")


def _refuse(error: ValidationError) -> NoReturn:
    """Say why a file is not a record; the kind of mistake decides what happens to it."""
    problems = error.errors()
    first = f"{'.'.join(map(str, problems[0]['loc']))}: {problems[0]['msg']}"
    more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
    # A spec that is not valid here may be valid elsewhere: with a block that somebody has registered there.
    kind = Foreign if all(problem["loc"][:1] == ("spec",) for problem in problems) else Damaged
    raise kind(f"{first}{more}")

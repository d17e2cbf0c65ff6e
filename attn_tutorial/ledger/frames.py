"""Tidy frames made of records: accuracies, and where networks look. Their columns are the fields of the records."""

import functools
import types
from collections.abc import Iterable
from typing import Any, Literal, Union, get_args, get_origin

import pandas as pd
from pydantic import BaseModel

from attn_tutorial.ledger.record import Accuracy, Lesion, Localisation, Record, Share, Tested

_SCALARS = (str, int, float, bool)
_RUN = ["run_id", "preset", "fingerprint", "backbone", "variant", "seed"]

Named = Iterable[tuple[str, Record]]
"""Records with the names that their variants have in a study."""


def accuracy_frame(named: Named) -> pd.DataFrame:
    """Return a row for each run that is done, split, composition of types and severity.

    Columns: `run_id`, `study`, `preset`, `variant`; `backbone`, `block` ("none" for the plain network), `seed`; `data`
    (the name of the images), `target` (their side in pixels), `source`, `fingerprint`; the fields of `record.Accuracy`;
    and every other field of `Record` that is a single value. Shares, such as accuracies, are in percent.
    """
    rows = [
        {
            **{name: getattr(record, name) for name in _FIRST},
            "variant": variant,
            "backbone": record.spec.backbone.label(),
            "block": record.spec.block or "none",
            "seed": record.spec.seed,
            "data": record.data.name,
            "target": record.spec.data.size,
            "source": record.data.source,
            "fingerprint": record.data.fingerprint,
            **_values(row),
            **{name: getattr(record, name) for name in _LAST},
        }
        for variant, record in named
        if record.status == "done"
        for row in record.accuracy
    ]
    columns = [*_FIRST, *_OF_SPEC, *_scalars(Accuracy), *_LAST]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.astype(dict.fromkeys(_shares(Accuracy), float))


def localisation_frame(named: Named) -> pd.DataFrame:
    """Return a row for each run, severity, map and mask; records without such rows are left out.

    Columns: `run_id`, `preset`, `fingerprint`, `backbone`, `variant`, `seed`, and the fields of `record.Localisation`.
    """
    return _looking_frame(named, "localisation", Localisation)


def lesion_frame(named: Named) -> pd.DataFrame:
    """Return a row for each run, severity and lesion; records without such rows are left out.

    Columns: `run_id`, `preset`, `fingerprint`, `backbone`, `variant`, `seed`, and the fields of `record.Lesion`, with
    accuracies in percent, and harms and the ends of their intervals over the images in points.
    """
    return _looking_frame(named, "lesions", Lesion)


def _looking_frame(
    named: Named, field: Literal["localisation", "lesions"], model: type[Localisation | Lesion]
) -> pd.DataFrame:
    rows = [
        {
            "run_id": record.run_id,
            "preset": record.preset,
            "fingerprint": record.data.fingerprint,
            "backbone": record.spec.backbone.label(),
            "variant": variant,
            "seed": record.spec.seed,
            **_values(row),
        }
        for variant, record in named
        if record.status == "done"
        for row in getattr(record, field)
    ]
    frame = pd.DataFrame(rows, columns=[*_RUN, *_scalars(model)])
    return frame.astype(dict.fromkeys(_shares(model), float))


def _values(row: Tested) -> dict[str, Any]:
    """Return the single values of a row, shares in percent."""
    shares = _shares(type(row))
    values = {name: getattr(row, name) for name in _scalars(type(row))}
    return {name: 100 * value if name in shares and value is not None else value for name, value in values.items()}


@functools.cache
def _scalars(model: type[BaseModel]) -> list[str]:
    """Return the names of the fields that are a single value."""
    return [name for name, field in model.model_fields.items() if _is_scalar(field.annotation)]


def _is_scalar(annotation: Any) -> bool:
    if get_origin(annotation) in (Union, types.UnionType):
        return all(part is type(None) or _is_scalar(part) for part in get_args(annotation))
    return annotation in _SCALARS or get_origin(annotation) is Literal or annotation == Share


@functools.cache
def _shares(model: type[BaseModel]) -> list[str]:
    return [
        name
        for name, field in model.model_fields.items()
        if "share" in field.metadata or Share in get_args(field.annotation)
    ]


_FIRST = ["run_id", "study", "preset", "variant"]
_OF_SPEC = ["backbone", "block", "seed", "data", "target", "source", "fingerprint"]
_LAST = [name for name in _scalars(Record) if name not in _FIRST]

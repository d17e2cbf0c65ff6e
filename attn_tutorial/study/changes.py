"""From a preset's fields and the change that a variant makes to the fields of its `RunSpec`."""

import functools
from typing import Any

from attn_tutorial.spec import SpecError
from attn_tutorial.study.files import read_package_file

Change = dict[str, Any]
"""What a variant changes, by field of `RunSpec`. It may also contain two words that a study adds: `length`, the length
of the variant's training as a multiple of the preset's; and `widened`, such as {to: cbam, by: parameters}, for a plain
network whose stages are widened until it has as many `parameters` or `flops` as a variant of study `main`."""


def changed(fields: dict[str, Any], change: Change) -> dict[str, Any]:
    """Return fields with a change; a part of the change, such as `clutter`, names only what differs in it."""
    parts = {
        name: {**fields[name], **value}
        for name, value in change.items()
        if isinstance(fields.get(name), dict) and isinstance(value, dict)
    }
    return {**fields, **change, **parts}


def without_added_words(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields in which `length` and `widened` are replaced by the fields of `RunSpec` that they stand for."""
    return _widened(_lengthened(fields))


def _lengthened(fields: dict[str, Any]) -> dict[str, Any]:
    length = fields.pop("length", 1)
    if isinstance(length, bool) or not isinstance(length, int | float) or not 0 < length < float("inf"):
        raise SpecError(f"length must be a number above 0 (a multiple of the preset's samples), but got {length!r}.")
    if length == 1:
        return fields
    training = fields["training"]
    return {**fields, "training": {**training, "samples": round(length * training["samples"])}}


def _widened(fields: dict[str, Any]) -> dict[str, Any]:
    wanted = fields.pop("widened", None)
    if wanted is None:
        return fields
    backbone = {name: fields["backbone"][name] for name in ("depth", "width", "stem")}
    known = [entry for entry in _widened_networks() if entry["backbone"] == backbone]
    for entry in known:
        if {"to": entry["to"], "by": entry["by"]} == wanted:
            return {**fields, "backbone": {**fields["backbone"], "widths": entry["widths"]}}
    allowed = " or ".join(f"{{to: {entry['to']}, by: {entry['by']}}}" for entry in known)
    raise SpecError(
        f"widened must be {allowed or 'left out'} with backbone {backbone}, but got {wanted!r}. For another network, "
        "give backbone: {widths: [...]} with three numbers of channels."
    )


@functools.cache
def _widened_networks() -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = read_package_file("widened.yaml")["networks"]
    return entries

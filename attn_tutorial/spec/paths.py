"""Fields of a specification by path, such as `training.lr`."""

from collections.abc import Mapping
from typing import Any


def nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields whose names are paths as parts within parts: {"a.b": 1} becomes {"a": {"b": 1}}."""
    whole: dict[str, Any] = {}
    for path, value in fields.items():
        *parts, name = path.split(".")
        place = whole
        for part in parts:
            place = place.setdefault(part, {})
        place[name] = value
    return whole

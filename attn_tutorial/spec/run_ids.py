"""How runs are named: by a hash of what was trained, on which pixels, with which versions of its parts."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from attn_tutorial.blocks.options import usual_options
from attn_tutorial.spec.introduced import BLOCK_OPTIONS_INTRODUCED, INTRODUCED

_DIGITS = 16
_ALWAYS = ("data", "training")  # parts that have no default as a whole


def training_id(spec: Mapping[str, Any], fingerprint: str, versions: Mapping[str, int]) -> str:
    """Name a training.

    The test is not part of the name: a network that is tested again under new conditions stays the same run.

    Args:
        spec: a specification as JSON values. Fields that have the value of `INTRODUCED` may be missing.
        fingerprint: of the images.
        versions: of the clutter layers and the block that the training uses, by name.

    Returns:
        16 hexadecimal digits.

    """
    trained = {name: value for name, value in spec.items() if name != "evaluation"}
    chosen = _differing(trained)
    if (block := trained.get("block")) is not None:
        introduced = BLOCK_OPTIONS_INTRODUCED.get(block, {})
        options = trained.get("block_options", {})
        chosen["block_options"] = {
            name: value for name, value in options.items() if name not in introduced or value != introduced[name]
        }
    return _hashed({"schema": 2, "spec": chosen, "data": fingerprint, "versions": dict(versions)})


def schema_1_id(spec: Mapping[str, Any], fingerprint: str) -> str:
    """Name a run as records of schema 1 are named. This function is frozen, so that these records keep their names.

    Their ids also cover the test, and version 2 of the clutter benchmark, which had one number for all of its layers.
    """
    chosen = _differing(spec)
    if (block := spec.get("block")) is not None:
        usual = BLOCK_OPTIONS_INTRODUCED.get(block) or usual_options(block)
        options = spec.get("block_options", {})
        chosen["block_options"] = {
            name: value for name, value in options.items() if name not in usual or value != usual[name]
        }
    return _hashed({"spec": chosen, "data": fingerprint, "clutter": 2})


def _differing(values: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Return the fields whose values are not those of `INTRODUCED`; a part without such fields is left out."""
    chosen: dict[str, Any] = {}
    for name, value in values.items():
        place = f"{path}{name}"
        if name == "block_options":
            continue
        if isinstance(value, dict):
            inner = _differing(value, f"{place}.")
            if inner or place in _ALWAYS:
                chosen[name] = inner
        elif place not in INTRODUCED or value != INTRODUCED[place]:
            chosen[name] = value
    return chosen


def _hashed(what: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:_DIGITS]

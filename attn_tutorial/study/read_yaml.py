"""YAML read strictly: a mistake is named with its line and column, and a name given twice is a mistake."""

from pathlib import Path
from typing import Any

import yaml

from attn_tutorial.spec import SpecError


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a name must be one word or text", problem_mark=key.start_mark)
            if key.value in seen:  # YAML itself would take the last and drop the others without a word
                raise yaml.MarkedYAMLError(problem=f"{key.value!r} is given twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_value(text: str, source: str | Path) -> Any:
    """Return what a YAML text holds; raises `SpecError`, with line and column where they are known, if it is no YAML.

    Args:
        text: the YAML.
        source: what to call it in a message.

    """
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SpecError(f"{source}{place}: {error.problem or error.context}; mend it there") from None
    # Values that are not what their tags say, as a date's 13th month, raise whatever Python's own conversion does.
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise SpecError(f"{source} is no YAML: {error}") from None


def read_yaml(text: str, source: str | Path) -> dict[str, Any]:
    """Return the mapping that a YAML text holds; raises `SpecError` with line and column where it is none."""
    values = read_value(text, source)
    if not isinstance(values, dict):
        held = "is empty" if values is None else f"holds {type(values).__name__}"
        raise SpecError(f"{source}: names with values are due (title: …), but it {held}")
    return values

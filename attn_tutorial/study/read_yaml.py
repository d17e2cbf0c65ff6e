"""Read YAML strictly: a message names a mistake's line and column, and a name given twice is a mistake."""

from pathlib import Path
from typing import Any

import yaml

from attn_tutorial.spec import SpecError


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a name must be a word or a text", problem_mark=key.start_mark)
            if key.value in seen:  # YAML itself would take the last and drop the others silently
                raise yaml.MarkedYAMLError(problem=f"{key.value!r} is given twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_value(text: str, source: str | Path) -> Any:
    """Return the value that a YAML text stands for.

    Args:
        text: the YAML.
        source: what to call it in a message.

    Raises:
        SpecError: the text is not valid YAML; the message names the line and column if they are known.

    """
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SpecError(f"{source}{place}: {error.problem or error.context}. Correct it there.") from None
    # A value that does not fit its tag, such as a date's 13th month, raises whatever Python's own conversion raises.
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise SpecError(f"{source} is not valid YAML: {error}") from None


def read_yaml(text: str, source: str | Path) -> dict[str, Any]:
    """Return the mapping that a YAML text contains; raises `SpecError` if it is anything else (see `read_value`)."""
    values = read_value(text, source)
    if not isinstance(values, dict):
        found = "is empty" if values is None else f"contains a value of type {type(values).__name__}"
        raise SpecError(f"{source} must contain names with values (title: …), but it {found}.")
    return values

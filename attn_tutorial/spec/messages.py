"""Errors of a specification as sentences: what must hold, what was given, what to do."""

from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from attn_tutorial.errors import InputError


class SpecError(InputError):
    """A specification that cannot be run. The text says what must hold, what was given and what to do."""


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Turn pydantic's report into sentences."""
    return f"{model.__name__} is not valid:\n" + "\n".join(f"  - {each}" for each in sentences(error, model))


def sentences(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Return one sentence for each problem that pydantic reports."""
    details = error.errors()
    wrong = {detail["loc"][:-1] for detail in details}  # a list with a wrong item is also called too short
    return [_sentence(each, model) for each in details if each["type"] != "too_short" or each["loc"] not in wrong]


def is_number(text: str) -> bool:
    """Return whether a text would be a number without its quotes."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _sentence(detail: Any, model: type[BaseModel]) -> str:
    place = ".".join(str(part) for part in detail["loc"]) or "it"
    given = detail["input"]
    if detail["type"] == "extra_forbidden":
        return f"{place}: unknown name; it must be one of {', '.join(_names(model, detail['loc'][:-1]))}"
    if detail["type"] == "missing":
        return f"{place}: a value must be given, because there is no default"
    if detail["type"] == "value_error":
        text = str(detail["ctx"]["error"])
        return text if not detail["loc"] or text.startswith(f"{detail['loc'][-1]}:") else f"{place}: {text}"
    rule = str(detail["msg"])
    rule = (
        rule.replace("Input should be", "must be", 1) if rule.startswith("Input should be") else f"not valid ({rule})"
    )
    sentence = f"{place}: {rule}, but got {given!r}"
    if isinstance(given, str) and is_number(given):
        sentence += (
            ". This is text, not a number: leave the quotes out, and in YAML write 0.001 or 1.0e-3, because YAML reads "
            "1e-3 as text"
        )
    return sentence


def _names(model: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    for name in path:
        annotation = model.model_fields[name].annotation if name in model.model_fields else None
        parts = [part for part in (annotation, *get_args(annotation)) if isinstance(part, type)]
        model = next((part for part in parts if issubclass(part, BaseModel)), model)
    return list(model.model_fields)

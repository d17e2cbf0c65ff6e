"""Axes: a few lists of values, which make the variants of a study."""

import itertools
from typing import Any

from pydantic import Field

from attn_tutorial.spec import Part, SpecError
from attn_tutorial.spec.paths import nested
from attn_tutorial.study.changes import Change

_LABEL = "label"


class Grid(Part):
    """Variants that differ along axes.

    An axis is a field of `RunSpec` with its values, such as `block`, or a field of a part, such as
    `block_options.reduction`. It may also be one of the two words that a study adds, `length` and `widened` (see
    `Change`), or `label`, whose values change nothing and only appear in the name.
    """

    name: str
    """The variants' names: a template with axes in braces, by their last word, such as "reduction {reduction}"."""
    fixed: Change = Field(default_factory=dict)
    """What all of them change in the same way."""
    product: dict[str, list[Any]] = Field(default_factory=dict)
    """Axes that are crossed: every value of one is combined with every value of the others."""
    zip: dict[str, list[Any]] = Field(default_factory=dict)
    """Axes that go together: the first value of each, then the second of each, and so on."""
    only: dict[str, Change] = Field(default_factory=dict)
    """By axis of the product: the axis is used only if other fields have these values (one value, or a list of them).
    Otherwise the field stays as it is."""

    def variants(self) -> dict[str, Change]:
        """Return the variants by name; raises `SpecError` if the axes do not make a grid."""
        self._check_axes()
        self._check_conditions()
        points = [dict(zip(self.zip, values, strict=True)) for values in zip(*self.zip.values(), strict=True)] or [{}]
        made: dict[str, Change] = {}
        for values in itertools.product(*self.product.values()):
            for point in points:
                given = {**self.fixed, **point, **dict(zip(self.product, values, strict=True))}
                kept = {axis: value for axis, value in given.items() if axis != _LABEL and self._used(axis, given)}
                name, change = self._named(given), nested(kept)
                if made.get(name, change) != change:
                    raise SpecError(
                        f"name must give every variant another name, but {self.name!r} calls two variants {name!r}. "
                        "Name every axis in it, such as "
                        f"{' '.join(f'{{{_last(axis)}}}' for axis in (*self.zip, *self.product))!r}. If two axes have "
                        f"the same last word, or values are long, put an axis {_LABEL!r} under zip."
                    )
                made[name] = change
        return made

    def _check_axes(self) -> None:
        axes = {**self.zip, **self.product}
        if not axes:
            raise SpecError(f"grid {self.name!r} must have axes. Give some under product or zip.")
        for axis, values in axes.items():
            if not values:
                raise SpecError(
                    f"axis {axis!r} of grid {self.name!r} must have values, because an empty grid has no runs."
                )
        if twice := sorted(({*self.zip} & {*self.product}) | ({*axes} & {*self.fixed})):
            raise SpecError(
                f"{', '.join(twice)} of grid {self.name!r} must be given once, but is given twice. Leave one out."
            )
        given = {*axes, *self.fixed}
        for part in given:
            if inside := sorted(axis for axis in given if axis.startswith(f"{part}.")):
                raise SpecError(
                    f"{part!r} and {', '.join(inside)} of grid {self.name!r} are the same field. Leave one of them out."
                )
        if len({len(values) for values in self.zip.values()}) > 1:
            lengths = ", ".join(f"{axis}: {len(values)}" for axis, values in self.zip.items())
            raise SpecError(
                "axes under zip must have equally many values, because they go together, but these numbers were given: "
                f"{lengths}."
            )

    def _check_conditions(self) -> None:
        given = {*self.zip, *self.product, *self.fixed}
        if unknown := sorted({*self.only} - {*self.product}):
            raise SpecError(
                f"only: must name axes under product of grid {self.name!r} "
                f"({', '.join(self.product) or 'it has none'}), but got {', '.join(unknown)}."
            )
        conditions = {field for condition in self.only.values() for field in condition}
        if unknown := sorted(conditions - given):
            raise SpecError(
                f"only: its conditions must name fields of grid {self.name!r} ({', '.join(sorted(given))}), but got "
                f"{', '.join(unknown)}, so the axis would never be used."
            )

    def _used(self, axis: str, given: Change) -> bool:
        return all(
            given.get(other) in (values if isinstance(values, list) else [values])
            for other, values in self.only.get(axis, {}).items()
        )

    def _named(self, given: Change) -> str:
        words = {_last(axis): _word(axis, value) for axis, value in given.items() if self._used(axis, given)}
        missing = {_last(axis): "" for axis in given}
        try:
            return " ".join(self.name.format(**{**missing, **words}).split())
        except (KeyError, IndexError, ValueError) as error:
            allowed = ", ".join(f"{{{word}}}" for word in missing)
            raise SpecError(
                f"name of a grid must be a template of {allowed}, but {self.name!r} cannot be filled in ({error})."
            ) from None


def _last(axis: str) -> str:
    return axis.rpartition(".")[2]


def _word(axis: str, value: Any) -> str:
    if axis == "block" and value is None:
        return "baseline"
    if isinstance(value, dict):  # such as a value of `widened`
        return " ".join(map(str, value.values()))
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)

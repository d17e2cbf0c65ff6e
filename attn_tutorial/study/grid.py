"""Axes: from a few lists of values to the variants of a study."""

import itertools
from typing import Any

from pydantic import Field

from attn_tutorial.spec import Part, SpecError

Change = dict[str, Any]
"""What a variant changes, by field of `RunSpec`."""
_LABEL = "label"


class Grid(Part):
    """Variants that differ along axes.

    An axis is a field of `RunSpec` with its values: `block`, or with dots into a part, as
    `block_options.reduction`; or one of the two words that a study adds, `length` and `widened`; or `label`, whose
    values change nothing and stand in the name alone.
    """

    name: str
    """How the variants are called: a template with axes in braces, by their last word, as "reduction {reduction}"."""
    fixed: Change = Field(default_factory=dict)
    """What all of them change alike."""
    product: dict[str, list[Any]] = Field(default_factory=dict)
    """Axes of which every value meets every value of the others."""
    zip: dict[str, list[Any]] = Field(default_factory=dict)
    """Axes that go together: the first value of each, the second of each, and so on."""
    only: dict[str, Change] = Field(default_factory=dict)
    """By axis of the product: the axis holds only where other fields have these values, one or a list of them.
    Elsewhere the field is left as it is."""

    def variants(self) -> dict[str, Change]:
        """Return the variants by name; raises `SpecError` for axes that make no grid."""
        self._check()
        points = [dict(zip(self.zip, values, strict=True)) for values in zip(*self.zip.values(), strict=True)] or [{}]
        made: dict[str, Change] = {}
        for values in itertools.product(*self.product.values()):
            for point in points:
                given = {**self.fixed, **point, **dict(zip(self.product, values, strict=True))}
                kept = {axis: value for axis, value in given.items() if axis != _LABEL and self._holds(axis, given)}
                name, change = self._named(given), _nested(kept)
                if made.get(name, change) != change:
                    raise SpecError(
                        f"name {self.name!r} calls two variants {name!r}: name every axis in it, as "
                        f"{' '.join(f'{{{_last(axis)}}}' for axis in (*self.zip, *self.product))!r}; for two axes "
                        f"with one last word, or long values, put an axis {_LABEL!r} under zip"
                    )
                made[name] = change
        return made

    def _check(self) -> None:
        axes = {**self.zip, **self.product}
        if not axes:
            raise SpecError(f"grid {self.name!r} has no axes: give some under product or zip")
        for axis, values in axes.items():
            if not values:
                raise SpecError(f"axis {axis!r} of grid {self.name!r} has no values: an empty grid has no runs")
        if twice := sorted(({*self.zip} & {*self.product}) | ({*axes} & {*self.fixed})):
            raise SpecError(f"{', '.join(twice)} of grid {self.name!r} is given twice: leave it in one place")
        given = {*axes, *self.fixed}
        for part in given:
            if inside := sorted(axis for axis in given if axis.startswith(f"{part}.")):
                raise SpecError(f"{part!r} and {', '.join(inside)} of grid {self.name!r} are one field: leave one out")
        if len({len(values) for values in self.zip.values()}) > 1:
            lengths = ", ".join(f"{axis}: {len(values)}" for axis, values in self.zip.items())
            raise SpecError(f"axes under zip go together, and need as many values each; given were {lengths}")
        if unknown := sorted({*self.only} - {*self.product}):
            raise SpecError(
                f"only: {', '.join(unknown)} is no axis under product of grid {self.name!r}; "
                f"allowed are {', '.join(self.product) or 'none, as it has no such axes'}"
            )

        conditions = {field for condition in self.only.values() for field in condition}
        if unknown := sorted(conditions - given):
            raise SpecError(
                f"only: {', '.join(unknown)} is no field of grid {self.name!r}, so that it would never hold; allowed "
                f"are {', '.join(sorted(given))}"
            )

    def _holds(self, axis: str, given: Change) -> bool:
        return all(
            given.get(other) in (values if isinstance(values, list) else [values])
            for other, values in self.only.get(axis, {}).items()
        )

    def _named(self, given: Change) -> str:
        words = {_last(axis): _word(axis, value) for axis, value in given.items() if self._holds(axis, given)}
        missing = {_last(axis): "" for axis in given}
        try:
            return " ".join(self.name.format(**{**missing, **words}).split())
        except (KeyError, IndexError, ValueError) as error:
            allowed = ", ".join(f"{{{word}}}" for word in missing)
            raise SpecError(
                f"name {self.name!r} of a grid cannot be filled in ({error}); allowed are {allowed}"
            ) from None


def _last(axis: str) -> str:
    return axis.rpartition(".")[2]


def _word(axis: str, value: Any) -> str:
    if axis == "block" and value is None:
        return "baseline"
    if isinstance(value, dict):  # as of `widened`
        return " ".join(map(str, value.values()))
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)


def _nested(change: Change) -> Change:
    """Fields with dots, as fields of parts."""
    nested: Change = {}
    for axis, value in change.items():
        *parts, field = axis.split(".")
        place = nested
        for part in parts:
            place = place.setdefault(part, {})
        place[field] = value
    return nested

"""Studies (what is compared) and presets (at what scale), and the runs that one of each makes."""

import difflib
import functools
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from attn_tutorial.datasets.store import Prepared
from attn_tutorial.spec import BackboneSpec, ClutterSpec, Images, Part, RunSpec, SpecError
from attn_tutorial.study.grid import Change, Grid
from attn_tutorial.study.read_yaml import read_yaml


class Preset(Part):
    """At what scale a study runs."""

    description: str
    data: Literal["auto", "cifar10", "shapes"]
    """The images where the user names none."""
    seeds: PositiveInt
    samples: dict[Literal["cifar10", "shapes"], PositiveInt]
    """Images seen in training, repeats counted, by image set."""
    train_images: PositiveInt | None = None
    test_images: PositiveInt | None = None
    backbones: list[BackboneSpec] = Field(default_factory=lambda: [BackboneSpec()], min_length=1)
    """Every variant is trained in each of them; results in different ones are never pooled."""
    clutter: ClutterSpec = ClutterSpec()
    recipe: dict[str, Any] = Field(default_factory=dict)
    """Anything of `TrainingSpec` that differs from its default."""

    @classmethod
    def load(cls, name: str) -> Self:
        """Return the preset called `name`; an unknown one is an error that lists them."""
        presets = _presets()
        if name not in presets:
            raise SpecError(_unknown("preset", name, list(presets)))
        return cls.parse(presets[name])


_FIRST = ("headline", "main")


def _seed_counts(value: object) -> object:
    counts = list(value.values()) if isinstance(value, dict) else [value]
    if not all(type(count) is int and count > 0 for count in counts):
        raise ValueError(
            f"seeds: {value!r} was given; allowed is a count of at least 1, as 3, or counts by variant, as {{se: 2}}"
        )
    return value


@dataclass(frozen=True)
class PlannedRun:
    """A run of a study: its name in the ledger, what it is called in tables, and what it is."""

    run_id: str
    variant: str
    spec: RunSpec


class Study(Part):
    """A named grid of runs: variants, each a change of the backbone's slots, times seeds."""

    name: str
    title: str
    question: str
    baseline: str = "baseline"
    """The variant that the others are compared with."""
    controls: list[str] = Field(default_factory=list)
    """Variants that are no blocks under test: they do not count among those that Holm's method corrects for."""
    references: dict[str, str] = Field(default_factory=dict)
    """By variant: the one that it is compared with, where that is not the baseline, as a plain network that was trained
    as long as it was."""
    fixed: Change = Field(default_factory=dict)
    """The fields of `RunSpec` that all variants share and that differ from the preset's."""
    variants: dict[str, Change] = Field(default_factory=dict)
    """By name: the fields of `RunSpec` in which a variant differs from the baseline; and two words more: `length`, the
    length of its training as a multiple of the preset's, and `widened`, for a plain network whose stages were made
    wider until it has the `parameters` or the `flops` of a variant of study `main`, as {to: cbam, by: parameters}."""
    grids: list[Grid] = Field(default_factory=list)
    """Axes, which make more variants."""
    seeds: Annotated[PositiveInt | dict[str, PositiveInt], BeforeValidator(_seed_counts)] = Field(default_factory=dict)
    """How many seeds at most, for all variants or by variant, where the user asks for no number and the preset has
    more."""

    @model_validator(mode="after")
    def _variants_of_the_grids(self) -> Self:
        for grid in self.grids:
            for name, change in grid.variants().items():
                if self.variants.setdefault(name, change) != change:
                    raise ValueError(f"two variants are called {name!r}: give each a name of its own")
        if not self.variants:
            raise ValueError("neither variants nor grids were given: a study without any has no runs")
        for name, change in (("fixed", self.fixed), *self.variants.items()):
            # Chosen for all runs alike when a study starts: a variant that said otherwise would be recorded as what it
            # is not.
            if "seed" in change:
                raise ValueError(f"{name}: seed was given; seeds are counted for the whole study, as seeds: 3")
            if isinstance(change.get("data"), dict) and "name" in change["data"]:
                raise ValueError(f"{name}: data.name was given; all variants see the images that --data names")
        by_variant = self.seeds if isinstance(self.seeds, dict) else {}
        reference = [self.baseline] if "baseline" in self.model_fields_set else []
        for field, names in (
            ("controls", self.controls),
            ("seeds", by_variant),
            ("baseline", reference),
            ("references", (*self.references, *self.references.values())),
        ):
            if unknown := [name for name in names if name not in self.variants]:
                raise ValueError(f"{field}: {', '.join(unknown)} is no variant; allowed are {', '.join(self.variants)}")
        if itself := [name for name, other in self.references.items() if name in (other, self.baseline)]:
            raise ValueError(f"references: {', '.join(itself)} is the baseline or its own reference: leave it out")
        return self

    @property
    def family(self) -> list[str]:
        """The variants under test, over which Holm's correction is taken: all but the baseline and the controls."""
        return [name for name in self.variants if name not in {self.baseline, *self.controls}]

    @property
    def comparisons(self) -> dict[str, list[str]]:
        """The variants that are compared with each reference, the baseline's first; a reference may be among them."""
        found: dict[str, list[str]] = {self.baseline: []}
        for name in self.variants:
            if name != self.baseline:
                found.setdefault(self.references.get(name, self.baseline), []).append(name)
        return found

    @classmethod
    def load(cls, name: str) -> Self:
        """Return the study called `name`, or that of a YAML file of your own, which is called as the file is.

        An unknown one is an error that lists them.
        """
        if name.lower().endswith((".yaml", ".yml")):
            path = Path(name)
            if path.stem in study_names():
                raise SpecError(
                    f"study {name!r} was given, but {path.stem!r} is a study of the package: two with one name could "
                    "not be told apart in a ledger. Rename the file"
                )
            try:
                text = path.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                cause = error.strerror if isinstance(error, OSError) else error
                raise SpecError(
                    f"study {name!r} was given, and cannot be read ({cause}): give a file of YAML"
                ) from None
            return cls._of_file(path.stem, read_yaml(text, name), name)
        if name not in study_names():
            raise SpecError(_unknown("study", name, study_names()) + "; or a YAML file of your own, as my.yaml")
        return cls._of_file(name, _read(f"studies/{name}.yaml"), f"{name}.yaml")

    @classmethod
    def _of_file(cls, name: str, values: dict[str, Any], source: str) -> Self:
        if "name" in values:
            raise SpecError(f"{source}: name was given; a study is called as its file is: leave it out")
        try:
            return cls.parse({"name": name, **values})
        except SpecError as error:
            raise SpecError(f"{source}: {error}") from None

    def plan(self, preset: str, images: Prepared | Images, seeds: int | None = None) -> list[PlannedRun]:
        """List the runs at a preset on given images, all variants of the first seed first.

        `seeds` is a count (seeds 0 to seeds-1); a larger one keeps the runs of a smaller. By default it is that of the
        preset, or less where the study says so.
        """
        count = Preset.load(preset).seeds if seeds is None else seeds
        if type(count) is not int or count < 1:
            raise SpecError(
                f"seeds {seeds!r} was given; allowed is a count of at least 1, as 3 for the seeds 0, 1 and 2"
            )
        runs = self.plan_seeds(preset, images, range(count))
        return runs if seeds is not None else [run for run in runs if run.spec.seed < self._most_seeds(run, count)]

    def _most_seeds(self, run: PlannedRun, count: int) -> int:
        return self.seeds.get(run.variant, count) if isinstance(self.seeds, dict) else self.seeds

    def plan_seeds(self, preset: str, images: Prepared | Images, seeds: Iterable[int]) -> list[PlannedRun]:
        """List the runs with the given seeds, see `plan`."""
        scale = Preset.load(preset)
        shared: dict[str, Any] = {
            "data": {"name": images.name, "train_images": scale.train_images},
            "training": {"samples": scale.samples[images.name], **scale.recipe},  # type: ignore[index]
            "clutter": scale.clutter.model_dump(),
            "evaluation": {"images": scale.test_images},
        }
        networks = [
            (
                variant,
                self._network(variant, _changed({**shared, "backbone": backbone.model_dump()}, self.fixed), change),
            )
            for backbone in scale.backbones
            for variant, change in self.variants.items()
        ]
        runs: dict[str, PlannedRun] = {}
        for seed in seeds:
            for variant, network in networks:
                spec = network.model_copy(update={"seed": seed})
                run = PlannedRun(spec.run_id(images.fingerprint), variant, spec)
                twin = runs.setdefault(run.run_id, run)
                # Channels come whole: of two networks of nearly one size a small backbone may have one only. And a
                # variant that names its backbone is the same run in all of the preset's.
                if twin.variant != variant and "widened" not in self.variants[variant]:
                    raise SpecError(
                        f"study {self.name!r}: variants {twin.variant!r} and {variant!r} are one and the same run: "
                        "leave one of them out"
                    )
        return list(runs.values())

    def _network(self, variant: str, shared: Change, change: Change) -> RunSpec:
        try:
            return RunSpec.parse(_widened(_lengthened(_changed(shared, change))))
        except SpecError as error:
            raise SpecError(f"study {self.name!r}, variant {variant!r}: {error}") from None


def _changed(fields: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Fields with a variant's change, in which a part, as `clutter`, names only what differs in it."""
    parts = {
        name: {**fields[name], **value}
        for name, value in change.items()
        if isinstance(fields.get(name), dict) and isinstance(value, dict)
    }
    return {**fields, **change, **parts}


def _lengthened(fields: dict[str, Any]) -> dict[str, Any]:
    length = fields.pop("length", 1)
    if isinstance(length, bool) or not isinstance(length, int | float) or not 0 < length < float("inf"):
        raise SpecError(f"length {length!r} was given; allowed is a number above 0: a multiple of the preset's samples")
    if length == 1:
        return fields
    training = fields["training"]
    return {**fields, "training": {**training, "samples": round(length * training["samples"])}}


def _widened(fields: dict[str, Any]) -> dict[str, Any]:
    wanted = fields.pop("widened", None)
    if wanted is None:
        return fields
    known = _widths()
    spec = {name: fields["backbone"][name] for name in ("depth", "width", "stem")}
    for entry in known:
        if entry["backbone"] == spec and {"to": entry["to"], "by": entry["by"]} == wanted:
            return {**fields, "backbone": {**fields["backbone"], "widths": entry["widths"]}}
    allowed = " or ".join(f"{{to: {entry['to']}, by: {entry['by']}}}" for entry in known if entry["backbone"] == spec)
    raise SpecError(
        f"widened {wanted!r} was given; allowed with backbone {spec} is {allowed or 'nothing'}: for another, give "
        "backbone: {widths: [...]}, three numbers of channels"
    )


def study_names() -> list[str]:
    """Names of the studies that the package holds, those of all blocks first."""
    folder = resources.files("attn_tutorial.study").joinpath("studies")
    names = [path.name.removesuffix(".yaml") for path in folder.iterdir() if path.name.endswith(".yaml")]
    return sorted(names, key=lambda name: (name not in _FIRST, name))


def preset_names() -> list[str]:
    """Names of the presets, from the smallest scale to the largest."""
    return list(_presets())


@functools.cache
def _presets() -> dict[str, dict[str, Any]]:
    return _read("presets.yaml")


def _read(path: str) -> dict[str, Any]:
    text = resources.files("attn_tutorial.study").joinpath(path).read_text("utf-8")
    return read_yaml(text, path)


@functools.cache
def _widths() -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = _read("widened.yaml")["networks"]
    return entries


def _unknown(kind: str, name: str, allowed: list[str]) -> str:
    near = difflib.get_close_matches(str(name), allowed, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{kind} {name!r} was given; allowed are {', '.join(allowed)}{hint}"

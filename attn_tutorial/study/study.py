"""Studies (what is compared) and presets (at what scale), and the runs that one of each makes."""

import difflib
import functools
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal, Self

import yaml
from pydantic import Field, PositiveInt

from attn_tutorial.datasets.store import Prepared
from attn_tutorial.spec import BackboneSpec, ClutterSpec, Part, RunSpec, SpecError
from attn_tutorial.study.ledger import Ledger
from attn_tutorial.study.record import Images


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
    backbone: BackboneSpec = BackboneSpec()
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


@dataclass(frozen=True)
class PlannedRun:
    """A run of a study: its name in the ledger, what it is called in tables, and what it is."""

    run_id: str
    variant: str
    spec: RunSpec


@dataclass(frozen=True)
class Held:
    """What a ledger holds of a study at one preset on one image set."""

    preset: str
    images: Images
    runs: list[PlannedRun]


class Study(Part):
    """A named grid of runs: variants, each a change of the backbone's slots, times seeds."""

    name: str
    title: str
    question: str
    fixed: dict[str, Any] = Field(default_factory=dict)
    """The fields of `RunSpec` that all variants share and that differ from the preset's."""
    variants: dict[str, dict[str, Any]]
    """By name: the fields of `RunSpec` in which a variant differs from the baseline; and `length`, the length of its
    training as a multiple of the preset's."""

    @classmethod
    def load(cls, name: str) -> Self:
        """Return the study called `name`; an unknown one is an error that lists them."""
        if name not in study_names():
            raise SpecError(_unknown("study", name, study_names()))
        return cls.parse({"name": name, **_read(f"studies/{name}.yaml")})

    def plan(self, preset: str, images: Prepared | Images, seeds: int | None = None) -> list[PlannedRun]:
        """List the runs at a preset on given images, all variants of the first seed first.

        `seeds` is a count (seeds 0 to seeds-1), the preset's own by default; a larger one keeps the runs of a smaller.
        """
        count = Preset.load(preset).seeds if seeds is None else seeds
        if type(count) is not int or count < 1:
            raise SpecError(
                f"seeds {seeds!r} was given; allowed is a count of at least 1, as 3 for the seeds 0, 1 and 2"
            )
        return self._plan(preset, images, range(count))

    def _plan(self, preset: str, images: Prepared | Images, seeds: Iterable[int]) -> list[PlannedRun]:
        scale = Preset.load(preset)
        shared: dict[str, Any] = {
            "data": {"name": images.name, "train_images": scale.train_images},
            "training": {"samples": scale.samples[images.name], **scale.recipe},  # type: ignore[index]
            "backbone": scale.backbone.model_dump(),
            "clutter": scale.clutter.model_dump(),
            "evaluation": {"images": scale.test_images},
        }
        shared = _changed(shared, self.fixed)
        runs = []
        for seed in seeds:
            for variant, change in self.variants.items():
                spec = RunSpec.parse(_lengthened(_changed({**shared, "seed": seed}, change)))
                runs.append(PlannedRun(spec.run_id(images.fingerprint), variant, spec))
        return runs

    def held_in(self, ledger: Ledger) -> list[Held]:
        """List what a ledger holds of this study, apart by preset and image set: such records are never pooled."""
        records = {record.run_id: record for record in ledger}
        kinds = {(record.preset, record.data.fingerprint): record.data for record in records.values()}
        seeds = sorted({record.spec.seed for record in records.values()})
        held = []
        for (preset, _), images in kinds.items():
            if preset not in preset_names():
                continue
            runs = [run for run in self._plan(preset, images, seeds) if run.run_id in records]
            if runs:
                held.append(Held(preset, images, runs))
        return held


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


def study_names() -> list[str]:
    """Names of the studies that the package holds."""
    folder = resources.files("attn_tutorial.study").joinpath("studies")
    return sorted(path.name.removesuffix(".yaml") for path in folder.iterdir() if path.name.endswith(".yaml"))


def preset_names() -> list[str]:
    """Names of the presets, from the smallest scale to the largest."""
    return list(_presets())


@functools.cache
def _presets() -> dict[str, dict[str, Any]]:
    return _read("presets.yaml")


def _read(path: str) -> dict[str, Any]:
    text = resources.files("attn_tutorial.study").joinpath(path).read_text("utf-8")
    values: dict[str, Any] = yaml.safe_load(text)
    return values


def _unknown(kind: str, name: str, allowed: list[str]) -> str:
    near = difflib.get_close_matches(str(name), allowed, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{kind} {name!r} was given; allowed are {', '.join(allowed)}{hint}"

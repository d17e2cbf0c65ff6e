"""Studies: what is compared, and the runs that a study makes at a preset."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from attn_tutorial.datasets.store import Prepared
from attn_tutorial.spec import Images, Part, RunSpec, SpecError
from attn_tutorial.study.changes import Change, changed, without_added_words
from attn_tutorial.study.files import read_study_file
from attn_tutorial.study.grid import Grid
from attn_tutorial.study.presets import Preset
from attn_tutorial.study.protocol import Protocol

MOST_SEEDS = 1000
"""The largest number of seeds of one plan. A larger number is usually a seed, given in place of a count."""


def _seed_counts(value: object) -> object:
    counts = list(value.values()) if isinstance(value, dict) else [value]
    if not all(type(count) is int and count > 0 for count in counts):
        raise ValueError(
            "seeds: must be a whole number of at least 1, such as 3, or such numbers by variant, for example "
            f"{{se: 2}}, but got {value!r}"
        )
    return value


@dataclass(frozen=True)
class PlannedRun:
    """A run of a study: its id, the name of its variant in tables, and its specification."""

    run_id: str
    variant: str
    spec: RunSpec


class Study(Part):
    """A named grid of runs: every variant, which is a change of the preset's run, with every seed."""

    name: str
    title: str
    question: str
    baseline: str = "baseline"
    """The variant that the others are compared with."""
    controls: list[str] = Field(default_factory=list)
    """Variants that are not blocks under test: Holm's correction does not count them."""
    references: dict[str, str] = Field(default_factory=dict)
    """For some variants, another one to compare with in place of the baseline, for example a plain network that was
    trained as long."""
    labels: dict[str, str] = Field(default_factory=dict)
    """What pages and figures call a variant, such as "CBAM, gates start at ½"; by default its name."""
    fixed: Change = Field(default_factory=dict)
    """The fields of `RunSpec` that all variants share and that differ from the preset's."""
    variants: dict[str, Change] = Field(default_factory=dict)
    """By name: how a variant differs from the baseline."""
    grids: list[Grid] = Field(default_factory=list)
    """Axes, which make more variants."""
    seeds: Annotated[PositiveInt | dict[str, PositiveInt], BeforeValidator(_seed_counts)] = Field(default_factory=dict)
    """The largest number of seeds, for all variants or by variant, unless the user asks for a number of seeds."""
    first_seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """The seed that counting starts with: three seeds from 10 on are 10, 11 and 12. Give another one where the seeds
    from 0 on were used to choose something, such as a learning rate."""
    first: list[str] = Field(default_factory=list)
    """Variants of which all seeds are trained before the others begin. By default all variants of a seed come before
    the next seed."""
    protocol: str | None = None
    """The rules that were fixed before the study's first run: the name of a protocol of the package, see `Protocol`.
    Then all runs of one seed are trained in one precision, and every record has the protocol's hash."""

    @model_validator(mode="after")
    def _with_variants_of_the_grids(self) -> Self:
        for grid in self.grids:
            for name, change in grid.variants().items():
                if self.variants.setdefault(name, change) != change:
                    raise ValueError(f"variants: must have different names, but two are called {name!r}")
        if not self.variants:
            raise ValueError("variants: must be given, or grids that make some, because a study without has no runs")
        return self

    @model_validator(mode="after")
    def _seeds_and_images_are_shared(self) -> Self:
        # They are chosen for all runs when a study starts, so a variant with others would get a wrong record.
        for name, change in (("fixed", self.fixed), *self.variants.items()):
            if "seed" in change:
                raise ValueError(f"{name}: must not set seed; give a count for the whole study, such as seeds: 3")
            if isinstance(change.get("data"), dict) and "name" in change["data"]:
                raise ValueError(f"{name}: must not set data.name; all variants see the images that --data names")
        return self

    @model_validator(mode="after")
    def _named_variants_exist(self) -> Self:
        named = {
            "controls": self.controls,
            "seeds": list(self.seeds) if isinstance(self.seeds, dict) else [],
            "first": self.first,
            "labels": list(self.labels),
            "baseline": [self.baseline] if "baseline" in self.model_fields_set else [],
            "references": [*self.references, *self.references.values()],
        }
        for field, names in named.items():
            if unknown := [name for name in names if name not in self.variants]:
                raise ValueError(
                    f"{field}: must be variants of this study ({', '.join(self.variants)}), "
                    f"but got {', '.join(unknown)}"
                )
        if itself := [name for name, other in self.references.items() if name in (other, self.baseline)]:
            raise ValueError(
                f"references: must not give one to the baseline, or a variant to itself, but got {', '.join(itself)}; "
                "leave it out"
            )
        return self

    @model_validator(mode="after")
    def _protocol_exists(self) -> Self:
        if self.protocol is not None:
            Protocol.load(self.protocol)
        return self

    @property
    def family(self) -> list[str]:
        """The variants under test, which Holm's correction counts: all but the baseline and the controls."""
        return [name for name in self.variants if name not in {self.baseline, *self.controls}]

    def label(self, variant: str) -> str:
        """Return what pages and figures call a variant."""
        return self.labels.get(variant, variant)

    @property
    def comparisons(self) -> dict[str, list[str]]:
        """By reference, the variants that are compared with it; the baseline comes first.

        A reference may be among the variants of another one.
        """
        found: dict[str, list[str]] = {self.baseline: []}
        for name in self.variants:
            if name != self.baseline:
                found.setdefault(self.references.get(name, self.baseline), []).append(name)
        return found

    @classmethod
    def load(cls, name: str) -> Self:
        """Return a study of the package by its name, or a study of your own by the path of its YAML file.

        A study of your own has the name of its file. Raises `SpecError`, which lists the studies, for an unknown name.
        """
        values, source = read_study_file(name)
        try:
            return cls.parse(values)
        except SpecError as error:
            raise SpecError(f"{source}: {error}") from None

    def plan(self, preset: str, images: Prepared | Images, seeds: int | None = None) -> list[PlannedRun]:
        """List the runs at a preset on given images: seed by seed, but those of the variants in `first` come first.

        `seeds` is a count: 3 means the study's first seed and the two after it, which are 0, 1 and 2 in most studies.
        So a larger count contains the runs of a smaller one. By default it is the preset's count, or a smaller one if
        the study has one. It must be from 1 to 1000.
        """
        count = Preset.load(preset).seeds if seeds is None else seeds
        if type(count) is not int or not 1 <= count <= MOST_SEEDS:
            first = self.first_seed
            raise SpecError(
                f"`seeds` is a count and must be a whole number from 1 to {MOST_SEEDS}, but got {seeds!r}. It is not a "
                f"seed: 3 means the seeds {first}, {first + 1} and {first + 2}. To begin with another seed, set "
                "`first_seed` in a study file of your own."
            )
        if self.first_seed + count > 2**32:
            raise SpecError(
                f"seeds must be below 2^32, but {count} seeds from {self.first_seed} on are not. Lower `first_seed`."
            )
        runs = self.plan_seeds(preset, images, range(self.first_seed, self.first_seed + count))
        if seeds is not None:
            return runs
        return [run for run in runs if run.spec.seed < self.first_seed + self._most_seeds(run, count)]

    def _most_seeds(self, run: PlannedRun, count: int) -> int:
        return self.seeds.get(run.variant, count) if isinstance(self.seeds, dict) else self.seeds

    def plan_seeds(self, preset: str, images: Prepared | Images, seeds: Iterable[int]) -> list[PlannedRun]:
        """List the runs with the given seeds, in the order of `plan`."""
        networks = [
            (variant, self._network(variant, changed(fields, self.fixed), change))
            for fields in Preset.load(preset).run_fields(images.name)
            for variant, change in self.variants.items()
        ]
        runs: dict[str, PlannedRun] = {}
        for seed in seeds:
            for variant, network in networks:
                spec = network.model_copy(update={"seed": seed})
                run = PlannedRun(spec.run_id(images.fingerprint), variant, spec)
                twin = runs.setdefault(run.run_id, run)
                # Two kinds of twins are expected. Widths are whole numbers, so one widened network of a small backbone
                # may stand for two sizes. And a variant that names its backbone is the same run in all of the preset's.
                if twin.variant != variant and "widened" not in self.variants[variant]:
                    raise SpecError(
                        f"study {self.name!r}: variants must differ, but {twin.variant!r} and {variant!r} are the same "
                        "run. Leave one of them out."
                    )
        return sorted(runs.values(), key=lambda run: run.variant not in (self.first or self.variants))

    def _network(self, variant: str, shared: dict[str, Any], change: Change) -> RunSpec:
        try:
            return RunSpec.parse(without_added_words(changed(shared, change)))
        except SpecError as error:
            raise SpecError(f"study {self.name!r}, variant {variant!r}: {error}") from None

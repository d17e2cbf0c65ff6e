"""What one run is: a `RunSpec`, frozen and validated, and the hash that names it. Free of torch."""

import hashlib
import json
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from attn_tutorial.blocks.options import check_block, usual_options
from attn_tutorial.clutter.names import CLUTTER_TYPES, CLUTTER_VERSION, SEEN_TYPES, SEVERITIES
from attn_tutorial.datasets.names import TILE
from attn_tutorial.errors import InputError

T = TypeVar("T")


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


Severities = Annotated[tuple[Annotated[int, Field(ge=0, le=5)], ...], Field(min_length=1), BeforeValidator(_as_tuple)]
ClutterType = Literal["fragments", "noise", "mosaic", "strokes", "veil"]


def _once(values: tuple[T, ...]) -> tuple[T, ...]:
    if len(set(values)) < len(values):
        raise ValueError(f"types: {list(values)} were given; each may be named once")
    return values


def _in_order(types: tuple[ClutterType, ...]) -> tuple[ClutterType, ...]:
    # Their order changes no pixel, and so must not change a run's name.
    return tuple(sorted(_once(types), key=CLUTTER_TYPES.index))


ClutterTypes = Annotated[
    tuple[ClutterType, ...], Field(min_length=1), BeforeValidator(_as_tuple), AfterValidator(_in_order)
]


def _composition(value: str) -> str:
    types = value.split("+")
    if len(set(types)) < len(types) or not set(types) <= set(CLUTTER_TYPES):
        raise ValueError(
            f"types: {value!r} was given; allowed are clutter types, each once, joined by +: {', '.join(CLUTTER_TYPES)}"
        )
    return value


Compositions = Annotated[
    tuple[Annotated[str, AfterValidator(_composition)], ...], BeforeValidator(_as_tuple), AfterValidator(_once)
]
SEEN = "+".join(SEEN_TYPES)


class SpecError(InputError):
    """A specification that cannot be run: says what was given, what is allowed, and what to do."""


class Part(BaseModel):
    """A part of a specification: frozen, and strict, so that a number given as text is refused."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Build one from a plain dict (YAML, JSON); raises `SpecError` with one clear message."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise SpecError(explain(error, cls)) from None


class DataSpec(Part):
    """Which images."""

    name: Literal["cifar10", "shapes"]
    train_images: PositiveInt | None = None
    """How many of the training images, the same share of each class; all by default."""


class BackboneSpec(Part):
    """Which network the blocks sit in."""

    depth: PositiveInt = 8
    width: PositiveInt = 32
    stem: Literal["conv3", "whiten4"] = "whiten4"
    stem_trained: bool = False
    """Whether training moves the filters of a whitening stem, too; those of "conv3" it always moves, which is False."""
    widths: Annotated[tuple[PositiveInt, PositiveInt, PositiveInt], BeforeValidator(_as_tuple)] | None = None
    """Channels of the three stages, the stem's as the first stage's; width, 2·width and 4·width by default."""

    @field_validator("stem_trained", mode="after")
    @classmethod
    def _one_way_to_write_a_trained_stem(cls, trained: bool, info: ValidationInfo) -> bool:
        return trained and info.data.get("stem") == "whiten4"

    def label(self) -> str:
        """What to call it in tables; a network made wider than its backbone counts as that backbone."""
        return f"ResNet-{self.depth}, width {self.width}"


class ClutterSpec(Part):
    """The clutter that training sees; but for `types` and `severities`, the test sees it too."""

    types: ClutterTypes = SEEN_TYPES
    severities: Severities = (0, 1, 2, 3)
    canvas: Annotated[int, Field(ge=TILE, le=128)] = 48
    feather: Literal[0, 1, 2] = 0
    tile: Literal["shown", "removed"] = "shown"
    """Controls that spoil the benchmark on purpose, as the two below: see `datasets.Clutter`."""
    fragment_classes: Literal["any", "other"] = "any"
    background: Literal["noise", "blank"] = "noise"

    def render_options(self) -> dict[str, Any]:
        """Return what training and test canvases have in common, as arguments of `datasets.Clutter`."""
        return self.model_dump(include={"canvas", "feather", "tile", "fragment_classes", "background"})


class TrainingSpec(Part):
    """The recipe."""

    samples: PositiveInt
    """Images seen in training, repeats counted; rounded down to whole batches."""
    batch_size: PositiveInt = 128
    conv_optimizer: Literal["muon", "sgd"] = "muon"
    """What moves the backbone's convolutions; everything else is moved by Nesterov SGD."""
    conv_lr: PositiveFloat = 0.08
    """Peak learning rate of the convolutions under Muon; plain SGD uses `lr` for all."""
    lr: PositiveFloat = 0.05
    """Peak learning rate of Nesterov SGD."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of the steps over which the learning rates rise; then they fall to 0 in a line."""


class LookSpec(Part):
    """Whether the network looks at the target: what is measured beside its accuracy."""

    images: PositiveInt = 2000
    """On how many of the tested images, the same share of each class; on all where there are fewer."""
    severities: Severities = (0, 3, 5)
    """At which of the severities that are tested; the clutter types are the first composition that is tested."""
    localisation: bool = True
    """Whether attention maps and Grad-CAM are held against the tile."""
    lesions: bool = True
    """Whether the network is tested with its gates replaced."""


class EvaluationSpec(Part):
    """What the trained network is tested on."""

    split: Literal["test", "val"] = "test"
    """Choices are made on "val", never on "test"."""
    images: PositiveInt | None = None
    """How many of its images, the same share of each class; all by default."""
    types: Annotated[Compositions, Field(min_length=1)] = (SEEN, *CLUTTER_TYPES)
    """What is composed: all types that training sees, or one alone, those never seen included."""
    severities: Severities = SEVERITIES
    recalibrated: Compositions = (SEEN,)
    """Which of them are tested with recalibrated BatchNorm statistics, too."""
    look: LookSpec | None = LookSpec()
    """Localisation and lesions; none, if None."""


class RunSpec(Part):
    """One training and its test. Equal specs on equal images and benchmark versions are one run."""

    data: DataSpec
    training: TrainingSpec
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the starting weights, the order of the images and the training clutter; the test clutter is fixed."""
    backbone: BackboneSpec = BackboneSpec()
    block: str | None = None
    """The block in the slots; none for the baseline."""
    block_options: dict[str, Any] = Field(default_factory=dict)
    stages: Annotated[tuple[Literal[1, 2, 3], ...], Field(min_length=1), BeforeValidator(_as_tuple)] | None = None
    """The stages, counted from 1, whose slots hold the block; all by default."""
    position: Literal["standard", "pre", "post", "identity"] = "standard"
    clutter: ClutterSpec = ClutterSpec()
    evaluation: EvaluationSpec = EvaluationSpec()

    @field_validator("stages", mode="after")
    @classmethod
    def _one_way_to_write_stages(cls, stages: tuple[int, ...] | None) -> tuple[int, ...] | None:
        return None if stages is None or set(stages) == {1, 2, 3} else tuple(sorted(set(stages)))

    @model_validator(mode="after")
    def _block_is_known(self) -> Self:
        if self.block is not None:
            # Complete, so that a record says all that its run depended on, and one network has one id.
            self.block_options.update(check_block(self.block, self.block_options))
        elif self.stages or self.position != "standard":
            raise ValueError("stages or a position were given without a block: name the block, or leave them out")
        elif self.block_options:
            raise ValueError(
                f"block_options {self.block_options} were given without a block: name the block, or leave them out"
            )
        return self

    def run_id(self, fingerprint: str) -> str:
        """Name the run: a hash over this spec, the images' fingerprint and `CLUTTER_VERSION`; 16 hex digits.

        What is at its default is left out of the hash, so that a field that a later version adds leaves the names of
        earlier runs as they are.
        """
        chosen = self.model_dump(mode="json", exclude_defaults=True)
        if self.block is not None:
            usual = usual_options(self.block)
            chosen["block_options"] = {k: v for k, v in self.block_options.items() if v != usual[k]}
        what = {"spec": chosen, "data": fingerprint, "clutter": CLUTTER_VERSION}
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


class Images(BaseModel):
    """Which images a run saw."""

    name: str
    source: str
    fingerprint: str
    archive_sha256: str | None


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Turn pydantic's report into sentences: what was given, what is allowed, what to do."""
    return f"{model.__name__} is not valid:\n" + "\n".join(
        f"  - {_sentence(detail, model)}" for detail in error.errors()
    )


def _sentence(detail: Any, model: type[BaseModel]) -> str:
    place = ".".join(str(part) for part in detail["loc"]) or "it"
    given = detail["input"]
    if detail["type"] == "extra_forbidden":
        return f"{place}: unknown name; allowed here are {', '.join(_names(model, detail['loc'][:-1]))}"
    if detail["type"] == "missing":
        return f"{place}: nothing was given, and it has no default"
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    sentence = f"{place}: {given!r} was given; {detail['msg'][0].lower()}{detail['msg'][1:]}"
    if isinstance(given, str) and is_number(given):
        sentence += (
            ". It is text, not a number: leave the quotes out, and in YAML write 0.001 or 1.0e-3, "
            "since 1e-3 is text there"
        )
    return sentence


def _names(model: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    for name in path:
        annotation = model.model_fields[name].annotation if name in model.model_fields else None
        parts = [part for part in (annotation, *get_args(annotation)) if isinstance(part, type)]
        model = next((part for part in parts if issubclass(part, BaseModel)), model)
    return list(model.model_fields)


def is_number(text: str) -> bool:
    """Whether a text would be a number without its quotes."""
    try:
        float(text)
    except ValueError:
        return False
    return True

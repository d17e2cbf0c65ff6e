"""What one run is: a `RunSpec` and its parts, frozen and validated."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self, TypeVar

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

from attn_tutorial.backbones.names import ORACLE_VERSION, Oracle
from attn_tutorial.blocks.options import BLOCK_VERSIONS, check_block
from attn_tutorial.clutter.names import (
    CLUTTER_TYPES,
    OCCLUSION_TYPES,
    SEEN_TYPES,
    SEVERITIES,
    UNSEEN_TYPES,
    versions_drawn,
)
from attn_tutorial.datasets.names import RESIZE_VERSION, SIZES, SMALLEST_TILE, TILE
from attn_tutorial.spec.messages import SpecError, explain
from attn_tutorial.spec.run_ids import training_id

T = TypeVar("T")


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _once(values: tuple[T, ...]) -> tuple[T, ...]:
    if len(set(values)) < len(values):
        raise ValueError(f"must name each only once, but got {list(values)}")
    return values


def _in_order(types: tuple[str, ...]) -> tuple[str, ...]:
    # Their order changes no pixel, so it must not change a run's id.
    _check_types(types, types)
    return tuple(sorted(_once(types), key=CLUTTER_TYPES.index))


def _composition(value: str) -> str:
    types = value.split("+")
    _check_types(types, value)
    if len(set(types)) < len(types):
        raise ValueError(f"must name each type only once in a composition, but got {value!r}")
    return value


def _check_types(types: Iterable[str], given: object) -> None:
    if not set(types) <= set(CLUTTER_TYPES):
        raise ValueError(
            f"must be clutter types ({', '.join(CLUTTER_TYPES)}), joined by + to compose them, but got {given!r}"
        )


def _resizable(size: int) -> int:
    if size not in SIZES:
        raise ValueError(f"must be one of {', '.join(map(str, SIZES))} (pixels), but got {size}")
    return size


Severities = Annotated[tuple[Annotated[int, Field(ge=0, le=5)], ...], Field(min_length=1), BeforeValidator(_as_tuple)]
ClutterTypes = Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(_as_tuple), AfterValidator(_in_order)]
Compositions = Annotated[
    tuple[Annotated[str, AfterValidator(_composition)], ...], BeforeValidator(_as_tuple), AfterValidator(_once)
]
SEEN = "+".join(SEEN_TYPES)
"""The composition that training shows by default. The mean fall of accuracy in it is the seen distraction cost."""


class Part(BaseModel):
    """A part of a specification: frozen, and strict, so that a number given as text is refused."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Build a part from a plain dict (YAML, JSON); raises `SpecError` with one clear message."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise SpecError(explain(error, cls)) from None


class DataSpec(Part):
    """The images that a network is trained and tested on."""

    name: Literal["cifar10", "shapes"]
    train_images: PositiveInt | None = None
    """How many training images to use, the same share of each class; all by default."""
    size: Annotated[int, AfterValidator(_resizable)] = TILE
    """Side of the images in pixels, to which an integer box filter resizes them: the target on the canvas."""


class BackboneSpec(Part):
    """The network that the blocks sit in."""

    depth: PositiveInt = 8
    width: PositiveInt = 32
    stem: Literal["conv3", "whiten4"] = "whiten4"
    stem_trained: bool = False
    """Whether the filters of a whitening stem are trained, too. Always False for "conv3", whose filters are trained."""
    widths: Annotated[tuple[PositiveInt, PositiveInt, PositiveInt], BeforeValidator(_as_tuple)] | None = None
    """Channels of the three stages; the stem has as many as the first. By default width, 2·width and 4·width."""
    pooling: Literal["mean", "max", "attention"] = "mean"
    """How the last features become one vector: `backbones.pooling` describes the three."""
    norm_gain: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """γ of each unit's last BatchNorm at the start of the training."""

    @field_validator("stem_trained", mode="after")
    @classmethod
    def _one_way_to_write_a_trained_stem(cls, trained: bool, info: ValidationInfo) -> bool:
        return trained and info.data.get("stem") == "whiten4"

    def label(self) -> str:
        """Return its name in tables; a network made wider than its backbone has the name of that backbone."""
        return f"ResNet-{self.depth}, width {self.width}"


class ClutterSpec(Part):
    """The clutter in training. The test has clutter of the same kind, except for `types` and `severities`."""

    types: ClutterTypes = _in_order(SEEN_TYPES)
    severities: Severities = (0, 1, 2)
    canvas: Annotated[int, Field(ge=SMALLEST_TILE, le=128)] = 48
    feather: Literal[0, 1, 2] = 0
    tile: Literal["shown", "removed"] = "shown"
    """Like the two fields below, a control that breaks the benchmark on purpose: see `clutter.Clutter`."""
    fragment_classes: Literal["any", "other"] = "any"
    background: Literal["noise", "blank"] = "noise"

    def render_options(self) -> dict[str, Any]:
        """Return what training and test canvases have in common, as arguments of `clutter.Clutter`."""
        return self.model_dump(include={"canvas", "feather", "tile", "fragment_classes", "background"})


class TrainingSpec(Part):
    """The recipe of the training."""

    samples: PositiveInt
    """How many images training sees, counting repeats; rounded down to whole batches."""
    batch_size: PositiveInt = 128
    conv_optimizer: Literal["muon", "sgd"] = "muon"
    """The optimiser of the backbone's convolutions; Nesterov SGD trains everything else."""
    conv_lr: PositiveFloat = 0.08
    """Peak learning rate of the convolutions with Muon; with SGD, `lr` is used for everything."""
    lr: PositiveFloat = 0.05
    """Peak learning rate of Nesterov SGD."""
    block_lr: PositiveFloat | None = None
    """Peak learning rate of the weights of blocks, and of a pooling that attends, which Nesterov SGD trains, too; None:
    the same as `lr`."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of the steps in which the learning rates rise; then they fall linearly to 0."""
    mask_loss: Annotated[float, Field(ge=0)] = 0.0
    """Weight of a second loss that pulls the block's spatial gates towards the target's visible mask: a gate that is
    told in training, and not in the test, where the target is."""


class LookSpec(Part):
    """What is measured beside accuracy, to find out whether the network looks at the target."""

    images: PositiveInt = 1000
    """On how many of the tested images, the same share of each class; on all of them if there are fewer."""
    severities: Severities = (0, 3, 5)
    """At which of the tested severities."""
    types: Compositions | None = (SEEN, "mosaic", "fragments")
    """In which of the tested compositions: one that training shows, one that it does not, and one of occlusion. None,
    or none that is tested: in the first composition of the test."""
    localisation: bool = True
    """Whether attention maps and Grad-CAM are compared with the place of the tile."""
    lesions: bool = True
    """Whether the network is also tested with its gates replaced."""


class EvaluationSpec(Part):
    """The images and the clutter that the trained network is tested on."""

    split: Literal["test", "val"] = "test"
    """Use "val" for choices, never "test"."""
    images: PositiveInt | None = None
    """How many images of the split, the same share of each class; all by default."""
    types: Annotated[Compositions, Field(min_length=1)] = (SEEN, *UNSEEN_TYPES, *OCCLUSION_TYPES)
    """The compositions of clutter types: by default the background types that training sees, composed; each background
    type that it does not see; and each type of occlusion."""
    secondary: Compositions = OCCLUSION_TYPES
    """The compositions that are tested on `secondary_images` only; at severity 0, where all are one test, on all."""
    secondary_images: PositiveInt = 2000
    """How many of the tested images, the same share of each class; all of them if there are fewer."""
    severities: Severities = SEVERITIES
    recalibrated: Compositions = ()
    """The compositions that are also tested with BatchNorm statistics of their own clutter."""
    look: LookSpec | None = LookSpec()
    """Localisation and lesions; None for neither."""

    def images_of(self, types: str, severity: int, available: int) -> int:
        """Return how many images a composition is tested on at a severity, if the split has `available` images."""
        images = self.images or available
        return min(images, self.secondary_images) if severity and types in self.secondary else images

    def cells(self) -> list[tuple[str, int]]:
        """Return composition and severity of each test; at severity 0 all compositions are one test, of the first."""
        cells = [
            (types if severity else self.types[0], severity) for types in self.types for severity in self.severities
        ]
        return list(dict.fromkeys(cells))

    def looks_at(self, types: str, severity: int) -> bool:
        """Return whether lesions and localisation are measured in one of `cells`."""
        return (
            self.look is not None and severity in self.look.severities and (not severity or types in self.looked_at())
        )

    def looked_at(self) -> tuple[str, ...]:
        """Return the compositions in which lesions and localisation are measured."""
        if self.look is None:
            return ()
        return tuple(types for types in self.types if types in (self.look.types or ())) or self.types[:1]


class RunSpec(Part):
    """One training and its test. Equal specs, images and benchmark versions are the same run."""

    data: DataSpec
    training: TrainingSpec
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of the starting weights, the order of the images and the training clutter. The test clutter is fixed."""
    backbone: BackboneSpec = BackboneSpec()
    block: str | None = None
    """The block in the slots; None for the baseline."""
    block_options: dict[str, Any] = Field(default_factory=dict)
    stages: Annotated[tuple[Literal[1, 2, 3], ...], Field(min_length=1), BeforeValidator(_as_tuple)] | None = None
    """The stages, counted from 1, whose slots get the block; all by default."""
    position: Literal["standard", "pre", "post", "identity"] = "standard"
    oracle: Oracle | None = None
    """A control that is told where the target is, in training and in the test: "gate" multiplies the features after
    each unit by the target's visible mask and pools over it; "wrong_gate" does the same with another canvas's mask."""
    clutter: ClutterSpec = ClutterSpec()
    evaluation: EvaluationSpec = EvaluationSpec()

    @field_validator("stages", mode="after")
    @classmethod
    def _one_way_to_write_stages(cls, stages: tuple[int, ...] | None) -> tuple[int, ...] | None:
        return None if stages is None or set(stages) == {1, 2, 3} else tuple(sorted(set(stages)))

    @model_validator(mode="after")
    def _block_is_known(self) -> Self:
        if self.block is not None:
            # With defaults, so that a record says all that its run depended on, and one network has one id.
            self.block_options.update(check_block(self.block, self.block_options))
        elif self.stages or self.position != "standard":
            raise ValueError("stages and position must be left out without a block: name the block, or leave them out")
        elif self.block_options:
            raise ValueError(
                f"block_options must be left out without a block, but got {self.block_options}: name the block, or "
                "leave them out"
            )
        return self

    @model_validator(mode="after")
    def _target_fits(self) -> Self:
        if self.clutter.canvas < self.data.size:
            raise ValueError(
                f"clutter.canvas must be at least as large as the images, which have {self.data.size} px (data.size), "
                f"but got {self.clutter.canvas}"
            )
        return self

    @model_validator(mode="after")
    def _an_oracle_takes_the_mean(self) -> Self:
        if self.oracle is not None and self.backbone.pooling != "mean":
            raise ValueError(
                "backbone.pooling must be 'mean' for an oracle, whose mean is taken over the mask, but got "
                f"{self.backbone.pooling!r}; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _blocks_can_be_trained(self) -> Self:
        if self.training.block_lr is not None and self.block is None and self.backbone.pooling != "attention":
            raise ValueError(
                "training.block_lr must be left out without a block and without attention pooling, but got "
                f"{self.training.block_lr}: name the block, or leave it out"
            )
        return self

    @model_validator(mode="after")
    def _gates_can_be_taught(self) -> Self:
        if self.training.mask_loss and "spatial" not in (self.block or ""):
            raise ValueError(
                "training.mask_loss must be 0 for a network without spatial gates, but got "
                f"{self.training.mask_loss} with block {self.block!r}; use block 'spatial', or leave it out"
            )
        return self

    def versions(self) -> dict[str, int]:
        """Return the versions of the parts that the training uses, by name: the canvas, its layers, the block, ..."""
        used = versions_drawn(self.clutter.types, self.clutter.severities)
        if self.block is not None:
            used[f"block {self.block}"] = BLOCK_VERSIONS[self.block]
        if self.oracle is not None:
            used["oracle"] = ORACLE_VERSION
        if self.data.size != TILE:
            used["resize"] = RESIZE_VERSION
        return used

    def run_id(self, fingerprint: str) -> str:
        """Return the run's id on images with this fingerprint: see `spec.run_ids.training_id`."""
        return training_id(self.model_dump(mode="json"), fingerprint, self.versions())


class Images(BaseModel):
    """The images that a run saw."""

    name: str
    source: str
    fingerprint: str
    archive_sha256: str | None

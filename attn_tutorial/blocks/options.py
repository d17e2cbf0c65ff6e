"""The package's blocks: where each one is, its options and its version. Imports no torch, so commands start quickly."""

import functools
import importlib
import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from attn_tutorial.errors import InputError, check_choice

Arrangement = Literal["sequential", "parallel"]
AtStart = Literal["half", "identity"]
Combine = Literal["sum", "product", "max"]
ContextPool = Literal["attention", "avg"]
Extent = Literal[2, 4, 8]
Fusion = Literal["add", "scale"]
Gate = Literal["sigmoid", "tanh", "relu"]
Gather = Literal["mean", "conv"]
Kernel = Literal[3, 7]
Order = Literal["channel-spatial", "spatial-channel", "parallel"]
Pairwise = Literal["embedded", "gaussian", "dot", "concat", "uniform"]
Pools = Literal["avg", "max", "both"]
Scale = Literal["inner", "channels", "none"]
Squeeze = Literal["avg", "max"]
StartWithoutSigmoid = Literal["random", "identity"]


def _with_a_middle(number: int) -> int:
    if number % 2 == 0:
        raise ValueError("must be odd")
    return number


OddInt = Annotated[PositiveInt, AfterValidator(_with_a_middle)]
FinitePositive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class BlockOptions(BaseModel):
    """The options of one block. Unknown names and values of another type are errors."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class SEOptions(BlockOptions):
    """Options of `se`."""

    reduction: PositiveInt = 16
    squeeze: Squeeze = "avg"
    gate: Gate = "sigmoid"
    bias: bool = True
    at_start: AtStart = "half"

    @model_validator(mode="after")
    def _identity_needs_a_sigmoid(self) -> Self:
        if self.at_start == "identity" and self.gate != "sigmoid":
            raise ValueError(f"at_start='identity' needs gate='sigmoid', but got gate={self.gate!r}")
        return self


class ECAOptions(BlockOptions):
    """Options of `eca`."""

    kernel: PositiveInt | None = None
    at_start: AtStart = "half"

    @field_validator("kernel")
    @classmethod
    def _kernel_has_a_middle(cls, kernel: int | None) -> int | None:
        if kernel is not None and kernel % 2 == 0:
            raise ValueError("must be odd, or None to follow from the channels")
        return kernel


class GatherExciteOptions(BlockOptions):
    """Options of `gather_excite`."""

    extent: Extent | None = None
    gather: Gather = "mean"
    reduction: PositiveInt | None = None
    at_start: AtStart = "half"

    @model_validator(mode="after")
    def _some_forms_need_others(self) -> Self:
        if self.gather == "conv" and self.extent is None:
            raise ValueError(
                "gather='conv' needs an extent of 2, 4 or 8, but got extent=None: a convolution over the whole image "
                "would fit images of a single size"
            )
        if self.at_start == "identity" and self.gather == "mean" and self.reduction is None:
            raise ValueError(
                "at_start='identity' needs parameters to start from: give gather='conv' or a reduction, "
                "but got gather='mean' and reduction=None"
            )
        return self


class ChannelOptions(BlockOptions):
    """Options of `channel`."""

    reduction: PositiveInt = 16
    pools: Pools = "both"
    bias: bool = False
    at_start: AtStart = "half"


class SpatialOptions(BlockOptions):
    """Options of `spatial`."""

    pools: Pools = "both"
    kernel: Kernel = 7
    norm: bool = True
    at_start: AtStart = "half"


class CBAMOptions(BlockOptions):
    """Options of `cbam`: the order of its halves, and the options of each half."""

    order: Order = "channel-spatial"
    reduction: PositiveInt = 16
    channel_pools: Pools = "both"
    bias: bool = False
    spatial_pools: Pools = "both"
    kernel: Kernel = 7
    norm: bool = True
    at_start: AtStart = "half"


class BAMOptions(BlockOptions):
    """Options of `bam`."""

    reduction: PositiveInt = 16
    dilation: PositiveInt = 4
    combine: Combine = "sum"


class NonLocalOptions(BlockOptions):
    """Options of `non_local`."""

    pairwise: Pairwise = "embedded"
    inner: PositiveInt | None = None
    scale: Scale = "inner"
    zero_init: bool = True
    sub_sample: bool = False

    @model_validator(mode="after")
    def _some_forms_have_no_scale(self) -> Self:
        if self.pairwise == "concat" and self.scale != "inner":
            raise ValueError(f"pairwise='concat' learns its own scale, but got scale={self.scale!r}: leave scale out")
        if self.pairwise == "uniform" and self.scale != "inner":
            raise ValueError(f"pairwise='uniform' has no scores, but got scale={self.scale!r}: leave scale out")
        return self


class GlobalContextOptions(BlockOptions):
    """Options of `global_context`."""

    reduction: PositiveInt = 16
    pool: ContextPool = "attention"
    fusion: Fusion = "add"
    at_start: AtStart = "identity"

    @model_validator(mode="after")
    def _half_needs_a_gate(self) -> Self:
        if self.at_start == "half" and self.fusion == "add":
            raise ValueError("at_start='half' needs fusion='scale', but got fusion='add', which starts as the identity")
        return self


class SimAMOptions(BlockOptions):
    """Options of `simam`."""

    lam: FinitePositive = 1e-4


class CoordinateOptions(BlockOptions):
    """Options of `coordinate`."""

    reduction: PositiveInt = 32
    at_start: AtStart = "half"


class ELAOptions(BlockOptions):
    """Options of `ela`."""

    kernel: OddInt = 7
    mixed: PositiveInt = 1
    norm_groups: PositiveInt | None = None
    shared: bool = True
    at_start: AtStart = "half"


class StripOptions(BlockOptions):
    """Options of `strip`."""

    conv: bool = True
    kernel: OddInt = 3
    at_start: AtStart = "half"

    @model_validator(mode="after")
    def _identity_needs_a_convolution(self) -> Self:
        if self.at_start == "identity" and not self.conv:
            raise ValueError("at_start='identity' needs conv=True, whose weights start at zero, but got conv=False")
        return self


class EMAOptions(BlockOptions):
    """Options of `ema`."""

    groups: PositiveInt = 8
    at_start: AtStart = "half"


class SCSAOptions(BlockOptions):
    """Options of `scsa`."""

    heads: PositiveInt = 8
    window: Annotated[PositiveInt, Field(le=1024)] = 7
    at_start: AtStart = "half"


class LKAOptions(BlockOptions):
    """Options of `lka`."""

    kernel: PositiveInt = 21
    dilation: PositiveInt = 3
    at_start: StartWithoutSigmoid = "random"

    @model_validator(mode="after")
    def _the_second_kernel_has_a_middle(self) -> Self:
        side = -(-self.kernel // self.dilation)
        if side % 2 == 0:
            raise ValueError(
                f"kernel divided by dilation, rounded up, must be odd, but got kernel={self.kernel} and "
                f"dilation={self.dilation}, which give {side}: try kernel={self.dilation * (side - 1)} or "
                f"kernel={self.dilation * (side + 1)}"
            )
        return self


class GRNOptions(BlockOptions):
    """Options of `grn`."""

    eps: FinitePositive = 1e-6

    @field_validator("eps")
    @classmethod
    def _float32_can_hold_it(cls, eps: float) -> float:
        if eps < 1e-30:
            raise ValueError("must be at least 1e-30, so that float32 can add it")
        return eps


class TripletOptions(BlockOptions):
    """Options of `triplet`."""

    kernel: Kernel = 7
    at_start: AtStart = "half"


class CombinationOptions(BlockOptions):
    """Options of `se+spatial`, `se+non_local` and `cbam+non_local`."""

    arrangement: Arrangement = "sequential"
    reduction: PositiveInt = 16
    at_start: AtStart = "half"


class StaticGateOptions(BlockOptions):
    """Options of `static_gate`."""

    at_start: AtStart = "half"


class StaticSpatialOptions(BlockOptions):
    """Options of `static_spatial`."""

    cells: PositiveInt = 6
    at_start: AtStart = "half"


class NoOptions(BlockOptions):
    """For `random_gate` and `identity`, which have no options."""


class PackageBlock(NamedTuple):
    """What this package knows about one of its blocks without importing torch."""

    place: str
    """Module and class, under `attn_tutorial.blocks`."""
    options: type[BlockOptions]
    version: int
    """Raise it when the block's output, its starting weights or its training changes for the same options.

    Runs that were trained with another version are then trained again.
    """


PACKAGE_BLOCKS = {
    "se": PackageBlock("squeeze_excite.SE", SEOptions, version=1),
    "eca": PackageBlock("eca.ECA", ECAOptions, version=1),
    "gather_excite": PackageBlock("gather_excite.GatherExcite", GatherExciteOptions, version=1),
    "channel": PackageBlock("cbam.ChannelAttention", ChannelOptions, version=1),
    "spatial": PackageBlock("cbam.SpatialAttention", SpatialOptions, version=1),
    "cbam": PackageBlock("cbam.CBAM", CBAMOptions, version=1),
    "bam": PackageBlock("bam.BAM", BAMOptions, version=1),
    "non_local": PackageBlock("non_local.NonLocal", NonLocalOptions, version=1),
    "global_context": PackageBlock("global_context.GlobalContext", GlobalContextOptions, version=1),
    "simam": PackageBlock("simam.SimAM", SimAMOptions, version=1),
    "coordinate": PackageBlock("coordinate.CoordinateAttention", CoordinateOptions, version=1),
    "ela": PackageBlock("strips.ELA", ELAOptions, version=1),
    "strip": PackageBlock("strips.StripAttention", StripOptions, version=1),
    "ema": PackageBlock("ema.EMA", EMAOptions, version=1),
    "scsa": PackageBlock("scsa.SCSA", SCSAOptions, version=1),
    "triplet": PackageBlock("triplet.TripletAttention", TripletOptions, version=1),
    "lka": PackageBlock("lka.LKA", LKAOptions, version=1),
    "grn": PackageBlock("grn.GRN", GRNOptions, version=1),
    "se+spatial": PackageBlock("combination.SESpatial", CombinationOptions, version=1),
    "se+non_local": PackageBlock("combination.SENonLocal", CombinationOptions, version=1),
    "cbam+non_local": PackageBlock("combination.CBAMNonLocal", CombinationOptions, version=1),
    "static_gate": PackageBlock("controls.StaticGate", StaticGateOptions, version=1),
    "static_spatial": PackageBlock("controls.StaticSpatial", StaticSpatialOptions, version=1),
    "random_gate": PackageBlock("controls.RandomGate", NoOptions, version=1),
    "identity": PackageBlock("controls.Identity", NoOptions, version=1),
}
"""To add a block, write its class, its options above, and its line here."""
BLOCK_NAMES = tuple(PACKAGE_BLOCKS)
"""The package's own blocks. `register_block` adds only to `BLOCKS`, `BLOCK_OPTIONS` and `BLOCK_VERSIONS`."""
BLOCK_OPTIONS: dict[str, type[BlockOptions]] = {name: block.options for name, block in PACKAGE_BLOCKS.items()}
BLOCK_VERSIONS: dict[str, int] = {name: block.version for name, block in PACKAGE_BLOCKS.items()}
"""Versions by name, see `PackageBlock.version`. Your own block's is its class attribute `version`, or 1."""
PLUGINS = "ATTN_TUTORIAL_PLUGINS"
"""The environment variable with the modules that register your own blocks, separated by commas."""


def parse_options(name: str, options: Mapping[str, Any]) -> BlockOptions:
    """Return the options of block `name` as one object, with its defaults filled in.

    Raises `ValueError` if the block or an option is unknown (the message names the nearest match), or if a
    value is not allowed.
    """
    if name not in BLOCK_OPTIONS:
        load_plugins()
    try:
        check_choice("block", name, BLOCK_OPTIONS)
    except ValueError as error:
        raise ValueError(f"{error} To use a block of your own, see register_block and {PLUGINS}.") from None
    model = BLOCK_OPTIONS[name]
    for option in options:
        check_choice(f"option of block {name!r}", option, model.model_fields)
    try:
        return model(**options)
    except ValidationError as error:
        problems = [_describe(problem) for problem in error.errors()]
        raise ValueError(f"block {name!r}: {'; '.join(problems)}.") from None


def check_block(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of block `name` as a dict, with its defaults filled in. Raises as `parse_options` does."""
    return parse_options(name, options).model_dump()


def usual_options(name: str) -> Mapping[str, Any]:
    """Return the options of block `name` at their defaults. Raises `ValueError` if the block is unknown."""
    if name not in BLOCK_OPTIONS:
        return check_block(name, {})
    return _defaults(BLOCK_OPTIONS[name])  # by the model: your own block may be registered again with other options


@functools.cache
def _defaults(model: type[BlockOptions]) -> Mapping[str, Any]:
    return model().model_dump()


def load_plugins() -> None:
    """Import the modules that the environment variable ATTN_TUTORIAL_PLUGINS names, so that they register their blocks.

    Raises `InputError` if one cannot be imported.
    """
    for module in filter(None, os.environ.get(PLUGINS, "").split(",")):
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise InputError(
                f"{PLUGINS} names the module {module!r}, which cannot be imported ({error}). Name modules as in an "
                "import statement, separated by commas, and put the folder of their files into PYTHONPATH."
            ) from None


def _describe(problem: Any) -> str:
    reason = str(problem["msg"]).removeprefix("Value error, ").replace("Input should", "must")
    return f"{problem['loc'][0]} {reason}, but got {problem['input']!r}" if problem["loc"] else reason

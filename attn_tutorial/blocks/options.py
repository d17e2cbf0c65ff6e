"""The options of every block as validated models, free of torch so that specs and commands start fast."""

import functools
import importlib
import os
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    PositiveFloat,
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
Fusion = Literal["add", "scale"]
Gate = Literal["sigmoid", "tanh", "relu"]
Kernel = Literal[3, 7]
Order = Literal["channel-spatial", "spatial-channel", "parallel"]
Pairwise = Literal["embedded", "gaussian", "dot", "concat"]
Pools = Literal["avg", "max", "both"]
Scale = Literal["inner", "channels", "none"]
Squeeze = Literal["avg", "max"]


class BlockOptions(BaseModel):
    """Options of one block: unknown names and values of another type are errors."""

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
            raise ValueError(f"at_start='identity' needs gate='sigmoid', but gate is {self.gate!r}")
        return self


class ECAOptions(BlockOptions):
    """Options of `eca`."""

    kernel: PositiveInt | None = None
    at_start: AtStart = "half"

    @field_validator("kernel")
    @classmethod
    def _kernel_has_a_middle(cls, kernel: int | None) -> int | None:
        if kernel is not None and kernel % 2 == 0:
            raise ValueError("it must be odd, or None to follow from the channels")
        return kernel


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
    """Options of `cbam`: the order of its halves, and theirs."""

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
    def _concat_has_no_scale(self) -> Self:
        if self.pairwise == "concat" and self.scale != "inner":
            raise ValueError(f"pairwise='concat' learns its own scale: leave scale out (it is {self.scale!r})")
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
            raise ValueError("at_start='half' needs fusion='scale', but fusion is 'add', which starts as the identity")
        return self


class SimAMOptions(BlockOptions):
    """Options of `simam`."""

    lam: PositiveFloat = 1e-4


class CoordinateOptions(BlockOptions):
    """Options of `coordinate`."""

    reduction: PositiveInt = 32
    at_start: AtStart = "half"


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


class NoOptions(BlockOptions):
    """For `random_gate` and `identity`, which have none."""


BLOCK_OPTIONS: dict[str, type[BlockOptions]] = {
    "se": SEOptions,
    "eca": ECAOptions,
    "channel": ChannelOptions,
    "spatial": SpatialOptions,
    "cbam": CBAMOptions,
    "bam": BAMOptions,
    "non_local": NonLocalOptions,
    "global_context": GlobalContextOptions,
    "simam": SimAMOptions,
    "coordinate": CoordinateOptions,
    "triplet": TripletOptions,
    "se+spatial": CombinationOptions,
    "se+non_local": CombinationOptions,
    "cbam+non_local": CombinationOptions,
    "static_gate": StaticGateOptions,
    "random_gate": NoOptions,
    "identity": NoOptions,
}
BLOCK_NAMES = tuple(BLOCK_OPTIONS)
"""The package's own blocks; `register_block` adds to `BLOCK_OPTIONS` and `BLOCKS` alone."""
PLUGINS = "ATTN_TUTORIAL_PLUGINS"
"""The environment variable that names modules, joined by commas, which register blocks of your own."""


def check_block(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options of block `name`, with its defaults filled in.

    Raises `ValueError` if the block or an option is unknown (the message names the nearest match), or if a
    value is not allowed.
    """
    if name not in BLOCK_OPTIONS:
        load_plugins()
    try:
        check_choice("block", name, BLOCK_OPTIONS)
    except ValueError as error:
        raise ValueError(f"{error} For one of your own, see register_block and {PLUGINS}.") from None
    model = BLOCK_OPTIONS[name]
    for option in options:
        check_choice(f"option of block {name!r}", option, model.model_fields)
    try:
        return model(**options).model_dump()
    except ValidationError as error:
        problems = [_describe(problem) for problem in error.errors()]
        raise ValueError(f"block {name!r}: {'; '.join(problems)}.") from None


def usual_options(name: str) -> Mapping[str, Any]:
    """The options of block `name` at their defaults; raises `ValueError` if it is unknown."""
    if name not in BLOCK_OPTIONS:
        return check_block(name, {})
    return _defaults(BLOCK_OPTIONS[name])  # by its class: a block of one's own may be registered anew with others


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
                "import statement, joined by commas, and put the folder of their files into PYTHONPATH."
            ) from None


def _describe(problem: Any) -> str:
    if not problem["loc"]:
        return str(problem["msg"]).removeprefix("Value error, ")
    reason = str(problem["msg"]).removeprefix("Value error, ")
    return f"{problem['loc'][0]}={problem['input']!r} is not allowed: {reason}"

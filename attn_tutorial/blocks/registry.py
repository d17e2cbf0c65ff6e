"""Blocks by name."""

import inspect
from typing import Any, TypeVar, get_type_hints

from pydantic import create_model

from attn_tutorial.blocks.bam import BAM
from attn_tutorial.blocks.base import AttentionBlock
from attn_tutorial.blocks.cbam import CBAM, ChannelAttention, SpatialAttention
from attn_tutorial.blocks.combination import CBAMNonLocal, SENonLocal, SESpatial
from attn_tutorial.blocks.controls import Identity, RandomGate, StaticGate
from attn_tutorial.blocks.coordinate import CoordinateAttention
from attn_tutorial.blocks.eca import ECA
from attn_tutorial.blocks.global_context import GlobalContext
from attn_tutorial.blocks.non_local import NonLocal
from attn_tutorial.blocks.options import BLOCK_NAMES, BLOCK_OPTIONS, BlockOptions, check_block, load_plugins
from attn_tutorial.blocks.simam import SimAM
from attn_tutorial.blocks.squeeze_excite import SE
from attn_tutorial.blocks.triplet import TripletAttention
from attn_tutorial.errors import InputError

Block = TypeVar("Block", bound=type[AttentionBlock])

BLOCKS: dict[str, type[AttentionBlock]] = {
    block.name: block
    for block in (
        SE,
        ECA,
        ChannelAttention,
        SpatialAttention,
        CBAM,
        BAM,
        NonLocal,
        GlobalContext,
        SimAM,
        CoordinateAttention,
        TripletAttention,
        SESpatial,
        SENonLocal,
        CBAMNonLocal,
        StaticGate,
        RandomGate,
        Identity,
    )
}


def build_block(name: str, channels: int, **options: Any) -> AttentionBlock:
    """The block `name` for features of `channels` channels: a module (B, C, H, W) -> (B, C, H, W).

    Raises `ValueError` if the block or an option is unknown, a value is not allowed, or the channels do not
    suit the options.
    """
    check_block(name, options)
    return BLOCKS[name](channels, **options)


def register_block(block: Block) -> Block:
    """Make a block of your own known by its `name`, as a decorator of its class.

    From then on all that takes the name of a block takes this one, too: `build_block`, `insert_blocks`, `resnet`,
    studies. Its options are the parameters of its constructor behind `channels`; a value of another type than the
    parameter's is refused. A class of the same name that you registered before is replaced.

    This holds for the process that calls it. Worker processes and commands start with the package's blocks alone, so
    put the class into a module of its own, on PYTHONPATH, and name it in the environment:
    `ATTN_TUTORIAL_PLUGINS=my_blocks attn-tutorial train my_block --preset smoke`. A class that is defined in a notebook
    trains with `runner="serial"`.

    A record knows a block by its name and options, not by its code: when you change the code, change the name, or use
    another results folder.

    Raises `InputError` if the class has no name, if the name is one of the package's blocks, or if an option has no
    type or no default.
    """
    name = block.__dict__.get("name")
    if not isinstance(name, str) or name in BLOCK_NAMES:
        raise InputError(
            f"class {block.__name__} has the name {name!r}. Give it a text as `name` that is none of "
            f"{', '.join(BLOCK_NAMES)}."
        )
    types = get_type_hints(block.__init__)
    _, _, *options = inspect.signature(block.__init__).parameters.values()
    options = [option for option in options if option.kind is not option.VAR_KEYWORD]  # that of AttentionBlock itself
    for option in options:
        if option.name not in types or option.default is option.empty:
            raise InputError(
                f"option {option.name!r} of block {name!r} needs a type and a default, as in `reduction: int = 16`, so "
                "that the block builds by its name alone and wrong values are refused."
            )
    fields: Any = {option.name: (types[option.name], option.default) for option in options}
    BLOCK_OPTIONS[name] = create_model(f"{block.__name__}Options", __base__=BlockOptions, **fields)
    BLOCKS[name] = block
    return block


load_plugins()

"""Blocks by name."""

import importlib
import inspect
from typing import Any, TypeVar

from pydantic import create_model

from attn_tutorial.blocks.base import AttentionBlock
from attn_tutorial.blocks.options import (
    BLOCK_NAMES,
    BLOCK_OPTIONS,
    BLOCK_VERSIONS,
    PACKAGE_BLOCKS,
    BlockOptions,
    check_block,
    load_plugins,
)
from attn_tutorial.errors import InputError

Block = TypeVar("Block", bound=type[AttentionBlock])


def _class_at(place: str) -> type[AttentionBlock]:
    module, name = place.split(".")
    found: type[AttentionBlock] = getattr(importlib.import_module(f"attn_tutorial.blocks.{module}"), name)
    return found


BLOCKS: dict[str, type[AttentionBlock]] = {name: _class_at(block.place) for name, block in PACKAGE_BLOCKS.items()}


def build_block(name: str, channels: int, **options: Any) -> AttentionBlock:
    """Build the block `name` for features of `channels` channels: a module (B, C, H, W) -> (B, C, H, W).

    Raises `ValueError` if the block or an option is unknown, if a value is not allowed, or if the number of channels
    does not suit the options.
    """
    check_block(name, options)
    return BLOCKS[name](channels, **options)


def register_block(block: Block) -> Block:
    """Make your own block known by its `name`. Use it as a decorator of the class.

    From then on everything that takes the name of a block takes this one too: `build_block`, `insert_blocks`,
    `resnet`, studies. Its options are the parameters of its constructor after `channels`; a value of another type than
    the parameter's is refused. If you registered another class of the same name before, this one replaces it.

    This is true only in the process that calls it. Worker processes and commands start with the package's blocks, so
    put the class into a module of its own, on PYTHONPATH, and name the module in the environment:
    `ATTN_TUTORIAL_PLUGINS=my_blocks attn-tutorial train my_block --preset smoke`. A class that is defined in a notebook
    trains with `runner="serial"`.

    A record knows a block by its name, its options and its class attribute `version`, not by its code. When you change
    the code, raise `version` (1 where the class does not set it): runs of another version are then trained again.

    Raises `InputError` if the class has no name, if the name is one of the package's blocks, if `version` is not a
    whole number of at least 1, or if an option has no type or no default.
    """
    name = block.__dict__.get("name")
    if not isinstance(name, str) or name in BLOCK_NAMES:
        raise InputError(
            f"class {block.__name__} has the name {name!r}. Give it a text as `name` that is none of "
            f"{', '.join(BLOCK_NAMES)}."
        )
    version = getattr(block, "version", 1)
    if not isinstance(version, int) or version < 1:
        raise InputError(f"`version` of block {name!r} must be a whole number of at least 1, but got {version!r}.")
    _, *parameters = inspect.signature(block, eval_str=True).parameters.values()
    options = [each for each in parameters if each.kind is not each.VAR_KEYWORD]  # `**options` of AttentionBlock itself
    for option in options:
        if option.annotation is option.empty or option.default is option.empty:
            raise InputError(
                f"option {option.name!r} of block {name!r} needs a type and a default, as in `reduction: int = 16`, so "
                "that the block builds by its name alone and wrong values are refused."
            )
    fields: Any = {option.name: (option.annotation, option.default) for option in options}
    BLOCK_OPTIONS[name] = create_model(f"{block.__name__}Options", __base__=BlockOptions, **fields)
    BLOCK_VERSIONS[name] = version
    BLOCKS[name] = block
    return block


load_plugins()

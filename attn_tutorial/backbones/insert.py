"""Insert attention blocks into any network."""

from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, get_args

import torch
from torch import Tensor, nn

from attn_tutorial.backbones.places import channels_of, names_of, outputs_of, refusal, runs_its_children, short_name
from attn_tutorial.backbones.with_block import CHILD, Layout, WithBlock
from attn_tutorial.blocks.registry import build_block
from attn_tutorial.errors import InputError, check_choice


def insert_blocks(
    model: nn.Module,
    pattern: str,
    block: str,
    example: Tensor | None = None,
    layout: Layout = "channels_first",
    **options: Any,
) -> list[str]:
    """Put an attention block after each module whose name matches, in place: the block's output replaces the module's.

    The block becomes a part of the module tree (see `WithBlock`), so tools that replace, fuse or convert modules keep
    it. All keys of the model's `state_dict` stay, and weights saved without blocks load with `strict=False`. The block
    of place "layer1.0.bn3" is "layer1.0.bn3.attention_block". It is built for the place's channels, device and
    precision. A pass of the model shows these, see `outputs_of`: with `example`, and with a larger image, because only
    then do channels and height look different.

    Raises `InputError` if no name matches, if `example` is not a tensor (B, C, H, W), if the model cannot be called
    with it (wrong shape or type, lazy modules without weights yet), if the model is compiled, or if a place cannot have
    a block: the pass does not call it exactly once, its output is not of this layout, nothing shows that axis 1 is its
    channels, it has a block already, or it is a container that runs its children in its own way. Raises `ValueError` as
    `build_block` does. The model is then unchanged.

    Args:
        model: any module
        pattern: a name as in `model.named_modules()`; "*", "?" and "[...]" stand for parts of a name between dots
        block: the block's name in `BLOCKS`
        example: images (B, C, H, W) that the model can be called with, by default zeros (1, 3, 224, 224); only their
            shape and type matter
        layout: of the outputs at these places: "channels_first" (B, C, H, W); "channels_last" (B, H, W, C), as in Swin
            and inside ConvNeXt; or "tokens" (B, N, C), as in ViT, where the last N are a square of places
        options: the block's options

    Returns:
        the names of the places, in the model's order

    """
    check_choice("layout", layout, get_args(Layout))
    _check_not_compiled(model)
    modules = names_of(model)
    places = [name for name in modules if _matches(name, pattern)]
    if not places:
        raise InputError(
            f"`pattern` must match a module of this {type(model).__name__}, but got {pattern!r}. "
            f"Similar names: {_near(pattern, list(modules))}. "
            f"Give a name as in model.named_modules(); '*' stands for any part of a name between two dots."
        )
    passed = outputs_of(model, example)
    outputs = {short_name(name): each for name, each in passed.items() if CHILD not in name.split(".")}
    for place in places:
        reason = refusal(modules[place], outputs.get(place, ([], [])), layout)
        if reason:
            others = [name for name in outputs if name in modules and not refusal(modules[name], outputs[name], layout)]
            raise InputError(
                f"a block cannot stand after {place!r}, which {pattern!r} matches: {reason}. "
                f"Similar places that can have one: {_near(place, others)}."
            )
    maps = {place: outputs[place][0][0] for place in places}
    blocks = {place: build_block(block, channels_of(maps[place], layout), **options) for place in places}
    first = next(model.parameters(), torch.empty(0))
    undo: list[tuple[nn.Module, str, nn.Module | None]] = []
    for place, each in blocks.items():
        module = modules[place]
        device = next(module.parameters(), first).device
        each = each.to(device, maps[place].dtype).train(module.training)
        if runs_its_children(module) and layout == "channels_first":
            module.add_module(CHILD, each)
            undo.append((module, CHILD, None))
            continue
        wrapped = WithBlock(module, each, layout)
        wrapped.training = module.training  # its parts keep their own modes
        for parent, name in _parents(model, module):
            setattr(parent, name, wrapped)
            undo.append((parent, name, module))
    _check_called(model, example, places, undo)
    return places


def _matches(name: str, pattern: str) -> bool:
    parts, wanted = name.split("."), pattern.split(".")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def _near(name: str, names: Sequence[str]) -> str:
    return ", ".join(get_close_matches(name, names, n=5, cutoff=0.0)) or "none"


def _parents(model: nn.Module, module: nn.Module) -> list[tuple[nn.Module, str]]:
    """Return where a module hangs in the tree: in several places if it is shared."""
    return [
        (parent, name)
        for parent in model.modules()
        for name, child in parent._modules.items()  # `named_children` leaves out a shared module's second name
        if child is module and not isinstance(parent, WithBlock)
    ]


def _check_not_compiled(model: nn.Module) -> None:
    compiled = [
        name or "the model itself"
        for name, module in model.named_modules()
        if type(module).__name__ == "OptimizedModule" or module._compiled_call_impl is not None
    ]
    if compiled:
        raise InputError(
            f"`model` must not be compiled yet, because compiled code would not call the blocks, but {compiled[0]} of "
            f"this {type(model).__name__} is. Insert the blocks first, then call torch.compile."
        )


def _check_called(
    model: nn.Module,
    example: Tensor | None,
    places: Sequence[str],
    undo: Sequence[tuple[nn.Module, str, nn.Module | None]],
) -> None:
    """Take all blocks out again, and raise `InputError`, unless a pass of the model calls each of them once."""
    calls = {short_name(name): len(small) for name, (small, _) in outputs_of(model, example).items()}
    missed = [place for place in places if calls.get(f"{place}.{CHILD}", 0) != 1]
    if not missed:
        return
    for parent, name, module in undo:
        if module is None:
            delattr(parent, name)
        else:
            setattr(parent, name, module)
    raise InputError(
        f"a block cannot stand after {missed[0]!r}: the network reaches this module in another way than by its name "
        "(for example through a list), so the block would not be called. Choose a place further up or down."
    )

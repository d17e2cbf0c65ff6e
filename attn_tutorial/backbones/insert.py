"""Insert attention blocks into any network."""

import copy
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attn_tutorial.blocks.registry import build_block
from attn_tutorial.errors import InputError

CHILD = "attention_block"
"""The name of the block as a child of the module at its place."""


def insert_blocks(
    model: nn.Module, pattern: str, block: str, example: Tensor | None = None, **options: Any
) -> list[str]:
    """Put an attention block after each module whose name matches, in place: the block's output replaces the module's.

    No module is replaced or renamed, so all keys of the model's `state_dict` stay, and weights saved without blocks
    load with `strict=False`. The block of place "layer1.0.bn3" is "layer1.0.bn3.attention_block". It is built for the
    place's channels, device and precision. A copy of the model without data shows these: it is called with `example`,
    and with a larger one, because only then do channels and height look different. Where a network of a fixed input
    size does not run with the larger one, the second axis is taken as the channels.

    Raises `InputError` if no name matches, if `example` is not a tensor (B, C, H, W), if the copy cannot be called with
    it (wrong shape or type, lazy modules without weights yet, a forward that reads values), or if a place cannot have a
    block: the pass does not call it exactly once, its output is not a floating-point tensor (B, C, H, W), it has a
    block already, or it is a container that runs its children in its own way. Raises `ValueError` as `build_block`
    does. The model is then unchanged.

    Args:
        model: any module
        pattern: a name as in `model.named_modules()`; "*", "?" and "[...]" stand for parts of a name between dots
        block: the block's name in `BLOCKS`
        example: images (B, C, H, W) that the model can be called with, by default zeros (1, 3, 224, 224); only their
            shape and type matter
        options: the block's options

    Returns:
        the names of the places, in the model's order

    """
    names = [name for name, _ in model.named_modules() if name]
    places = [name for name in names if _matches(name, pattern)]
    if not places:
        raise InputError(
            f"`pattern` must match a module of this {type(model).__name__}, but got {pattern!r}. "
            f"Similar names: {_near(pattern, names)}. "
            f"Give a name as in model.named_modules(); '*' stands for any part of a name between two dots."
        )
    outputs = _outputs(model, example)
    for place in places:
        reason = _refusal(model.get_submodule(place), outputs.get(place, ([], [])))
        if reason:
            others = [name for name in outputs if name and not _refusal(model.get_submodule(name), outputs[name])]
            raise InputError(
                f"a block cannot stand after {place!r}, which {pattern!r} matches: {reason}. "
                f"Similar places that can have one: {_near(place, others)}."
            )
    maps = {place: outputs[place][0][0] for place in places}
    blocks = {place: build_block(block, maps[place].shape[1], **options) for place in places}
    first = next(model.parameters(), torch.empty(0))
    for place, each in blocks.items():
        module = model.get_submodule(place)
        device = next(module.parameters(), first).device
        module.add_module(CHILD, each.to(device, maps[place].dtype).train(module.training))
        if not _runs_its_children(module):
            module.register_forward_hook(_through_block)
    return places


def _matches(name: str, pattern: str) -> bool:
    parts, wanted = name.split("."), pattern.split(".")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def _near(name: str, names: Sequence[str]) -> str:
    return ", ".join(get_close_matches(name, names, n=5, cutoff=0.0)) or "none"


def _outputs(model: nn.Module, example: Tensor | None) -> dict[str, tuple[list[Any], list[Any]]]:
    """Return each module's outputs, without data: in a pass of the model, and in one with a larger input."""
    if example is None:
        example = torch.zeros(1, 3, 224, 224, dtype=next(model.parameters(), torch.empty(0)).dtype)
    if not (isinstance(example, Tensor) and example.ndim == 4):
        given = f"a tensor of shape {tuple(example.shape)}" if isinstance(example, Tensor) else repr(example)
        raise InputError(
            f"`example` must be a tensor (batch, channels, height, width), but got {given}. "
            f"Give images that the model can be called with, such as torch.zeros(1, 3, 32, 32)."
        )
    ghost = copy.deepcopy(model).to("meta").eval()
    small: dict[str, list[Any]] = defaultdict(list)
    large: dict[str, list[Any]] = defaultdict(list)
    passes = [small]
    for name, module in ghost.named_modules():
        module.register_forward_hook(lambda _, __, output, name=name: passes[-1][name].append(output))
    example = example.to("meta")
    with torch.no_grad():
        try:
            ghost(example)
        except Exception as error:
            raise InputError(
                f"the model cannot be called with {tuple(example.shape)} of {example.dtype}: "
                f"{type(error).__name__}: {error}. "
                f"Give `example`, images of a shape and type that it takes. If it takes these, call it once before, so "
                f"that lazy modules have their weights. If its forward reads values, as .item() does, insert into a "
                f"part of it that does not, because this pass has no data."
            ) from error
        passes.append(large)
        # A network of a fixed input size fails here; what it returned until then still counts.
        with suppress(Exception):
            ghost(F.pad(example, (0, 64, 0, 32)))
    return {name: (small[name], large[name]) for name in small}


def _refusal(module: nn.Module, outputs: tuple[list[Any], list[Any]]) -> str:
    """Return why a block cannot stand after a module with these outputs of the two passes; empty if it can."""
    small, large = outputs
    if hasattr(module, CHILD):
        return "it has a block already"
    if len(small) != 1 or len(large) > 1:
        return f"it is called {max(len(small), len(large))} times in a pass of the model instead of once"
    given = [tuple(each.shape) if isinstance(each, Tensor) else type(each).__name__ for each in small + large]
    if not all(isinstance(each, Tensor) and each.ndim == 4 and each.is_floating_point() for each in small + large):
        return f"it returns {given[0]} instead of floating-point features (batch, channels, height, width)"
    first, last = given[0], given[-1]
    if first[1] != last[1]:
        return f"it returns {first}, and {last} for a larger image, so its second axis is not the channels"
    if isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict) and not _runs_its_children(module):
        return "it is a container with its own forward, which would take the block for one of its layers"
    return ""


def _runs_its_children(module: nn.Module) -> bool:
    # A plain Sequential calls what was added to it last, so that a hook would call the block twice.
    return type(module).forward is nn.Sequential.forward


def _through_block(module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
    return module.get_submodule(CHILD)(output)

"""Look at what the modules of a network return, to find out where an attention block can stand."""

import contextlib
import copy
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.lazy import LazyModuleMixin

from attn_tutorial.backbones.with_block import CHILD, INNER, Layout, WithBlock, side_of_tokens
from attn_tutorial.errors import InputError

Outputs = dict[str, tuple[list[Any], list[Any]]]
"""By module name: what the module returned in a pass of the model, and in one with a larger input."""
_FIRST_AXIS = {f"torch.nn.modules.{kind}" for kind in ("conv", "batchnorm", "instancenorm", "pooling", "upsampling")}
"""Where the modules come from whose channels are on axis 1, whatever they return."""
_MOST_FIRST_TOKENS = 8
_LARGER = (64, 32)  # pixels: to the width and to the height


def names_of(model: nn.Module) -> dict[str, nn.Module]:
    """Return all modules but the model by name, without the parts that `insert_blocks` has added to the names."""
    found = {}
    for name, module in model.named_modules(remove_duplicate=False):
        parts = name.split(".")
        if name and parts[-1] != INNER and CHILD not in parts:
            found[short_name(name)] = module
    return found


def short_name(name: str) -> str:
    """Return a module's name without the parts that stand for what a block follows."""
    return ".".join(part for part in name.split(".") if part != INNER)


def outputs_of(model: nn.Module, example: Tensor | None) -> Outputs:
    """Return what the modules of a model return, in a pass with an example and in one with a larger image.

    The passes have no data where that is possible: a copy of the model on the meta device is called. A model that
    cannot be copied, or that has tensors which do not move with it, is called itself, in evaluation mode and without
    gradients. It stays as it was.

    Args:
        model: any module.
        example: images (B, C, H, W) that it can be called with; by default (1, 3, 224, 224).

    Raises:
        InputError: the model cannot be called with the example.

    """
    if example is None:
        example = torch.zeros(1, 3, 224, 224, dtype=next(model.parameters(), torch.empty(0)).dtype)
    if not (isinstance(example, Tensor) and example.ndim == 4):
        given = f"a tensor of shape {tuple(example.shape)}" if isinstance(example, Tensor) else repr(example)
        raise InputError(
            f"`example` must be a tensor (batch, channels, height, width), but got {given}. "
            f"Give images that the model can be called with, such as torch.zeros(1, 3, 32, 32)."
        )
    with suppress(Exception):
        ghost = copy.deepcopy(model).to("meta").eval()
        return _passes(ghost, example.to("meta"))
    first = next(model.parameters(), example)
    lazy = any(isinstance(module, LazyModuleMixin) and module.has_uninitialized_params() for module in model.modules())
    try:
        if lazy:
            raise RuntimeError("it has lazy modules without weights")
        if first.is_meta:
            raise RuntimeError("it is on the meta device, and some of its tensors are not")
        with _unchanged(model):
            return _passes(model, example.to(first.device))
    except Exception as error:
        raise InputError(
            f"the model cannot be called with {tuple(example.shape)} of {example.dtype}: "
            f"{type(error).__name__}: {error}. "
            f"Give `example`, images of a shape and type that it takes. If it takes these, call it once before, so "
            f"that lazy modules have their weights."
        ) from error


@contextlib.contextmanager
def _unchanged(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode, and afterwards each module back into its own; random numbers stay the same."""
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.random.fork_rng():
            model.eval()
            yield
    finally:
        for module, training in modes.items():
            module.training = training


def _passes(model: nn.Module, example: Tensor) -> Outputs:
    small: dict[str, list[Any]] = defaultdict(list)
    large: dict[str, list[Any]] = defaultdict(list)
    passes = [small]
    with contextlib.ExitStack() as stack, torch.no_grad():
        for name, module in model.named_modules():
            handle = module.register_forward_hook(lambda _, __, output, name=name: passes[-1][name].append(output))
            stack.callback(handle.remove)
        model(example)
        passes.append(large)
        # A network of a fixed input size fails here; what it returned until then still counts.
        with suppress(Exception):
            model(F.pad(example, (0, _LARGER[0], 0, _LARGER[1])))
    return {name: (small[name], large[name]) for name in small}


def refusal(module: nn.Module, outputs: tuple[list[Any], list[Any]], layout: Layout) -> str:
    """Return why a block cannot stand after a module with these outputs of the two passes; empty if it can.

    Args:
        module: what stands at the place.
        outputs: see `outputs_of`.
        layout: of the module's output, see `WithBlock`.

    """
    small, large = outputs
    if isinstance(module, WithBlock) or hasattr(module, CHILD):
        return "it has a block already"
    if len(small) != 1 or len(large) > 1:
        return f"it is called {max(len(small), len(large))} times in a pass of the model instead of once"
    axes = 3 if layout == "tokens" else 4
    given = [tuple(each.shape) if isinstance(each, Tensor) else type(each).__name__ for each in small + large]
    if not all(isinstance(each, Tensor) and each.ndim == axes and each.is_floating_point() for each in small + large):
        expected = {
            "channels_first": "features (batch, channels, height, width)",
            "channels_last": "features (batch, height, width, channels)",
            "tokens": "tokens (batch, tokens, channels)",
        }[layout]
        hint = ' If these are tokens (batch, tokens, channels), give layout="tokens".' if _three_axes(small) else ""
        return f"it returns {given[0]} instead of floating-point {expected}.{hint}".rstrip(".")
    if isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict) and not runs_its_children(module):
        return "it is a container with its own forward, which would take the block for one of its layers"
    if layout == "tokens":
        return _tokens_refused(small[0])
    return _channels_refused(module, given, layout)


def channels_of(output: Tensor, layout: Layout) -> int:
    """Return the number of channels of a module's output."""
    return output.shape[1 if layout == "channels_first" else -1]


def runs_its_children(module: nn.Module) -> bool:
    """Return whether a module is a plain Sequential, which calls what is added to it last."""
    return type(module).forward is nn.Sequential.forward


def _channels_refused(module: nn.Module, given: list[Any], layout: Layout) -> str:
    first, last = given[0], given[-1]
    axis, name = (1, "second") if layout == "channels_first" else (3, "last")
    if first[axis] != last[axis]:
        other = '. Give layout="channels_last" if the last one is' if axis == 1 and first[3] == last[3] else ""
        return f"it returns {first}, and {last} for a larger image, so its {name} axis is not the channels{other}"
    shown = type(module).__module__ in _FIRST_AXIS or isinstance(module, nn.GroupNorm)
    if layout == "channels_last" or first != last or shown:
        return ""
    # Neither the larger image nor the module itself shows which axis the channels are on.
    return (
        f"it returns {first}, and which axis has the channels cannot be seen, because the network takes one image size "
        'only. If it is the last one, give layout="channels_last". If it is the second one, choose the convolution or '
        "the normalisation that this comes from"
    )


def _tokens_refused(output: Tensor) -> str:
    side = side_of_tokens(output.shape[1])
    first = output.shape[1] - side * side
    if first > _MOST_FIRST_TOKENS or not side:
        return (
            f"it returns {output.shape[1]} tokens, which are not a square with at most {_MOST_FIRST_TOKENS} other "
            "tokens before it"
        )
    return ""


def _three_axes(outputs: list[Any]) -> bool:
    return all(isinstance(each, Tensor) and each.ndim == 3 for each in outputs)

"""The attention maps of all blocks of a network in one pass, and a way to replace what the blocks do."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from attn_tutorial.blocks.base import AttentionBlock, Features, Maps

Act = Callable[[str, AttentionBlock, Features], Features]
"""Replaces a block's forward: takes its module name, the block and its input, and returns the output."""


@dataclass(frozen=True)
class Seen:
    """What one block attended to in one pass."""

    maps: Maps
    """The maps by kind, as `AttentionBlock.attention` returns them."""
    size: tuple[int, int]
    """Height and width of the features that the block read."""

    def by_place(self) -> dict[str, Tensor]:
        """Return the maps over places, float (B, h, w) each, in the resolution that they have in the block.

        - "spatial": the gate (B, 1, H, W) as it is;
        - "full": the mean over the channels of the gate (B, C, H, W);
        - "received": how much each place gives to all others, the mean over the places i of a pairwise map (B, N, M).
          If the block reads M = ⌈H/2⌉·⌈W/2⌉ places after pooling, the map has that size.

        A block that weighs only channels has none of them.
        """
        height, width = self.size
        found = {}
        if "spatial" in self.maps:
            found["spatial"] = self.maps["spatial"][:, 0]
        if "full" in self.maps:
            found["full"] = self.maps["full"].mean(1)
        if "pairwise" in self.maps:
            received = self.maps["pairwise"].mean(1)  # B, M
            sizes = {rows * columns: (rows, columns) for rows, columns in (_halved(height, width), (height, width))}
            if received.shape[1] in sizes:
                found["received"] = received.unflatten(1, sizes[received.shape[1]])
        return found


def _halved(height: int, width: int) -> tuple[int, int]:
    return -(-height // 2), -(-width // 2)


def attention_blocks(model: nn.Module) -> dict[str, AttentionBlock]:
    """Return the attention blocks of any network by module name, without blocks that are part of another block."""
    found: dict[str, AttentionBlock] = {}
    for name, module in model.named_modules():
        inner = any(not outer or name.startswith(f"{outer}.") for outer in found)
        if isinstance(module, AttentionBlock) and not inner:
            found[name] = module
    return found


@contextlib.contextmanager
def acting(model: nn.Module, act: Act) -> Iterator[None]:
    """Let every attention block of the network return `act(name, block, x)` inside the context.

    Make copies of the network before: a copy made inside would still use the blocks of the original.
    """
    blocks = attention_blocks(model)

    def instead(name: str, block: AttentionBlock) -> Callable[[Features], Features]:
        return lambda x: act(name, block, x)

    for name, block in blocks.items():
        block.__dict__["forward"] = instead(name, block)
    try:
        yield
    finally:
        for block in blocks.values():
            del block.__dict__["forward"]


@dataclass(frozen=True)
class Pass:
    """One pass of images through an intact network."""

    x: Tensor
    """The network's input."""
    logits: Tensor
    """Its output, (B, classes)."""
    seen: dict[str, Seen]
    """What each attention block saw, by its module name."""
    kept: dict[str, Tensor]
    """By module name: the outputs of the outermost modules that were done before the first block began."""
    last: Tensor | None
    """The output of the module "stage3", (B, C, h, w), if there is one: what Grad-CAM reads."""


def attention_maps(model: nn.Module, x: Tensor) -> tuple[Tensor, dict[str, Seen]]:
    """Pass images through a network; return its output and what each of its attention blocks saw.

    Every block computes its maps once, from the features that reach it, and applies them.

    Args:
        model: any network with attention blocks; its mode is not changed.
        x: its input.

    Returns:
        The output, and the maps by the module names of the blocks.

    """
    passed = intact_pass(model, x)
    return passed.logits, passed.seen


def intact_pass(model: nn.Module, x: Tensor) -> Pass:
    """Pass images through a network once, and keep all that maps, Grad-CAM and lesions need.

    Args:
        model: a network with or without attention blocks; its mode is not changed.
        x: its input.

    """
    seen: dict[str, Seen] = {}
    kept: dict[str, Tensor] = {}
    last: list[Tensor] = []
    begun: set[str] = set()  # the blocks, from their first step on

    def record(name: str, block: AttentionBlock, features: Features) -> Features:
        begun.add(name)
        maps = block.attention(features)
        seen[name] = Seen(maps, (features.shape[2], features.shape[3]))
        return block.apply_attention(features, maps)

    def keep(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(_module: nn.Module, _arguments: object, output: Tensor) -> None:
            if name and not begun:
                for inner in [each for each in kept if each.startswith(f"{name}.")]:
                    del kept[inner]
                kept[name] = output
            if name == "stage3":
                last.append(output)

        return hook

    blocks = attention_blocks(model)
    # Without blocks nothing is replaced later, so only the last stage is watched.
    watched = [(name, module) for name, module in model.named_modules() if blocks or name == "stage3"]
    with contextlib.ExitStack() as stack:
        for name, module in watched:
            handle = module.register_forward_hook(keep(name))
            stack.callback(handle.remove)
        stack.enter_context(acting(model, record))
        logits = model(x)
    return Pass(x, logits, seen, kept if blocks else {}, last[0] if last else None)


@contextlib.contextmanager
def repeating(model: nn.Module, kept: Mapping[str, Tensor]) -> Iterator[None]:
    """Let modules return kept outputs (`Pass.kept`) inside the context, instead of computing them again."""
    modules = [(model.get_submodule(name), output) for name, output in kept.items()]
    for module, output in modules:
        module.__dict__["forward"] = lambda *_inputs, output=output: output
    try:
        yield
    finally:
        for module, _ in modules:
            del module.__dict__["forward"]

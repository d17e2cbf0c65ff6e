"""The attention maps of all blocks of a network in one pass, and a way to replace what the blocks do."""

import contextlib
from collections.abc import Callable, Iterator
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


def attention_maps(model: nn.Module, x: Tensor) -> tuple[Tensor, dict[str, Seen]]:
    """Pass images through a network; return its output and what each of its attention blocks saw.

    Every block computes its maps once, from the features that reach it, and applies them.

    Args:
        model: any network with attention blocks; its mode is not changed.
        x: its input.

    Returns:
        The output, and the maps by the module names of the blocks.

    """
    seen: dict[str, Seen] = {}

    def record(name: str, block: AttentionBlock, features: Features) -> Features:
        maps = block.attention(features)
        seen[name] = Seen(maps, (features.shape[2], features.shape[3]))
        return block.apply_attention(features, maps)

    with acting(model, record):
        return model(x), seen

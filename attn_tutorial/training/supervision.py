"""The supervised gate: a second loss that pulls the spatial gates of a network towards the target's visible mask."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from attn_tutorial.backbones.oracle import shares
from attn_tutorial.blocks.base import AttentionBlock, Features, Maps

_LEAST = 1e-6
"""Gates are kept this far from 0 and 1, because the logarithm of a gate that is rounded to 0 or 1 is infinite."""


@dataclass(frozen=True)
class Supervision:
    """What a training step needs to teach the spatial gates of a network where the target is."""

    weight: float
    """The field `training.mask_loss` of the run's spec."""
    visible_mask: Bool[Tensor, "batch height width"]
    """Where the target is visible on each canvas of the batch."""

    def loss(self, gates: Mapping[str, Float[Tensor, "batch 1 rows columns"]]) -> Float[Tensor, ""]:
        """Return the weight times the mean over slots of the binary cross-entropy between gate and mask, in float32.

        The mask has the gate's resolution: each place has the share of it that the visible target covers.

        Args:
            gates: by slot, from 0 to 1, see `recorded_gates`; at least one.

        """
        mask = self.visible_mask[:, None]
        entropies = [
            functional.binary_cross_entropy(
                gate.float().clamp(_LEAST, 1 - _LEAST), shares(mask, (gate.shape[2], gate.shape[3]))
            )
            for gate in gates.values()
        ]
        return self.weight * torch.stack(entropies).mean()


@contextlib.contextmanager
def recorded_gates(slots: Mapping[str, AttentionBlock]) -> Iterator[dict[str, Tensor]]:
    """Give the dict that every forward pass inside the context fills with the spatial gates that it applies.

    A gate is divided by its largest value, 2 for a block with `at_start="identity"` and otherwise 1, so that it is from
    0 to 1. It is the one that multiplies the features: nothing is computed twice. After the context the dict is full.

    Raises `ValueError` at the end of the context if a block used no map "spatial".

    Args:
        slots: the blocks by slot, as `ResNet.slots` returns them. The network must not be compiled.

    """
    gates: dict[str, Tensor] = {}

    def recording(slot: str, block: AttentionBlock) -> Callable[[Features], Maps]:
        attention, largest = block.attention, 2 if block.options.get("at_start") == "identity" else 1

        def record(x: Features) -> Maps:
            maps = attention(x)
            if "spatial" in maps:
                gates[slot] = maps["spatial"] / largest
            return maps

        return record

    # The parts of a block, too: `Combination.forward` calls theirs.
    blocks = [
        (slot, block) for slot, outer in slots.items() for block in outer.modules() if isinstance(block, AttentionBlock)
    ]
    for slot, block in blocks:
        block.__dict__["attention"] = recording(slot, block)
    try:
        yield gates
    finally:
        for _, block in blocks:
            del block.__dict__["attention"]
    if missing := [slot for slot in slots if slot not in gates]:
        raise ValueError(
            f"every block must apply a map `spatial` to be taught by `mask_loss`, but {', '.join(missing)} applied "
            "none. Set training.mask_loss to 0, or let the block's `forward` call its `attention`."
        )

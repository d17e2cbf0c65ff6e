"""What a module costs: parameters, floating-point operations, time and memory."""

import random
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop

Function = Callable[[Tensor], Tensor]


def count_parameters(module: nn.Module) -> int:
    """Return how many numbers the module learns."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_flops(function: Function, x: Tensor) -> int:
    """Count the floating-point operations of a forward pass; a multiplication and an addition are two.

    This counts matrix products, convolutions and attention, as `torch.utils.flop_counter` does. It does not count
    means, gates and their products with `x`.
    """
    # The counter does not know the CPU's attention kernel.
    on_cpu = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flop}
    with FlopCounterMode(display=False, custom_mapping=on_cpu) as counter, torch.no_grad():
        function(x.detach())  # the counter follows gradients, which views of `x` do not have here
    return counter.get_total_flops()


def _attention_flop(*shapes: Any, out_val: Any = None, **_: Any) -> int:
    query, key, value = shapes[:3]
    return sdpa_flop(query, key, value)


def seconds_in_turn(
    functions: Mapping[str, Function], x: Tensor, rounds: int, order: random.Random | None = None
) -> dict[str, list[float]]:
    """Return the seconds of a forward and backward pass of each function, one number per round.

    A first round is not counted. In each round every function takes its turn, so that a machine whose speed drifts
    favours none: compare them round by round. On one thread of a CPU the processor's time is measured, which other
    programs on a busy machine hardly change. As inside a network, the backward pass starts from a whole tensor of
    gradients and ends with the gradient of `x`.

    Args:
        functions: modules, or other functions of features, by name
        x: features (B, C, H, W) that require a gradient
        rounds: the number of rounds that are counted
        order: shuffles the order of each round, because what runs before a function can slow it down; None for the
            order of `functions` in every round

    """
    now = time.process_time if x.device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    gradients: dict[str, Tensor] = {}
    for counted in [False] + rounds * [True]:
        turns = list(functions.items())
        if order is not None:
            order.shuffle(turns)
        for name, function in turns:
            x.grad = None
            began = now()
            result = function(x)
            if not counted:
                gradients[name] = torch.ones_like(result)
            result.backward(gradients[name])
            if counted:
                seconds[name].append(now() - began)
    return seconds


def peak_bytes(function: Function, x: Tensor) -> int:
    """Return the most bytes at any time in tensors made by a forward and a backward pass, with the gradient of `x`.

    Scratch memory inside a kernel is not counted.
    """
    with torch.no_grad():
        gradient = torch.ones_like(function(x))
    x.grad = None
    with _LiveBytes() as memory:
        function(x).backward(gradient)
    return memory.peak


class _LiveBytes(TorchDispatchMode):
    """Count the memory of every tensor that an operation returns, until it is freed."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self, function: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        tree_map_only(Tensor, self._count, result)
        return result

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage not in self._known:
            self._known.add(storage)
            self.live += storage.nbytes()
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._free, storage.nbytes())

    def _free(self, count: int) -> None:
        self.live -= count

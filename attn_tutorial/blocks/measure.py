"""What a module costs: parameters, floating-point operations, time and memory."""

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
    """How many numbers the module learns."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_flops(function: Function, x: Tensor) -> int:
    """Floating-point operations of a forward pass, a multiplication and an addition as two.

    Counted are matrix products, convolutions and attention, as `torch.utils.flop_counter` does; means, gates and their
    products with `x` are not.
    """
    # The counter does not know the kernel of the CPU.
    on_cpu = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flop}
    with FlopCounterMode(display=False, custom_mapping=on_cpu) as counter, torch.no_grad():
        function(x)
    return counter.get_total_flops()


def _attention_flop(*shapes: Any, out_val: Any = None, **_: Any) -> int:
    query, key, value = shapes[:3]
    return sdpa_flop(query, key, value)


def seconds_in_turn(functions: Mapping[str, Function], x: Tensor, rounds: int) -> dict[str, list[float]]:
    """Seconds of a forward and backward pass of each function, a list of `rounds`, behind a round that is not counted.

    In each round all take their turn, so that a machine whose speed drifts favours none: compare them round by round.
    On one thread of a CPU it is the processor's time that counts, which other programs on a busy machine hardly change.
    As inside a network, a whole tensor of gradients comes from behind, and `x` gets its own.

    Args:
        functions: by name, modules or what else takes features.
        x: the features (B, C, H, W), which want a gradient.
        rounds: counted ones.

    """
    now = time.process_time if x.device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    gradients: dict[str, Tensor] = {}
    for counted in [False] + rounds * [True]:
        for name, function in functions.items():
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
    """The most bytes that tensors made in a forward and a backward pass hold at one time, the gradient of `x` included.

    Scratch memory inside a kernel is not seen.
    """
    with torch.no_grad():
        gradient = torch.ones_like(function(x))
    x.grad = None
    with _LiveBytes() as memory:
        function(x).backward(gradient)
    return memory.peak


class _LiveBytes(TorchDispatchMode):
    """Counts the memory of every tensor that an operation returns, until it is freed."""

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

"""Computing in float32 where float16 could overflow: its largest number is 65,504.

Only float16 needs this. bfloat16 has the range of float32, and torch adds up its sums in float32. In other types, and
without autocast to float16, every function here does exactly what torch does.

Where `x` is large, as are features (B, C, H, W), a copy in float32 costs time and memory. Blocks that only multiply `x`
by a gate need none: their means are in float32, small layers read those, and only the gate goes back to float16.
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


def widened(x: Tensor) -> Tensor:
    """Return `x` in float32 if it is in float16, and otherwise `x` itself."""
    return x.float() if x.dtype == torch.float16 else x


@contextlib.contextmanager
def without_float16(x: Tensor) -> Iterator[Tensor]:
    """Give `widened(x)`, in a context where autocast to float16 is off. Autocast to bfloat16 stays on."""
    if _autocast_to_float16(x):
        with torch.autocast(x.device.type, enabled=False):
            yield x if x.dtype == torch.float64 else x.float()
    else:
        yield widened(x)


def in_float32(module: nn.Module, x: Tensor) -> Tensor:
    """Return `module(x)`. Where torch would compute it in float16, compute it in float32, and leave the result so.

    The module may have its weights in float16. It then computes with copies in float32, which pass the gradients on.
    """
    if x.dtype == torch.float16 or _autocast_to_float16(x):
        with without_float16(x) as wide:
            return _with_float32_weights(module, wide)
    return _with_float32_weights(module, x) if x.dtype == torch.float32 else module(x)


def mean(x: Tensor, axes: tuple[int, ...], keepdim: bool = False) -> Tensor:
    """Return the mean over `axes`: in float32 if `x` is in float16, and in the type of `x` if not."""
    return x.mean(axes, keepdim, dtype=torch.float32 if x.dtype == torch.float16 else None)


def as_gate(gate: Tensor, x: Tensor) -> Tensor:
    """Return the gate in the type of `x` if that has 16 bits, so that their product has this type, too."""
    return gate.to(x.dtype) if x.dtype in (torch.float16, torch.bfloat16) else gate


def weights_like(weights: Tensor, x: Tensor) -> Tensor:
    """Return the weights, in float32 if `x` is, so that a layer whose weights are in float16 can read `x`."""
    return weights.float() if x.dtype == torch.float32 else weights


def _autocast_to_float16(x: Tensor) -> bool:
    kind = x.device.type
    on = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return on and torch.get_autocast_dtype(kind) == torch.float16


def _with_float32_weights(module: nn.Module, x: Tensor) -> Tensor:
    first = next(module.parameters(), None)
    if first is None or first.dtype != torch.float16:
        result: Tensor = module(x)
        return result
    numbers = [*module.named_parameters(), *module.named_buffers()]
    widened = {name: each.float() for name, each in numbers if each.dtype == torch.float16}
    result = torch.func.functional_call(module, widened, (x,))
    if module.training:
        for name, buffer in module.named_buffers():
            if name in widened:
                buffer.copy_(widened[name])  # the running statistics of batch normalisation have changed
    return result

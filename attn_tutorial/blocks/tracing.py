"""Attention blocks in traces of torch.fx: one node each, as PyTorch's own layers are."""

import copy
import functools
from collections.abc import Callable
from typing import Any

from torch import Tensor, fx, nn

_ROOT = "traced_block"


def leaf_in_traces(forward: Callable[[Any, Tensor], Tensor]) -> Callable[[Any, Tensor], Tensor]:
    """Return a block's `forward` that becomes a single node in a trace of torch.fx.

    A block looks at the type and at the shape of its input, which a trace does not know. As one node it stays exact for
    all of them, and feature extractors and quantisation tools see it as a layer.

    Args:
        forward: the method, which takes the block and its input.

    """

    @functools.wraps(forward)
    def traced(self: nn.Module, x: Tensor) -> Tensor:
        if isinstance(x, fx.Proxy):
            return x.tracer.create_proxy("call_module", _path(self, x.tracer), (x,), {})
        return forward(self, x)

    return traced


def _path(block: nn.Module, tracer: Any) -> str:
    """Return the name of a block in the network that is traced."""
    if tracer.root is not block:
        return str(tracer.path_of_module(block))
    # The block itself is traced. The graph's only node is a copy of it that shares its weights. The copy is a plain
    # attribute: as a child it would add keys to the block's `state_dict`.
    block.__dict__[_ROOT] = alias = copy.copy(block)
    alias.__dict__.pop(_ROOT, None)
    return _ROOT

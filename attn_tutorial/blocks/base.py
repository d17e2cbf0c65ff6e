"""What all attention blocks share: the interface, the gate and the bottleneck."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from attn_tutorial.blocks.options import PACKAGE_BLOCKS, AtStart, BlockOptions, parse_options
from attn_tutorial.blocks.tracing import leaf_in_traces

Features = Float[Tensor, "batch channel height width"]
Maps = dict[str, Tensor]
"""Attention maps by kind: channel (B,C,1,1), spatial (B,1,H,W), full (B,C,H,W), pairwise (B,N,M)."""


class AttentionBlock(nn.Module):
    """A module (B, C, H, W) -> (B, C, H, W) that can show its attention maps, and can be given others.

    `forward(x)` equals `apply_attention(x, attention(x))`. A block whose maps are gates only needs to define
    `attention`.

    The output has the type of `x`, under autocast too. In float16 the package's blocks are finite wherever their output
    fits, because they compute in float32 what may be larger on the way. bfloat16 has the range of float32: blocks
    overflow in both from the same size on.

    Raises `ValueError` if the options are not allowed, if there are too few channels for the reduction, or,
    when called, if the input is not a floating-point tensor (B, C, H, W).

    Args:
        channels: C, the number of channels of the input and of the output
        options: the block's options

    """

    name: ClassVar[str]
    """The block's key in `BLOCKS`."""
    least_hidden: ClassVar[int] = 1
    """The narrowest hidden layer, of ⌊C / reduction⌋ units, with which a block that has one can work."""
    chosen: BlockOptions
    """The block's options, defaults included: read them as `self.chosen.reduction`."""
    options: dict[str, Any]
    """The same as a dict."""
    __signature__: ClassVar[inspect.Signature | None]

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "forward" in cls.__dict__:
            cls.forward = leaf_in_traces(cls.forward)  # type: ignore[method-assign]
        known = PACKAGE_BLOCKS.get(cls.__dict__.get("name", ""))
        if known and _takes_any_option(cls.__init__):
            cls.__signature__ = _signature(known.options)  # so that `help(SE)` lists the options
        elif "__init__" in cls.__dict__:
            cls.__signature__ = None  # its own constructor lists them

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__()
        if isinstance(channels, bool) or not isinstance(channels, int) or channels < 1:
            raise ValueError(
                f"`channels` of block {self.name!r} must be a whole number of at least 1, but got {channels!r}. Give "
                "the number of channels of the features that the block takes."
            )
        self.channels = channels
        self.chosen = parse_options(self.name, options)
        self.options = self.chosen.model_dump()
        reduction = self.options.get("reduction") or 1
        hidden = channels // reduction
        if hidden < self.least_hidden:
            # PyTorch only warns about a layer without units; the block would ignore its input from then on.
            raise ValueError(
                f"{channels} channels with reduction {reduction} leave block {self.name!r} a hidden layer of width "
                f"{hidden}. Give a reduction from 1 to {channels // self.least_hidden}."
            )

    def check_input(self, x: Tensor) -> None:
        """Raise `ValueError` unless `x` is a floating-point tensor (B, C, H, W) with this block's C."""
        if x.ndim != 4 or x.shape[1] != self.channels or not x.is_floating_point():
            raise ValueError(
                f"block {self.name!r} takes floating-point features (batch, {self.channels} channels, height, width), "
                f"but got {x.dtype} of shape {tuple(x.shape)}."
            )

    def attention(self, x: Features) -> Maps:
        """Return the attention maps that the block computes from `x`, by kind.

        They may be in float32 where `x` is in float16.
        """
        raise NotImplementedError

    def apply_attention(self, x: Features, maps: Maps) -> Features:
        """Return the block's output for `x` under the given maps: the product of `x` and every gate."""
        gates = list(maps.values())
        if x.dtype == torch.float16 and len(gates) > 1:
            # `x` times one gate may be too large for float16, although `x` times all of them is not.
            gates = [functools.reduce(torch.mul, gates)]
        for gate in gates:
            x = (x * gate).to(x.dtype)
        return x

    @leaf_in_traces
    def forward(self, x: Features) -> Features:
        """Return the block's output, in the shape and the memory format of `x`."""
        return self.apply_attention(x, self.attention(x))

    def extra_repr(self) -> str:
        """Return channels and options, as `print(model)` shows them."""
        return ", ".join([str(self.channels), *(f"{key}={value!r}" for key, value in self.options.items())])


def sigmoid_gate(logits: Tensor, at_start: AtStart) -> Tensor:
    """Return σ(logits) for "half", 2σ(logits) for "identity": 1/2 and exactly 1 where the logits are zero."""
    return 2 * torch.sigmoid(logits) if at_start == "identity" else torch.sigmoid(logits)


def largest(x: Features) -> Tensor:
    """Return the largest number of each channel, (B, C).

    On CUDA the gradient of adaptive pooling differs from run to run, so another operation with the same result stands
    in for it there.
    """
    if x.device.type == "cuda":
        return x.flatten(2).max(2).values
    return F.adaptive_max_pool2d(x, 1).flatten(1)


def bottleneck(channels: int, reduction: int, bias: bool, at_start: AtStart) -> nn.Sequential:
    """Build the perceptron W₂ relu(W₁ z) of SE and CBAM: (B, C) -> (B, C), with ⌊C / reduction⌋ hidden units."""
    hidden = channels // reduction
    last = nn.Linear(hidden, channels, bias=bias)
    if at_start == "identity":
        zero_(last)
    return nn.Sequential(nn.Linear(channels, hidden, bias=bias), nn.ReLU(), last)


def zero_(module: nn.Module) -> None:
    """Set every parameter of the module to zero, in place."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)


def _takes_any_option(constructor: Callable[..., None]) -> bool:
    return any(each.kind is each.VAR_KEYWORD for each in inspect.signature(constructor).parameters.values())


def _signature(options: type[BlockOptions]) -> inspect.Signature:
    channels = inspect.Parameter("channels", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=int)
    others = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.annotation)
        for name, field in options.model_fields.items()
    ]
    return inspect.Signature([channels, *others])

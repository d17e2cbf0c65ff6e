"""A module followed by an attention block, as a part of the module tree that other tools keep."""

from typing import Any, Literal

from torch import Tensor, nn

from attn_tutorial.blocks.base import AttentionBlock, Features

Layout = Literal["channels_first", "channels_last", "tokens"]
CHILD = "attention_block"
"""The name of the block at its place."""
INNER = "before_block"
"""The name of the module that the block follows. It appears in no key of a `state_dict`."""


class WithBlock(nn.Module):
    """A module whose output passes through an attention block.

    It stands in the module tree at the module's place. Tools that replace, fuse or convert modules find the module as a
    child here and replace it, and the block stays. Keys of `state_dict` are those of the module, and the block's under
    "attention_block". Attributes that this class does not have are the module's, such as `weight` or `out_channels`.

    Args:
        module: what stood at the place.
        block: the block.
        layout: of the module's output: "channels_first" (B, C, H, W), "channels_last" (B, H, W, C), or "tokens"
            (B, N, C), where the last places of N are a square of tokens, row by row, and those before pass unchanged.

    """

    def __init__(self, module: nn.Module, block: AttentionBlock, layout: Layout = "channels_first"):
        super().__init__()
        self.add_module(INNER, module)
        self.add_module(CHILD, block)
        self.layout = layout
        self.register_state_dict_post_hook(_without_inner)
        self.register_load_state_dict_pre_hook(_with_inner)
        self.register_load_state_dict_post_hook(_name_as_saved)

    def forward(self, *arguments: Any, **keywords: Any) -> Tensor:
        """Return the block's output for the module's output."""
        output = self.before_block(*arguments, **keywords)
        if self.layout == "channels_first":
            return self.attention_block(output)
        if self.layout == "channels_last":
            return self.attention_block(output.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return through_tokens(self.attention_block, output)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the module that this class does not have itself."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == INNER or INNER not in self.__dict__.get("_modules", {}):
                raise  # while the object is copied or unpickled it has no module yet
            return getattr(self._modules[INNER], name)


def side_of_tokens(count: int) -> int:
    """Return the side of the square that the last of so many tokens make."""
    return int(count**0.5)


def through_tokens(block: nn.Module, tokens: Tensor) -> Tensor:
    """Pass the square of tokens at the end of (B, N, C) through a block of features (B, C, H, W)."""
    import torch

    side = side_of_tokens(tokens.shape[1])
    first = tokens.shape[1] - side * side
    features: Features = tokens[:, first:].transpose(1, 2).unflatten(2, (side, side))
    changed = block(features).flatten(2).transpose(1, 2)
    return torch.cat([tokens[:, :first], changed], 1) if first else changed


def _without_inner(module: nn.Module, state: dict[str, Any], prefix: str, _metadata: dict[str, Any]) -> None:
    """Take the module's name out of the keys that were just saved; they are the last ones, and keep their order."""
    inner = f"{prefix}{INNER}."
    for key in [key for key in state if key.startswith(prefix)]:
        value = state.pop(key)
        state[prefix + key.removeprefix(inner) if key.startswith(inner) else key] = value


def _with_inner(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Put the module's name into the keys that are about to be loaded."""
    for key in [key for key in state if key.startswith(prefix)]:
        if not key.startswith((f"{prefix}{CHILD}.", f"{prefix}{INNER}.")):
            state[f"{prefix}{INNER}.{key.removeprefix(prefix)}"] = state.pop(key)


def _name_as_saved(module: nn.Module, incompatible: Any) -> None:
    """Name missing and unexpected keys as they are saved."""
    for keys in incompatible:
        keys[:] = [key.replace(f".{INNER}.", ".", 1) if f".{INNER}." in key else key for key in keys]

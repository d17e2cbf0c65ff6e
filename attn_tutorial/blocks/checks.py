"""Checks that every attention block must pass: run them on a block of your own."""

import copy
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from attn_tutorial.blocks.base import AttentionBlock
from attn_tutorial.errors import InputError

_SHAPES = ((3, 6, 6), (1, 5, 3), (2, 1, 1), (1, 1, 7))
_MAP_SHAPES: dict[str, Callable[[int, int, int, int], tuple[int | None, ...]]] = {
    "channel": lambda b, c, h, w: (b, c, 1, 1),
    "spatial": lambda b, c, h, w: (b, 1, h, w),
    "full": lambda b, c, h, w: (b, c, h, w),
    "pairwise": lambda b, c, h, w: (b, h * w, None),
}
_NOISE = 0.3
_SHARE = 1e-5
_HALF_SHARE = 0.03
"""The largest difference that passes, as a share of the largest expected value: in float32, and in bfloat16."""


def check_attention_block(block: AttentionBlock) -> list[str]:
    """Check a block as every block of this package is checked, and return the sentences that were found to be true.

    Each check uses a copy of the block and random features of several shapes, including 1 × 1 and shapes that are not
    square. The copy has noise on its weights, so that a start as the identity hides nothing.

    Raises `InputError` if `block` is not an attention block, or if checks fail; the message lists which, and why.
    """
    if not isinstance(block, AttentionBlock):
        raise InputError(f"`block` must be an AttentionBlock that is built, such as StdGate(32), but got {block!r}.")
    failed = {}
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for check in _CHECKS:
            torch.manual_seed(0)
            tried = copy.deepcopy(block).eval().requires_grad_()
            with torch.no_grad():
                for parameter in tried.parameters():
                    parameter.add_(_NOISE * torch.randn_like(parameter))
            try:
                check(tried)
            except Exception as error:
                failed[check] = str(error).strip().split("\n")[0] or type(error).__name__
    if failed:
        lines = [f"  - {_said(check)}: {reason}" for check, reason in failed.items()]
        heading = f"block {block.name!r} fails {len(failed)} of the {len(_CHECKS)} checks that every block must pass:"
        raise InputError("\n".join([heading, *lines]))
    return [_said(check) for check in _CHECKS]


def _said(check: Callable[[AttentionBlock], None]) -> str:
    return (check.__doc__ or "").rstrip(".")


def _features(block: AttentionBlock, shape: tuple[int, int, int] = (2, 5, 4)) -> Tensor:
    batch, height, width = shape
    return torch.randn(batch, block.channels, height, width)


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


def _expect_near(given: Tensor, expected: Tensor, what: str, share: float = _SHARE) -> None:
    gap = ((given - expected).abs().max() / expected.abs().max()).item()
    _expect(gap <= share, f"{what} may differ by {share:g} of the largest value, but differ by {gap:.1e}")


def _shapes(block: AttentionBlock) -> None:
    """The output has the shape of the input, and is finite."""
    for shape in _SHAPES:
        x = _features(block, shape)
        out = block(x)
        _expect(out.shape == x.shape, f"{tuple(x.shape)} became {tuple(out.shape)}")
        _expect(bool(out.isfinite().all()), f"an input of shape {tuple(x.shape)} gives NaN or infinite numbers")


def _maps(block: AttentionBlock) -> None:
    """Each map is of a known kind, and has the shape of its kind."""
    for shape in _SHAPES:
        x = _features(block, shape)
        for kind, each in block.attention(x).items():
            _expect(kind in _MAP_SHAPES, f"a map must be called one of {', '.join(_MAP_SHAPES)}, but got {kind!r}")
            given, expected = tuple(each.shape), _MAP_SHAPES[kind](*x.shape)
            fits = len(given) == len(expected) and all(e in (None, g) for g, e in zip(given, expected, strict=True))
            _expect(fits, f"map {kind!r} of an input {tuple(x.shape)} must have shape {expected}, but got {given}")


def _forward(block: AttentionBlock) -> None:
    """The output is apply_attention(x, attention(x)), in training and in evaluation mode."""
    for training in (False, True):
        block.train(training)
        x = _features(block, _SHAPES[0])
        _expect_near(block(x), block.apply_attention(x, block.attention(x)), "the two results")


def _images(block: AttentionBlock) -> None:
    """The images of a batch do not mix, in evaluation mode."""
    x = _features(block)
    _expect_near(block(x)[:1], block(x[:1]), "the outputs for an image with and without another one in its batch")


def _gradients(block: AttentionBlock) -> None:
    """The gradients equal finite differences, and every parameter has one."""
    block = block.double()
    x = _features(block, (2, 3, 2)).double().requires_grad_()
    parameters = dict(block.named_parameters())
    out = block(x)
    found = torch.autograd.grad(out, [x, *parameters.values()], torch.randn_like(out), allow_unused=True)
    without = [name for name, each in zip(["x", *parameters], found, strict=True) if each is None]
    _expect(not without, f"the output does not depend on {', '.join(without)}")
    torch.autograd.gradcheck(lambda x, *_: block(x), (x, *parameters.values()))  # its fast mode overlooks mistakes


def _flat(block: AttentionBlock) -> None:
    """The gradients are finite where an image has a single colour."""
    x = torch.zeros_like(_features(block)).requires_grad_()
    block(x).sum().backward()
    gradients = {"x": x.grad} | {name: parameter.grad for name, parameter in block.named_parameters()}
    bad = [name for name, each in gradients.items() if each is not None and not each.isfinite().all()]
    _expect(not bad, f"the gradient is NaN or infinite for {', '.join(bad)}")


def _precisions(block: AttentionBlock) -> None:
    """It works in bfloat16 and float64, and under autocast."""
    x = _features(block)
    expected = block(x)
    with torch.autocast("cpu", torch.bfloat16):
        _expect_near(block(x).float(), expected, "the outputs with and without autocast", _HALF_SHARE)
        out = block(x.bfloat16())
        _expect(out.dtype == torch.bfloat16, f"under autocast, an input of torch.bfloat16 becomes {out.dtype}")
    for dtype, share in ((torch.bfloat16, _HALF_SHARE), (torch.float64, _SHARE)):
        out = copy.deepcopy(block).to(dtype)(x.to(dtype))
        _expect(out.dtype == dtype, f"an input of {dtype} becomes {out.dtype}")
        _expect_near(out.to(x.dtype), expected, f"the outputs in float32 and {dtype}", share)


def _memory_format(block: AttentionBlock) -> None:
    """Channels-last input gives channels-last output with the same numbers."""
    x = _features(block)
    out = block(x.to(memory_format=torch.channels_last))
    _expect(out.is_contiguous(memory_format=torch.channels_last), "the output is in another memory format")
    _expect_near(out, block(x), "the outputs for the two memory formats")


def _export(block: AttentionBlock) -> None:
    """It exports with free batch size, height and width."""
    free = torch.export.Dim.DYNAMIC
    # Not smaller: a side that a block reduces to a single place would be fixed in the export.
    shapes = ({0: free, 2: free, 3: free},)
    exported = torch.export.export(block, (_features(block, (2, 17, 18)),), dynamic_shapes=shapes).module()
    other = _features(block, (3, 19, 20))
    _expect_near(exported(other), block(other), "the outputs of the block and of its export")


def _options(block: AttentionBlock) -> None:
    """Its class, channels and options build the same block again."""
    again = type(block)(block.channels, **block.options)
    again.load_state_dict(block.state_dict())
    x = _features(block)
    _expect_near(again.eval()(x), block(x), "the outputs of the block and of one built again, with the same weights,")


def _refusals(block: AttentionBlock) -> None:
    """It refuses input that is not a floating-point tensor (B, C, H, W) with its C, in a message with its name."""
    x = _features(block)
    for bad in (x[0], x[:, 1:], x.long()):
        try:
            block(bad)
        except ValueError as error:
            if repr(block.name) in str(error):
                continue
        except Exception:
            pass  # an error of another kind does not tell the user what to do
        raise ValueError(f"{bad.dtype} {tuple(bad.shape)} is accepted: begin attention(x) with self.check_input(x)")


_CHECKS = (
    _shapes,
    _maps,
    _forward,
    _images,
    _gradients,
    _flat,
    _precisions,
    _memory_format,
    _export,
    _options,
    _refusals,
)

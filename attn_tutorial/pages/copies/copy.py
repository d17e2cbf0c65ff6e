"""What a public copy of a block does differently, and how this is measured."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

Kind = Literal[
    "It stops with an error, or gives NaN",
    "It ignores a part of its input",
    "A step is missing",
    "A step too many",
    "Axes, images or memory are mixed up",
    "Other sizes or operations than the paper's",
]


# Repositories that several rows cite.
CHANGZY = "changzy00/pytorch-attention"
EXTERNAL = "xmu-xiaoma666/External-Attention-pytorch"
JONGCHAN = "Jongchan/attention-module"
PPRP = "pprp/awesome-attention-mechanism-in-cv"
TIMM = "huggingface/pytorch-image-models"


class Measure(NamedTuple):
    """One measurement, of the reproduction and of the right form."""

    what: str
    copy: float | str
    right: float | str


@dataclass(frozen=True)
class Copy:
    """A public copy that differs from the paper.

    The code is a reproduction: our own lines with the same fault. `measure` runs it.
    """

    block: str
    """The section: the name of a block of this package, or "psa"."""
    key: str
    """A short name of the fault, unique."""
    kind: Kind
    where: tuple[tuple[str, str], ...]
    """Repositories (owner/name) and the file in each; no repository for the article."""
    paper_says: str
    wrong: str
    one_line: str
    """A line of code that shows the fault, with the names of `code`; `x` are features of 2 × 64 × 8 × 8."""
    right: str
    """The right form, in Markdown: usually a block of this package with its options."""
    code: tuple[Any, ...]
    """The classes and functions of the reproduction."""
    measure: Callable[[], list[Measure]]


_SEED = ContextVar("seed", default=0)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Measure with another seed of features and weights."""
    token = _SEED.set(seed)
    try:
        yield
    finally:
        _SEED.reset(token)


def features(*shape: int) -> Tensor:
    """Return normal random features, always the same for one shape and seed; by default 2 × 64 × 8 × 8."""
    return torch.randn(*shape or (2, 64, 8, 8), generator=torch.Generator().manual_seed(_SEED.get()))


@contextmanager
def fixed_weights() -> Iterator[None]:
    """Build and run modules with the same random weights each time, and without PyTorch's warnings."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(_SEED.get())
        yield


def kept(module: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """Return the standard deviation of the output divided by the input's."""
    return (module(x).std() / x.std()).item()


def weights(module: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def outcome(run: Callable[[], Any]) -> str:
    """Return "works", or the error's type and the first line of its message."""
    try:
        run()
    except Exception as error:
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
    return "works"


def difference(a: Tensor, b: Tensor) -> float:
    """Return the standard deviation of the difference divided by that of `b`, to six digits."""
    return round(((a - b).std() / b.std()).item(), 6)


def brighter_place(x: Tensor) -> Tensor:
    """Return `x` with one place of each channel much larger and the rest lower, so that the means stay the same."""
    change = torch.full(x.shape[2:], -1.0, dtype=x.dtype)
    change[0, 0] = change.numel() - 1
    return x + 0.2 * change

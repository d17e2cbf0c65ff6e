"""Check the steps of a reader's own computation, for the exercises of block chapters."""

from collections.abc import Mapping

import torch
from torch import Tensor


def check_steps(yours: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> None:
    """Print for each step whether it is right, and for the first wrong step why it is wrong.

    Later steps that are wrong too are not judged, because they were computed from the wrong one.

    Args:
        yours: the reader's intermediate results, by the name of the step.
        right: the correct results by the name of the step, in the order of computation.

    """
    wrong = None
    for step, expected in right.items():
        reason = _reason(yours.get(step), expected)
        if reason is None:
            print(f"{step}: right")
        elif wrong is None:
            wrong = step
            print(f"{step}: wrong, because {reason}")
        else:
            print(f"{step}: not judged, since it follows from a wrong step")
    if unknown := [step for step in yours if step not in right]:
        print(f"{', '.join(map(repr, unknown))} is not a step. The steps are {', '.join(right)}.")
    print("All steps are right." if wrong is None else f"Fix {wrong!r} first, then check again.")


def _reason(yours: object, expected: Tensor) -> str | None:
    """Return why a result is not the expected one, or None if it is."""
    if yours is None:
        return "there is no result of that name"
    if not isinstance(yours, Tensor):
        return f"it must be a tensor, but is of type {type(yours).__name__}"
    if yours.shape != expected.shape:
        return f"its shape must be {tuple(expected.shape)}, but is {tuple(yours.shape)}"
    if torch.allclose(yours.to(expected), expected, rtol=1e-4, atol=1e-5):
        return None
    if not yours.isfinite().all():
        return "it contains values that are infinite or not a number"
    factor = (yours.to(expected) * expected).sum() / expected.square().sum()
    if factor.abs() > 1e-6 and torch.allclose(yours.to(expected), factor * expected, rtol=1e-3, atol=1e-5):
        return f"each number is {factor:.4g} times what it should be"
    return f"its shape is right, but its numbers differ by up to {(yours - expected).abs().max():.3g}"

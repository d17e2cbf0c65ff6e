"""Which step of a reader's own computation is wrong."""

from collections.abc import Mapping

import torch
from torch import Tensor


def check_steps(yours: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> None:
    """Print of each step whether it is right, and of the first wrong one why.

    What follows a wrong step and is wrong, too, is not judged, as it was computed from it.

    Args:
        yours: intermediate results, by the name of the step.
        right: what they should be, in the order of computation.

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
        print(f"{', '.join(map(repr, unknown))} is no step; the steps are {', '.join(right)}")
    print("All steps are right." if wrong is None else f"Mend {wrong!r} first, and check again.")


def _reason(yours: object, expected: Tensor) -> str | None:
    """Why a result is not the expected one, or None where it is."""
    if yours is None:
        return "there is no result of that name"
    if not isinstance(yours, Tensor):
        return f"it is of type {type(yours).__name__}, and a tensor is due"
    if yours.shape != expected.shape:
        return f"its shape is {tuple(yours.shape)}, and {tuple(expected.shape)} is due"
    if torch.allclose(yours.to(expected), expected, rtol=1e-4, atol=1e-5):
        return None
    if not yours.isfinite().all():
        return "it holds numbers that are infinite or not a number"
    factor = (yours.to(expected) * expected).sum() / expected.square().sum()
    if factor.abs() > 1e-6 and torch.allclose(yours.to(expected), factor * expected, rtol=1e-3, atol=1e-5):
        return f"each number is {factor:.4g} times what it should be"
    return f"its shape is right, but its numbers differ by up to {(yours - expected).abs().max():.3g}"

"""Muon for convolution filters: momentum whose update is made orthogonal.

Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024, in the form that
airbench (Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", arXiv 2404.00498) applies to convolutions.
`torch.optim.Muon` takes matrices only and keeps no fixed weight norm.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer

_QUINTIC = (3.4445, -4.7750, 2.0315)


class Muon(Optimizer):
    """Nesterov momentum, orthogonalised filter bank by filter bank; each weight is kept at norm sqrt(out channels).

    Args:
        params: weights of two or more axes, the first one the output channels; the others are read as one.
        lr: step length; since the norm is fixed, it is relative to the weight.
        momentum: of the gradient average.
        steps: Newton–Schulz iterations; 3 bring the singular values to 0.5–1.3, near enough.

    """

    def __init__(self, params: Iterable[Tensor], lr: float = 0.08, momentum: float = 0.6, steps: int = 3):
        super().__init__(params, {"lr": lr, "momentum": momentum, "steps": steps})
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.ndim < 2:
                    raise ValueError(
                        f"Muon moves weights of two or more axes; one of shape {tuple(weight.shape)} was given: "
                        "give it to SGD"
                    )

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every weight that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                average = state["momentum"].mul_(group["momentum"]).add_(weight.grad)
                ahead = weight.grad.add(average, alpha=group["momentum"])
                weight.mul_(len(weight) ** 0.5 / weight.norm())
                update = orthogonalise(ahead.flatten(1), group["steps"]).view(weight.shape)
                weight.add_(update, alpha=-group["lr"])


def orthogonalise(matrix: Tensor, steps: int = 3) -> Tensor:
    """Bring the singular values of a matrix (m, n) near 1, its singular vectors left as they are, by Newton–Schulz."""
    a, b, c = _QUINTIC
    wide = matrix.mT if len(matrix) > matrix.shape[1] else matrix
    x = wide / (wide.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if len(matrix) > matrix.shape[1] else x

"""Muon for convolution filters: momentum whose update is made orthogonal.

Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024, in the form that
airbench (Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", arXiv 2404.00498) applies to convolutions.
`torch.optim.Muon` takes matrices only and keeps no fixed weight norm.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

_QUINTIC = (3.4445, -4.7750, 2.0315)


class Muon(Optimizer):
    """Nesterov momentum, orthogonalised filter bank by filter bank; each weight keeps the norm sqrt(out channels).

    Args:
        params: weights of two or more axes; the first axis is the output channels, and the others are read as one.
        lr: the step length; because the norm is fixed, it is relative to the weight.
        momentum: the share of the gradient average that each step keeps.
        steps: Newton–Schulz iterations; 3 bring the singular values to 0.5–1.3, which is near enough.

    """

    def __init__(self, params: Iterable[Tensor], lr: float = 0.08, momentum: float = 0.6, steps: int = 3):
        super().__init__(params, {"lr": lr, "momentum": momentum, "steps": steps})
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.ndim < 2:
                    raise ValueError(
                        f"`params` must be weights of two or more axes, but got one of shape {tuple(weight.shape)}. "
                        "Give it to SGD."
                    )

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every weight that has a gradient."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            gradients = [weight.grad for weight in weights]
            for weight in weights:
                if not self.state[weight]:
                    self.state[weight]["momentum"] = torch.zeros_like(weight)
            averages = [self.state[weight]["momentum"] for weight in weights]
            torch._foreach_mul_(averages, group["momentum"])
            torch._foreach_add_(averages, gradients)
            ahead = torch._foreach_add(gradients, averages, alpha=group["momentum"])
            for weight, update in zip(weights, _orthogonalised(ahead, group["steps"]), strict=True):
                weight.mul_(len(weight) ** 0.5 / weight.norm())
                weight.add_(update.view(weight.shape), alpha=-group["lr"])


def _orthogonalised(gradients: Sequence[Tensor], steps: int) -> list[Tensor]:
    """Return each gradient as an orthogonalised matrix.

    Gradients of the same shape are computed together, because a GPU waits for each small call.
    """
    matrices = [gradient.flatten(1) for gradient in gradients]
    places: dict[torch.Size, list[int]] = {}
    for place, matrix in enumerate(matrices):
        places.setdefault(matrix.shape, []).append(place)
    updates = list(matrices)
    for same in places.values():
        for place, update in zip(same, orthogonalise(torch.stack([matrices[i] for i in same]), steps), strict=True):
            updates[place] = update
    return updates


def orthogonalise(matrix: Tensor, steps: int = 3) -> Tensor:
    """Bring the singular values of matrices (..., m, n) near 1 by Newton–Schulz, and keep their singular vectors."""
    a, b, c = _QUINTIC
    wide = matrix.mT if matrix.shape[-2] > matrix.shape[-1] else matrix
    x = wide / (wide.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if matrix.shape[-2] > matrix.shape[-1] else x

"""BatchNorm statistics taken anew, for canvases of another kind than those of the training."""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def recalibrated(model: nn.Module, inputs: Iterable[Tensor]) -> nn.Module:
    """Return a copy of a network whose BatchNorm layers hold the statistics of other inputs; weights stay.

    A drop of accuracy that this undoes came from shifted statistics, not from what the network looks at.

    Args:
        model: the network.
        inputs: batches (B, 3, H, W); every batch counts alike.

    Source: Schneider et al., "Improving robustness against common corruptions by covariate shift adaptation",
    NeurIPS 2020, section 2; here the inputs are training images in the clutter of the test, and no test image enters.

    """
    model = collecting(model)
    for x in inputs:
        model(x)
    return model.eval()


def collecting(model: nn.Module) -> nn.Module:
    """Return a copy of a network whose BatchNorm layers take the statistics of what passes, until its next `eval()`."""
    model = copy.deepcopy(model).eval()
    for layer in model.modules():
        if isinstance(layer, _BatchNorm):
            layer.reset_running_stats()
            layer.momentum = None  # a plain average over the batches
            layer.train()
    return model

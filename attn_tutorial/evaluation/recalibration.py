"""New BatchNorm statistics, for canvases of another kind than those in training."""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def recalibrated(model: nn.Module, inputs: Iterable[Tensor]) -> nn.Module:
    """Return a copy of a network whose BatchNorm layers have the statistics of other inputs; the weights stay.

    If this undoes a drop of accuracy, the drop came from shifted statistics, not from what the network looks at.

    Args:
        model: the network.
        inputs: batches (B, 3, H, W); every batch has the same weight.

    Source: Schneider et al., "Improving robustness against common corruptions by covariate shift adaptation",
    NeurIPS 2020, section 2. Here the inputs are training images in the clutter of the test, and no test images.

    """
    model = collecting_statistics(model)
    for x in inputs:
        model(x)
    return model.eval()


def collecting_statistics(model: nn.Module) -> nn.Module:
    """Return a copy of a network whose BatchNorm layers collect statistics of its inputs until its next `eval()`."""
    # Not `torch.optim.swa_utils.update_bn`, which gives the same statistics (a test compares them): it puts the whole
    # network into training mode, so that a user's block with dropout would drop; and it passes a loader through one
    # network, while lesions collect the statistics of several networks that share the intact network's gates.
    model = copy.deepcopy(model).eval()
    for layer in model.modules():
        if isinstance(layer, _BatchNorm):
            layer.reset_running_stats()
            layer.momentum = None  # a plain average over the batches
            layer.train()
    return model

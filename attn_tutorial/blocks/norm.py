"""Group normalisation for features of any size."""

import torch
from torch import Tensor, nn


class GroupNorm(nn.GroupNorm):
    """`torch.nn.GroupNorm` that also takes a single number per group. It then returns its bias.

    PyTorch's own layer refuses a batch of one image with one place, where each group has one channel.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalised `input`, (B, C, ...)."""
        return torch.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

"""Spatial and channel synergistic attention: strips of several sizes, then channels that attend to channels."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attn_tutorial.blocks.base import AttentionBlock, Features, Maps, sigmoid_gate, zero_
from attn_tutorial.blocks.float16 import as_gate, in_float32, mean, widened, without_float16
from attn_tutorial.blocks.norm import GroupNorm
from attn_tutorial.blocks.options import SCSAOptions

KERNELS = (3, 5, 7, 9)


class SCSA(AttentionBlock):
    """SCSA: y = σ(norm(F mean rows)) · σ(norm(F mean columns)) · x, out = σ(mean of softmax(q kᵀ/√d) v) · y.

    F are depthwise convolutions along the strip, of 3, 5, 7 and 9 places, one for each quarter of the channels. Rows
    and columns share them, but have norms of their own, of four groups. The second gate is self-attention between
    channels: y is averaged over windows of w × w places and normalised; q, k and v are this, each channel times a
    learned number; d channels attend to each other in each head, and their places are the features that are compared.

    At the image's border a window averages the places that exist. The authors' code drops these places, and fails where
    a side is shorter than w. Both give the same where w divides the sides, as in their networks.

    A network that was exported with one side of at most w places and another one of more refuses other sizes.

    Parameters: 6C + C (F with bias), 4C (norms of the strips), 2C (norm) and 3C (q, k, v), 16C together. Raises
    `ValueError` unless 4 and the number of heads divide C.

    Source: Si, Xu, Zhu, Zhang, Dong, Chen, Li, SCSA: Exploring the Synergistic Effects Between Spatial and Channel
    Attention, 2024, section 3 (arXiv 2407.05128).

    Args:
        channels: C
        heads: the number of heads; each has d = C / heads channels
        window: w, the side of the windows
        at_start: "half", the paper's σ; "identity", 2σ with the strips' norms and v at zero, exactly 1

    """

    name = "scsa"
    chosen: SCSAOptions

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(channels, **options)
        for what, parts in (("four kinds of strips", len(KERNELS)), (f"{self.chosen.heads} heads", self.chosen.heads)):
            if channels % parts:
                others = " or of heads" if "heads" in what else ""
                raise ValueError(
                    f"block 'scsa' splits its channels between {what}, so their number must be a multiple of {parts}, "
                    f"but got {channels}. Give another number of channels{others}."
                )
        part = channels // len(KERNELS)
        self.strips = nn.ModuleList(nn.Conv1d(part, part, k, padding=k // 2, groups=part) for k in KERNELS)
        self.norm_rows, self.norm_columns = GroupNorm(len(KERNELS), channels), GroupNorm(len(KERNELS), channels)
        self.norm = GroupNorm(1, channels)
        self.q, self.k, self.v = (nn.Conv2d(channels, channels, 1, groups=channels, bias=False) for _ in range(3))
        if self.chosen.at_start == "identity":
            for layer in (self.norm_rows, self.norm_columns, self.v):
                zero_(layer)

    def attention(self, x: Features) -> Maps:
        """Return `full`, the product of a row's and a column's gate, (B, C, H, W), and `channel`, (B, C, 1, 1)."""
        self.check_input(x)
        rows = self._gates(self.norm_rows, mean(x, (3,)), x)[..., None]  # B, C, H, 1
        columns = self._gates(self.norm_columns, mean(x, (2,)), x)[:, :, None]  # B, C, 1, W
        full = rows * columns
        return {"full": full, "channel": self._of_channels(widened(x) * widened(full), x)}

    def _gates(self, norm: nn.Module, strips: Tensor, x: Features) -> Tensor:
        parts = strips.chunk(len(KERNELS), 1)
        looked = [in_float32(conv, part) for conv, part in zip(self.strips, parts, strict=True)]
        return as_gate(sigmoid_gate(in_float32(norm, torch.cat(looked, 1)), self.chosen.at_start), x)

    def _of_channels(self, y: Tensor, x: Features) -> Tensor:
        with without_float16(y) as wide:
            tokens = in_float32(self.norm, F.avg_pool2d(wide, self.chosen.window, ceil_mode=True))
            # B, heads, d, N: the channels are the tokens, and the N places are what is compared
            q, k, v = (
                in_float32(each, tokens).flatten(2).unflatten(1, (self.chosen.heads, -1))
                for each in (self.q, self.k, self.v)
            )
            scores = q @ k.mT * (self.channels // self.chosen.heads) ** -0.5  # B, heads, d, d
            logits = (scores.softmax(3) @ v).mean(3).flatten(1)  # B, C
        return as_gate(sigmoid_gate(logits, self.chosen.at_start), x)[:, :, None, None]

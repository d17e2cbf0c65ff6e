"""Gather-Excite: SE's question asked of neighbourhoods, from a few places up to the whole image."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from attn_tutorial.blocks.base import AttentionBlock, Features, Maps, sigmoid_gate, zero_
from attn_tutorial.blocks.float16 import as_gate, in_float32, mean, widened
from attn_tutorial.blocks.options import GatherExciteOptions


class GatherExcite(AttentionBlock):
    """Gather-Excite: out = σ(f(gather(x))) · x, where gather summarises each channel around a place.

    With extent None, gather(x) is the mean of each channel. With extent e, it is a grid of ⌈H/e⌉ × ⌈W/e⌉ summaries.
    Each one is the mean of a square of 2e − 1 places ("mean"), or comes from log₂(e) depthwise 3×3 convolutions of
    stride 2, each with batch normalisation and a relu ("conv"; the last one has its relu only before f). Each
    summary gates one cell of e × e places. f is the identity without `reduction`, and else SE's W₂ relu(W₁ z), applied
    to each summary.

    The paper calls gather "mean" without f GE-θ⁻, gather "conv" without f GE-θ, and gather "conv" with f GE-θ⁺. Extent
    None, gather "mean" and a reduction are SE. At the image's border a mean takes the places that exist. A convolution
    over the whole image (the paper's GE-θ with global extent) is left out, because it fits images of one size only.

    Parameters: log₂(e)(9C + 2C) for "conv", and 2C²/r + C + C/r with a reduction; by default none. Raises `ValueError`
    if C < r. With "conv", training needs more than one summary in the batch. A network that was exported with features
    of more than e places a side then takes only such features.

    Source: Hu, Shen, Albanie, Sun, Vedaldi, Gather-Excite, 2018, sections 2 and 3 (arXiv 1810.12348).

    Args:
        channels: C
        extent: e, how many places lie between two summaries; None for one summary of the whole image
        gather: how a summary is made
        reduction: r; f has ⌊C / r⌋ hidden units; None for no f
        at_start: "half", the paper's σ; "identity", 2σ with the last layer at zero, exactly 1 (needs parameters)

    """

    name = "gather_excite"
    chosen: GatherExciteOptions

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(channels, **options)
        extent, reduction = self.chosen.extent, self.chosen.reduction
        self.gather = (
            nn.Identity() if self.chosen.gather == "mean" else _strided(channels, extent or 1, last=reduction is None)
        )
        self.mlp = nn.Identity() if reduction is None else _perceptron(channels, reduction)
        if self.chosen.at_start == "identity":
            zero_(self.gather[-1] if isinstance(self.mlp, nn.Identity) else self.mlp[-1])  # type: ignore[index]

    def attention(self, x: Features) -> Maps:
        """Return `channel`, (B, C, 1, 1), for the whole image, and otherwise `full`, (B, C, H, W)."""
        self.check_input(x)
        gates = sigmoid_gate(in_float32(self.mlp, self._gathered(x)), self.chosen.at_start)
        if self.chosen.extent is None:
            return {"channel": as_gate(gates, x)}
        return {"full": F.interpolate(as_gate(gates, x), x.shape[2:], mode="nearest")}

    def _gathered(self, x: Features) -> Tensor:
        extent = self.chosen.extent
        if extent is None:
            return mean(x, (2, 3), keepdim=True)
        if self.chosen.gather == "conv":
            return in_float32(self.gather, x)
        side = 2 * extent - 1
        return F.avg_pool2d(widened(x), side, extent, padding=extent - 1, count_include_pad=False)


def _strided(channels: int, extent: int, last: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(extent.bit_length() - 1):
        conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1, groups=channels, bias=False)
        layers += [conv, nn.BatchNorm2d(channels), nn.ReLU()]
    return nn.Sequential(*(layers[:-1] if last else layers))


def _perceptron(channels: int, reduction: int) -> nn.Sequential:
    hidden = channels // reduction
    return nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1))

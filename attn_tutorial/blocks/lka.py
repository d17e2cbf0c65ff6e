"""Large kernel attention: a gate without a sigmoid, from a large kernel made of small ones."""

from typing import Any

from torch import nn

from attn_tutorial.blocks.base import AttentionBlock, Features, Maps, zero_
from attn_tutorial.blocks.float16 import in_float32
from attn_tutorial.blocks.options import LKAOptions


class LKA(AttentionBlock):
    """Large kernel attention: out = (W ∗ D ∗ L ∗ x) · x, without a sigmoid.

    The K × K kernel is made of three convolutions: L is depthwise with 2d − 1 places a side, D is depthwise with
    ⌈K/d⌉ places a side, d apart, and W is 1×1 and mixes the channels. K = 21 and d = 3 give 5×5, 7×7 and 1×1.

    The gate has no limits: it may be negative, and doubling x gives four times the output. In the paper's network the
    block stands between two 1×1 convolutions, with a GELU before it and a shortcut around all.

    Parameters: C((2d − 1)² + 1) + C(⌈K/d⌉² + 1) + C² + C; 77C + C² by default.

    Source: Guo, Lu, Liu, Cheng, Hu, Visual Attention Network, 2022, section 3.1, equations 1 and 2 (arXiv 2202.09741).

    Args:
        channels: C
        kernel: K
        dilation: d; ⌈K/d⌉ must be odd
        at_start: "random", PyTorch's usual weights, which give gates around 0; "identity", W at zero and its bias at
            one, exactly 1

    """

    name = "lka"
    chosen: LKAOptions

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(channels, **options)
        dilation = self.chosen.dilation
        local, distant = 2 * dilation - 1, -(-self.chosen.kernel // dilation)
        mix = nn.Conv2d(channels, channels, 1)
        if self.chosen.at_start == "identity":
            zero_(mix)
            assert mix.bias is not None
            nn.init.ones_(mix.bias)
        self.gate = nn.Sequential(
            nn.Conv2d(channels, channels, local, padding=dilation - 1, groups=channels),
            nn.Conv2d(
                channels,
                channels,
                distant,
                padding=distant // 2 * dilation,
                dilation=dilation,
                groups=channels,
            ),
            mix,
        )

    def attention(self, x: Features) -> Maps:
        """Return `full`: one gate per channel and place, (B, C, H, W), of any sign and size."""
        self.check_input(x)
        return {"full": in_float32(self.gate, x)}

"""Two blocks in one slot, one after the other or side by side."""

from typing import Any, ClassVar

from attn_tutorial.blocks.base import AttentionBlock, Features, Maps
from attn_tutorial.blocks.cbam import CBAM, SpatialAttention
from attn_tutorial.blocks.float16 import widened
from attn_tutorial.blocks.non_local import NonLocal
from attn_tutorial.blocks.options import CombinationOptions
from attn_tutorial.blocks.squeeze_excite import SE


class Combination(AttentionBlock):
    """Two blocks: "sequential", out = second(first(x)); "parallel", out = (first(x) + second(x)) / 2.

    In float16 both blocks are computed in float32, so only the output must fit.

    Parameters: those of the two. Raises `ValueError` if C < reduction.

    Source: in parallel after scSE (Roy, Navab, Wachinger, 2018, arXiv 1803.02579) and DANet (Fu et al.,
    2019, section 3, arXiv 1809.02983), which add the two outputs. Here it is their mean, so that two identities make
    one.

    Args:
        channels: C
        arrangement: whether the second block reads the first one's output, or both read x
        reduction: reduction of the first block
        at_start: at_start of the gates; Non-local starts as the identity in either case

    """

    chosen: CombinationOptions
    first_block: ClassVar[type[SE] | type[CBAM]]
    second_block: ClassVar[type[SpatialAttention] | type[NonLocal]]
    second_map: ClassVar[str]
    """The kind of the second block's map; all other maps are the first block's."""

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(channels, **options)
        at_start = self.chosen.at_start
        self.first = self.first_block(channels, reduction=self.chosen.reduction, at_start=at_start)
        gate = self.second_block is SpatialAttention
        self.second = SpatialAttention(channels, at_start=at_start) if gate else NonLocal(channels)

    def attention(self, x: Features) -> Maps:
        """Return the maps of both blocks, by kind."""
        self.check_input(x)
        wide = widened(x)
        maps = self.first.attention(wide)
        if self.chosen.arrangement == "sequential":
            wide = self.first.apply_attention(wide, maps)
        return maps | self.second.attention(wide)

    def apply_attention(self, x: Features, maps: Maps) -> Features:
        """Return the output of both blocks, in the chosen arrangement, under the given maps."""
        rest = dict(maps)
        seconds = {self.second_map: rest.pop(self.second_map)}
        wide = widened(x)
        first = self.first.apply_attention(wide, rest)
        if self.chosen.arrangement == "sequential":
            return self.second.apply_attention(first, seconds).to(x.dtype)
        return ((first + self.second.apply_attention(wide, seconds)) / 2).to(x.dtype)

    def forward(self, x: Features) -> Features:
        """Return the output of both blocks, in memory that grows with the number of places."""
        self.check_input(x)
        wide = widened(x)
        first = self.first(wide)
        if self.chosen.arrangement == "sequential":
            return self.second(first).to(x.dtype)
        return ((first + self.second(wide)) / 2).to(x.dtype)


class SESpatial(Combination):
    """SE and CBAM's spatial half. See `Combination` for options, equation and source."""

    name = "se+spatial"
    first_block, second_block, second_map = SE, SpatialAttention, "spatial"


class SENonLocal(Combination):
    """SE and Non-local. See `Combination` for options, equation and source."""

    name = "se+non_local"
    first_block, second_block, second_map = SE, NonLocal, "pairwise"


class CBAMNonLocal(Combination):
    """CBAM and Non-local. See `Combination` for options, equation and source."""

    name = "cbam+non_local"
    first_block, second_block, second_map = CBAM, NonLocal, "pairwise"

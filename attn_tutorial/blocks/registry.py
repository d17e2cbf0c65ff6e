"""Blocks by name."""

from typing import Any

from attn_tutorial.blocks.bam import BAM
from attn_tutorial.blocks.base import AttentionBlock
from attn_tutorial.blocks.cbam import CBAM, ChannelAttention, SpatialAttention
from attn_tutorial.blocks.combination import CBAMNonLocal, SENonLocal, SESpatial
from attn_tutorial.blocks.controls import Identity, RandomGate, StaticGate
from attn_tutorial.blocks.coordinate import CoordinateAttention
from attn_tutorial.blocks.eca import ECA
from attn_tutorial.blocks.global_context import GlobalContext
from attn_tutorial.blocks.non_local import NonLocal
from attn_tutorial.blocks.options import check_block
from attn_tutorial.blocks.simam import SimAM
from attn_tutorial.blocks.squeeze_excite import SE
from attn_tutorial.blocks.triplet import TripletAttention

BLOCKS: dict[str, type[AttentionBlock]] = {
    block.name: block
    for block in (
        SE,
        ECA,
        ChannelAttention,
        SpatialAttention,
        CBAM,
        BAM,
        NonLocal,
        GlobalContext,
        SimAM,
        CoordinateAttention,
        TripletAttention,
        SESpatial,
        SENonLocal,
        CBAMNonLocal,
        StaticGate,
        RandomGate,
        Identity,
    )
}


def build_block(name: str, channels: int, **options: Any) -> AttentionBlock:
    """The block `name` for features of `channels` channels: a module (B, C, H, W) -> (B, C, H, W).

    Raises `ValueError` if the block or an option is unknown, a value is not allowed, or the channels do not
    suit the options.
    """
    check_block(name, options)
    return BLOCKS[name](channels, **options)

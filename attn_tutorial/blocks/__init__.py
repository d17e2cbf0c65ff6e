"""Attention blocks: modules (B, C, H, W) -> (B, C, H, W) in plain `torch.nn`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "bam": ["BAM"],
        "base": ["AttentionBlock"],
        "cbam": ["CBAM", "ChannelAttention", "SpatialAttention"],
        "checks": ["check_attention_block"],
        "combination": ["CBAMNonLocal", "SENonLocal", "SESpatial"],
        "controls": ["Identity", "RandomGate", "StaticGate"],
        "coordinate": ["CoordinateAttention"],
        "eca": ["ECA"],
        "global_context": ["GlobalContext"],
        "non_local": ["NonLocal"],
        "options": ["BLOCK_NAMES", "BLOCK_OPTIONS", "check_block", "check_choice"],
        "registry": ["BLOCKS", "build_block", "register_block"],
        "simam": ["SimAM"],
        "squeeze_excite": ["SE"],
        "triplet": ["TripletAttention"],
    },
)

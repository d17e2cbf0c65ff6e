"""Backbones with a slot for an attention block in every residual unit, and blocks for any other network."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "cifar_resnet": ["ResNet", "resnet"],
        "insert": ["insert_blocks"],
        "whitening": ["whiten_stem_"],
    },
)

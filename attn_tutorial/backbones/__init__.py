"""The CIFAR ResNet with a slot for a block in each unit, and a function that inserts blocks into any network."""

import lazy_loader

# Lazy, so that no name loads more than it needs; `__init__.pyi` lists the names.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

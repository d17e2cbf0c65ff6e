"""Evaluate a trained network: its accuracy in clutter, whether it looks at the target, and what its gates do."""

import lazy_loader

# Lazy, so that no name loads more than it needs; `__init__.pyi` lists the names.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

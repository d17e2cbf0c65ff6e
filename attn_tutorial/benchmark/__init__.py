"""Test any network on the clutter benchmark, and write what it reached as a claim that others can check."""

import lazy_loader

# Lazy, so that no name loads more than it needs; `__init__.pyi` lists the names.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

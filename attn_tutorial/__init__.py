"""Attention in Clutter: visual attention blocks, built, tested and ablated."""

__version__ = "0.1.0"

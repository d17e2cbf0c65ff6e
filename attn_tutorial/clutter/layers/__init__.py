"""One file for each clutter type: its levels, its random streams, its drawing and its description.

Adding a type takes one file here, which defines a `clutter.layer.Layer` as `LAYER`, and one line in
`clutter.names.LAYER_VERSIONS`. Importing this module alone imports no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from attn_tutorial.clutter.names import CLUTTER_TYPES

if TYPE_CHECKING:
    from attn_tutorial.clutter.layer import Layer


def load_layers() -> "dict[str, Layer]":
    """Return all layers by name, in the order of the registry."""
    return {name: import_module(f"{__name__}.{name}").LAYER for name in CLUTTER_TYPES}


def level_table() -> dict[str, list[str]]:
    """Return the severity table, beside a target of 32 px: by title of the row, a text for each severity."""
    return {title: texts for layer in load_layers().values() for title, texts in layer.level_rows().items()}


def stream_numbers() -> dict[str, int]:
    """Return the number of every random stream by name: first the benchmark's own streams, then each layer's."""
    from attn_tutorial.clutter.draws import Stream

    streams = [*Stream, *(stream for layer in load_layers().values() for stream in layer.streams)]
    return {stream.name: stream.value for stream in streams}

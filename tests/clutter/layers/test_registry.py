"""The registry of layers: each is one file and one line, with streams of its own, and describes itself."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import attn_tutorial
from attn_tutorial.clutter import CLUTTER_TYPES, SEVERITIES, Clutter
from attn_tutorial.clutter.draws import Stream
from attn_tutorial.clutter.layers import level_table, load_layers, stream_numbers
from attn_tutorial.clutter.names import versions_drawn

PACKAGE = Path(attn_tutorial.__file__).parent

NEW_LAYER = """
from enum import IntEnum

import torch

from attn_tutorial.clutter.layer import Layer

LEVELS = (0, 1, 2, 3, 4, 5)


class Stream(IntEnum):
    BAR = 1001


def _draw(scene, severity):
    rows = torch.arange(scene.tile.side)[None, :, None] < severity[:, None, None]
    grey = (scene.words[Stream.BAR][:, 0, 0] >> 24).to(torch.int32) * 0x010101
    scene.canvas = torch.where(rows, grey[:, None, None], scene.canvas)
    scene.visible = scene.visible & ~rows


LAYER = Layer(
    place="front",
    description="a grey bar at the top",
    streams=Stream,
    words_needed=lambda severities, side, extent: {Stream.BAR: 1},
    draw=_draw,
    level_rows=lambda: {"newlayer: rows": [str(level) for level in LEVELS]},
    strength=lambda severity, extent: f"{LEVELS[severity]} rows",
)
"""


@pytest.fixture
def run_with_new_layer(tmp_path):
    """Runs code with a copy of the package that has one more file and one more line."""
    copy = tmp_path / "attn_tutorial"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "clutter" / "layers" / "newlayer.py").write_text(NEW_LAYER)
    names = copy / "clutter" / "names.py"
    text, count = re.subn(r'(    "veil": 1,\n)', r'\1    "newlayer": 3,\n', names.read_text())
    assert count == 1
    names.write_text(text)

    def run(code):
        result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run


def test_a_new_layer_is_one_file_and_one_line(run_with_new_layer):
    run_with_new_layer(
        """
import numpy as np, torch
from attn_tutorial.clutter import CLUTTER_TYPES, Clutter, export_canvases
from attn_tutorial.clutter.layers import level_table
from attn_tutorial.clutter.names import versions_drawn
from attn_tutorial.datasets import as_image_set

images = as_image_set(np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8), [0, 1] * 20)
types = ("fragments", "newlayer")
for severity in (0, 3):
    plain = Clutter(("fragments",), severity).render(images, range(40))
    batch = Clutter(types, severity).render(images, range(40))
    assert torch.equal(batch.canvas[:, :, severity:], plain.canvas[:, :, severity:])
    assert not batch.visible_mask[:, :severity].any()
    assert (batch.canvas[:, :, :severity] == batch.canvas[:, :1, :1, :1]).all()
assert "newlayer" in CLUTTER_TYPES
assert versions_drawn(types, (3,)) == {"canvas": 1, "fragments": 1, "newlayer": 3, "noise": 1}
assert level_table()["newlayer: rows"] == ["0", "1", "2", "3", "4", "5"]
assert '"newlayer": a grey bar at the top.' in Clutter.__doc__
card = (export_canvases(images, Clutter(types, 3), "out") / "CARD.md").read_text()
assert "| newlayer | 3 | 3 rows |" in card
assert "newlayer 3" in card
"""
    )


def test_a_run_can_be_specified_with_a_new_layer(run_with_new_layer):
    run_with_new_layer(
        """
from attn_tutorial.spec import RunSpec

parts = {"data": {"name": "shapes"}, "training": {"samples": 128}}
plain = RunSpec.parse({**parts, "clutter": {"types": ["fragments"]}})
spec = RunSpec.parse({**parts, "clutter": {"types": ["fragments", "newlayer"]}})
assert spec.clutter.types == ("fragments", "newlayer")
assert spec.run_id("f" * 64) != plain.run_id("f" * 64)
"""
    )


def test_all_streams_have_different_numbers():
    streams = [*Stream, *(stream for layer in load_layers().values() for stream in layer.streams)]
    assert len({stream.value for stream in streams}) == len({stream.name for stream in streams}) == len(streams)
    assert stream_numbers() == {stream.name: stream.value for stream in streams}


def test_every_layer_describes_itself():
    rows = level_table()
    assert {title.split(":")[0] for title in rows} == set(CLUTTER_TYPES)
    assert {len(texts) for texts in rows.values()} == {len(SEVERITIES)}
    for name, layer in load_layers().items():
        assert f'"{name}": {layer.description}.' in Clutter.__doc__
        assert layer.place in ("background", "target", "front")
        assert len({layer.strength(severity, 32) for severity in SEVERITIES}) == len(SEVERITIES)


def test_the_severity_table_is_the_published_one():
    assert level_table() == {
        "fragments: number × px": ["–", "6 × 9", "10 × 10", "14 × 13", "18 × 14", "24 × 14"],
        "fragments: of the tile hidden, at most": ["0 %", "12 %", "18 %", "27 %", "33 %", "38 %"],
        "noise: SD, share of the pixel range": ["0.03", "0.06", "0.10", "0.15", "0.20", "0.25"],
        "mosaic: share of the background": ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"],
        "strokes: number × px": ["–", "4 × 1", "8 × 1", "8 × 2", "10 × 2", "12 × 2"],
        "veil: share of the tile": ["0 %", "18 %", "24 %", "29 %", "34 %", "38 %"],
        "surround: number × px": ["–", "6 × 12", "10 × 14", "17 × 18", "22 × 20", "24 × 21"],
        "crowd: number × px": ["–", "4 × 15", "7 × 17", "9 × 18", "13 × 19", "24 × 19"],
    }


def test_versions_are_named_for_what_is_drawn():
    assert versions_drawn(("fragments", "veil"), (0, 3)) == {"canvas": 1, "fragments": 1, "noise": 1, "veil": 1}
    assert versions_drawn(("fragments", "veil"), (0,)) == {"canvas": 1, "noise": 1}


def test_layers_are_listed_without_torch():
    code = "import sys, attn_tutorial.clutter.layers, attn_tutorial.clutter.severity; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

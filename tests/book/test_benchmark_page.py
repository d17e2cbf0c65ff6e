"""The specification of the benchmark says what the package does."""

import ast
import re
from pathlib import Path

from attn_tutorial.clutter import noise_bank
from attn_tutorial.clutter.layers import crowd, fragments, mosaic, noise, stream_numbers, strokes, surround, veil
from attn_tutorial.clutter.names import CANVAS_VERSION, LAYER_VERSIONS, SEEN_TYPES, versions_drawn
from attn_tutorial.clutter.severity import LEAST_VISIBLE
from attn_tutorial.datasets import SPLITS, philox, store

LAYERS = (surround, noise, mosaic, crowd, fragments, strokes, veil)
PAGE = (Path(__file__).parents[2] / "book" / "benchmark.md").read_text()
TEXT = " ".join(PAGE.split())


def named(versions):
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def test_it_is_about_these_versions():
    assert f"the clutter benchmark ({named({'canvas': CANVAS_VERSION, **LAYER_VERSIONS})}: " in TEXT
    assert f"*Attention in Clutter* ({named(versions_drawn(SEEN_TYPES, (5,)))}), made from CIFAR-10" in TEXT


def test_streams_and_splits_have_their_numbers():
    rows = re.findall(r"^\| `([A-Z_]+)` \| (\d+) \|", PAGE, flags=re.MULTILINE)
    assert {name: int(number) for name, number in rows} == stream_numbers()
    assert ", ".join(f"`{name}` {number}" for number, name in enumerate(SPLITS)) in TEXT


def test_severity_table_is_that_of_the_code():
    assert len(LAYERS) == len(LAYER_VERSIONS)
    for layer in LAYERS:
        name = layer.__name__.rpartition(".")[-1]
        row = re.search(rf"^\| `{name}` \| [^|]+ \| (.*) \|$", PAGE, flags=re.MULTILINE)
        assert row[1] == " | ".join(str(level).strip("()") for level in layer.LEVELS)
    assert f"Strokes leave at least {LEAST_VISIBLE} percent of the tile visible" in TEXT


def test_directions_are_those_of_the_code():
    for name, module in (("Fragments", fragments), ("Strokes", strokes)):
        listed = re.search(rf"^{name}: ((?:`\([-\d, ]+\)`[,.]\s+)+)", PAGE, flags=re.MULTILINE)
        assert tuple(ast.literal_eval(pair) for pair in re.findall(r"\(.*?\)", listed[1])) == module._DIRECTIONS


def test_constants_are_those_of_the_code():
    multipliers, steps = philox._MULTIPLIERS, philox._KEY_STEPS
    for constant in (*multipliers, *steps, *noise_bank._KEY):
        assert f"0x{constant:08X}" in TEXT
    assert f"contains {noise_bank.FIELDS} fields of {noise_bank.PERIOD}×{noise_bank.PERIOD} pixels" in TEXT
    assert f"SD {noise_bank.FIELD_SD}." in TEXT
    assert f"round({noise_bank.FIELD_SD} * v, d)" in TEXT
    assert noise_bank._LATTICES == tuple(2 ** (octave + 1) for octave in range(6))
    assert f"8 * brightness + {noise_bank._CHROMA} * colour" in TEXT
    assert f"{strokes._SHORTEST} * T // 32 + below(w3, {strokes._LONGEST} * T // 32" in TEXT


def test_splits_are_those_of_the_code():
    assert f"The last {store.HELD_OUT['train']} % of each class of the training file" in TEXT
    assert f"The last {store.HELD_OUT['test']} % of each class of the test file" in TEXT

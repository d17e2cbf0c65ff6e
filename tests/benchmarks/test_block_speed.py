"""The benchmark of the blocks says what it should, at sizes that take seconds; what it measures is not judged here."""

import re
from pathlib import Path
from runpy import run_path

import pytest
import torch
from click.testing import CliRunner

from attn_tutorial.blocks.measure import count_parameters

FILE = Path(__file__).parents[2] / "benchmarks" / "blocks.py"


@pytest.fixture
def benchmark():
    names = run_path(str(FILE))
    names["main"].callback.__globals__.update(SHAPES=((2, 64, 10, 10), (2, 32, 3, 3)), MANY_PLACES=(1, 64, 12, 12))
    return names


def test_every_twin_and_every_form_is_measured_in_both_layouts(benchmark):
    result = CliRunner().invoke(benchmark["main"], ["--rounds", "1", "--threads", "1"])
    assert result.exit_code == 0, result.output
    for shape in ("(2, 64, 10, 10)", "(2, 32, 3, 3)"):
        for layout in ("contiguous", "channels-last"):
            assert f"{shape}, {layout}; aim" in result.output
    for name in (
        "se",
        "eca",
        "cbam",
        "non_local",
        "global_context",
        "coordinate",
        "gather_excite",
        "ela",
        "strip",
        "grn",
    ):
        assert len(re.findall(rf"^{name} ÷ timm's +[\d.]+ +[\d.]+ +[\d.]+$", result.output, re.MULTILINE)) == 4
    assert len(re.findall(r"^lka ÷ plain's +[\d.]+ +[\d.]+ +[\d.]+$", result.output, re.MULTILINE)) == 4
    for form in ("embedded", "gaussian", "dot", "concat"):
        assert result.output.count(f"non_local {form} ÷ by its map") == 4
        assert re.search(rf"^{form}( +[\d.]+){{5}}$", result.output, re.MULTILINE)  # with both memories
    assert max(map(len, result.output.splitlines())) <= 120


def test_it_measures_under_autocast(benchmark):
    result = CliRunner().invoke(benchmark["main"], ["--rounds", "2", "--threads", "1", "--bfloat16"])
    assert result.exit_code == 0, result.output
    assert "autocast to bfloat16" in result.output


def test_one_block_alone(benchmark):
    output = CliRunner().invoke(benchmark["main"], ["--rounds", "1", "--only", "eca"]).output
    assert "eca ÷ timm's" in output
    assert "se ÷" not in output
    assert "non_local" not in output


def test_twins_are_of_one_size_and_shape(benchmark):
    for name, (ours, theirs) in benchmark["twins"](64).items():
        x = torch.randn(2, 64, 6, 5)
        assert ours(x).shape == theirs(x).shape == x.shape
        assert count_parameters(ours) == count_parameters(theirs), name

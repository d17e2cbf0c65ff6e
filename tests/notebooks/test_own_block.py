"""The page on a block of one's own: it runs under papermill as readers run it, and its block is what it says."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from attn_tutorial.ledger import Ledger

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "your_own_block.ipynb"


@pytest.fixture
def papermill(tmp_path):
    def run(*words):
        output = tmp_path / "out.ipynb"
        command = [sys.executable, "-m", "papermill", str(NOTEBOOK), str(output), "--no-progress-bar", *map(str, words)]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        return result, nbformat.read(output, 4)

    return run


def shown(notebook, kind):
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "\n".join(output.get("text", "") or output.get("data", {}).get(kind, "") for output in outputs)


def test_the_block_is_mended_checked_and_put_through_the_study(papermill, tmp_path):
    result, notebook = papermill("-p", "results", tmp_path / "runs")
    assert result.returncode == 0, result.stderr[-2000:]
    text = shown(notebook, "text/plain")
    assert "block 'std_gate' fails 1 of the 11 checks" in text
    assert "an input of shape (2, 32, 1, 1) gives NaN" in text
    assert text.count("✓") == 11
    assert "se tells them apart: False\nstd_gate tells them apart: True" in text
    assert "8 blocks, 89,080 parameters; the first: layer1.0.bn2" in text
    first, second = text.index("; the identity: False"), text.index("output SD ÷ input SD 1.000; the identity: True")
    assert first < second

    records = {record.variant: record for record in Ledger(tmp_path / "runs")}
    # A process that has not registered the block cannot read its record, and leaves it out.
    assert set(records) == {"baseline", "se"}
    assert len(list((tmp_path / "runs").glob("*.json"))) == 3
    page = shown(notebook, "text/html")
    about = "A test of the machinery, not a result. shapes, drawn by attn_tutorial"
    assert len(re.findall(f"<figcaption>[^<]*{about}", page)) == 2  # the tables of results
    for variant in ("baseline", "se", "std_gate"):
        assert f'<th scope="row">{variant}</th>' in page
    # As many parameters as SE, of the same shapes.
    rows = [row for row in page.split("<tr") if "310712" in row]
    assert len(rows) == 2
    assert records["se"].parameters == 310712


def test_a_wrong_parameter_stops_the_page(papermill):
    result, _ = papermill("-p", "presett", "quick")
    assert result.returncode != 0
    assert "'presett' is not a parameter of this notebook. Did you mean 'preset'?" in result.stderr

"""Notebooks are kept clean: no outputs, one parameters cell, and code that passes the linter."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_outputs_and_no_traces_of_a_run(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in code] == [[]] * len(code)
    assert [cell.execution_count for cell in code] == [None] * len(code)
    traces = {"papermill", "widgets"} & set(notebook.metadata)
    traces |= {name for cell in notebook.cells for name in {"papermill", "execution"} & set(cell.metadata)}
    assert traces == set()
    assert "version" not in notebook.metadata.get("language_info", {})


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_one_parameters_cell_comes_before_all_other_code(path: Path) -> None:
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    tagged = ["parameters" in cell["metadata"].get("tags", []) for cell in cells]
    assert tagged == [True] + [False] * (len(cells) - 1)
    assert "read_parameters(globals(), " in "".join(cells[1]["source"])


def test_the_linter_has_nothing_to_say() -> None:
    command = [sys.executable, "-m", "ruff", "check", "--quiet", str(FOLDER)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout

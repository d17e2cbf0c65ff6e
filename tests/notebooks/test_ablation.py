"""The study's notebook under papermill, as readers run it."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from attn_tutorial.ledger import Ledger

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "ablation.ipynb"


@pytest.fixture
def papermill(tmp_path):
    def run(*words):
        output = tmp_path / "out.ipynb"
        command = [sys.executable, "-m", "papermill", str(NOTEBOOK), str(output), "--no-progress-bar", *map(str, words)]
        result = subprocess.run(command, cwd=NOTEBOOK.parents[1], env=os.environ, capture_output=True, text=True)
        return result, nbformat.read(output, 4)

    return run


def text_of(notebook):
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "\n".join(output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in outputs)


def html_of(notebook):
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "\n".join(output.get("data", {}).get("text/html", "") for output in outputs)


def test_more_seeds_train_only_what_is_missing(papermill, tmp_path, tiny_cifar):
    common = ("-p", "preset", "smoke", "-p", "data", tiny_cifar, "-p", "results", tmp_path / "runs")
    result, notebook = papermill(*common, "-p", "seeds", 1)
    assert result.returncode == 0, result.stderr[-2000:]
    assert "4 runs to train" in text_of(notebook)
    first = {record.run_id: record.finished_at for record in Ledger(tmp_path / "runs")}
    assert len(first) == 4

    result, notebook = papermill(*common, "-p", "seeds", 2)
    assert result.returncode == 0, result.stderr[-2000:]
    assert "4 runs to train, 4 are in the ledger" in text_of(notebook)
    both = {record.run_id: record.finished_at for record in Ledger(tmp_path / "runs")}
    assert len(both) == 8
    assert first.items() <= both.items()
    assert {record.spec.seed for record in Ledger(tmp_path / "runs")} == {0, 1}
    # The page shows the records' own numbers, and says what they are.
    page = html_of(notebook)
    assert "A test of the machinery, not a result" in page
    for record in Ledger(tmp_path / "runs"):
        assert record.run_id in page


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-p", "presett", "smoke"), "'presett' is not a parameter of this notebook. Did you mean 'preset'?"),
        (("-y", "{seeds: '2'}"), "`seeds` must be"),
        (("-p", "runner", "parallel"), "`runner` must be"),
        (("-p", "study", "hedline"), "Did you mean 'headline'"),
        (("-p", "seeds", 5, "-p", "data", "shapes"), "given without a preset: data, seeds. Nothing would be trained"),
        (("-p", "preset", "quik"), "Did you mean 'quick'"),
        (("-p", "preset", "smoke", "-p", "data", "nowhere.zip"), "nowhere.zip"),
    ],
)
def test_bad_parameters_stop_the_notebook(papermill, words, message):
    result, _ = papermill(*words)
    assert result.returncode != 0
    assert message in result.stderr


def test_a_study_without_a_baseline_is_shown_too(papermill, tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("title: t\nquestion: q\nvariants: {se: {block: se}, eca: {block: eca}}\n")
    words = ("-p", "study", mine, "-p", "preset", "smoke", "-p", "seeds", 1, "-p", "data", "shapes")
    result, notebook = papermill(*words, "-p", "results", tmp_path / "runs")
    assert result.returncode == 0, result.stderr[-2000:]
    assert all(record.run_id in html_of(notebook) for record in Ledger(tmp_path / "runs"))


def test_by_default_it_trains_nothing_and_shows_the_ledger(papermill, tmp_path):
    result, notebook = papermill("-p", "results", tmp_path / "empty")
    assert result.returncode == 0, result.stderr[-2000:]
    assert not (tmp_path / "empty").exists()
    assert "runs to train" not in text_of(notebook)

"""The page that sets a reader's ledger beside the published one, under papermill, on ledgers made up here."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest

from attn_tutorial.ledger import Ledger, Record
from attn_tutorial.ledger.record import Accuracy
from attn_tutorial.spec import Images
from attn_tutorial.study import Study

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "your_rerun.ipynb"
PHOTOS = Images(name="cifar10", source="photos of a test", fingerprint="a" * 64, archive_sha256=None)
OTHERS = Images(name="cifar10", source="photos from elsewhere", fingerprint="c" * 64, archive_sha256=None)
SPREAD = np.array([0.0, 0.001, -0.001, 0.0015, -0.0005])


def fill(folder, images, gains, seeds=5, **changes):
    """A headline study: the baseline is right at 70 %, each variant by its gain more, seeds spread by 0.1 points."""
    for run in Study.load("headline").plan("quick", images, seeds):
        share = 0.7 + gains[run.variant] + SPREAD[run.spec.seed]
        rows = [
            Accuracy(types=types, severity=severity, accuracy=share, images=2000)
            for types in run.spec.evaluation.types
            for severity in range(6)
        ]
        record = Record(
            run_id=run.run_id, study="headline", preset="quick", variant=run.variant, spec=run.spec, status="done",
            accuracy=rows, data=images, parameters=1, samples_per_second=1.0, training_seconds=1.0,
            **{"versions": {"torch": "9.8"}, "git_revision": "abc", "device": "cpu", "processor": "an old one",
               "threads": 1, "finished_at": "", "weights_sha256": f"{share}", **changes},
        )  # fmt: skip
        Ledger(folder).add(record)


@pytest.fixture
def papermill(tmp_path):
    def run(*words):
        output = tmp_path / "out.ipynb"
        command = [sys.executable, "-m", "papermill", str(NOTEBOOK), str(output), "--no-progress-bar", *map(str, words)]
        result = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True)
        cells = nbformat.read(output, 4).cells
        outputs = [output for cell in cells if cell.cell_type == "code" for output in cell.outputs]
        return result, "\n".join(
            data.get("text/html") or data.get("text/markdown") or ""
            for data in (output.get("data", {}) for output in outputs)
        )

    return run


def rows_of(page, caption):
    """Rows of the tables whose caption has these words, as lists of cells."""
    tables = re.findall(rf"<figcaption>[^<]*{caption}.*?</table>", page, re.DOTALL)
    return [
        re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", row) for table in tables for row in table.split("<tr")[2:]
    ]  # fmt: skip


def test_a_rerun_is_compared_variant_by_variant_and_other_images_are_not(papermill, tmp_path):
    nothing = dict.fromkeys(("baseline", "se", "cbam", "non_local"), 0.0)
    fill(tmp_path / "theirs", PHOTOS, nothing)
    mine = {**nothing, "se": 0.0002, "cbam": 0.02, "non_local": 0.005}
    fill(
        tmp_path / "mine",
        PHOTOS,
        mine,
        processor="a new one",
        finished_at="later",
        threads=2,
        versions={"torch": "9.9"},
    )
    fill(tmp_path / "mine", OTHERS, nothing, seeds=1)
    common = ("-p", "published", tmp_path / "theirs", "-p", "results", tmp_path / "mine")
    result, page = papermill(*common)
    assert result.returncode == 0, result.stderr[-2000:]

    kinds = {row[-1]: row for row in rows_of(page, "What the two ledgers contain")}
    assert kinds["photos of a test"][1:5] == ["yes", "20", "20", "0"]
    assert kinds["photos from elsewhere"][1:5] == ["no, only one side has runs", "0", "4", "0"]
    assert "Nothing is compared" not in page

    table = {row[0]: row for row in rows_of(page, "equivalence margin ±0.5")}
    assert {name: row[1] for name, row in table.items()} == {
        "baseline": "equivalent", "se": "equivalent", "cbam": "different", "non_local": "different",
    }  # fmt: skip
    assert table["cbam"][3].startswith("70.02 [69.")
    assert table["cbam"][4].startswith("72.02 [71.")
    assert table["cbam"][2].startswith("+2.00 [+1.")
    assert "20 runs are in both ledgers; 5 of them ended with the same weights." in page
    assert "Yours only. Accuracy in % on surround+noise: mean, and at each severity. photos from elsewhere" in page

    differ = {row[0] for row in rows_of(page, "What the runs were made with") if row[1] == "yes"}
    assert differ == {"processor", "threads", "torch"}
    assert "They differ in: torch, processor, threads." in page

    result, page = papermill(*common, "-p", "margin", 3.0, "-p", "preset", "full-cpu")
    assert result.returncode == 0, result.stderr[-2000:]
    assert "You have no runs here yet" in page
    assert "-p preset full-cpu" in page


def test_an_empty_ledger_says_what_to_run_and_shows_the_published_side(papermill, tmp_path):
    fill(tmp_path / "theirs", PHOTOS, dict.fromkeys(("baseline", "se", "cbam", "non_local"), 0.0), seeds=2)
    (tmp_path / "mine").mkdir()
    words = ("-p", "published", tmp_path / "theirs", "-p", "results", tmp_path / "mine")
    result, page = papermill(*words)
    assert result.returncode == 0, result.stderr[-2000:]
    assert "`papermill notebooks/ablation.ipynb out.ipynb -p study headline -p preset quick` makes them" in page
    assert rows_of(page, "Published only")[0][:2] == ["baseline", "70.0"]
    assert "There is nothing to compare yet." in page

    # Copies of the published records are no rerun.
    for path in (tmp_path / "theirs").glob("*.json"):
        (tmp_path / "mine" / path.name).write_bytes(path.read_bytes())
    result, page = papermill(*words)
    assert result.returncode == 0, result.stderr[-2000:]
    assert rows_of(page, "What the two ledgers contain")[0][1:5] == ["no, only one side has runs", "8", "0", "8"]
    assert "You have no runs here yet" in page


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-p", "margin", "0"), "`margin` must be"),
        (("-p", "results", "nowhere"), "`results` must be a folder with records, but got 'nowhere'"),
        (("-p", "published", "~nobody_xyz"), "`published` must be a path, but got ~nobody_xyz, and the home folder"),
        (("-p", "preset", "quik"), "Did you mean 'quick'"),
    ],
)
def test_bad_parameters_stop_the_page(papermill, words, message):
    result, _ = papermill(*words)
    assert result.returncode != 0
    assert message in result.stderr

"""Test the command as users see it: in a process of its own, with good and bad input, and Ctrl-C."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from click.testing import CliRunner

from attn_tutorial.cli import main
from attn_tutorial.clutter import Clutter
from attn_tutorial.datasets import load_images
from attn_tutorial.ledger import Ledger

COMMAND = [sys.executable, "-c", "from attn_tutorial.cli import main; main()"]


@pytest.fixture
def call(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "ATTN_TUTORIAL_CIFAR10"}

    def _call(*words, **how):
        return subprocess.run(
            [*COMMAND, *map(str, words)], cwd=tmp_path, env=environment, capture_output=True, text=True, **how
        )

    return _call


def test_help_lists_the_commands(call):
    for words, expected in (
        ((), ["blocks", "data", "study", "train"]),
        (("study",), ["list", "run", "status", "table"]),
        (("data",), ["audit", "export", "fetch", "info", "preview"]),
        (
            ("data", "export"),
            ["--types", "--severity", "--format", "--split", "--images", "--canvas", "--seed", "--feather", "--force"],
        ),
        (
            ("study", "run"),
            ["--preset", "--seeds", "--data", "--results", "--runner", "--workers", "--device", "--checkpoint-every"],
        ),
    ):
        result = call(*words, "--help")
        assert result.returncode == 0
        assert all(name in result.stdout for name in expected)


def test_lists(call):
    studies = call("study", "list").stdout
    assert "headline" in studies
    assert "quick" in studies
    blocks = call("blocks").stdout
    assert all(name in blocks for name in ("se", "channel", "spatial", "cbam", "non_local", "static_gate"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("study", "run", "hedline"), "Did you mean 'headline'"),
        (("study", "run", "headline", "--preset", "quik"), "Did you mean 'quick'"),
        (("study", "run", "headline", "--preset", "smoke", "--data", "nowhere.tar.gz"), "nowhere.tar.gz"),
        (
            ("study", "run", "headline", "--preset", "smoke", "--seeds", "0", "--data", "TINY"),
            "`seeds` is a count and must be a whole number from 1 to 1000, but got 0",
        ),
        (
            ("study", "run", "headline", "--preset", "smoke", "--runner", "fast", "--data", "TINY"),
            "'fast' is not one of 'auto', 'serial', 'processes', 'ray'",
        ),
        (
            ("study", "run", "headline", "--preset", "smoke", "--device", "gpu", "--data", "TINY"),
            "'gpu' is not one of 'auto', 'cpu', 'cuda', 'mps'",
        ),
        (
            ("study", "run", "headline", "--preset", "smoke", "--device", "cuda:0", "--data", "TINY"),
            "must be one of auto, cpu, cuda, mps, but got 'cuda:0'. Give cuda, and choose the GPU by",
        ),
        (
            ("study", "run", "headline", "--preset", "smoke", "--data", "TINY", "--results", "FILE/runs"),
            "must be writable",
        ),
        (("study", "table", "headline", "--preset", "smoke", "--data", "TINY"), "Run it first"),
        (("data", "preview", "--data", "TINY", "--types", "fragment"), "Did you mean 'fragments'"),
        (("data", "info", "--data", "FILE"), "file"),
        (("data", "audit", "--preset", "quik"), "Did you mean 'quick'"),
        (("data", "audit", "--preset", "smoke", "--data", "TINY", "--results", "FILE/runs"), "must be writable"),
        (("train", "cbma", "--preset", "smoke", "--data", "TINY"), "cbam"),
        (("train", "se", "--option", "reductoin=8", "--preset", "smoke", "--data", "TINY"), "reduction"),
        (("train", "se", "--option", "reduction='8'", "--preset", "smoke", "--data", "TINY"), "'8'"),
        (("train", "se", "--stages", "4", "--preset", "smoke", "--data", "TINY"), "but got 4"),
        (
            ("train", "se", "--stages", "1,,]", "--preset", "smoke", "--data", "TINY"),
            "--stages must be a number or a word, but got '[1,,]]'",
        ),
        (("train", "se", "--option", "reduction", "--preset", "smoke", "--data", "TINY"), "NAME=VALUE"),
        (("train", "baseline", "--option", "reduction=8", "--preset", "smoke", "--data", "TINY"), "without a block"),
        (
            ("study", "run", "headline", "--checkpoint-every", "nan", "--data", "TINY"),
            "must be greater than or equal to 0, but got nan",
        ),
    ],
)
def test_bad_input_gets_one_message_and_a_status(call, tmp_path, tiny_cifar, words, message):
    (tmp_path / "file").write_text("no archive")
    words = [word.replace("TINY", str(tiny_cifar)).replace("FILE", str(tmp_path / "file")) for word in words]
    result = call(*words)
    assert result.returncode in (1, 2)
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def test_preview_draws_a_sheet(call, tmp_path, tiny_cifar):
    result = call("data", "preview", "--data", tiny_cifar, "--images", 2, "--out", "sheet.png")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def invoke(tmp_path, tmp_path_factory, tiny_cifar, monkeypatch):
    """Return a function that calls a data command in this process, on tiny images."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ATTN_TUTORIAL_CIFAR10", raising=False)
    root = tmp_path_factory.getbasetemp() / "tiny_data"  # decoded once for all tests

    def _invoke(command, *words):
        return CliRunner().invoke(main, ["data", command, "--root", root, "--data", tiny_cifar, *map(str, words)])

    return _invoke


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("export", "--severity", 6), "`severity` must be a whole number from 0 to 5"),
        (("export", "--severity", -1), "`severity` must be a whole number from 0 to 5"),
        (("export", "--severity", 2.5), "'2.5' is not a valid integer"),
        (("export", "--types", "fragment+noise"), "Did you mean 'fragments'"),
        (("export", "--canvas", 20), "at least as large as the images"),
        (("export", "--size", 20), "'20' is not one of '16', '24', '32'"),
        (("preview", "--size", 32, "--canvas", 31), "at least as large as the images"),
        (("export", "--feather", 3), "must be one of 0, 1, 2"),
        (("export", "--format", "nzp"), "'nzp' is not one of 'npz', 'png'"),
        (("export", "--split", "tests"), "'tests' is not one of 'train', 'val', 'test', 'bank'"),
        (("export", "--images", 130), "images of cifar10 test must be a multiple of 10"),
        (("export", "--out", "file/out"), "cannot be written to"),
        (("export", "--out", "file"), "exists already"),
        (("export", "--out", "file", "--force"), "it is not replaced"),
        (("preview", "--out", "nowhere/sheet.png"), "but nowhere/sheet.png cannot be written"),
        (("preview", "--out", "."), "--out must be a file, such as preview.png, but . is a folder"),
        (("preview", "--out", "sheet.word"), "but sheet.word cannot be written"),
        (("preview", "--feather", 3), "must be one of 0, 1, 2"),
        (("preview", "--images", 0), "0 is not in the range"),
    ],
)
def test_bad_input_of_the_data_commands(invoke, tmp_path, words, message):
    (tmp_path / "file").write_text("")
    result = invoke(*words)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert result.output.count("Error: ") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_preview_shows_all_types_or_composes_the_named_ones(invoke, tmp_path):
    rows = {}
    for name, words in {
        "all": (),
        "all_2": ("--images", 2),
        "named": ("--types", "strokes+veil"),
        "named_2": ("--types", "strokes+veil", "--images", 2),
        "feather": ("--types", "strokes+veil", "--images", 2, "--feather", 2),
    }.items():
        result = invoke("preview", *words, "--out", f"{name}.png")
        assert result.exit_code == 0, result.output
        rows[name] = len(plt.gcf().axes) / 6
        plt.close()
    assert rows == {"all": 7, "all_2": 14, "named": 6, "named_2": 2, "feather": 2}
    assert (tmp_path / "named_2.png").read_bytes() != (tmp_path / "feather.png").read_bytes()


def test_preview_names_the_file_that_it_makes(invoke, tmp_path):
    result = invoke("preview", "--types", "noise", "--images", 1, "--out", "sheet")
    plt.close()
    assert result.output.splitlines()[-1].startswith("sheet.png: ")
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]


@pytest.mark.parametrize(("form", "file", "end"), [("npz", "canvases.npz", ""), ("png", "labels.csv", "-png")])
def test_export_writes_what_is_asked_for(invoke, tmp_path, tiny_cifar, form, file, end):
    words = ("--types", "strokes+veil", "--severity", 4, "--split", "val", "--images", 20, "--canvas", 40, "--seed", 9)
    words += ("--feather", 1, "--format", form)
    result = invoke("export", *words)
    assert result.exit_code == 0, result.output
    folder = tmp_path / f"cifar10-val-strokes+veil-severity4-images20-canvas40-seed9-feather1{end}"
    assert f"{folder.name}: 20 canvases of" in result.output
    clutter = Clutter(("strokes", "veil"), severity=4, canvas=40, seed=9, feather=1)
    assert repr(clutter) in (folder / "CARD.md").read_text()
    assert (folder / file).exists()
    if form == "npz":
        val = load_images("cifar10", "val", tmp_path / "data", tiny_cifar, size=24).take(20)
        with np.load(folder / file) as arrays:
            np.testing.assert_array_equal(arrays["canvas"], clutter.render(val, range(20)).canvas.numpy())
    assert invoke("export", *words).exit_code == 2
    assert invoke("export", *words, "--force").exit_code == 0


def test_exports_that_differ_get_folders_that_differ(invoke, tmp_path):
    plain = ("--images", 10)
    for more in ((), ("--seed", 1), ("--feather", 1), ("--canvas", 40), ("--format", "png"), ("--images", 20)):
        result = invoke("export", *plain, *more)
        assert result.exit_code == 0, result.output
    assert len(list(tmp_path.iterdir())) == 6
    assert "exists already" in " ".join(invoke("export", *plain, "--seed", 0, "--format", "npz").output.split())


def test_audit_trains_judges_and_reports(call, tmp_path, tiny_cifar):
    words = ("data", "audit", "--preset", "smoke", "--data", tiny_cifar)
    first = call(*words)
    assert "7 runs to train" in first.stdout, first.stderr
    verdicts = re.findall(r"^promise (\d), .*: (passed|FAILED)$", first.stdout, re.MULTILINE)
    assert [number for number, _ in verdicts] == ["1", "2", "3", "4", "5", "6"]
    failed = [number for number, verdict in verdicts if verdict == "FAILED"]
    assert set(failed) <= {"1", "3", "4"}, "a few seconds of training decide only these"
    assert first.returncode == 0, "networks of this preset are not judged"
    assert "The benchmark does not pass" not in first.stderr
    assert "what promises 1, 3 and 4 say about networks is not judged" in first.stdout
    (report,) = (tmp_path / "data" / "runs").glob("audit-smoke-*.yaml")
    assert str(report.relative_to(tmp_path)) in first.stdout
    report.unlink()

    again = call(*words)
    assert "runs to train" not in again.stdout
    assert again.stdout.splitlines()[-21:] == first.stdout.splitlines()[-21:]
    assert report.exists()


def test_info_names_the_images(call, tiny_cifar):
    text = call("data", "info", "--data", tiny_cifar).stdout
    assert "name: cifar10" in text
    assert "fingerprint: " in text


def test_ctrl_c_pressed_twice_while_workers_start(tmp_path, tiny_cifar):
    words = ["study", "run", "headline", "--preset", "smoke", "--data", str(tiny_cifar), "--runner", "processes"]
    process = subprocess.Popen(
        [*COMMAND, *words], cwd=tmp_path, env={**os.environ, "PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    for line in process.stdout:
        if "runs to train" in line:
            break
    time.sleep(0.3)
    for _ in range(2):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.05)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert "stopped: 0 of 4 runs" in error
    assert "Traceback" not in error


@pytest.mark.parametrize("runner", ["serial", "processes"])
def test_ctrl_c_stops_at_a_checkpoint_and_the_same_command_goes_on(call, tmp_path, tiny_cifar, runner):
    words = ["study", "run", "headline", "--preset", "smoke", "--data", str(tiny_cifar), "--runner", runner]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    # A process group of its own, so that the signal reaches the workers as it would from a terminal.
    process = subprocess.Popen(
        [*COMMAND, *words], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    for line in process.stdout:
        if "done" in line:
            os.killpg(process.pid, signal.SIGINT)
            break
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130, error
    assert "go on from their checkpoints" in error
    assert "Traceback" not in error
    before = {record.run_id: record.finished_at for record in Ledger(tmp_path / "data" / "runs")}
    assert 1 <= len(before) < 4

    result = call(*words)
    assert result.returncode == 0, result.stderr
    assert f"{4 - len(before)} runs to train, {len(before)} are in the ledger" in result.stdout
    after = {record.run_id: record.finished_at for record in Ledger(tmp_path / "data" / "runs")}
    assert len(after) == 4
    assert before.items() <= after.items()
    assert "non_local" in result.stdout
    status = call("study", "status", "headline", "--preset", "smoke", "--data", tiny_cifar).stdout
    assert status.splitlines()[-1] == "4 runs: 4 done; none left"


def test_one_network_of_your_own_is_the_studys_where_it_is_the_same(call, tmp_path, tiny_cifar):
    common = ("--preset", "smoke", "--data", tiny_cifar)
    for words in (("se",), ("se", "--option", "reduction=8"), ("non_local", "--stages", "2,3", "--position", "post")):
        result = call("train", *words, *common)
        assert result.returncode == 0, result.stderr
    records = list(Ledger(tmp_path / "data" / "runs"))
    assert sorted(record.spec.block_options.get("reduction", 0) for record in records) == [0, 8, 16]
    status = call("study", "status", "headline", *common).stdout
    assert [line.split()[1] for line in status.splitlines() if line.endswith("done")] == ["se", "non_local"]


def test_records_are_all_that_ends_in_json(tmp_path, call, tiny_cifar):
    result = call(
        "study", "run", "headline", "--preset", "smoke", "--data", tiny_cifar, "--results", "mine", "--workers", 2
    )
    assert result.returncode == 0, result.stderr
    files = list((tmp_path / "mine").rglob("*.json"))
    assert len(files) == 4
    assert {json.loads(path.read_text())["spec"]["block"] for path in files} == {None, "se", "cbam", "non_local"}
    assert all(path.parent == tmp_path / "mine" for path in map(Path, files))

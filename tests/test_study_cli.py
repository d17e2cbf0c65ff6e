"""Test the commands of `attn-tutorial study` on a ledger that a real run has filled."""

import json
import os
import shutil
import subprocess
import sys

import pandas as pd
import pytest
from click.testing import CliRunner
from filelock import FileLock

from attn_tutorial.cli import main
from attn_tutorial.engine.start import start_study
from attn_tutorial.ledger import Ledger
from attn_tutorial.study import study_names


@pytest.fixture(scope="module")
def filled(tiny_cifar, tmp_path_factory):
    """Return a folder with the images, and with the records of study headline at preset smoke."""
    folder = tmp_path_factory.mktemp("study")
    start_study("headline", "smoke", None, str(tiny_cifar), folder / "runs", root=folder, runner="serial", device="cpu")
    return folder


@pytest.fixture
def ledger(filled, tmp_path):
    shutil.copytree(filled / "runs", tmp_path / "runs")
    return Ledger(tmp_path / "runs")


@pytest.fixture
def study(filled, ledger, tiny_cifar):
    def _study(command, *words, name="headline"):
        common = ["--preset", "smoke", "--root", filled, "--data", tiny_cifar, "--results", ledger.folder]
        return CliRunner().invoke(main, ["study", command, str(name), *map(str, common), *map(str, words)])

    return _study


def record_of(ledger, variant):
    return next(record for record in ledger if record.variant == variant)


def spoil(ledger, variant, **changes):
    path = ledger.folder / f"{record_of(ledger, variant).run_id}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return path


def test_status_says_the_state_of_every_run_and_the_time_left(study, ledger):
    spoil(ledger, "se", status="failed", error="out of memory\nat line 3")
    (ledger.folder / f"{record_of(ledger, 'cbam').run_id}.json").write_text("{")
    running = record_of(ledger, "non_local").run_id
    (ledger.folder / f"{running}.json").unlink()
    with FileLock(ledger.folder / "work" / f"{running}.lock"):
        result = study("status")
    assert result.exit_code == 0, result.output
    states = {line.split()[1]: " ".join(line.split()[4:]) for line in result.output.splitlines() if "  seed " in line}
    assert states == {
        "baseline": "done",
        "se": "failed out of memory",
        "cbam": "damaged it is not JSON, and may have been cut off",
        "non_local": "running no checkpoint yet",
    }
    last = result.output.splitlines()[-1]
    assert last.startswith("4 runs: 1 done, 1 failed, 1 damaged, 1 running; about ")
    assert last.endswith(" of one process left")


@pytest.mark.parametrize("command", ["status", "table"])
def test_files_that_are_left_out_are_named(study, ledger, command):
    text = (ledger.folder / f"{record_of(ledger, 'se').run_id}.json").read_text()
    for number in range(5):
        (ledger.folder / f"other{number}.json").write_text(text)
    result = study(command)
    assert result.exit_code == 0, result.output
    said = [line for line in result.stderr.splitlines() if "left out" in line]
    assert len(said) == 4
    assert said[0].endswith("other0.json is left out: its run_id is not that of its spec and images")
    assert said[3].startswith("and 2 more files in ")


def test_a_rerun_sets_the_damaged_record_aside_and_trains_that_run_again(study, ledger):
    damaged, kept = record_of(ledger, "cbam"), record_of(ledger, "se")
    (ledger.folder / f"{damaged.run_id}.json").write_text("{")
    result = study("run", "--runner", "serial", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert "1 runs to train, 3 are in the ledger" in result.output
    assert f"{damaged.data.source}; preset smoke" in result.output
    again = Ledger(ledger.folder)
    assert again.get(damaged.run_id).weights_sha256 == damaged.weights_sha256
    assert again.get(kept.run_id) == kept
    assert len(list((ledger.folder / "aside").iterdir())) == 1


@pytest.mark.parametrize("end", ["csv", "parquet"])
def test_export_writes_the_frame(study, ledger, tmp_path, end):
    out = tmp_path / f"table.{end}"
    result = study("export", "--out", out)
    assert result.exit_code == 0, result.output
    written = pd.read_csv(out) if end == "csv" else pd.read_parquet(out)
    expected = ledger.frame()
    assert list(written) == list(expected)
    # A column that is all None comes back from CSV as NaN.
    written, expected = (frame.dropna(axis="columns", how="all") for frame in (written, expected))
    assert set(written["variant"]) == {"baseline", "se", "cbam", "non_local"}
    pd.testing.assert_frame_equal(
        written.sort_values(["run_id", "types", "severity"], ignore_index=True),
        expected.sort_values(["run_id", "types", "severity"], ignore_index=True),
        check_dtype=False,
    )
    assert os.listdir(tmp_path / "runs") == os.listdir(ledger.folder)


@pytest.mark.parametrize("end", ["csv", "parquet"])
def test_export_writes_every_answer_to_every_image(study, ledger, tmp_path, end):
    out = tmp_path / f"answers.{end}"
    ledger.answers_path(record_of(ledger, "se").run_id).unlink()
    damaged = ledger.answers_path(record_of(ledger, "cbam").run_id)
    damaged.write_bytes(damaged.read_bytes()[:100])
    result = study("export", "--answers", "--out", out)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(out) if end == "csv" else pd.read_parquet(out)
    assert f"{len(table):,} rows of 2 runs" in result.output
    assert "2 finished runs have no answers that can be used" in result.stderr
    right = table["label"] == table["answer"]
    shares = right.groupby([table[name] for name in ("variant", "split", "types", "severity")]).mean()
    for variant in ("baseline", "non_local"):
        for row in record_of(ledger, variant).accuracy:
            assert shares[(variant, *row.condition)] == pytest.approx(row.accuracy)


def test_export_says_where_there_are_no_answers(study, ledger, tmp_path):
    shutil.rmtree(ledger.folder / "answers")
    result = study("export", "--answers", "--out", tmp_path / "answers.csv")
    assert result.exit_code == 2
    assert "must contain the answers of at least one finished run" in result.output
    assert not (tmp_path / "answers.csv").exists()
    assert study("status").exit_code == 0


@pytest.mark.parametrize("out", ["table.xlsx", "none/table.csv", "table"])
def test_export_refuses_what_it_cannot_write(study, tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    result = study("export", "--out", out)
    assert result.exit_code == 2
    assert "--out must be a file" in result.output
    assert f"but got {out}." in result.output or f"but {out} cannot be written" in result.output
    assert {path.name for path in tmp_path.iterdir()} == {"runs"}


def test_verify_trains_again_and_finds_the_same_bits(study, ledger):
    before = {path.name: path.read_bytes() for path in ledger.folder.glob("*.json")}
    result = study("verify", "--sample", 2, "--device", "cpu", "--draw", 1)
    assert result.exit_code == 0, result.output
    assert result.output.count("the same weights, sha256") == 2
    assert {path.name: path.read_bytes() for path in ledger.folder.glob("*.json")} == before


def test_verify_fails_where_nothing_explains_other_weights(study, ledger):
    for path in ledger.folder.glob("*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "weights_sha256": "0" * 64}))
    result = study("verify", "--device", "cpu")
    assert result.exit_code == 1
    assert "FAILED, other weights, although nothing differs that could change them. Mean accuracy" in result.output
    assert "100.00 % of the answers agree" in result.output


def _move_elsewhere(ledger, seen=lambda accuracy: accuracy):
    """Make the records those of another machine, which saw other accuracies and kept no answers."""
    shutil.rmtree(ledger.folder / "answers")
    for path in ledger.folder.glob("*.json"):
        values = json.loads(path.read_text())
        rows = [{**row, "accuracy": seen(row["accuracy"])} for row in values["accuracy"]]
        changed = {"accuracy": rows, "weights_sha256": "0" * 64, "versions": {**values["versions"], "torch": "1.0"}}
        path.write_text(json.dumps({**values, **changed}))


def test_verify_says_what_differs_and_passes_where_the_accuracy_is_the_same(study, ledger):
    _move_elsewhere(ledger)
    result = study("verify", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert "What differs here: torch 1.0 and " in result.output
    assert "difference +0.00 points (95 % interval " in result.output
    assert "tolerance 0.5 points. Trained in " in result.output


def test_verify_fails_elsewhere_too_where_the_accuracy_differs(study, ledger):
    _move_elsewhere(ledger, lambda accuracy: 0.0 if accuracy > 0.5 else 1.0)
    result = study("verify", "--device", "cpu")
    assert result.exit_code == 1
    assert "FAILED, other weights, and an accuracy that differs by more than 0.5 points" in result.output
    assert study("verify", "--device", "cpu", "--tolerance", 100).exit_code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--sample", 0), "at least 1"),
        (("--seeds", 0), "must be a whole number from 1 to 1000, but got 0"),
        (("--tolerance", -1), "0<=x<=100"),
    ],
)
def test_verify_refuses_a_sample_of_none(study, words, message):
    result = study("verify", *words)
    assert result.exit_code == 2
    assert message in result.output


def test_verify_needs_a_run_that_is_done(study, ledger):
    for variant in ("baseline", "se", "cbam", "non_local"):
        spoil(ledger, variant, status="failed")
    result = study("verify")
    assert result.exit_code == 2
    assert "must contain a finished run of this study" in result.output


def test_networks_leave_as_files_with_a_card(study, ledger, tmp_path):
    result = study("networks", "--variant", "cbam", "--variant", "non_local", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files == {"cbam.onnx", "non_local.onnx", "README.md"}
    assert "cbam.onnx: " in result.output
    (ledger.folder / f"{record_of(ledger, 'se').run_id}.json").unlink()
    spoil(ledger, "baseline", status="diverged", error="the loss became nan")
    assert study("networks", "--out", tmp_path / "all").exit_code == 0
    assert {path.stem for path in (tmp_path / "all").glob("*.onnx")} == {"cbam", "non_local"}
    refused = study("networks", "--variant", "baseline", "--out", tmp_path / "none")
    assert "(baseline) must be done, but is diverged: there is no network to export" in refused.output
    for variant in ("cbam", "non_local"):
        spoil(ledger, variant, status="diverged", error="the loss became nan")
    refused = study("networks", "--out", tmp_path / "none")
    assert refused.exit_code == 2
    assert "must be done, but is diverged: there is no network to export" in refused.output


def test_counting_begins_with_the_first_seed_of_a_study(study, tmp_path):
    """The headline's baseline has seed 0, so a study with the same baseline from seed 1 on has none of its runs."""
    own = "title: t\nquestion: q\nvariants: {baseline: {}}\n"
    (tmp_path / "zero.yaml").write_text(own)
    (tmp_path / "one.yaml").write_text(f"{own}first_seed: 1\n")
    out = tmp_path / "out"
    done = study("networks", "--out", out, name=tmp_path / "zero.yaml")
    assert done.exit_code == 0, done.output
    refused = study("networks", "--out", out, name=tmp_path / "one.yaml")
    assert "no run of baseline with seed 1 at preset 'smoke' is in" in " ".join(refused.output.split())
    status = study("status", "--seeds", 2, name=tmp_path / "one.yaml").output
    assert [line.split()[3] for line in status.splitlines() if "  seed " in line] == ["1", "2"]
    assert "3 means the seeds 1, 2 and 3." in study("status", "--seeds", 0, name=tmp_path / "one.yaml").output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--variant", "senet"], "--variant must be one of baseline, se, cbam, non_local, but got 'senet'"),
        (["--seed", "1"], "no run of baseline, se, cbam, non_local with seed 1 at preset 'smoke' is in"),
        (["--seed", "-1"], "-1 is not in the range x>=0"),
    ],
)
def test_networks_that_are_not_there_are_named(study, tmp_path, words, message):
    result = study("networks", "--out", tmp_path / "out", *words)
    assert result.exit_code != 0
    assert message in " ".join(result.output.split())
    assert not (tmp_path / "out").exists()


def test_merge_brings_ledgers_together_and_says_where_they_differ(ledger, tmp_path):
    def merge(*words):
        return CliRunner().invoke(main, ["study", "merge", *map(str, words)])

    first = merge(ledger.folder, "--into", tmp_path / "all")
    assert first.exit_code == 0, first.output
    assert "4 records added, 0 replaced because they were not done, 0 extended by tests, 0 were there" in first.output
    spoil(ledger, "se", weights_sha256="0" * 64, threads=7)
    (ledger.folder / f"{record_of(ledger, 'cbam').run_id}.json").write_text("{")
    second = merge(ledger.folder, "--into", tmp_path / "all")
    assert second.exit_code == 1
    assert "0 records added, 0 replaced because they were not done, 0 extended by tests, 2 were there" in second.output
    assert "stays; it and the other are two networks, from different circumstances: threads" in second.output
    assert "was left out: it is not JSON" in second.output


def test_merge_takes_answers_along_and_leaves_out_those_that_do_not_match(ledger, tmp_path):
    spoilt = ledger.answers_path(record_of(ledger, "se").run_id)
    spoilt.write_bytes(ledger.answers_path(record_of(ledger, "cbam").run_id).read_bytes())
    result = CliRunner().invoke(main, ["study", "merge", str(ledger.folder), "--into", str(tmp_path / "all")])
    assert result.exit_code == 1
    assert "4 records added" in result.output
    assert "answers of 3 runs copied" in result.output
    assert f"{spoilt} was left out: the answers must give the accuracies of record" in result.stderr
    assert len(list((tmp_path / "all" / "answers").iterdir())) == 3
    assert len(list(Ledger(tmp_path / "all"))) == 4


@pytest.mark.parametrize("command", ["run", "status", "table"])
def test_an_empty_text_is_no_folder(study, command):
    result = study(command, "--results", "")
    assert result.exit_code == 2
    assert "it must be a folder, but got an empty text. Leave the option out" in result.output


def test_a_ledger_of_a_newer_schema_gets_one_message(study, ledger):
    spoil(ledger, "se", schema_version=3)
    for command in ("status", "table", "run", "verify"):
        result = study(command)
        assert result.exit_code == 2
        assert "newer version of the package (schema 3; this one reads up to 2)" in result.output


def test_a_study_of_ones_own_runs_from_its_file(study, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("title: t\nquestion: q\nvariants: {baseline: {}}\n")
    result = study("status", name=path)
    assert result.output.splitlines()[-1] == "1 runs: 1 done; none left"  # the headline's own baseline
    path.write_text("title: t\nquestion: q\nvariants: {baseline: {}\n")
    result = study("status", name=path)
    assert result.exit_code == 2
    assert "mine.yaml, line 4, column 1" in result.output


def test_a_study_of_several_backbones_shows_them_apart_when_it_ends(study, tmp_path):
    file = tmp_path / "sizes.yaml"
    file.write_text(
        "title: t\nquestion: q\nbaseline: narrow\nfixed: {evaluation: {images: 20, types: [noise], recalibrated: [], "
        "look: null}}\nvariants: {narrow: {backbone: {width: 16}}, wide: {backbone: {width: 24}}}\n"
    )
    result = study("run", "--runner", "serial", "--device", "cpu", name=file)
    assert result.exit_code == 0, result.output
    assert [line for line in result.output.splitlines() if line.startswith("ResNet-8")] == [
        f"ResNet-8, width {width}; seeds: 1; accuracy in % on noise, mean and by severity" for width in (16, 24)
    ]


def test_list_counts_runs_and_estimates_their_time_once_it_was_measured(tmp_path, monkeypatch):
    from attn_tutorial.study.study import Study

    everything = CliRunner().invoke(main, ["study", "list", "--preset", "full", "--root", str(tmp_path)]).output
    rows = {line.split()[0]: line.split()[1:4] for line in everything.splitlines() if line.startswith("  ")}
    assert set(study_names()) <= set(rows)
    assert rows["headline"] == ["4", "80", "?"]  # in two backbones, ten seeds
    assert "--measure" in everything
    monkeypatch.setattr("attn_tutorial.study.study_names", lambda: ["headline"])
    command = ["study", "list", "--preset", "smoke", "--root", str(tmp_path)]
    measured = CliRunner().invoke(main, [*command, "--measure"]).output
    (row,) = (line for line in measured.splitlines() if line.startswith("  headline"))
    assert row.split()[3].isdigit()
    assert row.split()[4] in ("s", "min")
    assert CliRunner().invoke(main, command).output == measured  # from the file, without measuring
    assert len(Study.load("headline").variants) == 4


def test_list_refuses_a_root_that_cannot_be_written_before_it_measures(tmp_path):
    (tmp_path / "raw").write_text("")
    result = CliRunner().invoke(main, ["study", "list", "--preset", "smoke", "--root", str(tmp_path), "--measure"])
    assert result.exit_code == 2
    assert "cannot be written" in result.output


def test_list_and_status_load_no_torch(filled, ledger, tiny_cifar):
    code = "import sys; from attn_tutorial.cli import main\ntry: main()\nfinally: assert 'torch' not in sys.modules"
    common = ["--preset", "smoke", "--root", str(filled)]
    for words in (["list", *common], ["status", "headline", *common, "--data", str(tiny_cifar)]):
        subprocess.run([sys.executable, "-c", code, "study", *words], check=True, capture_output=True)

import json
import os

import pytest

from attn_tutorial.ledger import Ledger, held_in
from attn_tutorial.ledger import ledger as ledger_module
from attn_tutorial.ledger.ledger import LedgerError
from attn_tutorial.spec import Images
from attn_tutorial.study import Study

IMAGES = Images(name="shapes", source="shapes", fingerprint="b" * 64, archive_sha256=None)


def test_records_survive_the_way_to_disk_and_back(tmp_path, runs, make_record):
    ledger = Ledger(tmp_path / "new" / "folder")
    record = make_record(runs[0])
    ledger.add(record)
    assert ledger.get(runs[0].run_id) == record
    assert list(ledger) == [record]
    assert [path.name for path in ledger.folder.iterdir()] == [f"{runs[0].run_id}.json"]


def test_the_file_holds_what_the_run_depended_on(tmp_path, runs, make_record):
    Ledger(tmp_path).add(make_record(runs[1]))
    values = json.loads((tmp_path / f"{runs[1].run_id}.json").read_text())
    assert values["spec"]["block"] == "se"
    assert values["spec"]["seed"] == 0
    assert values["data"]["fingerprint"] == "b" * 64
    assert set(values) >= {
        "run_id",
        "study",
        "preset",
        "status",
        "weights_sha256",
        "resumed_at",
        "git_revision",
        "threads",
    }
    assert set(values["versions"]) == {"attn_tutorial", "python", "torch", "numpy", "pillow"}


def test_the_frame_is_tidy(tmp_path, runs, make_record):
    ledger = Ledger(tmp_path)
    for run in runs:
        ledger.add(make_record(run))
    frame = ledger.frame(runs[:3])
    assert len(frame) == 3 * 12
    row = frame[(frame.variant == "se") & (frame.types == "mosaic") & (frame.severity == 5)].iloc[0]
    assert row.accuracy == pytest.approx(65.0)
    assert Ledger(tmp_path / "none").frame().empty


def test_failed_runs_are_run_again_and_diverged_ones_are_not(tmp_path, runs, make_record):
    ledger = Ledger(tmp_path)
    ledger.add(make_record(runs[0], status="failed", error="no"))
    ledger.add(make_record(runs[1], status="diverged", error="no"))
    assert not ledger.has_result(runs[0])
    assert ledger.has_result(runs[1])
    assert not ledger.has_result(runs[2])
    assert ledger.frame().empty


@pytest.mark.parametrize(
    "spoil",
    [
        lambda values: "",
        lambda values: json.dumps(values)[:200],
        lambda values: "[]",
        lambda values: json.dumps({**values, "schema_version": 0}),
        lambda values: json.dumps({**values, "schema_version": None}),
        lambda values: json.dumps({**values, "spec": {**values["spec"], "block": "none_such"}}),
        lambda values: json.dumps({**values, "run_id": "0" * 16}),
        lambda values: json.dumps({**values, "spec": {**values["spec"], "seed": 7}}),
        lambda values: json.dumps({**values, "status": "splendid"}),
    ],
)
def test_a_damaged_or_foreign_file_is_left_out_and_named(tmp_path, runs, spoil, caplog, make_record):
    ledger = Ledger(tmp_path)
    for run in runs[:2]:
        ledger.add(make_record(run))
    path = tmp_path / f"{runs[0].run_id}.json"
    path.write_text(spoil(json.loads(path.read_text())))
    assert [record.run_id for record in ledger] == [runs[1].run_id]
    assert f"{path.name} is left out" in caplog.text
    assert list(ledger.left_out) == [path.name]
    assert path.exists()


@pytest.mark.parametrize("cut", [0, 200])
def test_a_damaged_record_is_moved_out_of_the_way_before_anything_is_trained(tmp_path, runs, caplog, cut, make_record):
    ledger = Ledger(tmp_path)
    for run in runs[:2]:
        ledger.add(make_record(run))
    path = tmp_path / f"{runs[0].run_id}.json"
    damaged = path.read_text()[:cut]
    path.write_text(damaged)
    ledger.make_writable()
    assert not path.exists()
    (aside,) = (tmp_path / "aside").iterdir()
    assert aside.read_text() == damaged
    assert f"{path} is damaged (it is not JSON, and may have been cut off); it was moved to {aside}" in caplog.text
    assert [record.run_id for record in Ledger(tmp_path)] == [runs[1].run_id]


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"spec": {"block": "my_block"}}, "but got 'my_block'"),
    ],
)
def test_a_record_that_means_nothing_here_stays_where_it_is(tmp_path, runs, change, cause, make_record, caplog):
    ledger = Ledger(tmp_path)
    ledger.add(make_record(runs[0]))
    path = tmp_path / f"{runs[0].run_id}.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, **change, "spec": {**values["spec"], **change.get("spec", {})}}))
    ledger.make_writable()
    assert path.exists()
    assert cause in caplog.text, "before anything is trained"
    assert list(ledger) == []
    assert cause in ledger.left_out[path.name]


def test_a_ledger_of_a_newer_schema_is_an_error_that_names_the_way_out(tmp_path, runs, make_record):
    ledger = Ledger(tmp_path)
    ledger.add(make_record(runs[0]))
    path = tmp_path / f"{runs[0].run_id}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": 3, "spec": "of another kind"}))
    for look in (list, lambda ledger: ledger.get(runs[0].run_id), Ledger.make_writable, Ledger.frame):
        with pytest.raises(LedgerError, match=r"newer version .* \(schema 3; this one reads up to 2\)\. Update"):
            look(Ledger(tmp_path))


def test_a_record_that_cannot_be_read_is_an_error(tmp_path, runs):
    (tmp_path / f"{runs[0].run_id}.json").mkdir()
    with pytest.raises(LedgerError, match="must be readable, but it is not"):
        list(Ledger(tmp_path))


def test_a_record_that_was_written_anew_is_read_anew(tmp_path, runs, make_record):
    ledger = Ledger(tmp_path)
    ledger.add(make_record(runs[0], status="failed", error="no"))
    assert ledger.get(runs[0].run_id).status == "failed"
    Ledger(tmp_path).add(make_record(runs[0]))
    assert ledger.get(runs[0].run_id).status == "done"


def test_files_beside_a_plans_own_are_named_where_they_are_no_records(tmp_path, runs, make_record):
    ledger = Ledger(tmp_path)
    for run in runs[:3]:
        ledger.add(make_record(run))
    (tmp_path / "zzzz.json").write_text("{")
    (tmp_path / "newer.json").write_text(json.dumps({"schema_version": 99}))
    (tmp_path / f"{runs[0].run_id}.json").write_text("{")
    assert set(ledger.unusable(besides=runs)) == {"zzzz.json", "newer.json"}
    found = ledger.unusable(besides=runs[1:])
    assert set(found) == {"zzzz.json", "newer.json", f"{runs[0].run_id}.json"}
    assert "not JSON" in found["zzzz.json"]
    assert "newer version of the package" in found["newer.json"]
    assert Ledger(tmp_path / "none").unusable() == {}


def test_numbers_that_are_not_finite_survive(tmp_path, runs, make_record):
    curve = [{"samples": 1, "loss": float("nan"), "accuracy": 0.1}, {"samples": 2, "loss": float("inf"), "accuracy": 0}]
    Ledger(tmp_path).add(make_record(runs[0], status="diverged", error="NaN", curve=curve))
    losses = [point.loss for point in Ledger(tmp_path).get(runs[0].run_id).curve]
    assert losses[0] != losses[0]
    assert losses[1] == float("inf")


def test_a_record_of_the_benchmarks_first_version_is_left_out_and_why_is_said(tmp_path, runs, caplog, make_record):
    ledger = Ledger(tmp_path)
    ledger.add(make_record(runs[0]))
    path = tmp_path / f"{runs[0].run_id}.json"
    values = json.loads(path.read_text())
    del values["versions_trained"], values["versions_tested"]
    path.write_text(json.dumps({**values, "schema_version": 1, "clutter_version": 1}))
    assert list(ledger) == []
    assert "version 1 of the clutter benchmark, which is not known here" in caplog.text


def test_an_undeclared_field_is_an_error_when_a_record_is_made_and_nothing_when_it_is_read(tmp_path, runs, make_record):
    with pytest.raises(ValueError, match="energy"):
        make_record(runs[0], energy=3.0)
    with pytest.raises(ValueError, match="energy"):
        make_record(runs[0], curve=[{"samples": 1, "loss": 2.0, "accuracy": 0.1, "energy": 3.0}])
    ledger = Ledger(tmp_path)
    ledger.add(make_record(runs[0]))
    path = tmp_path / f"{runs[0].run_id}.json"
    values = json.loads(path.read_text())
    values["accuracy"][0]["energy"] = 3.0
    path.write_text(json.dumps({**values, "energy": 3.0}))  # as a later version may write it
    assert Ledger(tmp_path).get(runs[0]) == make_record(runs[0], finished_at=values["finished_at"])


def test_recalibrated_accuracies_are_in_percent_too(tmp_path, runs, make_record):
    record = make_record(runs[0])
    Ledger(tmp_path).add(
        record.model_copy(
            update={"accuracy": [record.accuracy[0].model_copy(update={"recalibrated": 0.5}), record.accuracy[1]]}
        )
    )
    frame = Ledger(tmp_path).frame()
    assert frame["recalibrated"].iloc[0] == 50
    assert frame["recalibrated"].isna().tolist() == [False, True]


def test_a_folder_that_cannot_be_written_is_said_before_any_work(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match=r"results folder .*file/runs must be writable, .* --results"):
        Ledger(tmp_path / "file" / "runs").make_writable()


def test_no_room_for_a_record_is_said(tmp_path, runs, monkeypatch, make_record):
    def no_room(descriptor):
        raise OSError(28, "No space left on device")

    ledger = Ledger(tmp_path)
    ledger.make_writable()
    monkeypatch.setattr(os, "fsync", no_room)  # a disk that is full is not to be had here
    with pytest.raises(LedgerError, match=r"cannot be written to .* \(No space left on device\)\. Free some space"):
        ledger.add(make_record(runs[0]))
    assert list(tmp_path.iterdir()) == []


def test_what_a_ledger_holds_is_kept_apart_by_preset_and_images(tmp_path, runs, make_record):
    other = Images(name="cifar10", source="CIFAR-10", fingerprint="c" * 64, archive_sha256=None)
    study, ledger = Study.load("headline"), Ledger(tmp_path)
    for run in runs[:5]:
        ledger.add(make_record(run))
    for run in study.plan("quick", other)[:1]:
        ledger.add(make_record(run, other))
    for run in study.plan("smoke", IMAGES)[:2]:
        ledger.add(make_record(run, preset="smoke"))
    held = {(kind.preset, kind.images.name): [run.variant for run in kind.runs] for kind in held_in(study, ledger)}
    assert held == {
        ("quick", "shapes"): ["baseline", "se", "cbam", "non_local", "baseline"],
        ("quick", "cifar10"): ["baseline"],
        ("smoke", "shapes"): ["baseline", "se"],
    }


def test_seeds_before_the_first_one_of_a_study_are_not_among_its_runs(tmp_path, make_record):
    """They chose something for it. The same baseline with such a seed may be a run of another study."""
    own = {"name": "own", "title": "t", "question": "q", "variants": {"baseline": {}}}
    whole, later, ledger = Study.parse(own), Study.parse({**own, "first_seed": 2}), Ledger(tmp_path)
    for run in whole.plan("quick", IMAGES, seeds=4):
        ledger.add(make_record(run))
    seeds = [[run.spec.seed for run in held_in(study, ledger)[0].runs] for study in (whole, later)]
    assert seeds == [[0, 1, 2, 3], [2, 3]]


def test_a_file_is_no_results_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="results must be a folder, new or with records, but got the file"):
        Ledger(tmp_path / "file")


def test_two_processes_may_find_the_same_damaged_record(tmp_path, runs, make_record, monkeypatch):
    Ledger(tmp_path).add(make_record(runs[0]))
    path = tmp_path / f"{runs[0].run_id}.json"
    path.write_text("{")
    read = ledger_module.read_record

    def the_other_is_faster(path):
        try:
            return read(path)
        finally:
            path.unlink()

    monkeypatch.setattr(ledger_module, "read_record", the_other_is_faster)
    Ledger(tmp_path).make_writable()

"""The audit's report is written whole, read safely, and says what is not kept."""

import os
import shutil
from pathlib import Path

import pytest
import yaml

from attn_tutorial.audit import canvas_checks
from attn_tutorial.audit import report as audit
from attn_tutorial.audit.report import read_reports, run_audit
from attn_tutorial.clutter.names import CANVAS_VERSION, LAYER_VERSIONS
from attn_tutorial.ledger import Ledger
from attn_tutorial.ledger.ledger import LedgerError
from attn_tutorial.spec import Images


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_cifar, make_records):
    """An audit of hand-made records on tiny images: its report, and the folder of both."""
    from attn_tutorial.engine.images import prepare_images

    root = tmp_path_factory.mktemp("audit")
    prepared, _ = prepare_images(str(tiny_cifar), root, "smoke")
    about = {name: getattr(prepared, name) for name in ("name", "source", "fingerprint", "archive_sha256")}
    for record in make_records(Images(**about), "smoke").values():
        Ledger(root / "runs").add(record)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audit, "_SMOKE_CANVASES", 20)
        return run_audit("smoke", str(tiny_cifar), root, root / "runs"), root


@pytest.fixture
def reported(made, tmp_path, monkeypatch, tiny_cifar):
    """The same in a folder that a test may change, with what to call to do the audit again."""
    report, root = made
    folder = shutil.copytree(root / "runs", tmp_path / "runs")
    monkeypatch.setattr(audit, "_SMOKE_CANVASES", 20)
    return report, folder, lambda: run_audit("smoke", str(tiny_cifar), root, folder)


def test_the_report_survives_the_way_to_disk_and_back(reported):
    report, folder, _ = reported
    assert read_reports(folder) == [report]
    assert [promise.passed for promise in report.promises] == [True] * 6
    assert report.broken == {}
    assert (report.size, report.canvas) == (24, 48)
    assert {row.canvases for row in report.same_pixels.rows} == {20}
    assert [row.canvases for row in report.no_test_image.sources] == [500] * 5 + [120] * 5
    assert {row.canvases for row in report.no_leak.detections} == {20}
    assert sum(row.canvases for row in report.whole_target.rows) == 20
    assert not report.is_result
    (path,) = folder.glob("audit-*")
    assert path.name == f"audit-smoke-{report.data.fingerprint[:16]}.yaml"
    values = yaml.safe_load(path.read_text())
    assert values["layer_versions"] == {"canvas": CANVAS_VERSION, **LAYER_VERSIONS}
    assert values["runs"] == {record.variant: record.run_id for record in Ledger(folder)}
    assert set(values) >= {"layer_versions", "versions", "git_revision", "preset", "data", "finished_at"}
    assert len(list(folder.glob("*.json"))) == len(list(Ledger(folder))) == 7


def test_reports_that_are_none_are_left_out(reported, caplog):
    report, folder, _ = reported
    (path,) = folder.glob("audit-*")
    values = yaml.safe_load(path.read_text())
    layers = values["layer_versions"]
    for name, broken in {
        "version": {**values, "clutter_version": 1},
        "layer": {**values, "layer_versions": {**layers, "noise": layers["noise"] + 1}},
        "gone": {**values, "layer_versions": {**layers, "fog": 1}},
        "fields": {**values, "no_leak": {"passed": True}},
        "list": [1, 2],
    }.items():
        (folder / f"audit-{name}.yaml").write_text(yaml.safe_dump(broken))
    (folder / "audit-torn.yaml").write_text(path.read_text()[:999] + "\n- : [")
    assert read_reports(folder) == [report]
    for name in ("version", "layer", "gone", "fields", "list", "torn"):
        assert f"audit-{name}.yaml is left out" in caplog.text
    assert "it is about another version of noise than this package draws" in caplog.text
    assert read_reports(folder / "nowhere") == []


def test_a_layer_that_came_later_leaves_a_report_valid(reported, monkeypatch):
    report, folder, _ = reported
    monkeypatch.setattr(audit, "versions_drawn", lambda *_: {**report.layer_versions, "fog": 1})
    assert read_reports(folder) == [report]


def test_the_published_reports_are_read_and_keep_their_promises():
    folder = Path(__file__).parents[2] / "data" / "results"
    reports = read_reports(folder)
    assert len(reports) == len(list(folder.glob("audit-*.yaml")))
    assert [report.broken for report in reports] == [{}] * len(reports)


def test_networks_of_a_smoke_run_break_no_promise_and_canvases_do(reported):
    report, _, _ = reported
    broken = {"passed": False}
    networks = {
        "no_leak": report.no_leak.model_copy(update=broken),
        "even_fall": report.even_fall.model_copy(update=broken),
        "whole_target": report.whole_target.model_copy(update=broken),
    }
    assert report.model_copy(update=networks).broken == {}
    assert list(report.model_copy(update={**networks, "preset": "quick"}).broken) == [1, 3, 4]
    leak = report.no_leak.model_copy(update={"passed": False, "canvases_passed": False})
    assert list(report.model_copy(update={"no_leak": leak}).broken) == [1]


def test_near_duplicates_are_judged_at_the_images_own_size(reported, monkeypatch):
    _, _, again = reported
    judge, sizes = canvas_checks.find_duplicates, []

    def watch(train, test):
        sizes.extend(images.images.shape[1] for images in (train, test, test.fragments))
        return judge(train, test)

    monkeypatch.setattr(canvas_checks, "find_duplicates", watch)
    again()
    assert sizes == [32, 32, 32]


def test_no_promise_is_judged_without_its_runs(reported):
    _, folder, again = reported
    before = read_reports(folder)
    records = {record.variant: record for record in Ledger(folder)}
    (folder / f"{records['tile_removed'].run_id}.json").unlink()
    Ledger(folder).add(records["baseline"].model_copy(update={"status": "diverged", "error": "loss"}))
    with pytest.raises(LedgerError, match=r"no result of baseline, tile_removed\. Run study 'audit' at preset 'smoke'"):
        again()
    assert read_reports(folder) == before


def test_a_full_disk_leaves_the_earlier_report(reported, monkeypatch):
    report, folder, again = reported

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LedgerError, match=r"No space left on device.*Free some space"):
        again()
    assert read_reports(folder) == [report]
    assert [path.name for path in folder.iterdir() if path.suffix != ".json"] == [report.file_name()]

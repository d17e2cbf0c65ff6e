"""The five promises pass on what is right and fail on planted defects; the report is written whole and read safely."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from attn_tutorial.audit import canvas_checks, judging
from attn_tutorial.audit import report as audit
from attn_tutorial.audit.report import AuditReport, read_reports, run_audit
from attn_tutorial.clutter import Clutter
from attn_tutorial.clutter.names import CANVAS_VERSION, LAYER_VERSIONS, SEVERITIES
from attn_tutorial.ledger import Ledger, Record
from attn_tutorial.ledger.ledger import LedgerError
from attn_tutorial.spec import Images
from attn_tutorial.study import Study

CIFAR = Images(name="cifar10", source="CIFAR-10", fingerprint="a" * 64, archive_sha256=None)
FALLING = [0.70, 0.68, 0.66, 0.62, 0.57, 0.52]


def make_records(images=CIFAR, preset="quick", **curves):
    """Records of study `audit`: 2,000 test images; `curves` names a variant's accuracies, or those of its types."""
    guessing = [0.10, 0.105, 0.095, 0.1, 0.11, 0.1]
    usual = {"tile_removed": guessing, "tile_removed_other_classes": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]}
    records = {}
    for run in Study.load("audit").plan(preset, images, seeds=1):
        given = curves.get(run.variant, usual.get(run.variant, FALLING))
        evaluation = run.spec.evaluation
        rows = [
            {
                "split": "test",
                "types": types,
                "severity": severity,
                "accuracy": (given.get(types, FALLING) if isinstance(given, dict) else given)[severity],
                "images": 2000,
                "recalibrated": 0.5 if types in evaluation.recalibrated else None,
            }
            for types in evaluation.types
            for severity in SEVERITIES
        ]
        records[run.variant] = Record(
            run_id=run.run_id, study="audit", preset=preset, variant=run.variant, spec=run.spec, status="done",
            accuracy=rows, data=images, versions={}, git_revision=None, device="cpu", processor="p", threads=1,
            finished_at="today",
        )  # fmt: skip
    return records


def test_promise_1_wants_guessing_at_every_severity():
    promise = judging.no_leak(make_records(), chance=0.1)
    assert promise.passed
    assert [row.variant for row in promise.rows] == ["tile_removed"] * 6 + ["tile_removed_other_classes"] * 6
    leaks = judging.no_leak(make_records(tile_removed=[0.1, 0.1, 0.1, 0.1, 0.2, 0.1]), chance=0.1)
    assert not leaks.passed
    assert "beyond chance at severity 4" in leaks.measured
    # Knowing what it is not is a leak, too.
    assert not judging.no_leak(make_records(tile_removed=[0.05] * 6), chance=0.1).passed


def test_promise_1s_intervals_hold_together():
    from scipy.stats import beta

    row = judging.no_leak(make_records(), chance=0.1).rows[1]
    right, wrong, error = 210, 1790, 0.05 / 6
    assert row.low == pytest.approx(beta.ppf(error / 2, right, wrong + 1))
    assert row.high == pytest.approx(beta.ppf(1 - error / 2, right + 1, wrong))
    # 11.5 % lies beyond a single interval of 95 %, and within one of six.
    assert judging.no_leak(make_records(tile_removed=[0.115] * 6), chance=0.1).passed


def test_a_severity_that_was_not_tested_keeps_no_promise():
    records = make_records()
    for variant in ("baseline", "tile_removed"):
        records[variant] = records[variant].model_copy(
            update={"accuracy": [row for row in records[variant].accuracy if row.severity != 5]}
        )
    for promise in (
        judging.no_leak(records, 0.1),
        judging.decline(records["baseline"]),
        judging.weak_background([0.1], records),
    ):
        assert not promise.passed
        assert "severity 5" in promise.measured


def test_promise_2_finds_the_same_pixels_in_every_way(train):
    before = torch.get_num_threads()
    rows = canvas_checks.compare_ways(train, 40)
    assert torch.get_num_threads() == before
    assert [row.way for row in rows] == ["batches of 7", "batches of 1", "another order", "two threads", "on a GPU"]
    promise = judging.same_pixels(40, rows)
    assert promise.passed
    if not torch.cuda.is_available():
        assert rows[-1].pixels is None
        assert "on a GPU: not run" in promise.measured


def spoil(monkeypatch, change):
    """Have `change` alter every batch that is rendered."""
    render = Clutter.render

    def spoilt(clutter, images, indices, *more, **how):
        batch = render(clutter, images, indices, *more, **how)
        return replace(batch, **change(batch))

    monkeypatch.setattr(Clutter, "render", spoilt)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        # The last canvas of a batch is another one, as with a generator that goes through the batch.
        (
            lambda batch: {"canvas": batch.canvas ^ (torch.arange(len(batch.label)) == 6)[:, None, None, None]},
            "another order: 4,608 pixels and 0 of the masks",
        ),
        (
            lambda batch: {"visible_mask": batch.visible_mask & (len(batch.label) > 1)},
            "batches of 1: 0 pixels and",
        ),
        (
            lambda batch: {"canvas": batch.canvas ^ (torch.get_num_threads() == 2)},
            "two threads: 92,160 pixels and 0 of the masks",
        ),
    ],
    ids=["place in the batch", "size of the batch", "threads"],
)
def test_promise_2_notices_what_pixels_must_not_depend_on(train, monkeypatch, change, wrong):
    spoil(monkeypatch, change)
    promise = judging.same_pixels(40, canvas_checks.compare_ways(train, 40))
    assert not promise.passed
    assert wrong in promise.measured


def test_promise_3_wants_accuracy_to_fall():
    promise = judging.decline(make_records()["baseline"])
    assert promise.passed
    assert promise.falls == pytest.approx({3: 0.08, 5: 0.18})
    assert promise.evenness == pytest.approx(2.5)
    assert "8.0 points at severity 3 and 18.0 points at severity 5" in promise.measured
    assert {row.types for row in promise.rows} == {
        "fragments+noise", "fragments", "noise", "mosaic", "strokes", "veil",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("curve", "measured"),
    [
        ({"veil": [0.7, 0.65, 0.6, 0.55, 0.6, 0.5]}, "It rises: veil at severity 4."),
        ({"fragments": [0.70, 0.70, 0.69, 0.67, 0.60, 0.54]}, "3.0 points at severity 3"),
        ({"fragments": [0.70, 0.68, 0.67, 0.65, 0.63, 0.56]}, "14.0 points at severity 5"),
    ],
)
def test_promise_3_notices(curve, measured):
    promise = judging.decline(make_records(baseline=curve)["baseline"])
    assert not promise.passed
    assert measured in promise.measured


def test_promise_3_forgives_a_rise_within_the_interval_and_has_no_evenness_for_it():
    promise = judging.decline(make_records(baseline={"fragments": [0.70, 0.705, 0.66, 0.62, 0.57, 0.52]})["baseline"])
    assert promise.passed
    assert promise.evenness is None


def test_promise_3s_interval_is_newcombes():
    # The first example of Newcombe 1998, table II: 56 of 70 and 48 of 80; method 10 gives 0.0524 to 0.3339.
    from attn_tutorial.ledger.record import Accuracy

    before, after = (
        Accuracy(split="test", types="t", severity=0, accuracy=k / n, images=n) for k, n in ((48, 80), (56, 70))
    )
    assert judging._change(before, after) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_promise_4_measures_the_background(test_images):
    deviations = canvas_checks.background_deviations(test_images, 30)
    assert len(deviations) == 30
    # Of the first canvas, as numpy has it.
    batch = Clutter(severity=0).render(test_images, [0])
    x, y, width, height = batch.tile_box[0].tolist()
    outside = np.ones((48, 48), dtype=bool)
    outside[y : y + height, x : x + width] = False
    pixels = batch.canvas[0].numpy()[:, outside] / 255
    assert deviations[0] == pytest.approx(np.sqrt(pixels.var(axis=1).mean()))
    promise = judging.weak_background(deviations, make_records())
    assert promise.passed
    assert promise.least_sd == min(deviations) > 0


@pytest.mark.parametrize("colour", [(128, 128, 128), (255, 0, 90)])
def test_promise_4_notices_a_single_blank_canvas(test_images, monkeypatch, colour):
    plain = torch.tensor(colour, dtype=torch.uint8)[:, None, None]

    def blank_first(batch):
        first = (torch.arange(len(batch.label)) == 0)[:, None, None, None]
        return {"canvas": torch.where(first & ~batch.visible_mask[:, None], plain, batch.canvas)}

    spoil(monkeypatch, blank_first)
    promise = judging.weak_background(canvas_checks.background_deviations(test_images, 30), make_records())
    assert not promise.passed
    assert "1 blank" in promise.measured


def test_promise_4_wants_recalibrated_accuracies():
    records = make_records()
    rows = [row.model_copy(update={"recalibrated": None}) for row in records["baseline"].accuracy]
    records["baseline"] = records["baseline"].model_copy(update={"accuracy": rows})
    promise = judging.weak_background([0.1], records)
    assert not promise.passed
    assert "missing at severity 0, 1, 2, 3, 4, 5" in promise.measured


@pytest.fixture
def planted(make_images, test_images):
    """A training set whose image 7 is one of the bank, and a bank whose image 3 is a test image."""
    bank = test_images.fragments
    bank.images[3] = test_images.images[11]
    train = make_images(60, "train")
    train.images[7] = bank.images[20]
    return train, replace(test_images, fragments=bank)


def judge(train, test):
    in_train, in_bank, examples = canvas_checks.find_duplicates(train, test)
    fragments = [canvas_checks.check_fragments(train, in_train), canvas_checks.check_fragments(test, in_bank)]
    counts = [*canvas_checks.count_kinds("train", in_train), *canvas_checks.count_kinds("bank", in_bank)]
    return judging.no_test_image(counts, fragments, examples)


def test_promise_5_passes_where_duplicates_are_barred(planted):
    train, test = planted
    train = replace(train, may_lend=torch.arange(60) != 7)
    test = replace(test, fragments=replace(test.fragments, may_lend=torch.arange(40) != 3))
    promise = judge(train, test)
    assert promise.passed
    assert [(row.between, row.kind, row.pairs) for row in promise.duplicates] == [
        ("train", "exact", 1),
        ("bank", "exact", 1),
    ]
    assert [(row.split, row.canvases, row.images) for row in promise.fragments] == [("train", 60, 59), ("test", 50, 39)]
    # By their places in the files, where the bank begins at 200.
    assert [(twins.train, twins.test) for twins in promise.examples] == [(7, 220)]


@pytest.mark.parametrize("barred", ["train", "bank"])
def test_promise_5_notices_a_duplicate_among_the_fragments(planted, barred):
    train, test = planted
    if barred == "train":
        train = replace(train, may_lend=torch.arange(60) != 7)
    else:
        test = replace(test, fragments=replace(test.fragments, may_lend=torch.arange(40) != 3))
    promise = judge(train, test)
    assert not promise.passed
    assert sorted((row.duplicates, row.not_barred) for row in promise.fragments) == [(0, 0), (1, 1)]


def test_promise_5_notices_what_is_drawn_although_barred(planted, monkeypatch):
    train, test = planted
    train = replace(train, may_lend=torch.arange(60) != 7)
    test = replace(test, fragments=replace(test.fragments, may_lend=torch.arange(40) != 3))
    spoil(monkeypatch, lambda batch: {"fragment_id": torch.full_like(batch.fragment_id, 7)})
    promise = judge(train, test)
    assert [(row.duplicates, row.not_barred) for row in promise.fragments] == [(1, 0), (0, 0)]
    assert not promise.passed


def test_a_clean_set_has_no_duplicates(train, test_images):
    promise = judge(train, test_images)
    assert promise.passed
    assert promise.duplicates == []


@pytest.fixture
def reported(tmp_path, monkeypatch, tiny_cifar):
    """An audit of hand-made records on tiny images: its report, its folder, and what to call to do it again."""
    from attn_tutorial.engine.images import prepare_images

    monkeypatch.setattr(audit, "_SMOKE_CANVASES", 20)
    prepared, _ = prepare_images(str(tiny_cifar), tmp_path, "smoke")
    about = {name: getattr(prepared, name) for name in ("name", "source", "fingerprint", "archive_sha256")}
    for record in make_records(Images(**about), "smoke").values():
        Ledger(tmp_path / "runs").add(record)

    def again():
        return run_audit("smoke", str(tiny_cifar), tmp_path, tmp_path / "runs")

    return again(), tmp_path / "runs", again


def test_the_report_survives_the_way_to_disk_and_back(reported):
    report, folder, _ = reported
    assert read_reports(folder) == [report]
    assert [promise.passed for promise in report.promises] == [True] * 5
    assert report.same_pixels.canvases == 20
    assert [row.canvases for row in report.no_test_image.fragments] == [500, 120]
    assert not report.is_result
    (path,) = folder.glob("audit-*")
    assert path.name == f"audit-smoke-{report.data.fingerprint[:16]}.yaml"
    values = yaml.safe_load(path.read_text())
    assert values["layer_versions"] == {"canvas": CANVAS_VERSION, **LAYER_VERSIONS}
    assert values["runs"] == {record.variant: record.run_id for record in Ledger(folder)}
    assert set(values) >= {"layer_versions", "versions", "git_revision", "preset", "data", "finished_at"}
    assert len(list(folder.glob("*.json"))) == len(list(Ledger(folder))) == 5


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
    monkeypatch.setattr(audit, "versions_drawn", lambda *_: {**report.layer_versions, "crowd": 1})
    assert read_reports(folder) == [report]


def test_a_report_of_version_2_of_the_benchmark_is_still_read(reported):
    report, _, _ = reported
    values = report.model_dump(mode="json", exclude={"layer_versions"})
    old = {**values, "clutter_version": 2, "severity_table": [{"severity": 0, "fragments": 0}]}
    versions = dict.fromkeys(["canvas", "fragments", "noise", "mosaic", "strokes", "veil"], 1)
    assert AuditReport.model_validate(old) == report.model_copy(update={"layer_versions": versions})


def test_the_published_report_is_read():
    [report] = read_reports(Path(__file__).parents[2] / "data" / "results")
    assert [promise.passed for promise in report.promises] == [True] * 5
    assert report.layer_versions["noise"] == 1


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

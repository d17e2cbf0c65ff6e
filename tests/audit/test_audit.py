"""The five gates pass on what is right and fail on planted defects; the report is written whole and read with care."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from attn_tutorial.audit import canvas_checks
from attn_tutorial.audit import promises as gates
from attn_tutorial.audit import report as audit
from attn_tutorial.audit.report import read_reports, run_audit, severity_table
from attn_tutorial.clutter import Clutter
from attn_tutorial.clutter.names import SEVERITIES
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


def test_gate_1_wants_guessing_at_every_severity():
    gate = gates.no_leak(make_records(), chance=0.1)
    assert gate.passed
    assert [row.variant for row in gate.rows] == ["tile_removed"] * 6 + ["tile_removed_other_classes"] * 6
    leaks = gates.no_leak(make_records(tile_removed=[0.1, 0.1, 0.1, 0.1, 0.2, 0.1]), chance=0.1)
    assert not leaks.passed
    assert "beyond chance at severity 4" in leaks.measured
    # Knowing what it is not is a leak, too.
    assert not gates.no_leak(make_records(tile_removed=[0.05] * 6), chance=0.1).passed


def test_gate_1s_intervals_hold_together():
    from scipy.stats import beta

    row = gates.no_leak(make_records(), chance=0.1).rows[1]
    right, wrong, error = 210, 1790, 0.05 / 6
    assert row.low == pytest.approx(beta.ppf(error / 2, right, wrong + 1))
    assert row.high == pytest.approx(beta.ppf(1 - error / 2, right + 1, wrong))
    # 11.5 % lies beyond a single interval of 95 %, and within one of six.
    assert gates.no_leak(make_records(tile_removed=[0.115] * 6), chance=0.1).passed


def test_a_severity_that_was_not_tested_passes_no_gate():
    records = make_records()
    for variant in ("baseline", "tile_removed"):
        records[variant] = records[variant].model_copy(
            update={"accuracy": [row for row in records[variant].accuracy if row.severity != 5]}
        )
    for gate in (
        gates.no_leak(records, 0.1),
        gates.decline(records["baseline"]),
        gates.weak_background([0.1], records),
    ):
        assert not gate.passed
        assert "severity 5" in gate.measured


def test_gate_2_finds_the_same_pixels_in_every_way(train):
    before = torch.get_num_threads()
    rows = canvas_checks.compare_ways(train, 40)
    assert torch.get_num_threads() == before
    assert [row.way for row in rows] == ["batches of 7", "batches of 1", "another order", "two threads", "on a GPU"]
    gate = gates.same_pixels(40, rows)
    assert gate.passed
    if not torch.cuda.is_available():
        assert rows[-1].pixels is None
        assert "on a GPU: not run" in gate.measured


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
def test_gate_2_notices_what_pixels_must_not_depend_on(train, monkeypatch, change, wrong):
    spoil(monkeypatch, change)
    gate = gates.same_pixels(40, canvas_checks.compare_ways(train, 40))
    assert not gate.passed
    assert wrong in gate.measured


def test_gate_3_wants_accuracy_to_fall():
    gate = gates.decline(make_records()["baseline"])
    assert gate.passed
    assert gate.falls == pytest.approx({3: 0.08, 5: 0.18})
    assert gate.evenness == pytest.approx(2.5)
    assert "8.0 points at severity 3 and 18.0 points at severity 5" in gate.measured
    assert {row.types for row in gate.rows} == {
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
def test_gate_3_notices(curve, measured):
    gate = gates.decline(make_records(baseline=curve)["baseline"])
    assert not gate.passed
    assert measured in gate.measured


def test_gate_3_forgives_a_rise_within_the_interval_and_has_no_evenness_for_it():
    gate = gates.decline(make_records(baseline={"fragments": [0.70, 0.705, 0.66, 0.62, 0.57, 0.52]})["baseline"])
    assert gate.passed
    assert gate.evenness is None


def test_gate_3s_interval_is_newcombes():
    # The first example of Newcombe 1998, table II: 56 of 70 and 48 of 80; method 10 gives 0.0524 to 0.3339.
    from attn_tutorial.ledger.record import Accuracy

    before, after = (Accuracy(types="t", severity=0, accuracy=k / n, images=n) for k, n in ((48, 80), (56, 70)))
    assert gates._difference(before, after) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_gate_4_measures_the_background(test_images):
    deviations = canvas_checks.background_deviations(test_images, 30)
    assert len(deviations) == 30
    # Of the first canvas, as numpy has it.
    batch = Clutter(severity=0).render(test_images, [0])
    x, y, width, height = batch.tile_box[0].tolist()
    outside = np.ones((48, 48), dtype=bool)
    outside[y : y + height, x : x + width] = False
    pixels = batch.canvas[0].numpy()[:, outside] / 255
    assert deviations[0] == pytest.approx(np.sqrt(pixels.var(axis=1).mean()))
    gate = gates.weak_background(deviations, make_records())
    assert gate.passed
    assert gate.least_sd == min(deviations) > 0


@pytest.mark.parametrize("colour", [(128, 128, 128), (255, 0, 90)])
def test_gate_4_notices_a_single_blank_canvas(test_images, monkeypatch, colour):
    plain = torch.tensor(colour, dtype=torch.uint8)[:, None, None]

    def blank_first(batch):
        first = (torch.arange(len(batch.label)) == 0)[:, None, None, None]
        return {"canvas": torch.where(first & ~batch.visible_mask[:, None], plain, batch.canvas)}

    spoil(monkeypatch, blank_first)
    gate = gates.weak_background(canvas_checks.background_deviations(test_images, 30), make_records())
    assert not gate.passed
    assert "1 blank" in gate.measured


def test_gate_4_wants_recalibrated_accuracies():
    records = make_records()
    rows = [row.model_copy(update={"recalibrated": None}) for row in records["baseline"].accuracy]
    records["baseline"] = records["baseline"].model_copy(update={"accuracy": rows})
    gate = gates.weak_background([0.1], records)
    assert not gate.passed
    assert "missing at severity 0, 1, 2, 3, 4, 5" in gate.measured


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
    return gates.no_test_image(counts, fragments, examples)


def test_gate_5_passes_where_duplicates_are_barred(planted):
    train, test = planted
    train = replace(train, may_lend=torch.arange(60) != 7)
    test = replace(test, fragments=replace(test.fragments, may_lend=torch.arange(40) != 3))
    gate = judge(train, test)
    assert gate.passed
    assert [(row.between, row.kind, row.pairs) for row in gate.duplicates] == [
        ("train", "exact", 1),
        ("bank", "exact", 1),
    ]
    assert [(row.split, row.canvases, row.images) for row in gate.fragments] == [("train", 60, 59), ("test", 50, 39)]
    # By their places in the files, where the bank begins at 200.
    assert [(twins.train, twins.test) for twins in gate.examples] == [(7, 220)]


@pytest.mark.parametrize("barred", ["train", "bank"])
def test_gate_5_notices_a_duplicate_among_the_fragments(planted, barred):
    train, test = planted
    if barred == "train":
        train = replace(train, may_lend=torch.arange(60) != 7)
    else:
        test = replace(test, fragments=replace(test.fragments, may_lend=torch.arange(40) != 3))
    gate = judge(train, test)
    assert not gate.passed
    assert sorted((row.duplicates, row.not_barred) for row in gate.fragments) == [(0, 0), (1, 1)]


def test_gate_5_notices_what_is_drawn_although_barred(planted, monkeypatch):
    train, test = planted
    train = replace(train, may_lend=torch.arange(60) != 7)
    test = replace(test, fragments=replace(test.fragments, may_lend=torch.arange(40) != 3))
    spoil(monkeypatch, lambda batch: {"fragment_id": torch.full_like(batch.fragment_id, 7)})
    gate = judge(train, test)
    assert [(row.duplicates, row.not_barred) for row in gate.fragments] == [(1, 0), (0, 0)]
    assert not gate.passed


def test_a_clean_set_has_no_duplicates(train, test_images):
    gate = judge(train, test_images)
    assert gate.passed
    assert gate.duplicates == []


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
    assert [gate.passed for gate in report.gates] == [True] * 5
    assert report.same_pixels.canvases == 20
    assert [row.canvases for row in report.no_test_image.fragments] == [500, 120]
    assert not report.is_result
    (path,) = folder.glob("audit-*")
    assert path.name == f"audit-smoke-{report.data.fingerprint[:16]}.yaml"
    values = yaml.safe_load(path.read_text())
    assert values["severity_table"][5]["fragments"] == severity_table()[5].fragments
    assert values["runs"] == {record.variant: record.run_id for record in Ledger(folder)}
    assert set(values) >= {"clutter_version", "versions", "git_revision", "preset", "data", "finished_at"}
    assert len(list(folder.glob("*.json"))) == len(list(Ledger(folder))) == 5


def test_reports_that_are_none_are_left_out(reported, caplog):
    report, folder, _ = reported
    (path,) = folder.glob("audit-*")
    values = yaml.safe_load(path.read_text())
    table = [{**row, "fragments": 99} for row in values["severity_table"]]
    for name, broken in {
        "version": {**values, "clutter_version": 0},
        "table": {**values, "severity_table": table},
        "fields": {**values, "no_leak": {"passed": True}},
        "list": [1, 2],
    }.items():
        (folder / f"audit-{name}.yaml").write_text(yaml.safe_dump(broken))
    (folder / "audit-torn.yaml").write_text(path.read_text()[:999] + "\n- : [")
    assert read_reports(folder) == [report]
    for name in ("version", "table", "fields", "list", "torn"):
        assert f"audit-{name}.yaml is left out" in caplog.text
    assert read_reports(folder / "nowhere") == []


def test_no_gate_is_judged_without_its_runs(reported):
    _, folder, again = reported
    before = read_reports(folder)
    records = {record.variant: record for record in Ledger(folder)}
    (folder / f"{records['tile_removed'].run_id}.json").unlink()
    Ledger(folder).add(records["baseline"].model_copy(update={"status": "diverged", "error": "loss"}))
    with pytest.raises(LedgerError, match="no result of baseline, tile_removed: run study 'audit' at preset 'smoke'"):
        again()
    assert read_reports(folder) == before


def test_a_full_disk_leaves_the_earlier_report(reported, monkeypatch):
    report, folder, again = reported

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LedgerError, match=r"No space left on device.*free some space"):
        again()
    assert read_reports(folder) == [report]
    assert [path.name for path in folder.iterdir() if path.suffix != ".json"] == [report.file_name()]

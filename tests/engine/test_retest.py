"""Finished networks are tested on more conditions without training; a run that another study trained is only tested."""

import json

import pytest
from click.testing import CliRunner

from attn_tutorial.cli import main
from attn_tutorial.engine import run_study
from attn_tutorial.engine.retest import retest
from attn_tutorial.engine.status import study_status
from attn_tutorial.ledger import Ledger
from attn_tutorial.spec import SEEN, EvaluationSpec

FEW = {"images": 20, "types": [SEEN], "severities": [0, 5], "recalibrated": [], "look": None}
MORE = {**FEW, "types": [SEEN, "mosaic"], "severities": [0, 3, 5]}


@pytest.fixture
def trained(setting, plan):
    """A run that was tested on two conditions, the same run with more conditions in its plan, and the record."""
    serial = setting.with_options(runner="serial")
    (run,) = plan(serial, cbam={"block": "cbam", "evaluation": FEW})
    (wanted,) = plan(serial, cbam={"block": "cbam", "evaluation": MORE})
    assert run_study([run], serial) == {"done": 1}
    assert wanted.run_id == run.run_id
    return serial, wanted, Ledger(serial.results).get(run)


def test_what_a_plan_tests_and_a_record_lacks_is_added_without_training(trained, capsys):
    setting, run, before = trained
    assert study_status([run], Ledger(setting.results)).runs[0].detail.startswith(f"not tested on {SEEN}, mosaic")
    assert run_study([run], setting) == {"done": 1}  # trains nothing, and says nothing of training
    assert Ledger(setting.results).get(run) == before
    found = retest([run], setting)
    assert found.added == {"cbam seed 0": 4}
    after = Ledger(setting.results).get(run)
    assert after.weights_sha256 == before.weights_sha256
    assert after.finished_at == before.finished_at
    assert after.accuracy[:2] == before.accuracy
    conditions = {("test", types, severity) for types in (SEEN, "mosaic") for severity in (0, 3, 5)}
    assert after.conditions == conditions
    assert after.versions_tested == {"canvas": 1, "surround": 1, "noise": 1, "mosaic": 1}
    assert retest([run], setting).complete == ["cbam seed 0"]
    assert study_status([run], Ledger(setting.results)).runs[0].detail == ""


def test_added_results_are_those_of_a_run_that_was_tested_at_once(trained, plan, tmp_path):
    from dataclasses import replace

    setting, run, _ = trained
    retest([run], setting)
    elsewhere = replace(setting, results=tmp_path / "elsewhere")
    run_study([run], elsewhere)
    added, at_once = (sorted(Ledger(where.results).get(run).accuracy, key=repr) for where in (setting, elsewhere))
    assert added == at_once


def test_more_images_replace_fewer(trained):
    setting, run, _ = trained
    found = retest([run], setting, EvaluationSpec.parse({**FEW, "images": 40}))
    assert found.added == {"cbam seed 0": 2}
    assert {row.images for row in Ledger(setting.results).get(run).accuracy} == {40}
    assert retest([run], setting, EvaluationSpec.parse(FEW)).complete == ["cbam seed 0"]


def test_runs_without_weights_and_runs_that_are_not_trained_are_named(trained, plan):
    setting, run, before = trained
    (other,) = plan(setting, se={"block": "se"})
    Ledger(setting.results).weights_path(run.run_id).unlink()
    found = retest([run, other], setting)
    assert found.not_done == ["se seed 0"]
    assert "the weights of run" in found.without_weights["cbam seed 0"]
    assert Ledger(setting.results).get(run) == before


def test_a_run_that_was_trained_for_the_validation_split_is_only_tested_for_the_other(trained, plan):
    setting, _, before = trained
    (run,) = plan(setting, cbam={"block": "cbam", "evaluation": {**FEW, "split": "val"}})
    ledger = Ledger(setting.results)
    assert run.run_id == before.run_id
    assert not ledger.has_result(run)
    assert study_status([run], ledger).counts() == {"untested": 1}
    seen = []
    from attn_tutorial.engine.execute import execute

    assert execute(run, setting, seen.append, lambda: False) == "done"
    assert seen == []  # nothing was trained
    record = ledger.get(run)
    assert {row.split for row in record.accuracy} == {"test", "val"}
    assert record.of_split("test").accuracy == before.accuracy
    assert set(ledger.frame([run])["split"]) == {"val"}
    assert len(ledger.frame()) == 4


def test_a_changed_layer_voids_its_results_until_they_are_tested_again(trained, monkeypatch):
    from attn_tutorial.clutter import names

    setting, run, _ = trained
    retest([run], setting)
    monkeypatch.setitem(names.LAYER_VERSIONS, "mosaic", 2)
    ledger = Ledger(setting.results)
    assert {row.severity for row in ledger.get(run).accuracy if row.types == "mosaic"} == {0}
    detail = study_status([run], ledger).runs[0].detail
    assert detail == "not tested on mosaic (the pixels of mosaic have changed since): `study evaluate` adds it"
    assert retest([run], setting).added == {"cbam seed 0": 2}
    assert Ledger(setting.results).get(run).versions_tested["mosaic"] == 2
    assert study_status([run], Ledger(setting.results)).runs[0].detail == ""


def test_the_command_adds_conditions_and_names_what_it_cannot_test(tiny_cifar, tmp_path):
    def attn(*words):
        common = ("--root", tmp_path, "--data", tiny_cifar, "--results", tmp_path / "runs")
        return CliRunner().invoke(main, [*map(str, (*words, "--preset", "smoke", *common))])

    assert attn("train", "eca", "--runner", "serial", "--device", "cpu").exit_code == 0
    study = tmp_path / "mine.yaml"
    study.write_text("title: t\nquestion: q\nvariants: {eca: {block: eca}, se: {block: se}}\n")
    result = attn("study", "evaluate", study, "--types", "veil+noise", "--severities", "2,4")
    assert result.exit_code == 0, result.output
    assert "eca seed 0: tested on 2 more conditions" in result.output
    assert "not trained yet: se seed 0" in result.output
    (record,) = Ledger(tmp_path / "runs")
    assert {row.severity for row in record.accuracy if row.types == "veil+noise"} == {2, 4}
    assert (
        "veil+noise" in attn("study", "export", study, "--out", tmp_path / "all.csv").output
        or "veil+noise" in (tmp_path / "all.csv").read_text()
    )
    for words, message in (
        (("--severities", "7"), "must be less than or equal to 5, but got 7"),
        (("--severities", "high"), "--severities must be numbers from 0 to 5"),
        (("--types", "fog"), "must be clutter types"),
    ):
        result = attn("study", "evaluate", study, *words)
        assert result.exit_code == 2
        assert message in " ".join(result.output.split())
    Ledger(tmp_path / "runs").weights_path(record.run_id).unlink()
    result = attn("study", "evaluate", study, "--types", "strokes+veil")
    assert result.exit_code == 1
    assert "the weights of run" in result.output


def test_a_record_on_disk_names_the_split_of_each_result(trained):
    setting, run, _ = trained
    values = json.loads((setting.results / f"{run.run_id}.json").read_text())
    assert values["schema_version"] == 2
    assert {row["split"] for row in values["accuracy"]} == {"test"}
    assert values["versions_trained"] == {"canvas": 1, "noise": 1, "surround": 1, "block cbam": 1}

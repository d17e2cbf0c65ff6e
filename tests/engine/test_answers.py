"""Every run stores its network's answers beside its record, and what adds to a record adds to them."""

from dataclasses import replace

import numpy as np
import pytest

from attn_tutorial.datasets import load_images
from attn_tutorial.engine import run_study
from attn_tutorial.engine.execute import execute
from attn_tutorial.engine.retest import retest
from attn_tutorial.ledger import Ledger
from attn_tutorial.ledger.answers import NOT_TESTED
from attn_tutorial.spec import SEEN, EvaluationSpec

FEW = {"images": 20, "types": [SEEN], "severities": [0, 5], "recalibrated": [], "look": None}


@pytest.fixture
def trained(setting, plan):
    """A run that was tested on twenty images in two conditions, and its ledger."""
    serial = setting.with_options(runner="serial")
    (run,) = plan(serial, cbam={"block": "cbam", "evaluation": FEW})
    assert run_study([run], serial) == {"done": 1}
    return serial, run, Ledger(serial.results)


def images_of(setting, split):
    return load_images(setting.images.name, split, root=setting.root, source=setting.source)


def check_against_record(ledger, run):
    """The answers give every accuracy of the record."""
    record = ledger.get(run)
    answers = ledger.answers(record)
    assert set(answers.predicted) == record.conditions
    for row in record.accuracy:
        assert (answers.images(row.condition), answers.accuracy(row.condition)) == (row.images, row.accuracy)
    return record, answers


def test_a_run_stores_its_networks_answers(trained):
    setting, run, ledger = trained
    _, answers = check_against_record(ledger, run)
    test = images_of(setting, "test")
    np.testing.assert_array_equal(answers.labels["test"], test.labels.numpy())
    first = set(test.take(20).index.tolist())
    for classes in answers.predicted.values():
        assert set(test.index[classes != NOT_TESTED].tolist()) == first


def test_more_tests_of_the_same_network_keep_the_answers_to_the_others(trained):
    setting, run, ledger = trained
    before = ledger.answers(ledger.get(run))
    more = EvaluationSpec.parse({**FEW, "types": [SEEN, "mosaic"], "severities": [0, 3]})
    assert retest([run], setting, more).added == {"cbam seed 0": 3}
    _, after = check_against_record(ledger, run)
    assert after.only(before.predicted).to_bytes() == before.to_bytes()
    retest([run], setting, EvaluationSpec.parse({**FEW, "images": 40}))  # more images replace fewer
    _, after = check_against_record(ledger, run)
    assert after.images(("test", SEEN, 5)) == 40
    assert after.images(("test", "mosaic", 3)) == 20
    val = run.spec.model_copy(update={"evaluation": EvaluationSpec.parse({**FEW, "split": "val"})})
    assert execute(replace(run, spec=val), setting, lambda progress: None, lambda: False) == "done"
    _, after = check_against_record(ledger, run)
    assert set(after.labels) == {"test", "val"}
    assert len(after.labels["val"]) == len(images_of(setting, "val"))


def test_a_run_whose_record_was_lost_after_its_answers_ends_like_any_other(trained):
    setting, run, ledger = trained
    record, answers = check_against_record(ledger, run)
    (ledger.folder / f"{run.run_id}.json").unlink()  # as a kill between the two files leaves it
    assert run_study([run], setting) == {"done": 1}
    again, stored = check_against_record(Ledger(setting.results), run)
    if again.weights_sha256 == record.weights_sha256:
        assert stored.to_bytes() == answers.to_bytes()


def test_answers_that_cannot_be_written_do_not_cost_the_run(setting, plan, caplog):
    serial = setting.with_options(runner="serial")
    (run,) = plan(serial, baseline={"evaluation": FEW})
    serial.results.mkdir()
    (serial.results / "answers").write_text("a file is in the way")
    assert run_study([run], serial) == {"done": 1}
    ledger = Ledger(serial.results)
    assert ledger.answers(ledger.get(run)) is None
    assert f"must be written to {ledger.answers_path(run.run_id)}, but that is not possible" in caplog.text


def test_answers_come_back_from_a_node_with_a_folder_of_its_own(trained, tmp_path):
    from attn_tutorial.engine import ray_runner

    setting, run, ledger = trained
    record, answers = check_against_record(ledger, run)

    class Ray:
        def get(self, task):
            return "done", record.model_dump_json(), answers.to_bytes()

    cluster = ray_runner.RayCluster(replace(setting, results=tmp_path / "starter"), 1)
    cluster._ray = Ray()
    assert cluster._outcome(run, "task") == "done"
    _, arrived = check_against_record(Ledger(tmp_path / "starter"), run)
    assert arrived.to_bytes() == answers.to_bytes()

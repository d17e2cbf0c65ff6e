"""Runs that are told where the target is, from their plan to a record that can be checked."""

import pytest

from attn_tutorial.engine.estimate import Speeds
from attn_tutorial.engine.runner import run_study
from attn_tutorial.engine.verify import draw_runs, verify
from attn_tutorial.errors import InputError
from attn_tutorial.ledger import Ledger
from attn_tutorial.ledger.onnx import export_networks
from attn_tutorial.ledger.weights import load_network

TOLD = {
    "baseline": {},
    "oracle": {"oracle": "gate"},
    "wrong oracle": {"oracle": "wrong_gate"},
    "spatial": {"block": "spatial"},
    "taught": {"block": "spatial", "training": {"mask_loss": 1.0}},
    "taught oracle": {"block": "spatial", "training": {"mask_loss": 1.0}, "oracle": "gate"},
}


@pytest.fixture
def runs(setting, plan):
    return {run.variant: run for run in plan(setting, **TOLD)}


def test_every_control_ends_in_a_record_and_is_trained_again_to_the_same_bits(setting, runs):
    serial = setting.with_options(runner="serial")
    assert run_study(list(runs.values()), serial) == {"done": len(TOLD)}
    ledger = Ledger(setting.results)
    records = {name: ledger.get(run) for name, run in runs.items()}
    assert len({record.weights_sha256 for record in records.values()}) == len(TOLD)
    assert records["oracle"].parameters == records["baseline"].parameters, "an oracle learns no weights of its own"
    assert records["taught"].parameters == records["spatial"].parameters
    for name, record in records.items():
        assert record.versions_trained.get("oracle") == (1 if "oracle" in name else None)
        assert load_network(ledger, record).in_channels == (4 if "oracle" in name else 3)
    drawn = [one for run in runs.values() for one in draw_runs([run], setting.results) if run.variant != "baseline"]
    assert all(found.same for found in verify(drawn, serial))
    with pytest.raises(InputError, match=r"must find the target by themselves, but a is told where it is \(oracle 'ga"):
        export_networks(ledger, [("a", records["oracle"])], list("abcdefghij"), setting.results / "out")


def test_a_record_of_another_oracle_does_not_count(setting, runs, make_record, monkeypatch, caplog):
    ledger, run = Ledger(setting.results), runs["oracle"]
    ledger.add(make_record(run, setting.images))
    assert ledger.get(run) is not None
    monkeypatch.setattr("attn_tutorial.ledger.reading.ORACLE_VERSION", 2)
    assert Ledger(setting.results).get(run) is None
    assert "trained with version 1 of the oracle, and this is version 2" in caplog.text


def test_each_control_has_a_pace_of_its_own(tmp_path, runs):
    speeds = Speeds(tmp_path, "cpu")
    speeds.measure([run.spec for run in runs.values()])
    for name, run in runs.items():
        assert speeds.get(run.spec).training > speeds.get(run.spec).testing, name
    assert len(set(map(speeds._key, (run.spec for run in runs.values())))) == len(TOLD) - 1
    assert speeds._key(runs["oracle"].spec) == speeds._key(runs["wrong oracle"].spec), "they compute the same"
    assert speeds.seconds(runs.values()) > 0

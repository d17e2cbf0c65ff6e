"""A study with a protocol trains all runs of one seed in one precision, and its records name the protocol."""

import pytest

from attn_tutorial.engine import start
from attn_tutorial.engine.precision import runs_in_one_precision
from attn_tutorial.ledger import Ledger
from attn_tutorial.spec import Images
from attn_tutorial.study import Protocol, Study


@pytest.fixture
def runs(setting):
    study = Study.parse(
        {"name": "two", "title": "t", "question": "q", "variants": {"baseline": {}, "se": {"block": "se"}}}
    )
    return study.plan("smoke", setting.images, 3)


@pytest.fixture
def record(setting, make_record):
    """Make the record of a run on the setting's images."""
    known = setting.images
    images = Images(
        name=known.name, source=known.source, fingerprint=known.fingerprint, archive_sha256=known.archive_sha256
    )
    return lambda run, **changes: make_record(run, images=images, **changes)


@pytest.fixture
def begun(setting, runs, record):
    """Record runs of these places in the plan as trained in these precisions."""

    def _begun(**precisions):
        for place, name in precisions.items():
            run = runs[int(place[1:])]
            Ledger(setting.results).add(record(run, precision=name))

    return _begun


def here(setting, name):
    return setting.with_options(precision=name)


def test_a_seed_that_was_begun_in_another_precision_is_left_out_and_named(setting, runs, begun, caplog):
    begun(_0="float32", _2="bfloat16")
    kept = runs_in_one_precision(runs, here(setting, "bfloat16"))
    assert [(run.variant, run.spec.seed) for run in kept] == [
        ("baseline", 0), ("baseline", 1), ("se", 1), ("baseline", 2), ("se", 2)
    ]  # fmt: skip
    (message,) = caplog.messages
    assert message.startswith("seed 0: begun in float32, while this command trains in bfloat16")
    kept = runs_in_one_precision(runs, here(setting, "float32"))
    assert [run.spec.seed for run in kept] == [0, 0, 1, 2, 2]


def test_auto_is_the_precision_of_this_machine(setting, runs, begun, monkeypatch, caplog):
    begun(_0="float32")
    monkeypatch.setattr("attn_tutorial.training.machine.native_precision", lambda device: "bfloat16")
    assert len(runs_in_one_precision(runs, here(setting, "auto"))) == 5
    monkeypatch.setattr("attn_tutorial.training.machine.native_precision", lambda device: "float32")
    caplog.clear()
    assert runs_in_one_precision(runs, here(setting, "auto")) == runs
    assert not caplog.messages


def test_failed_runs_and_complete_seeds_do_not_matter(setting, runs, begun, record, caplog):
    Ledger(setting.results).add(record(runs[0], precision="float32", status="failed", accuracy=[]))
    begun(_2="float32", _3="float32")
    assert runs_in_one_precision(runs, here(setting, "bfloat16")) == runs
    assert not caplog.messages


def test_a_seed_in_two_precisions_is_left_out_until_it_is_asked_for(setting, runs, begun, caplog):
    study = Study.parse(
        {"name": "three", "title": "t", "question": "q",
         "variants": {"baseline": {}, "se": {"block": "se"}, "eca": {"block": "eca"}}}
    )  # fmt: skip
    begun(_0="float32", _1="bfloat16")
    kept = runs_in_one_precision(study.plan("smoke", setting.images, 1), here(setting, "bfloat16"))
    assert [run.variant for run in kept] == ["baseline", "se"]
    assert "seed 0: begun in bfloat16 and float32" in caplog.text


def test_the_protocols_hash_is_in_the_records_of_its_own_scale(prepared, tmp_path, monkeypatch, capsys):
    (_, source), root = prepared
    protocol = Protocol.load("backgrounds").model_copy(update={"preset": "smoke"})
    monkeypatch.setattr(start.Protocol, "load", lambda name: protocol)
    study = Study.load("backgrounds").model_copy(
        update={"variants": {"baseline": {}, "se": {"block": "se"}}, "controls": [], "references": {}, "first": []}
    )
    where = {"data": str(source), "results": tmp_path / "runs", "root": root, "runner": "serial", "device": "cpu"}
    ledger = Ledger(tmp_path / "runs")
    runs, states = start.start_study(study, "smoke", 1, **where, precision="float32")
    assert states == {"done": 2}
    assert {record.protocol for record in ledger} == {protocol.sha256}
    said = capsys.readouterr().out
    assert "baseline seed 10: done; trained in" in said
    assert "accuracy" not in said.partition("done;")[2].partition("\n")[0]
    (ledger.folder / f"{runs[1].run_id}.json").unlink()
    _, states = start.start_study(study, "smoke", 2, **where, precision="bfloat16")
    assert states == {"done": 3, "missing": 1}, "seed 10 was begun in float32"
    _, states = start.start_study(study, "smoke", 2, **where, precision="bfloat16", mixed_precision=True)
    assert states == {"done": 4}
    plain = study.model_copy(update={"protocol": None})
    runs, states = start.start_study(plain, "smoke", 3, **where, precision="float32")
    assert ledger.get(runs[-1]).protocol is None

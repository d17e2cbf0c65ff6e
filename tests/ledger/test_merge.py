import json
import re

import pytest

from attn_tutorial.ledger import Ledger
from attn_tutorial.ledger.ledger import LedgerError
from attn_tutorial.ledger.merge import merge


def test_records_of_several_machines_come_together(tmp_path, runs, make_record):
    for name, of_one in (("a", runs[:3]), ("b", runs[2:])):
        for run in of_one:
            Ledger(tmp_path / name).add(make_record(run, weights_sha256=run.run_id))
    merged = merge([tmp_path / "a", tmp_path / "b"], tmp_path / "all")
    assert set(merged.added) == {run.run_id for run in runs}
    assert merged.there == [runs[2].run_id]
    assert (merged.replaced, merged.kept, merged.refused) == ([], {}, {})
    for run in runs:
        source = tmp_path / ("a" if run in runs[:3] else "b") / f"{run.run_id}.json"
        assert (tmp_path / "all" / source.name).read_bytes() == source.read_bytes()
    again = merge([tmp_path / "a", tmp_path / "b"], tmp_path / "all")
    assert not again.added
    assert len(again.there) == len(runs) + 1


def test_the_weights_of_a_run_go_with_its_record(tmp_path, runs, make_record):
    here, there = Ledger(tmp_path / "here"), Ledger(tmp_path / "there")
    for run in runs[:2]:
        there.add(make_record(run, weights_sha256=run.run_id))
    weights = there.weights_path(runs[0].run_id)
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    merge([there.folder], here.folder)
    assert here.weights_path(runs[0].run_id).read_bytes() == b"weights"
    assert not here.weights_path(runs[1].run_id).exists()


def test_what_is_done_takes_the_place_of_what_failed_and_never_the_other_way(tmp_path, runs, make_record):
    bad, good = Ledger(tmp_path / "bad"), Ledger(tmp_path / "good")
    bad.add(make_record(runs[0], status="failed", error="no"))
    good.add(make_record(runs[0], weights_sha256="a"))
    assert merge([good.folder], bad.folder).replaced == [runs[0].run_id]
    assert Ledger(bad.folder).get(runs[0].run_id).status == "done"
    failed = Ledger(tmp_path / "failed")
    failed.add(make_record(runs[0], status="failed", error="no"))
    merged = merge([failed.folder], good.folder)
    assert (merged.there, merged.kept) == ([runs[0].run_id], {})
    assert good.get(runs[0].run_id).status == "done"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"threads": 2, "processor": "X"}, r"different circumstances: processor .* and X; threads 1 and 2"),
        ({}, "two networks, from equal circumstances"),
    ],
)
def test_of_two_results_of_a_run_the_one_that_is_there_stays_and_why_they_differ_is_said(
    tmp_path, runs, change, words, make_record
):
    here, there = Ledger(tmp_path / "here"), Ledger(tmp_path / "there")
    here.add(make_record(runs[0], weights_sha256="a"))
    there.add(make_record(runs[0], weights_sha256="b", **change))
    merged = merge([there.folder], here.folder)
    assert list(merged.kept) == [runs[0].run_id]
    assert re.search(words, merged.kept[runs[0].run_id])
    assert Ledger(here.folder).get(runs[0].run_id).weights_sha256 == "a"


def test_files_that_are_no_records_are_refused_by_name(tmp_path, runs, make_record):
    source = Ledger(tmp_path / "source")
    for run in runs[:2]:
        source.add(make_record(run))
    (source.folder / f"{runs[0].run_id}.json").write_text("{")
    (source.folder / "notes.json").write_text(json.dumps({"schema_version": 1}))
    merged = merge([source.folder], tmp_path / "into")
    assert merged.added == [runs[1].run_id]
    assert {path.rpartition("/")[2] for path in merged.refused} == {f"{runs[0].run_id}.json", "notes.json"}
    assert sorted(path.name for path in (tmp_path / "into").iterdir()) == [f"{runs[1].run_id}.json"]


def test_folders_that_cannot_be_merged_are_refused(tmp_path):
    with pytest.raises(LedgerError, match="is not a folder"):
        merge([tmp_path / "none"], tmp_path / "into")
    (tmp_path / "a").mkdir()
    with pytest.raises(LedgerError, match="merged into itself"):
        merge([tmp_path / "a"], tmp_path / "a" / ".." / "a")


def test_tests_that_one_side_lacks_are_added_to_the_same_network(tmp_path, runs, make_record):
    one, other = make_record(runs[0], weights_sha256="a" * 64), make_record(runs[0], weights_sha256="a" * 64)
    veiled = other.accuracy[3].model_copy(update={"types": "veil"})
    Ledger(tmp_path / "here").add(one)
    Ledger(tmp_path / "there").add(other.model_copy(update={"accuracy": [*other.accuracy[:2], veiled]}))
    merged = merge([tmp_path / "there"], tmp_path / "here")
    assert merged.extended == [runs[0].run_id]
    assert Ledger(tmp_path / "here").get(runs[0]).accuracy == [*one.accuracy, veiled]
    assert merge([tmp_path / "there"], tmp_path / "here").there == [runs[0].run_id]

"""Answers per image: what a file contains, what is refused, and what stays right when a write fails."""

import io
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from attn_tutorial.errors import InputError
from attn_tutorial.evaluation import NOT_TESTED as NOT_TESTED_IN_EVALUATION
from attn_tutorial.ledger import Ledger, LedgerError
from attn_tutorial.ledger.answers import NOT_TESTED, Answers, AnswersError
from attn_tutorial.ledger.answers_table import write_answers
from attn_tutorial.ledger.merge import merge
from attn_tutorial.ledger.record import Accuracy

LABELS = np.arange(50, dtype=np.uint8) % 10
WEAK, STRONG, VEILED = ("test", "surround+noise", 0), ("test", "surround+noise", 5), ("test", "veil", 3)


def named(wrong, untested=0):
    """Answers to 50 images: so many at the end not tested, so many at the start wrong."""
    classes = LABELS.copy()
    classes[:wrong] = (classes[:wrong] + 1) % 10
    classes[len(classes) - untested :] = NOT_TESTED
    return classes


def make_answers(**changes):
    found = {WEAK: named(5), STRONG: named(30), VEILED: named(10, untested=30)}
    return Answers({"test": LABELS}, found | changes.get("predicted", {}))


def rows_of(answers):
    """The rows of a record that was made of the same test."""
    return [
        Accuracy(
            split=split, types=types, severity=severity, images=answers.images((split, types, severity)),
            accuracy=answers.accuracy((split, types, severity)),
            per_class=[round(share or 0.0, 6) for share in answers.per_class((split, types, severity))],
        )
        for split, types, severity in answers.predicted
    ]  # fmt: skip


@pytest.fixture
def answers():
    return make_answers()


@pytest.fixture
def record(runs, make_record, answers):
    return make_record(runs[0], accuracy=rows_of(answers), weights_sha256="a" * 64)


def same(one, other):
    return one.to_bytes() == other.to_bytes()


def test_the_numbers_come_from_the_tested_images_only(answers):
    assert NOT_TESTED == NOT_TESTED_IN_EVALUATION
    assert (answers.images(WEAK), answers.accuracy(WEAK)) == (50, 0.9)
    assert (answers.images(VEILED), answers.accuracy(VEILED)) == (20, 0.5)
    assert answers.per_class(WEAK) == [0.8] * 5 + [1.0] * 5
    assert answers.per_class(VEILED) == [0.5] * 10
    few = Answers({"test": LABELS}, {WEAK: named(0, untested=45)})
    assert few.per_class(WEAK) == [1.0] * 5 + [None] * 5


def test_a_file_is_read_by_numpy_alone(tmp_path, answers):
    answers.write(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as file:
        assert set(file) == {"labels/test", "test/surround+noise/0", "test/surround+noise/5", "test/veil/3"}
        assert {array.dtype for array in file.values()} == {np.dtype(np.uint8)}
        np.testing.assert_array_equal(file["labels/test"], LABELS)
        np.testing.assert_array_equal(file["test/veil/3"], named(10, untested=30))


def test_the_same_answers_are_the_same_bytes(tmp_path, answers, monkeypatch):
    backwards = Answers(answers.labels, dict(reversed(answers.predicted.items())))
    before = answers.to_bytes()
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.0)
    assert backwards.to_bytes() == before
    assert Answers.from_bytes(before).to_bytes() == before


def test_new_answers_take_the_place_of_old_ones(answers):
    more = Answers({"test": LABELS, "val": LABELS[:20]}, {WEAK: named(0), ("val", "noise", 1): LABELS[:20]})
    joined = answers.joined(more)
    assert joined.accuracy(WEAK) == 1.0
    assert joined.accuracy(STRONG) == answers.accuracy(STRONG)
    assert set(joined.predicted) == {WEAK, STRONG, VEILED, ("val", "noise", 1)}
    assert set(joined.only([("val", "noise", 1), ("val", "noise", 2)]).labels) == {"val"}
    with pytest.raises(AnswersError, match="labels/test differs"):
        answers.joined(Answers({"test": LABELS[::-1].copy()}, {}))


@pytest.mark.parametrize(
    ("labels", "predicted", "message"),
    [
        (LABELS, LABELS.astype(np.int64), r"test/surround\+noise/0 must be uint8 \(N,\), but is int64 \(50,\)"),
        (LABELS.astype(np.int8), LABELS, r"labels/test must be uint8"),
        (LABELS, LABELS.reshape(5, 10), r"must be uint8 \(N,\), but is uint8 \(5, 10\)"),
        (LABELS, LABELS[:49], "must have a class for each of the 50 images of its split, but has 49"),
        (LABELS, LABELS + 10, "classes from 0 to 9, or 255 for an image that was not tested, but contains 10"),
        (named(0, untested=1), LABELS, "labels/test must contain classes from 0 to 9, but contains 255"),
        (LABELS, named(0, untested=50), "must contain the answer for at least one image"),
    ],
)
def test_arrays_that_are_not_answers_are_refused(labels, predicted, message):
    with pytest.raises(AnswersError, match=message):
        Answers({"test": labels}, {WEAK: predicted})
    content = io.BytesIO()
    np.savez_compressed(content, **{"labels/test": labels, "test/surround+noise/0": predicted})
    with pytest.raises(AnswersError, match=message):
        Answers.from_bytes(content.getvalue())


@pytest.mark.parametrize(
    "name", ["test/surround+noise", "test/surround+noise/6", "bank/noise/1", "labels/bank", "labels", "test//1", "../x"]
)
def test_arrays_of_other_names_are_refused(name):
    content = io.BytesIO()
    np.savez_compressed(content, **{"labels/test": LABELS, name: LABELS})
    with pytest.raises(AnswersError, match=re.escape(f"but one is named {name!r}")):
        Answers.from_bytes(content.getvalue())


def test_answers_without_labels_are_refused():
    with pytest.raises(AnswersError, match="labels/test is not there"):
        Answers({}, {WEAK: LABELS})


def test_a_damaged_file_is_one_clear_error_wherever_the_damage_is(tmp_path, answers):
    whole = answers.to_bytes()
    path = tmp_path / "a.npz"
    places = range(0, len(whole), 7)
    for place in places:
        path.write_bytes(whole[:place])
        with pytest.raises(AnswersError, match="Move or delete it"):
            Answers.read(path)
    unnoticed = 0
    for place in places:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            read = Answers.read(path)
        except AnswersError:
            continue
        unnoticed += 1
        assert same(read, answers), "a changed byte that says nothing, such as one of a date"
    assert unnoticed < len(places) / 2


def test_a_file_with_more_than_its_arrays_is_refused(answers):
    content = io.BytesIO(answers.to_bytes())
    array = io.BytesIO()
    np.save(array, LABELS)
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr("val/noise/1.npy", array.getvalue() + b"more")
    with pytest.raises(AnswersError, match="longer than its array"):
        Answers.from_bytes(content.getvalue())
    pickled = io.BytesIO()
    np.savez_compressed(pickled, **{"labels/test": np.array([{}])})
    with pytest.raises(AnswersError, match="damaged"):
        Answers.from_bytes(pickled.getvalue())


def changed(record, place, **changes):
    rows = list(record.accuracy)
    rows[place] = rows[place].model_copy(update=changes)
    return record.model_copy(update={"accuracy": rows})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"accuracy": 0.92},
            r"test/surround\+noise/0 differs: .* 90.0000% of 50 images, but 92.0000% of 50 in the rec",
        ),
        ({"accuracy": 0.9 + 1e-8}, "differs"),
        ({"images": 40}, "but 90.0000% of 40 in the record"),
        ({"per_class": [1.0] * 4 + [0.5] + [1.0] * 5}, "the accuracy on class 0 is 80.0000%, but 100.0000%"),
        ({"per_class": [0.9] * 5}, "there are 10 classes, but 5 in the record"),
    ],
)
def test_answers_that_do_not_give_the_records_accuracies_are_found(answers, record, changes, message):
    answers.check(record)
    other = changed(record, 0, **changes)
    with pytest.raises(AnswersError, match=message):
        answers.check(other)
    assert set(answers.agreeing(other).predicted) == {STRONG, VEILED}
    answers.only([STRONG, VEILED]).check(other)  # compared is what both have


def test_a_record_without_accuracies_by_class_is_compared_by_accuracy(answers, record):
    answers.check(changed(record, 0, per_class=[], accuracy=0.9 + 1e-12))


def test_answers_are_kept_beside_their_record(tmp_path, answers, record):
    ledger = Ledger(tmp_path / "new")
    assert ledger.answers(record) is None
    ledger.add(record, answers)
    assert ledger.answers_path(record.run_id) == tmp_path / "new" / "answers" / f"{record.run_id}.npz"
    assert same(ledger.answers(record), answers)
    assert ledger.get(record.run_id) == record
    assert ledger.answers_left_out == {}
    assert sorted(path.name for path in ledger.folder.rglob("*") if path.is_file()) == sorted(
        [f"{record.run_id}.json", f"{record.run_id}.npz"]
    )


def test_the_folder_of_answers_is_in_nobodys_way(tmp_path, answers, record):
    ledger = Ledger(tmp_path)
    ledger.add(record, answers)
    ledger.make_writable()
    assert ledger.unusable() == {}
    assert list(ledger) == [record]
    assert (tmp_path / "answers" / f"{record.run_id}.npz").exists()


def test_an_old_record_has_none_and_nothing_is_said(tmp_path, record, caplog):
    ledger = Ledger(tmp_path)
    ledger.add(record)
    assert ledger.answers(record) is None
    assert (ledger.answers_left_out, caplog.text) == ({}, "")
    ledger.add(record, Answers({}, {}))
    assert not ledger.answers_path(record.run_id).exists()


def test_damaged_answers_are_named_and_the_record_stays(tmp_path, answers, record, caplog):
    ledger = Ledger(tmp_path)
    ledger.add(record, answers)
    path = ledger.answers_path(record.run_id)
    path.write_bytes(path.read_bytes()[:-30])
    assert ledger.answers(record) is None
    assert ledger.get(record.run_id) == record
    assert f"{path} is left out: it does not contain answers that can be used" in caplog.text
    assert "is damaged" in ledger.answers_left_out[path.name]
    answers.write(path)
    assert ledger.answers(record) is not None
    assert ledger.answers_left_out == {}


def test_answers_that_cannot_be_read_are_named(tmp_path, answers, record):
    ledger = Ledger(tmp_path)
    ledger.add(record)
    ledger.answers_path(record.run_id).mkdir(parents=True)
    assert ledger.answers(record) is None
    assert "must be readable, but it is not (Is a directory)" in ledger.answers_left_out[f"{record.run_id}.npz"]


def test_answers_of_another_network_are_left_out(tmp_path, answers, record, caplog):
    ledger = Ledger(tmp_path)
    ledger.add(record, answers)
    other = make_answers(predicted={STRONG: named(31)})
    other.write(ledger.answers_path(record.run_id))
    assert ledger.answers(record) is None
    assert "They are about another test or another network" in ledger.answers_left_out[f"{record.run_id}.npz"]
    assert "is left out: the answers must give the accuracies" in caplog.text


def test_answers_are_given_for_what_the_record_has(tmp_path, answers, record):
    ledger = Ledger(tmp_path)
    ledger.add(record, answers)
    part = record.model_copy(update={"accuracy": record.accuracy[:1]})
    assert set(ledger.answers(part).predicted) == {WEAK}
    assert ledger.answers(record.of_split("val")) is None


def test_more_conditions_of_the_same_network_are_added(tmp_path, answers, record):
    ledger = Ledger(tmp_path)
    first = record.model_copy(update={"accuracy": record.accuracy[:2]})
    ledger.add(first, answers.only([WEAK, STRONG]))
    ledger.add(record, answers.only([VEILED]))
    assert same(ledger.answers(record), answers)
    more = Answers({"test": LABELS}, {VEILED: named(10)})  # on more images
    again = record.with_tests({"accuracy": rows_of(more)})
    ledger.add(again, more)
    assert same(ledger.answers(again), answers.joined(more))


def test_nothing_is_kept_of_another_network(tmp_path, answers, record):
    ledger = Ledger(tmp_path)
    ledger.add(record, answers)
    other = record.model_copy(update={"weights_sha256": "b" * 64})
    ledger.add(other, answers.only([WEAK]))
    assert set(ledger.answers(other).predicted) == {WEAK}


def test_answers_that_contradict_their_record_are_not_written(tmp_path, answers, record, caplog):
    ledger = Ledger(tmp_path)
    with pytest.raises(AnswersError, match="must give the accuracies of record"):
        ledger.write_answers(changed(record, 1, accuracy=0.5), answers)
    ledger.add(changed(record, 1, accuracy=0.5), answers)
    assert not ledger.answers_path(record.run_id).exists()
    assert "The record itself is not affected" in caplog.text
    assert ledger.get(record.run_id) is not None


class Killed(BaseException):
    """Stands for a kill at this moment: nothing after it runs."""


def test_killed_between_the_answers_and_the_record_a_new_run_is_simply_made_again(
    tmp_path, answers, record, monkeypatch
):
    ledger = Ledger(tmp_path)
    die_before_the_record(monkeypatch, ledger, record, answers)
    assert ledger.answers_path(record.run_id).exists()
    assert list(ledger) == []
    again = make_answers(predicted={STRONG: named(29)})  # other bits, on another machine
    new = record.model_copy(update={"accuracy": rows_of(again), "weights_sha256": "b" * 64})
    ledger.add(new, again)
    assert same(ledger.answers(new), again)


def test_killed_between_the_answers_and_the_record_more_conditions_are_tested_again(
    tmp_path, answers, record, monkeypatch
):
    ledger = Ledger(tmp_path)
    before = record.model_copy(update={"accuracy": record.accuracy[:2]})
    ledger.add(before, answers.only([WEAK, STRONG]))
    die_before_the_record(monkeypatch, ledger, record, answers.only([VEILED]))
    assert ledger.get(record.run_id) == before
    assert same(ledger.answers(before), answers.only([WEAK, STRONG]))
    ledger.add(record, answers.only([VEILED]))
    assert same(ledger.answers(record), answers)


def test_killed_while_results_are_replaced_the_mismatch_is_found_and_then_repaired(
    tmp_path, answers, record, monkeypatch
):
    ledger = Ledger(tmp_path)
    ledger.add(record, answers)
    more = Answers({"test": LABELS}, {VEILED: named(10)})
    replaced = record.with_tests({"accuracy": rows_of(more)})
    die_before_the_record(monkeypatch, ledger, replaced, more)
    assert ledger.get(record.run_id) == record
    assert ledger.answers(record) is None
    assert "test/veil/3 differs" in ledger.answers_left_out[f"{record.run_id}.npz"]
    ledger.add(replaced, more)
    assert same(ledger.answers(replaced), answers.joined(more))


def die_before_the_record(monkeypatch, ledger, record, answers):
    def killed(path, content):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("attn_tutorial.ledger.ledger.write_whole", killed)
        with pytest.raises(Killed):
            ledger.add(record, answers)


WRITE = """
import sys
import numpy as np
from pathlib import Path
from attn_tutorial.ledger import Ledger
from attn_tutorial.ledger.answers import Answers
from attn_tutorial.ledger.reading import read_record
source, target, times = Path(sys.argv[1]), Ledger(sys.argv[2]), int(sys.argv[3])
(path,) = source.glob("*.json")
record = read_record(path)
answers = Answers.read(Ledger(source).answers_path(record.run_id))
for _ in range(times):
    target.add(record, answers)
"""


@pytest.fixture
def source(tmp_path, record):
    """A ledger with one run, whose answers are so random that no file of them is small."""
    labels = (np.arange(8000) // 800).astype(np.uint8)
    generator = np.random.default_rng(0)
    found = {
        ("test", "surround+noise", severity): generator.integers(0, 10, 8000, dtype=np.uint8) for severity in range(6)
    }
    ledger, answers = Ledger(tmp_path / "source"), Answers({"test": labels}, found)
    ledger.add(record.model_copy(update={"accuracy": rows_of(answers)}), answers)
    return ledger


def write(source, target, times=1, **how):
    words = [sys.executable, "-c", WRITE, str(source.folder), str(target), str(times)]
    return subprocess.Popen(words, stderr=subprocess.PIPE, text=True, **how)


def test_killed_at_any_moment_each_file_is_whole(tmp_path, source):
    (record,) = source
    target = Ledger(tmp_path / "target")
    process = write(source, target.folder, times=10_000)
    while not target.folder.exists():
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert same(Answers.read(target.answers_path(record.run_id)), source.answers(record))
    assert list(target) == [record]
    assert target.answers(record) is not None


@pytest.fixture(scope="module")
def own_mounts():
    if not shutil.which("unshare") or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("this system lets nobody mount a small disk of their own: full disks are not tested")


@pytest.mark.parametrize(("room", "kept"), [("200k", True), ("32k", True), ("4k", False)])
def test_on_a_full_disk_the_record_goes_first(tmp_path, own_mounts, source, room, kept):
    """A record of two blocks of 4 kB, and answers of seven."""
    (record,) = source
    sizes = [(source.folder / f"{record.run_id}.json").stat().st_size]
    sizes.append(source.answers_path(record.run_id).stat().st_size)
    assert [-(-size // 4096) for size in sizes] == [2, 7]
    out, target = tmp_path / "out", tmp_path / "target"
    target.mkdir()
    script = (
        f'mount -t tmpfs -o size={room} none "$1" && "$2" -c "$3" "$4" "$1" 1; status=$?; cp -r "$1" "$5"; exit $status'
    )
    result = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", target, sys.executable, WRITE, source.folder, out],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    ledger = Ledger(out)
    assert (result.returncode == 0) == kept, result.stderr
    assert list(ledger) == ([record] if kept else [])
    assert not list(out.rglob(".*")), "nothing half-written"
    if not kept:
        assert "Free some space and give the same command again" in result.stderr
    elif room == "200k":
        assert ledger.answers(record) is not None
    else:
        assert not ledger.answers_path(record.run_id).exists()
        assert f"{target / 'answers' / record.run_id}.npz, but that is not possible (No space left" in result.stderr
        assert "Traceback" not in result.stderr


def test_a_folder_that_cannot_be_written_costs_the_answers_only(tmp_path, answers, record, caplog):
    (tmp_path / "answers").write_text("a file is in the way")
    ledger = Ledger(tmp_path)
    ledger.add(record, answers)
    assert list(ledger) == [record]
    assert f"must be written to {ledger.answers_path(record.run_id)}, but that is not possible" in caplog.text
    with pytest.raises(LedgerError, match="that is not possible"):
        ledger.write_answers(record, answers)


def test_a_limit_on_the_size_of_files_costs_the_answers_only(tmp_path, source):
    """The limit stops a write in its middle, as a full disk does."""
    (record,) = source
    limit = (source.folder / f"{record.run_id}.json").stat().st_size
    assert limit < source.answers_path(record.run_id).stat().st_size
    target = Ledger(tmp_path / "target")
    how = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))}
    process = write(source, target.folder, **how)
    assert "File too large" in process.communicate(timeout=60)[1]
    assert list(target) == [record]
    assert list((target.folder / "answers").iterdir()) == []


def test_merge_takes_answers_along(tmp_path, answers, record, runs, make_record):
    here, there = Ledger(tmp_path / "here"), Ledger(tmp_path / "there")
    there.add(record, answers)
    there.add(make_record(runs[1]))  # one without answers
    merged = merge([there.folder], here.folder)
    assert (merged.answered, merged.answers_refused) == ([record.run_id], {})
    assert here.answers_path(record.run_id).read_bytes() == there.answers_path(record.run_id).read_bytes()
    assert not here.answers_path(runs[1].run_id).exists()
    assert merge([there.folder], here.folder).answered == []


def test_merge_leaves_out_answers_that_do_not_match(tmp_path, answers, record):
    here, there = Ledger(tmp_path / "here"), Ledger(tmp_path / "there")
    for spoil, cause in (
        (make_answers(predicted={WEAK: named(6)}).to_bytes(), "must give the accuracies of record"),
        (answers.to_bytes()[:200], "is damaged"),
    ):
        there.add(record, answers)
        there.answers_path(record.run_id).write_bytes(spoil)
        merged = merge([there.folder], here.folder)
        (file,) = merged.answers_refused
        assert file == str(there.answers_path(record.run_id))
        assert cause in merged.answers_refused[file]
        assert here.get(record.run_id) == record
        assert not here.answers_path(record.run_id).exists()
    there.add(record, answers)  # repaired
    assert merge([there.folder], here.folder).answered == [record.run_id]
    assert same(here.answers(record), answers)


def test_merge_adds_the_answers_that_one_side_lacks(tmp_path, answers, record):
    here, there = Ledger(tmp_path / "here"), Ledger(tmp_path / "there")
    part = record.model_copy(update={"accuracy": record.accuracy[:2]})
    here.add(part, answers.only([WEAK, STRONG]))
    there.add(record.model_copy(update={"accuracy": record.accuracy[1:]}), answers.only([STRONG, VEILED]))
    merged = merge([there.folder], here.folder)
    assert merged.extended == merged.answered == [record.run_id]
    assert same(here.answers(Ledger(here.folder).get(record.run_id)), answers)


def test_merge_leaves_another_networks_answers_alone(tmp_path, answers, record):
    here, there = Ledger(tmp_path / "here"), Ledger(tmp_path / "there")
    here.add(record)
    other = make_answers(predicted={WEAK: named(6)})
    there.add(record.model_copy(update={"weights_sha256": "b" * 64, "accuracy": rows_of(other)}), other)
    merged = merge([there.folder], here.folder)
    assert list(merged.kept) == [record.run_id]
    assert (merged.answered, here.answers(record)) == ([], None)


def test_a_merge_without_room_for_answers_can_be_given_again(tmp_path, answers, record):
    here, there = Ledger(tmp_path / "here"), Ledger(tmp_path / "there")
    there.add(record, answers)
    here.folder.mkdir()
    (here.folder / "answers").write_text("")
    with pytest.raises(LedgerError, match="that is not possible"):
        merge([there.folder], here.folder)
    assert list(here) == []
    (here.folder / "answers").unlink()
    assert merge([there.folder], here.folder).added == [record.run_id]
    assert same(here.answers(record), answers)


@pytest.mark.parametrize("end", ["csv", "parquet"])
def test_the_table_has_a_row_for_each_tested_image(tmp_path, answers, record, runs, make_record, end):
    ledger = Ledger(tmp_path / "runs")
    ledger.add(record, answers)
    other = make_answers(predicted={WEAK: named(7)})
    ledger.add(make_record(runs[1], accuracy=rows_of(other)), other)
    ledger.add(make_record(runs[2]))
    ledger.add(make_record(runs[3], status="diverged", error="nan", accuracy=[]))
    out = tmp_path / f"answers.{end}"
    written = write_answers(ledger, runs, out)
    assert (written.rows, written.runs, written.without) == (240, 2, 1)
    table = pd.read_csv(out) if end == "csv" else pd.read_parquet(out)
    assert list(table) == [
        "run_id", "study", "preset", "variant", "seed", "split", "types", "severity", "image", "label", "answer",
    ]  # fmt: skip
    assert len(table) == 240
    assert set(table["variant"]) == {"baseline", "se"}
    table["right"] = table["label"] == table["answer"]
    shares = table.groupby(["run_id", "split", "types", "severity"])["right"].mean()
    for run_id, found in ((record.run_id, answers), (runs[1].run_id, other)):
        for condition in found.predicted:
            assert shares[(run_id, *condition)] == pytest.approx(found.accuracy(condition))
    veiled = table[(table["run_id"] == record.run_id) & (table["types"] == "veil")]
    assert veiled["image"].tolist() == list(range(20))
    assert veiled["answer"].tolist() == named(10)[:20].tolist()


def test_a_table_of_nothing_is_an_error_that_leaves_an_old_file(tmp_path, record, runs):
    ledger = Ledger(tmp_path / "runs")
    ledger.add(record)
    out = tmp_path / "answers.csv"
    out.write_text("old")
    with pytest.raises(LedgerError, match="must contain the answers of at least one finished run"):
        write_answers(ledger, runs, out)
    assert out.read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "answers.csv"}
    with pytest.raises(InputError, match="must be a file that ends in"):
        write_answers(ledger, runs, tmp_path / "answers.xlsx")


def test_the_memory_for_a_table_does_not_grow_with_the_runs(tmp_path, source, runs, make_record):
    (record,) = source
    answers = source.answers(record)
    for run in runs:
        source.add(make_record(run, accuracy=record.accuracy, weights_sha256=run.run_id), answers)
    import pyarrow as pa

    class Peak:
        def __init__(self, chosen):
            pool = pa.proxy_memory_pool(pa.default_memory_pool())
            before = pa.default_memory_pool()
            pa.set_memory_pool(pool)
            try:
                write_answers(source, chosen, tmp_path / "answers.parquet")
            finally:
                pa.set_memory_pool(before)
            self.bytes = pool.max_memory()

    assert Peak(runs).bytes < 1.5 * Peak(runs[:2]).bytes


README = Path(__file__).parents[2] / "data" / "results" / "README.md"


def test_the_python_in_the_readme_of_the_results_runs(tmp_path, answers):
    (code,) = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (name,) = re.findall(r'"(data/results/answers/.*\.npz)"', code)
    (tmp_path / name).parent.mkdir(parents=True)
    some = Answers({"test": LABELS}, {("test", "surround+noise", 3): named(10, untested=10)})
    some.write(tmp_path / name)
    result = subprocess.run(
        [sys.executable, "-c", f"{code}\nprint(accuracy)"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) == 0.75


def test_git_keeps_published_answers_and_nothing_else_of_a_ledgers_folders():
    root = README.parents[2]
    if not (root / ".git").exists():
        pytest.skip("not a checkout")

    def ignored(path):
        return subprocess.run(["git", "check-ignore", "-q", path], cwd=root).returncode == 0

    assert not ignored("data/results/answers/0.npz")
    assert all(ignored(f"data/results/{name}/0") for name in ("weights", "work", "aside"))
    assert ignored("data/runs/answers/0.npz")


def test_every_published_file_of_answers_belongs_to_a_record():
    ledger = Ledger(README.parent)
    found = {path.stem for path in (README.parent / "answers").glob("*.npz")}
    records = {record.run_id: record for record in ledger}
    assert found <= set(records)
    assert [run_id for run_id in sorted(found) if ledger.answers(records[run_id]) is None] == []

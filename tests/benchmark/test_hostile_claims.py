"""Claims that try to mislead are refused, and a folder in the way is named before anything is written."""

import hashlib
import io
import json
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from click.testing import CliRunner

from attn_tutorial.benchmark import benchmark, leaderboard, read_claim, read_claims
from attn_tutorial.benchmark.claim import ClaimError, accuracies_of
from attn_tutorial.cli import main
from attn_tutorial.datasets import load_images
from attn_tutorial.errors import InputError
from attn_tutorial.evaluation.names import NOT_TESTED
from attn_tutorial.ledger.answers import Answers


@pytest.fixture(scope="module")
def result(mean_colours):
    images = load_images("shapes", "test", size=24).take(20)
    return benchmark([mean_colours(seed) for seed in range(2)], images, progress=False)


def with_answers(path, content, **about):
    """Put other answers into a claim, with their hash."""
    claim = json.loads(path.read_text())
    network = claim["networks"][0]
    (path.parent / "answers" / network["answers"]).write_bytes(content)
    network.update(answers_sha256=hashlib.sha256(content).hexdigest(), **about)
    path.write_text(json.dumps(claim))


def test_nobody_chooses_the_images_of_a_test(result, tmp_path):
    path = result.claim("mine", tmp_path)
    (answers, _) = result.answers
    labels = answers.labels["test"]
    right = {cell: np.where(named == labels, named, NOT_TESTED) for cell, named in answers.predicted.items()}
    chosen = Answers({"test": labels}, right)
    assert {share for shares in accuracies_of(chosen).values() for share in shares} == {1.0}
    with_answers(path, chosen.to_bytes(), accuracy=accuracies_of(chosen))
    with pytest.raises(ClaimError, match=r"an answer to each of the 20 images that the benchmark tests in surround"):
        read_claim(path)


def test_occlusion_is_tested_on_the_first_images_of_each_class(result, tmp_path, monkeypatch, mean_colours):
    monkeypatch.setattr("attn_tutorial.benchmark.testing.SECONDARY_IMAGES", 10)
    monkeypatch.setattr("attn_tutorial.benchmark.claim.SECONDARY_IMAGES", 10)
    few = benchmark(mean_colours(0), load_images("shapes", "test", size=24).take(20), progress=False)
    read_claim(few.claim("few", tmp_path))
    with pytest.raises(ClaimError, match="each of the 10 images that the benchmark tests in fragments at severity 1"):
        read_claim(result.claim("all", tmp_path))


def test_answers_that_would_fill_the_memory_are_not_unpacked(result, tmp_path):
    path = result.claim("mine", tmp_path)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels/test.npy", bytes(3_000_000))
    with_answers(path, content.getvalue())
    with pytest.raises(ClaimError, match=r"must unpack to at most .* bytes for 20 images, but has 3,000,000"):
        read_claim(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (lambda text: text.replace('"name": "mine"', '"name": "a\\nb\\u001b[31m"'), "one line of printable characters"),
        (lambda text: text.replace('"by": ""', '"by": "\\u202eabc"'), "one line of printable characters"),
        (lambda text: text.replace("mine-1.npz", "mine-0.npz"), "two name the same file"),
        (lambda text: text.replace('"module"', '"magic"'), "kind: must be 'module', 'ONNX'"),
        (lambda text: text + "}" * 100_000, "Invalid JSON"),
        (lambda text: "[" * 100_000, "Invalid JSON"),
        (lambda text: text.replace('"link": ""', f'"link": {["x" * 100_000]}'.replace("'", '"')), "link"),
    ],
)
def test_a_claim_cannot_break_a_table_or_flood_a_terminal(result, tmp_path, text, message):
    path = result.claim("mine", tmp_path)
    changed = text(path.read_text())
    assert changed != path.read_text()
    path.write_text(changed)
    with pytest.raises(ClaimError, match=message) as error:
        read_claim(path)
    assert len(str(error.value)) < 2000


@pytest.mark.parametrize(
    ("name", "about", "message"),
    [
        ("a\nb", {}, "one line of printable characters"),
        ("mine", {"seeds": 1}, "`seeds` must be a list"),
        ("mine", {"seeds": [[1], [2]]}, "`seeds` must be a list of whole numbers"),
        ("mine", {"seeds": [True, 0]}, "`seeds` must be a list of whole numbers"),
        ("mine", {"trained_on": "surround"}, r"`trained_on` must be a list, such as \['surround'\]"),
        ("mine", {"trained_on": None}, "`trained_on` must be a list"),
        ("mine", {"trained_on": ["noise", "noise"]}, "each clutter type once"),
        ("mine", {"severities": 3}, r"`severities` must be a list, such as \[3\]"),
    ],
)
def test_a_value_that_is_not_allowed_writes_nothing(result, tmp_path, name, about, message):
    with pytest.raises(InputError, match=message):
        result.claim(name, tmp_path / "claims", **about)
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize("name", ["../../evil", "x" * 200, "㎉" * 200])
def test_a_name_stays_in_its_folder_and_fits_into_a_file_name(result, tmp_path, name):
    path = result.claim(name, tmp_path / "claims", seeds=np.array([3, 4]))
    assert path.parent == tmp_path / "claims"
    assert [each.seed for each in read_claim(path)[0].networks] == [3, 4]


@pytest.mark.parametrize("place", ["file", "file/below", "dangling", "loop", "full", "nul\0", "x" * 300])
def test_a_folder_that_cannot_be_written_is_named(result, tmp_path, place):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "answers").write_text("mine")
    with pytest.raises(ClaimError, match="`folder` must be a folder that can be written, but"):
        result.claim("mine", tmp_path / place)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_in_place_of_a_file_is_named(result, tmp_path):
    (tmp_path / "mine.json").mkdir()
    with pytest.raises(ClaimError, match=r"mine\.json.* cannot be written"):
        result.claim("mine", tmp_path, replace=True)


def test_what_is_no_folder_of_claims_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ClaimError, match=r"must be a folder of claims, but .* is a file"):
        read_claims(tmp_path / "file")
    with pytest.raises(ClaimError, match="must be a claim that can be read"):
        read_claim("a\0b")
    assert read_claims(tmp_path / "nothing") == ([], {})


def test_replacing_leaves_no_answers_without_a_claim(result, tmp_path):
    result.claim("mine", tmp_path, seeds=[0, 7])
    result.claim("mine 7", tmp_path)
    result.claim("mine", tmp_path, seeds=[0, 1], replace=True)
    names = {path.name for path in (tmp_path / "answers").iterdir()}
    assert names == {"mine-0.npz", "mine-1.npz", "mine-7-0.npz", "mine-7-1.npz"}
    assert len(read_claims(tmp_path)[0]) == 2
    assert not list(tmp_path.glob(".*"))


def test_of_two_who_write_at_once_one_is_told(result, tmp_path):
    def write(_):
        try:
            return result.claim("mine", tmp_path)
        except ClaimError as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        written = [str(each) for each in pool.map(write, range(4))]
    assert sum("there is a claim in" in each for each in written) == 3
    read_claim(tmp_path / "mine.json")


def test_a_claim_that_was_killed_while_it_was_replaced_is_named(result, tmp_path, monkeypatch, mean_colours):
    path = result.claim("mine", tmp_path)
    other = benchmark(
        [mean_colours(8), mean_colours(9)], load_images("shapes", "test", size=24).take(20), progress=False
    )
    other.answers[0].predicted["test", "mosaic", 3][:] = 3

    def killed(file, content):
        if file.suffix == ".json":
            raise KeyboardInterrupt
        file.write_bytes(content)

    with monkeypatch.context() as patch:
        patch.setattr("attn_tutorial.benchmark.claim.write_whole", killed)
        with pytest.raises(KeyboardInterrupt):
            other.claim("mine", tmp_path, replace=True)
    assert "SHA-256" in read_claims(tmp_path)[1]["mine.json"]
    other.claim("mine", tmp_path, replace=True)
    read_claim(path)


def test_the_order_of_the_clutter_types_makes_no_other_table(result, tmp_path):
    result.claim("one", tmp_path, trained_on=["surround", "noise"], severities=[0, 1])
    result.claim("two", tmp_path, trained_on=["noise", "surround"], severities=[1, 0])
    assert len(leaderboard(read_claims(tmp_path)[0])) == 1


def test_the_command_refuses_a_claim_before_the_test(tmp_path, monkeypatch):
    monkeypatch.setattr("attn_tutorial.benchmark.benchmark", lambda *_, **__: pytest.fail("it was tested"))
    (tmp_path / "file").write_text("")
    (tmp_path / "mine.json").write_text("")
    for words, message in (
        (["--claims", str(tmp_path / "file")], "is not a folder"),
        (["--claims", str(tmp_path)], "there is a claim in"),
        (["--trained-on", "rain", "--claims", str(tmp_path / "new")], "rain"),
        (["--seeds", "1,2", "--claims", str(tmp_path / "new")], "a seed of its own for each of the 1 networks"),
    ):
        refused = CliRunner().invoke(main, ["benchmark", "network.pt", "--data", "shapes", "--claim", "mine", *words])
        assert refused.exit_code == 2, refused.output
        assert message in " ".join(refused.output.split())

"""A claim can be checked without the network, and every change of it is found."""

import json
import shutil

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from attn_tutorial.analysis.resampling import image_costs
from attn_tutorial.benchmark import benchmark, leaderboard, read_claim, read_claims
from attn_tutorial.benchmark.claim import ClaimError, versions_of_test
from attn_tutorial.benchmark.result import costs_of
from attn_tutorial.cli import main
from attn_tutorial.datasets import load_images
from attn_tutorial.errors import InputError


@pytest.fixture(scope="module")
def images():
    return load_images("shapes", "test", size=24).take(50)


@pytest.fixture(scope="module")
def result(images, mean_colours):
    return benchmark([mean_colours(seed) for seed in range(3)], images, progress=False)


@pytest.fixture
def claimed(result, tmp_path):
    about = {"trained_on": ["surround", "noise"], "severities": [0, 1, 2], "pretraining": "ImageNet-1k"}
    return result.claim("My Netwörk, wide", tmp_path, seeds=[4, 5, 6], by="me", link="https://example.org", **about)


def test_a_claim_is_read_back_with_its_answers(claimed, result, images):
    assert claimed.name == "my-network-wide.json"
    claim, answers = read_claim(claimed, images)
    assert [each.seed for each in claim.networks] == [4, 5, 6]
    assert claim.training.label() == "surround+noise at severities 0, 1, 2; before: ImageNet-1k"
    assert claim.versions == versions_of_test()
    assert not claim.other_versions()
    for mine, theirs in zip(answers, result.answers, strict=True):
        assert all(np.array_equal(mine.predicted[cell], named) for cell, named in theirs.predicted.items())


def test_the_costs_are_those_of_the_study_with_intervals_over_seeds_or_images(result):
    costs = costs_of(result.answers)
    by_network = [np.nanmean(image_costs(each)) for each in result.answers]
    assert costs.loc["unseen", "cost"] == pytest.approx(np.mean(by_network))
    half = 4.302653 * np.std(by_network, ddof=1) / 3**0.5  # Student's t with 2 degrees of freedom
    assert costs.loc["unseen", "high"] - costs.loc["unseen", "cost"] == pytest.approx(half, rel=1e-5)
    assert set(costs["over"]) == {"seeds"}
    one = costs_of(result.answers[:1])
    assert set(one["over"]) == {"images"}
    each = image_costs(result.answers[0])
    assert one.loc["unseen", "high"] - one.loc["unseen", "cost"] == pytest.approx(
        1.96 * each.std(ddof=1) / 50**0.5, rel=1e-3
    )
    row = one.loc["seen"]
    assert row["cost"] == pytest.approx(row["at severity 0"] - row["in clutter"])


def change(path, **changes):
    values = json.loads(path.read_text())
    for place, value in changes.items():
        *parents, last = place.split("__")
        part = values
        for each in parents:
            part = part[int(each) if each.isdigit() else each]
        part[last] = value
    path.write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"networks__0__accuracy__mosaic": [1.0] * 6}, "give an accuracy of .* on mosaic at severity 0, but the claim"),
        ({"networks__1__answers_sha256": "0" * 64}, "the SHA-256 of my-network-wide-5.npz must be 0+, but is"),
        ({"networks__1__answers": "../../secret.npz"}, "not a valid claim"),
        ({"networks__1__answers": "gone.npz"}, "gone.npz must be in answers/ beside the claim, but is not"),
        ({"networks__1__seed": 4}, "a seed of its own for each network"),
        ({"networks": []}, "not a valid claim"),
        ({"images__count": 51}, "must be about 51 images, but is about 50"),
        ({"training__types": ["fog"]}, "fog"),
        ({"name": " "}, "not a valid claim"),
        ({"better": True}, "unknown name"),
        ({"link": "x" * 201}, "not a valid claim"),
        ({"images__fingerprint": "mine"}, "not a valid claim"),
        ({"schema_version": 2}, "not a valid claim"),
    ],
)
def test_a_changed_claim_is_found(claimed, changes, message):
    change(claimed, **changes)
    with pytest.raises(ClaimError, match=message):
        read_claim(claimed)
    found, left_out = read_claims(claimed.parent)
    assert not found
    assert list(left_out) == [claimed.name]


def test_damaged_files_and_other_labels_are_found(claimed, images):
    answers = claimed.parent / "answers" / "my-network-wide-4.npz"
    content = answers.read_bytes()
    answers.write_bytes(content[:-40])
    with pytest.raises(ClaimError, match="SHA-256"):
        read_claim(claimed)
    answers.write_bytes(content)
    with pytest.raises(ClaimError, match=r"labels in my-network-wide-4.npz must be those of"):
        read_claim(claimed, load_images("shapes", "test", size=24).take(60))
    claimed.write_text("{")
    with pytest.raises(ClaimError, match="not a valid claim"):
        read_claim(claimed)
    with pytest.raises(ClaimError, match=r"nothing.json must be a claim that can be read"):
        read_claim(claimed.parent / "nothing.json")


def test_claims_about_other_pixels_are_named_and_not_compared(claimed):
    change(claimed, versions__mosaic=0)
    found, left_out = read_claims(claimed.parent)
    assert not found
    assert "other versions of the benchmark: mosaic 0 (today 1)" in left_out[claimed.name]


def test_a_claim_is_not_overwritten_by_chance(result, claimed):
    with pytest.raises(ClaimError, match=r"there is a claim in .* already"):
        result.claim("my network: WIDE", claimed.parent)
    result.claim("my network: WIDE", claimed.parent, replace=True)
    assert read_claim(claimed)[0].name == "my network: WIDE"


@pytest.mark.parametrize(
    ("name", "about", "message"),
    [
        ("…", {}, "must contain a letter or a digit"),
        ("mine", {"seeds": [1]}, "a seed of its own for each of the 3 networks"),
        ("mine", {"seeds": [1, 1, 2]}, "a seed of its own"),
        ("mine", {"seeds": [-1, 1, 2]}, "networks.0.seed"),
        ("mine", {"trained_on": ["rain"]}, "rain"),
        ("mine", {"severities": [9]}, "severities"),
    ],
)
def test_a_claim_that_is_not_allowed_writes_nothing(result, tmp_path, name, about, message):
    with pytest.raises(InputError, match=message):
        result.claim(name, tmp_path / "claims", **about)
    assert not list(tmp_path.rglob("*.json"))
    assert not list(tmp_path.rglob("*.npz"))


def test_a_quick_look_is_not_a_claim(images, tmp_path, mean_colours):
    quick = benchmark(mean_colours(0), images, count=20, progress=False)
    with pytest.raises(ClaimError, match="about all 50 test images, but this test used 20"):
        quick.claim("mine", tmp_path)


def test_the_leaderboard_keeps_images_and_trainings_apart(result, claimed, images, mean_colours):
    folder = claimed.parent
    one = benchmark(mean_colours(9), images, progress=False)
    one.claim("Another", folder, trained_on=["surround", "noise"], severities=[0, 1, 2], pretraining="ImageNet-1k")
    one.claim("Without clutter", folder)
    shutil.copy(claimed, folder / "official.json")
    change(folder / "official.json", images__fingerprint="a" * 64)
    found, left_out = read_claims(folder)
    assert not left_out
    tables = leaderboard(found)
    assert sorted(len(table) for table in tables.values()) == [1, 1, 2], "the fingerprint alone tells images apart"
    (both,) = [table for table in tables.values() if len(table) == 2]
    costs = [float(each.split()[0]) for each in both["unseen cost"]]
    assert costs == sorted(costs)
    assert "Fewer than 3 seeds" in both.loc["Another", "remarks"]
    assert "Fewer" not in both.loc["My Netwörk, wide", "remarks"]
    assert {training for _, training in tables} >= {"no clutter"}
    shutil.copy(folder / "another.json", folder / "copy.json")
    (again,) = [table for table in leaderboard(read_claims(folder)[0]).values() if len(table) > 2]
    assert list(again.index).count("Another") == 2, "two claims of one name are two rows"


def test_the_commands_test_files_write_a_claim_and_check_it(tmp_path, tiny_cifar, mean_colours):
    paths = []
    for seed in (0, 1):
        paths.append(str(tmp_path / f"network{seed}.pt"))
        torch.jit.trace(mean_colours(seed).eval(), torch.zeros(2, 3, 48, 48, dtype=torch.uint8)).save(paths[-1])
    run = CliRunner().invoke
    images, claims = ["--data", str(tiny_cifar), "--root", str(tmp_path)], str(tmp_path / "claims")
    quick = run(main, ["benchmark", *paths, *images, "--images", "20"])
    assert quick.exit_code == 0, quick.output
    assert "distraction cost in points, with 95 % intervals over images" in quick.output
    assert "2 network(s), TorchScript" in quick.output
    for words, message in (
        (["--claim", "mine", "--images", "20"], "--claim must be about all test images"),
        (["--mean", "0,0"], "three numbers"),
        (["--mean", "0,0,0"], "--mean and --std must be given together"),
        (["--side", "32"], "--side needs --reads"),
        (["--seeds", "a"], "--seeds must be whole numbers"),
        (["--claim", "x", "--claims", claims, "--trained-on", "rain"], "rain"),
    ):
        refused = run(main, ["benchmark", *paths, *images, *words])
        assert refused.exit_code == 2, (words, refused.output)
        assert message in refused.output
    assert not (tmp_path / "claims").exists()
    written = run(main, ["benchmark", *paths, *images, "--claim", "Mean colours", "--claims", claims, "--seeds", "4,2"])
    assert written.exit_code == 0, written.output
    assert "mean-colours.json; attn-tutorial claims checks it" in written.output
    checked = run(main, ["claims", *images, "--claims", claims])
    assert checked.exit_code == 0, checked.output
    assert "training saw no clutter" in checked.output
    assert "Fewer than 3 seeds" in checked.output
    change(tmp_path / "claims" / "mean-colours.json", images__count=7)
    spoiled = run(main, ["claims", *images, "--claims", claims])
    assert spoiled.exit_code == 1
    assert "left out mean-colours.json" in spoiled.output
    empty = run(main, ["claims", *images, "--claims", str(tmp_path / "none")])
    assert empty.exit_code == 0
    assert "there is no claim in" in empty.output

"""Every published claim is valid, and its README explains every field."""

import re
from functools import cache
from pathlib import Path

import pytest

from attn_tutorial.benchmark import Claim, read_claim
from attn_tutorial.benchmark.claim import ClaimedImages, ClaimedNetwork
from attn_tutorial.datasets import load_images

FOLDER = Path(__file__).parents[2] / "data" / "claims"
CLAIMS = sorted(FOLDER.glob("*.json")) or [
    pytest.param(None, marks=pytest.mark.skip(reason="there is no claim in data/claims yet"))
]


@cache
def drawn(size):
    """Return the test images that every machine has; CIFAR-10 is not on every one."""
    return load_images("shapes", "test", size=size)


@pytest.mark.parametrize("path", CLAIMS, ids=lambda path: path.stem if path else "none")
def test_a_published_claim_is_valid(path):
    claim, answers = read_claim(path)
    assert len(answers) == len(claim.networks)
    if claim.images.name == "shapes":
        images = drawn(claim.images.size)
        assert claim.images.fingerprint == images.fingerprint
        assert claim.images.count == len(images)
        read_claim(path, images)


def test_every_file_of_answers_belongs_to_a_claim():
    """A file without its claim says nothing; claims that lack a file are found above."""
    named = {network.answers for path in FOLDER.glob("*.json") for network in read_claim(path)[0].networks}
    assert {path.name for path in (FOLDER / "answers").glob("*")} == named


def test_claims_have_names_of_their_own():
    names = [read_claim(path)[0].name for path in FOLDER.glob("*.json")]
    assert len(names) == len(set(names))


def test_the_readme_explains_every_field():
    explained = set(re.findall(r"`(\w+)`", (FOLDER / "README.md").read_text(encoding="utf-8")))
    for model in (Claim, ClaimedImages, ClaimedNetwork):
        assert set(model.model_fields) <= explained

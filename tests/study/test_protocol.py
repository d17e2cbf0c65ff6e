"""Protocols: one file has the numbers and the text, and one hash covers both."""

import hashlib
import re
from importlib import resources
from pathlib import Path

import pytest

from attn_tutorial.errors import InputError
from attn_tutorial.ledger import Ledger
from attn_tutorial.spec import Images, SpecError
from attn_tutorial.study import Protocol, Study

CIFAR = Images(name="cifar10", source="CIFAR-10", fingerprint="a" * 64, archive_sha256=None)


@pytest.fixture
def protocol():
    return Protocol.load("backgrounds")


def test_the_hash_is_the_files(protocol):
    content = resources.files("attn_tutorial.study").joinpath("protocols/backgrounds.md").read_bytes()
    assert protocol.sha256 == hashlib.sha256(content).hexdigest()
    assert content.decode().rstrip().endswith(protocol.text)
    assert protocol.text.startswith("## The question")


def test_the_study_is_the_one_that_the_protocol_describes(protocol):
    study = Study.load("backgrounds")
    assert study.protocol == "backgrounds"
    assert (study.family, study.baseline) == (protocol.primary, protocol.baseline)
    assert {*protocol.pooled, protocol.pooling} <= set(study.variants)
    assert "oracle gate" not in protocol.pooled
    runs = study.plan(protocol.preset, CIFAR)
    assert {run.spec.seed for run in runs} == set(range(protocol.seeds.first, 10 + protocol.seeds.fewer))
    spec = runs[0].spec
    assert f"{spec.training.samples:,} training samples" in protocol.text
    assert f"targets of {spec.data.size} px on canvases of {spec.clutter.canvas} px" in protocol.text
    assert {*protocol.outcome, *protocol.secondary} <= set(spec.evaluation.types)
    assert set(spec.clutter.types) == {"surround", "noise"}
    assert spec.clutter.severities == (0, 1, 2)


def test_stage_1_comes_first(protocol):
    runs = Study.load("backgrounds").plan(protocol.preset, CIFAR)
    stage_1 = [run.variant for run in runs[:70]]
    assert stage_1 == [protocol.baseline, *protocol.primary, "attention pooling", "oracle gate"] * 10
    assert [run.spec.seed for run in runs[:70]] == [seed for seed in range(10, 20) for _ in range(7)]


def test_it_covers_its_own_scale_only(protocol):
    assert protocol.covers("published", "cifar10")
    assert not protocol.covers("quick", "cifar10")
    assert not protocol.covers("published", "shapes")


def test_an_unknown_protocol_is_refused():
    with pytest.raises(InputError, match=r"protocol must be one of backgrounds, but got 'background'\. Did you mean"):
        Protocol.load("background")
    with pytest.raises(SpecError, match="protocol must be one of backgrounds, but got 'mine'"):
        Study.parse({"name": "s", "title": "t", "question": "q", "variants": {"a": {}}, "protocol": "mine"})


def test_records_have_the_hash_of_the_protocol_or_of_an_earlier_one_that_it_names(protocol):
    """Every published record of the study at the protocol's scale was started under it."""
    earlier = re.findall(r"hash of this file as it was then, which begins with (\w{12})", protocol.text)
    known = (protocol.sha256[:12], *earlier)
    folder = Path(__file__).parents[2] / "data" / "results"
    records = [record for record in Ledger(folder) if record.study == "backgrounds"]
    assert records
    assert [record.run_id for record in records if (record.protocol or "")[:12] not in known] == []

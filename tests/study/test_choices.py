"""What the study of backgrounds takes from stage 0 is what the records of stage 0 say."""

from pathlib import Path

import pytest

from attn_tutorial.analysis import margin_of
from attn_tutorial.ledger import Ledger, held_in
from attn_tutorial.spec import Images
from attn_tutorial.study import Protocol, Study

TUNING = Path(__file__).parents[2] / "data" / "tuning" / "runs"
CIFAR = Images(name="cifar10", source="CIFAR-10", fingerprint="a" * 64, archive_sha256=None)


@pytest.fixture(scope="module")
def stage_0():
    """The mean accuracy of each candidate on seen backgrounds of validation images."""
    ledger = Ledger(TUNING)
    [held] = [held for held in held_in(Study.load("learning-rates"), ledger) if held.preset == "published"]
    frame = ledger.frame(Study.load("learning-rates").plan("published", held.images))
    frame = frame[frame["types"] == "surround+noise"]
    assert set(frame["split"]) == {"val"}
    assert set(frame["seed"]) == {0}
    return frame.groupby("variant")["accuracy"].mean()


@pytest.fixture(scope="module")
def specs():
    return {run.variant: run.spec for run in Study.load("backgrounds").plan("published", CIFAR, seeds=1)}


def best(stage_0, start, values):
    accuracies = {value: stage_0[f"{start} {value}"] for value in values}
    return max(accuracies, key=accuracies.get)


def test_every_candidate_was_trained(stage_0):
    assert set(stage_0.index) == set(Study.load("learning-rates").variants)


def test_the_rates_are_the_best_of_the_search(stage_0, specs):
    assert {spec.training.lr for spec in specs.values()} == {best(stage_0, "baseline lr", (0.01, 0.05, 0.2, 0.8, 3.2))}
    for block in ("se", "cbam", "spatial", "non_local"):
        rate = best(stage_0, block, (0.01, 0.05, 0.2, 0.8))
        of_block = {name: spec.training.block_lr for name, spec in specs.items() if spec.block == block}
        assert set(of_block.values()) == {rate}, of_block
    assert specs["static_spatial"].training.block_lr == specs["spatial"].training.block_lr
    pooling = specs["attention pooling"].training.block_lr
    assert pooling == best(stage_0, "attention pooling", (0.01, 0.05, 0.2, 0.8))
    without = [name for name, spec in specs.items() if spec.block is None and name != "attention pooling"]
    assert {specs[name].training.block_lr for name in without} == {None}


def test_the_weight_of_the_supervised_gate_is_the_best_of_the_search(stage_0, specs):
    assert specs["supervised gate"].training.mask_loss == best(stage_0, "supervised gate", (0.1, 1.0, 10.0))


def test_the_margin_is_a_fifth_of_what_unseen_backgrounds_cost_the_baseline():
    ledger = Ledger(TUNING)
    [held] = [held for held in held_in(Study.load("margin"), ledger) if held.preset == "published"]
    frame = ledger.frame(held.runs)
    assert sorted(frame["seed"].unique()) == [1, 2, 3]
    assert set(frame["split"]) == {"val"}
    assert Protocol.load("backgrounds").margin == round(margin_of(frame), 2)

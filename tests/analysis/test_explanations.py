"""The explanatory comparisons: each pair on its own seeds, with the spread of the whole study."""

import numpy as np
import pytest

from attn_tutorial.analysis import explain
from attn_tutorial.analysis.explanations import COLUMNS
from attn_tutorial.study import Protocol, Study

REDUCTIONS = {
    "baseline": 0.0, "se": 0.1, "cbam": 3.0, "spatial": 2.0, "non_local": 2.5, "attention pooling": 2.2,
    "oracle gate": 7.0, "non_local, uniform": 0.4,
}  # fmt: skip


@pytest.fixture
def protocol():
    return Protocol.load("backgrounds")


def test_every_pair_is_of_the_study(protocol):
    variants = Study.load("backgrounds").variants
    named = [name for each in protocol.explanations for pair in each.pairs for name in pair]
    assert set(named) <= set(variants)
    explained = {pair[0] for each in protocol.explanations for pair in each.pairs}
    assert set(variants) - explained == {
        "baseline", "se", "cbam", "attention pooling", "non_local, uniform", "static_spatial",
        "wider, non_local's flops", "baseline, all backgrounds", "baseline, 3×",
    }, "the others are references, under test themselves, or in the secondary comparison"  # fmt: skip
    for each in protocol.explanations:
        assert each.question in protocol.text


def test_pairs_that_share_seeds_are_compared_with_the_studys_spread(protocol, study_frame, spread):
    costs = spread(REDUCTIONS)
    costs["non_local, uniform"] = {seed: own for seed, own in costs["non_local, uniform"].items() if seed < 16}
    frame = study_frame(costs)
    table = explain(protocol, frame).set_index(["variant", "reference"])
    assert table.columns.tolist() == COLUMNS[:1] + COLUMNS[3:]
    assert table.index.tolist() == [("oracle gate", "baseline"), ("non_local", "non_local, uniform")]
    oracle = table.loc["oracle gate", "baseline"]
    assert (oracle["question"], oracle["seeds"], oracle["variants"]) == ("Could looking help?", 10, 7)
    assert oracle["estimate"] == pytest.approx(7.0)
    uniform = table.loc["non_local", "non_local, uniform"]
    assert (uniform["seeds"], uniform["variants"]) == (6, 7), "the pair adds one variant to six"
    six = {
        name: np.mean([own["mosaic"] for seed, own in by_seed.items() if seed < 16]) for name, by_seed in costs.items()
    }
    assert uniform["estimate"] == pytest.approx(six["non_local, uniform"] - six["non_local"])
    assert uniform["low"] < uniform["estimate"] < uniform["high"]


def test_without_a_shared_seed_there_is_no_row(protocol, study_frame, spread):
    costs = spread({"baseline": 0.0, "oracle gate": 5.0})
    costs["oracle gate"] = {seed + 100: own for seed, own in costs["oracle gate"].items()}
    assert explain(protocol, study_frame(costs)).empty
    alone = explain(protocol, study_frame(spread({"baseline": 0.0, "cbam, 3×": 1.0})))
    assert alone.empty
    assert alone.columns.tolist() == COLUMNS

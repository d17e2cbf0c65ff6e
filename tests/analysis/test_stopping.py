"""The number of seeds: decided after the first six, from a hidden spread, and never changed by later seeds."""

import dataclasses

import numpy as np
import pytest

from attn_tutorial.analysis import PRIMARY_FAMILY, SEEN_COST, UNSEEN_COST, Stage, find_stage, hidden_sd
from attn_tutorial.analysis.primary import MARGIN_SHARE
from attn_tutorial.analysis.stopping import FEWER, LOOK, MORE, PRIMARY_SEEDS, hidden_results, stage_of
from attn_tutorial.errors import InputError
from attn_tutorial.study import Protocol, Study

pytestmark = pytest.mark.filterwarnings("error")

NAMES = ["baseline", *PRIMARY_FAMILY]
REDUCTIONS = dict(zip(NAMES, (0, 1.0, 2.0, 0.1, -1.0), strict=True))


@pytest.fixture
def study(study_frame, spread):
    def make(count, **changes):
        return study_frame(spread(REDUCTIONS, seeds=range(10, 10 + count), **changes))

    return make


def reductions_sd(frame, seeds):
    """The same standard deviation from the frame's accuracies alone."""
    chosen = frame[frame["types"].isin(["mosaic", "crowd"]) & frame["seed"].isin(seeds)]
    by_severity = chosen.pivot_table(index=["variant", "seed"], columns="severity", values="accuracy")
    costs = (by_severity[0] - by_severity[[1, 2, 3, 4, 5]].mean(axis=1)).unstack("seed")
    return np.sqrt(np.mean([np.var(costs.loc["baseline"] - costs.loc[name], ddof=1) for name in PRIMARY_FAMILY]))


def test_the_deviation_is_that_of_the_pairs_whatever_the_blocks_do(study_frame, spread):
    frame = study_frame(spread(REDUCTIONS))
    sd = hidden_sd(frame, range(10, 16))
    assert sd == pytest.approx(reductions_sd(frame, range(10, 16)))
    moved = study_frame(spread({**REDUCTIONS, "se": 5.0, "cbam": -3.0}))
    assert hidden_sd(moved, range(10, 16)) == pytest.approx(sd), "means do not enter"
    swapped = {"se": "spatial", "spatial": "cbam", "cbam": "se"}
    renamed = frame.assign(variant=frame["variant"].replace(swapped))
    assert hidden_sd(renamed, range(10, 16)) == pytest.approx(sd), "nor do names"


def test_before_six_seeds_nothing_is_decided(study):
    stage = find_stage(study(5), 0.6)
    assert (stage.sd, stage.wanted, stage.done) == (None, None, False)
    assert stage.complete == stage.planned[:5] == tuple(range(10, 15))
    assert stage.sentence.startswith("5 of the first 6 seeds are complete.")
    assert find_stage(study(5).iloc[:0], 0.6).sentence.startswith("0 of the first 6 seeds are complete.")


def test_ten_seeds_where_they_find_the_margin_and_fourteen_where_not(study):
    sd = hidden_sd(study(6), range(10, 16))
    few, many = find_stage(study(6), 1.2801 * sd), find_stage(study(6), 1.2799 * sd)
    assert (few.wanted, many.wanted) == (10, 14)
    assert few.sd == many.sd == pytest.approx(sd)
    assert find_stage(study(6), 1.28 * sd).wanted == 10, "equal is enough"
    assert not few.done
    assert few.seeds == list(range(10, 16))
    assert few.sentence == ("The study needs 10 seeds, and 6 of them are complete.")


def test_a_stage_is_complete_with_the_wanted_seeds(study):
    frame = study(14)
    sd = hidden_sd(frame, range(10, 16))
    few, many = find_stage(frame, 2 * sd), find_stage(frame, sd)
    assert (few.wanted, few.done, few.seeds) == (10, True, list(range(10, 20)))
    assert (many.wanted, many.done, many.seeds) == (14, True, list(range(10, 24)))
    thirteen = find_stage(frame[frame["seed"] != 23], sd)
    assert (thirteen.wanted, thirteen.done, len(thirteen.seeds)) == (14, False, 13)
    assert few.sentence == "The study needs 10 seeds, and 10 of them are complete."


def test_an_incomplete_seed_does_not_count(study):
    frame = study(10)
    hole = frame[(frame["seed"] != 17) | (frame["variant"] != "spatial")]
    stage = find_stage(hole, 5.0)
    assert (stage.wanted, stage.done) == (10, False)
    assert 17 not in stage.complete
    early = frame[(frame["seed"] != 12) | (frame["variant"] != "baseline")]
    assert find_stage(early, 5.0).wanted is None, "nine are complete, but not the first six"
    untested = frame[(frame["seed"] != 17) | (frame["variant"] != "se") | (frame["types"] != "crowd")]
    assert 17 not in find_stage(untested, 5.0).complete


def test_later_seeds_do_not_change_the_decision(study):
    frame = study(14)
    frame.loc[(frame["seed"] > 15) & (frame["severity"] > 0) & (frame["variant"] == "se"), "accuracy"] -= (
        frame["seed"] - 15
    ) * 2.0
    sd = hidden_sd(frame, range(10, 16))
    assert hidden_sd(frame, range(10, 24)) > 2 * sd
    assert find_stage(frame, 1.3 * sd).wanted == find_stage(frame[frame["seed"] < 16], 1.3 * sd).wanted == 10


def test_a_seed_that_diverged_can_be_replaced(study):
    frame = study(14)
    frame = frame[(frame["seed"] != 12) | (frame["variant"] != "se")]
    planned = [10, 11, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24]
    stage = find_stage(frame, 5.0, planned)
    assert stage.sd == pytest.approx(reductions_sd(frame, planned[:6]))
    assert (stage.done, stage.seeds) == (True, planned[:10])


def test_a_stage_tells_nothing_about_a_block():
    assert {field.name for field in dataclasses.fields(Stage)} == {"planned", "complete", "sd", "wanted"}


@pytest.mark.parametrize("planned", [range(13), [], [*range(13), 5]])
def test_a_plan_has_fourteen_seeds(study, planned):
    with pytest.raises(InputError, match=r"`planned` must contain at least 14 different seeds, but got"):
        find_stage(study(6), 0.5, planned)


@pytest.mark.parametrize("margin", [0.0, -0.5, np.nan])
def test_the_margin_must_be_above_0(study, margin):
    with pytest.raises(InputError, match="`margin` must be a number of points above 0"):
        find_stage(study(6), margin)


def test_the_analysis_has_the_numbers_of_the_protocol():
    protocol = Protocol.load("backgrounds")
    assert tuple(protocol.primary) == PRIMARY_FAMILY
    assert (tuple(protocol.outcome), tuple(protocol.secondary)) == (UNSEEN_COST, SEEN_COST)
    rule = protocol.seeds
    assert (rule.look, rule.fewer, rule.more) == (LOOK, FEWER, MORE)
    assert range(rule.first, rule.first + rule.more) == PRIMARY_SEEDS
    assert f"{100 * MARGIN_SHARE:.0f} % of the baseline's unseen cost" in protocol.text


def test_results_stay_hidden_until_stage_1_is_complete(study):
    published = {"preset": "published", "data": "cifar10"}
    backgrounds, protocol = Study.load("backgrounds"), Protocol.load("backgrounds")
    nine, ten = study(9).assign(**published), study(10).assign(**published)
    said = hidden_results(backgrounds, nine)
    assert said.startswith("The study needs 10 seeds, and 9 of them are complete. Until then")
    assert said.endswith("Runs that are done: baseline 9, se 9, cbam 9, spatial 9, non_local 9.")
    assert stage_of(protocol, ten).done
    assert hidden_results(backgrounds, ten) is None
    hole = ten[(ten["seed"] != 12) | (ten["variant"] != "spatial")]
    assert "5 of the first 6 seeds are complete" in hidden_results(backgrounds, hole)
    for untested in (ten["types"] == "mosaic", (ten["types"] == "crowd") & (ten["severity"] == 0)):
        said = hidden_results(backgrounds, ten[~untested])
        assert said.startswith("No run was tested on mosaic and crowd at all severities. Until then"), said


def test_only_the_study_with_the_protocol_hides_results(study):
    published = study(3).assign(preset="published", data="cifar10")
    backgrounds = Study.load("backgrounds")
    assert hidden_results(backgrounds, published) is not None
    assert hidden_results(backgrounds, published.assign(preset="quick")) is None
    assert hidden_results(backgrounds, published.assign(data="shapes")) is None
    assert hidden_results(backgrounds, published.iloc[:0]) is None
    assert hidden_results(Study.load("headline"), published) is None

"""Simulated studies: the protocol's rules make no more errors than they promise, and find what the printed power says.

The costs of a network: a cost of its composition, the luck of its seed (shared by all variants), and noise of its own.
A study has a baseline, the four blocks and, as the study "backgrounds" has, further variants without a claim.
"""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from attn_tutorial.analysis import (
    PRIMARY_FAMILY,
    Finding,
    chance_to_find,
    find_stage,
    judge_primary,
    judge_seen,
    smallest_reduction,
)
from attn_tutorial.analysis.stopping import FEWER, LOOK, MORE

pytestmark = pytest.mark.filterwarnings("error")

SD = 0.34  # of a paired difference
MARGIN = 0.6
TYPES = ("mosaic", "crowd")
PAIRED = ("paired_low", "paired_high", "paired_p", "paired_sd")
NONE = (0.0, 0.0, 0.0, 0.0)


def simulate(studies, reductions=NONE, seeds=10, controls=0, sd=SD, seed=0):
    """Unseen costs of studies, (studies, compositions, variants, seeds): the baseline, the family, the controls.

    Half of a network's noise is the same for both compositions; the standard deviation over seeds of a paired
    difference of their mean is `sd`.
    """
    draw = np.random.default_rng(seed).normal
    variants = 1 + len(reductions) + controls
    shared = draw(0, 1, (studies, 1, variants, seeds)) + draw(0, 1, (studies, len(TYPES), variants, seeds))
    noise = shared * sd / np.sqrt(2) / np.sqrt(1.5)
    truth = np.array([0.0, *reductions, *[0.0] * controls])[:, None]
    luck = draw(0, 1, (studies, 1, 1, seeds))
    return np.array([6.0, 10.0])[:, None, None] + luck + noise - truth


def judged(costs):
    """The findings of studies, (studies, compositions, variants, seeds): for each, those of its four blocks.

    The model and Holm's correction are computed for all studies at once: a simulation cannot wait for one fit each.
    """
    studies, _, variants, seeds = costs.shape
    unseen = costs.mean(axis=1)
    means, luck = unseen.mean(axis=2, keepdims=True), unseen.mean(axis=1, keepdims=True)
    freedom = (variants - 1) * (seeds - 1)
    squares = ((unseen - means - luck + unseen.mean(axis=(1, 2), keepdims=True)) ** 2).sum(axis=(1, 2))
    sd = np.sqrt(2 * squares / freedom)[:, None]
    estimate = (means[:, :1] - means[:, 1:5])[:, :, 0]
    half = stats.t.ppf(0.975, freedom) * sd / np.sqrt(seeds)
    low, high = estimate - half, estimate + half
    p = 2 * stats.t.sf(abs(estimate) / sd * np.sqrt(seeds), freedom)
    order = np.argsort(p, axis=1)
    steps = np.maximum.accumulate(np.take_along_axis(p, order, 1) * [4, 3, 2, 1], axis=1)
    adjusted = np.minimum(np.take_along_axis(steps, np.argsort(order, axis=1), 1), 1)
    by_types = (costs[:, :, :1] - costs[:, :, 1:5]).mean(axis=3)
    # At severity 0 all variants are alike, so that the accuracy in clutter rises by what the cost falls.
    return [
        [
            Finding(
                variant=variant, margin=MARGIN, estimate=estimate[study, row], low=low[study, row],
                high=high[study, row], p=p[study, row], p_adjusted=adjusted[study, row], sd=sd[study, 0], seeds=seeds,
                variants=variants, family=4, by_types=dict(zip(TYPES, by_types[study, :, row], strict=True)),
                accuracy=estimate[study, row], severity_0=0.0, **dict.fromkeys(PAIRED, np.nan),
            )
            for row, variant in enumerate(PRIMARY_FAMILY)
        ]
        for study in range(studies)
    ]  # fmt: skip


def study_of(study_frame, costs):
    """The frame of a ledger with these costs."""
    names = ["baseline", *PRIMARY_FAMILY, *map(str, range(costs.shape[1] - 5))]
    return study_frame({
        name: {
            10 + seed: {**dict(zip(TYPES, costs[:, row, seed], strict=True)), "surround+noise": costs[0, row, seed]}
            for seed in range(costs.shape[2])
        }
        for row, name in enumerate(names)
    })  # fmt: skip


def at_most(rate, promised, trials):
    """Whether a rate is not above what is promised, by more than three standard errors."""
    return rate <= promised + 3 * np.sqrt(promised * (1 - promised) / trials)


def near(rate, expected, trials):
    """Whether a rate is within three standard errors of what is expected."""
    return abs(rate - expected) <= 3 * np.sqrt(expected * (1 - expected) / trials)


@pytest.mark.parametrize("controls", [0, 3])
def test_the_simulation_takes_the_way_of_a_real_study(study_frame, controls):
    studies = simulate(3, (0.9, 0.6, 0.3, 0.0), controls=controls)
    for costs, findings in zip(studies, judged(studies), strict=True):
        expected = judge_primary(study_of(study_frame, costs), MARGIN)
        for short, full in zip(findings, expected, strict=True):
            assert short.verdict == full.verdict
            assert short.by_types == pytest.approx(full.by_types)
            for name in ("estimate", "low", "high", "p", "p_adjusted", "sd", "accuracy", "seeds", "variants"):
                assert getattr(short, name) == pytest.approx(getattr(full, name), rel=1e-6), name


def rates_without_effects(studies, **changes):
    """Coverage of the intervals; share of studies with a block that is found, and with one that is supported."""
    findings = judged(simulate(studies, **changes))
    covered = np.mean([finding.low <= 0 <= finding.high for study in findings for finding in study])
    found = np.mean([any(finding.p_adjusted < 0.05 for finding in study) for study in findings])
    supported = np.mean([any(finding.verdict == "supported" for finding in study) for study in findings])
    return covered, found, supported


def test_without_effects_intervals_cover_and_claims_are_rare():
    covered, found, supported = rates_without_effects(4000)
    assert 0.94 <= covered <= 0.96
    assert at_most(found, 0.05, 4000)
    assert found > 0.03, "Holm is not needlessly strict"
    assert supported == 0.0, "noise does not reach a margin of 1.8 standard deviations"


def test_without_effects_and_with_a_small_margin_claims_are_rare_too():
    # A standard deviation with which ten seeds only just find the margin, and one with which they cannot.
    for sd in (MARGIN / 1.28, 3 * MARGIN):
        _, _, supported = rates_without_effects(2000, sd=sd, seed=1)
        assert at_most(supported, 0.025, 2000), "only a reduction is supported, so one side of the test counts"


def test_some_effects_do_not_raise_the_rate_of_false_findings_among_the_others():
    studies = judged(simulate(2000, (3.0, 3.0, 0.0, 0.0), seed=2))
    assert all(study[0].p_adjusted < 0.05 for study in studies)
    assert at_most(np.mean([any(finding.p_adjusted < 0.05 for finding in study[2:]) for study in studies]), 0.05, 2000)


@pytest.mark.parametrize("controls", [0, 5])
def test_power_is_as_printed(controls):
    """One block has an effect. Holm gives it at least the printed power, which is that of Holm's first step."""
    variants = 5 + controls
    effect = smallest_reduction(SD, 10, variants)
    findings = [study[0] for study in judged(simulate(2000, (effect, 0, 0, 0), controls=controls, seed=3))]
    first_step = np.mean([finding.p * 4 < 0.05 and finding.estimate > 0 for finding in findings])
    assert near(first_step, 0.8, 2000)
    assert first_step <= np.mean([finding.p_adjusted < 0.05 for finding in findings]) < first_step + 0.03


def test_the_chance_of_support_is_as_printed():
    effect = smallest_reduction(SD, 10, 5, margin=MARGIN)
    verdicts = [study[0].verdict for study in judged(simulate(2000, (effect, 0, 0, 0), seed=4))]
    assert near(verdicts.count("supported") / 2000, 0.8, 2000)


def test_an_effect_of_the_margin_is_supported_half_of_the_time_and_seldom_refuted():
    verdicts = [study[0].verdict for study in judged(simulate(4000, (MARGIN, 0, 0, 0), seed=5))]
    assert near(verdicts.count("supported") / 4000, chance_to_find(MARGIN, SD, 10, 5, margin=MARGIN), 4000)
    assert near(verdicts.count("refuted") / 4000, 0.025, 4000)


def test_a_block_without_an_effect_is_refuted_where_the_seeds_suffice():
    verdicts = [finding.verdict for study in judged(simulate(500, seed=6)) for finding in study]
    assert verdicts.count("refuted") / len(verdicts) > 0.95


def test_an_effect_on_one_composition_only_is_not_supported():
    costs = simulate(500, (1.0, 0, 0, 0), seed=7)
    costs[:, 0, 1] -= 1.5  # so 2.5 points on mosaic
    costs[:, 1, 1] += 1.5  # and half a point worse on crowd
    first = [study[0] for study in judged(costs)]
    assert np.mean([finding.p_adjusted < 0.05 and finding.estimate > MARGIN for finding in first]) > 0.95
    assert np.mean([finding.verdict == "supported" for finding in first]) < 0.03


def wanted_seeds(costs):
    """How many seeds the first six of a study, (compositions, variants, seeds), ask for."""
    unseen = costs.mean(axis=0)[:, :LOOK]
    sd = np.sqrt((unseen[0] - unseen[1:5]).var(axis=1, ddof=1).mean())
    return FEWER if 1.28 * sd <= MARGIN else MORE


def test_the_stopping_rule_does_not_raise_the_rate_of_false_findings(study_frame):
    studies = simulate(4000, seeds=MORE, sd=MARGIN / 1.28, seed=8)  # both numbers are as likely
    for costs in studies[:3]:
        assert find_stage(study_of(study_frame, costs), MARGIN).wanted == wanted_seeds(costs)
    numbers = [wanted_seeds(costs) for costs in studies]
    assert 0.3 < numbers.count(FEWER) / 4000 < 0.7
    fewer = np.array(numbers) == FEWER
    found = judged(studies[fewer][:, :, :, :FEWER]) + judged(studies[~fewer])
    assert at_most(np.mean([any(finding.p_adjusted < 0.05 for finding in study) for study in found]), 0.05, 4000)
    assert 0.935 <= np.mean([finding.low <= 0 <= finding.high for study in found for finding in study]) <= 0.965


def test_a_quieter_control_makes_the_pooled_intervals_too_narrow():
    """Why `pooled` exists: the model assumes one standard deviation for all variants."""
    costs = simulate(2000, controls=6, seed=9)
    costs[:, :, 5:] = costs[:, :, :5].mean(axis=2, keepdims=True)  # the controls have hardly any noise of their own
    everything, without = (
        np.mean([finding.low <= 0 <= finding.high for study in judged(chosen) for finding in study])
        for chosen in (costs, costs[:, :, :5])
    )
    assert everything < 0.85
    assert 0.94 <= without <= 0.96


def test_seen_costs_are_judged_only_for_blocks_that_passed_in_a_simulated_study(study_frame):
    [costs] = simulate(1, (1.5, 0.0, 1.4, 0.0), seed=10)
    frame = study_of(study_frame, costs)
    findings = judge_primary(frame, MARGIN)
    assert judge_seen(frame, findings)["variant"].tolist() == ["se", "spatial"]
    undecided = [replace(finding, p_adjusted=1.0) for finding in findings]
    assert judge_seen(frame, undecided).empty


@pytest.mark.parametrize("alike", [0.0, 0.5, 0.9])
def test_the_key_secondary_makes_few_false_findings(alike):
    """No block reduces the seen cost. About half of them pass the primary test, whose noise correlates by `alike`."""
    unseen = judged(simulate(4000, (MARGIN,) * 4, seed=13))
    same, other = simulate(4000, seed=13), simulate(4000, seed=14)
    seen = judged(alike * same + np.sqrt(1 - alike**2) * other)
    false = 0
    for primary, secondary in zip(unseen, seen, strict=True):
        p = [second.p for first, second in zip(primary, secondary, strict=True) if first.verdict == "supported"]
        false += bool(p) and min(p) * len(p) < 0.05  # the first step of Holm's correction
    assert at_most(false / 4000, 0.05, 4000)


@pytest.mark.soak
@pytest.mark.parametrize("controls", [0, 6])
@pytest.mark.parametrize("seeds", [4, 10, 14])
def test_many_studies_without_effects(seeds, controls):
    covered, found, supported = rates_without_effects(20_000, seeds=seeds, controls=controls, sd=MARGIN, seed=11)
    assert 0.945 <= covered <= 0.955
    assert at_most(found, 0.05, 20_000)
    assert at_most(supported, 0.025, 20_000)


@pytest.mark.soak
@pytest.mark.parametrize("seeds", [4, 10, 14])
@pytest.mark.parametrize("margin", [0.0, MARGIN])
def test_power_in_many_studies(seeds, margin):
    effect = smallest_reduction(SD, seeds, 5, margin=margin)
    findings = [study[0] for study in judged(simulate(20_000, (effect, 0, 0, 0), seeds=seeds, seed=12))]
    rate = np.mean([finding.p * 4 < 0.05 and finding.estimate >= margin for finding in findings])
    assert near(rate, 0.8, 20_000)

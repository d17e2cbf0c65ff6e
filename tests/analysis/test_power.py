"""Power against statsmodels, against the protocol's numbers, and against the inverse."""

import math

import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from attn_tutorial.analysis import chance_to_find, minimal_detectable_effect, seeds_needed, smallest_reduction
from attn_tutorial.errors import InputError


@pytest.mark.parametrize("seeds", [4, 6, 10, 14, 40])
@pytest.mark.parametrize("blocks", [1, 4])
def test_two_variants_have_the_power_of_statsmodels_paired_t_test(seeds, blocks):
    upper_side = TTestPower().power(1.3, nobs=seeds, alpha=0.05 / blocks / 2, alternative="larger")
    assert chance_to_find(0.65, 0.5, seeds, blocks=blocks) == pytest.approx(upper_side, abs=1e-5)
    smallest = 0.5 * TTestPower().solve_power(nobs=seeds, alpha=0.05 / blocks, power=0.8)
    assert smallest_reduction(0.5, seeds, blocks=blocks) == pytest.approx(smallest, rel=1e-4)


def test_the_protocols_numbers():
    assert smallest_reduction(1.0, 10) == pytest.approx(1.28, abs=0.005)
    assert smallest_reduction(1.0, 14) == pytest.approx(1.02, abs=0.005)
    assert smallest_reduction(0.34, 10) == pytest.approx(0.44, abs=0.005)
    [row] = minimal_detectable_effect(0.34, [10], 4).to_dict("records")
    assert smallest_reduction(0.34, 10) == pytest.approx(row["holm"], rel=1e-4)


@pytest.mark.parametrize("variants", [3, 5, 12])
def test_more_variants_are_a_t_test_with_more_degrees_of_freedom(variants):
    freedom = (variants - 1) * 9
    threshold = stats.t.ppf(1 - 0.0125 / 2, freedom)
    expected = stats.nct.sf(threshold, freedom, 1.2 * math.sqrt(10))
    assert chance_to_find(1.2, 1.0, 10, variants) == pytest.approx(expected, abs=1e-5)


def test_a_margin_takes_power():
    assert chance_to_find(0.6, 0.3, 10, 5, margin=0.6) == pytest.approx(0.5, abs=0.001), "estimates lie on both sides"
    assert chance_to_find(0.6, 0.3, 10, 5) > 0.99
    assert chance_to_find(0.6, 0.3, 10, 5, margin=1e-9) == pytest.approx(chance_to_find(0.6, 0.3, 10, 5))
    assert chance_to_find(0.1, 5.0, 4, margin=0.1) < 0.05, "a small margin does not help where the test finds nothing"


@pytest.mark.parametrize(("variants", "margin"), [(2, 0.0), (5, 0.0), (5, 0.7), (12, 0.2)])
@pytest.mark.parametrize("seeds", [4, 10, 33])
def test_the_numbers_are_inverse_to_each_other(seeds, variants, margin):
    smallest = smallest_reduction(0.4, seeds, variants, margin=margin)
    assert chance_to_find(smallest, 0.4, seeds, variants, margin=margin) == pytest.approx(0.8)
    assert seeds_needed(smallest * 1.0001, 0.4, variants, margin=margin) == seeds
    if seeds > 4:
        assert seeds_needed(smallest * 0.9999, 0.4, variants, margin=margin) == seeds + 1


def test_seeds_needed_is_the_smallest_number():
    for reduction in (0.2, 0.31, 0.5, 2.0):
        needed = seeds_needed(reduction, 0.4, 5)
        assert chance_to_find(reduction, 0.4, needed, 5) >= 0.8
        assert needed == 4 or chance_to_find(reduction, 0.4, needed - 1, 5) < 0.8


@pytest.mark.parametrize(
    "wrong",
    [{"sd": 0.0}, {"sd": math.nan}, {"seeds": 3}, {"variants": 1}, {"blocks": 0}, {"chance": 1.0}, {"margin": -0.1}],
    ids=str,
)
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(InputError, match=r"`sd` must be above 0, `seeds` at least 4.* but got .* Change the one"):
        smallest_reduction(**{"sd": 0.3, "seeds": 10, **wrong})


def test_a_reduction_up_to_the_margin_needs_more_seeds_than_there_are():
    with pytest.raises(InputError, match=r"`reduction` must be above `margin` \(0\.6 points\), but got 0\.6\."):
        seeds_needed(0.6, 0.3, margin=0.6)
    with pytest.raises(InputError, match="`reduction` must be above `margin`"):
        seeds_needed(0.0, 0.3)

"""The protocol's four conditions, on runs whose answer is known."""

import math

import pandas as pd
import pytest

from attn_tutorial.analysis.outcomes import areas
from attn_tutorial.analysis.verdicts import difference, judge

TYPES = "fragments+noise"
SEEDS = (0.0, 0.3, -0.2)  # what a seed adds to all variants alike
OWN = (0.02, -0.03, 0.01)  # and to a block alone


def accuracies(**variants):
    """By variant: its accuracy at severity 0, and what a step of severity costs."""
    return pd.DataFrame(
        [
            {"run_id": f"{variant}{seed}", "preset": "p", "fingerprint": "f", "backbone": "b",
             "variant": variant, "seed": seed, "types": TYPES, "severity": severity,
             "accuracy": start + shared + (own if variant == "block" else 0)
             - (step - (own / 10 if variant == "block" else 0)) * severity}
            for variant, (start, step) in variants.items()
            for seed, (shared, own) in enumerate(zip(SEEDS, OWN, strict=True))
            for severity in range(6)
        ]
    )  # fmt: skip


def lesions(same, other):
    """Harm at severities 0 and 5 by the gates of another image: none at 0."""
    return pd.DataFrame(
        [
            {"run_id": f"block{seed}", "variant": "block", "seed": seed, "lesion": lesion, "severity": severity,
             "harm": (harm + own) * (severity == 5), "low": 0.0, "high": 0.0}
            for lesion, harm in (("other_same_class", same), ("other_class", other), ("mean", -9), ("none", 0))
            for seed, own in enumerate(OWN)
            for severity in (0, 5)
        ]
    )  # fmt: skip


def verdict(block, static=(80, 4), same=1.0, other=2.0):
    frame = accuracies(baseline=(80, 4), block=block, static=static)
    return judge(frame, lesions(same, other), "block", "baseline", "static", TYPES)


def test_support_wants_all_four_conditions():
    good = verdict((81, 3.5))
    assert good.word == "supported"
    assert good.gain.mean == pytest.approx(1 + 0.5 * 2.5, abs=0.01)
    assert good.steadier.mean == pytest.approx(0.5, abs=0.01)
    assert good.beyond_static.mean == pytest.approx(good.gain.mean)
    assert (good.harm_of_class.mean, good.harm_of_class.seeds) == (pytest.approx(1.0), 3)
    assert (good.harm_of_others.mean, good.harm_of_others.seeds) == (pytest.approx(2.0), 3)
    assert verdict((83, 4.2)).word == "undecided", "better, but falls faster"
    assert verdict((81, 3.5), static=(83, 3.5)).word == "undecided", "a gate that does not look does as well"
    assert verdict((81, 3.5), same=-1.0).word == "undecided", "gates of another image of the class do no harm"
    assert verdict((81, 3.5), other=-1.0).word == "undecided"


def test_both_harms_must_be_shown():
    frame = accuracies(baseline=(80, 4), block=(81, 3.5), static=(80, 4))
    wide = lesions(same=1.0, other=2.0)
    wide["harm"] += 4 * (wide["seed"] - 1) * (wide["lesion"] == "other_class") * (wide["severity"] == 5)
    found = judge(frame, wide, "block", "baseline", "static", TYPES)
    assert found.harm_of_others.mean == pytest.approx(2.0), "larger than the other, but its interval holds 0"
    assert (found.not_shown, found.word) == (["harm by gates of another class"], "undecided")
    alike = lesions(same=1.0, other=2.0)
    alike.loc[alike["lesion"] == "other_class", "harm"] = 2.0  # seeds that do not differ: no interval
    assert judge(frame, alike, "block", "baseline", "static", TYPES).word == "undecided"


def test_refuted_is_what_gains_less_than_the_margin():
    assert verdict((80.1, 4)).word == "refuted"
    assert verdict((78, 4)).word == "refuted"
    assert verdict((80.48, 4)).word == "undecided", "its interval reaches beyond half a point"


def test_with_one_seed_nothing_is_said():
    frame = accuracies(baseline=(80, 4), block=(85, 3), static=(80, 4))
    alone = judge(frame[frame["seed"] == 0], lesions(1, 2).query("seed == 0"), "block", "baseline", "static", TYPES)
    assert alone.word == "undecided"
    assert alone.gain.reading == "one seed, no interval"
    assert alone.gain.mean == pytest.approx(7.525)
    assert math.isnan(alone.gain.low)


def test_what_is_missing_is_not_made_up():
    frame = accuracies(baseline=(80, 4), block=(81, 3.5))
    found = judge(frame, lesions(1, 2), "block", "baseline", "static", TYPES)
    assert (found.beyond_static, found.word) == (None, "undecided")
    assert judge(frame, lesions(1, 2), "other", "baseline", "static", TYPES).word == "not measured"
    channel_only = lesions(1, 2).query("lesion != 'other_same_class'")
    found = judge(frame, channel_only, "block", "baseline", "static", TYPES)
    assert (found.harm_of_class, found.harm_of_others.seeds) == (None, 3)
    assert "harm by gates of its class" in found.not_shown


def test_a_difference_is_read_by_its_interval():
    outcomes = areas(accuracies(baseline=(80, 4), block=(81, 4), static=(79, 4)), TYPES)
    assert difference(outcomes, "block", "baseline").reading == "the interval excludes 0 (not tested)"
    assert difference(outcomes, "baseline", "block").reading == "the interval excludes 0 (not tested)"
    assert difference(outcomes, "baseline", "none") is None
    noisy = outcomes.assign(value=outcomes["value"] + outcomes["seed"] * (outcomes["variant"] == "block") * 3)
    assert difference(noisy, "block", "baseline").reading == "within noise"

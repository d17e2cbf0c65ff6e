"""What a pilot's verdicts are called in plain words, and what another recipe does to a difference."""

import pandas as pd
import pytest

from attn_tutorial.pages import (
    change_sentences,
    cost_sentences,
    cost_table,
    finding_sentence,
    lesson_sentence,
    summary_sentences,
    verdict_sentences,
)


def table(**rows):
    """By variant: its gain, seeds, verdict, and which conditions are not shown."""
    columns = ["gain over the baseline", "seeds", "verdict", "not shown"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("variant")


MIXED = table(
    se=("-0.40 [-0.90, +0.10]", 3, "refuted", "gain over the baseline"),
    cbam=("-0.20 [-0.60, +0.20]", 3, "refuted", "gain over the baseline"),
    non_local=("+1.20 [+0.90, +1.50]", 3, "undecided", "slope beyond the baseline's"),
    spatial=("–", 0, "not measured", ""),
)


def test_the_summary_names_each_verdicts_blocks_and_leaves_out_what_was_not_measured():
    assert summary_sentences(MIXED) == [
        "**Supported**: none of the 3 measured.",
        "**Refuted (the interval excludes a gain of 0.5 points or more)**: "
        "`se` (-0.40 [-0.90, +0.10]), `cbam` (-0.20 [-0.60, +0.20]).",
        "**Undecided**: `non_local` (+1.20 [+0.90, +1.50]).",
    ]
    assert summary_sentences(table(se=("+2.00 [+1.00, +3.00]", 3, "supported", "")))[0] == (
        "**Supported**: `se` (+2.00 [+1.00, +3.00])."
    )


def test_each_verdict_is_a_sentence():
    first, _, third = verdict_sentences(MIXED)
    assert first == (
        "`se` is refuted by the protocol's rule, because the interval excludes a gain of 0.5 points or more. "
        "Its gain is -0.40 [-0.90, +0.10] points (3 seeds). Not shown: gain over the baseline."
    )
    assert third.startswith(
        "`non_local` is undecided, because not all four conditions are shown to hold. Its gain is +1.20 ["
    )


def test_the_finding_counts_the_verdicts_of_what_was_measured():
    assert finding_sentence(MIXED).endswith("is supported for none of 3 blocks, refuted for 2 and undecided for 1.")


def accuracies(**variants):
    """By variant: a list of its accuracies, a seed each, the same at all severities."""
    return pd.DataFrame(
        [
            {"run_id": f"{variant}{seed}", "preset": "p", "fingerprint": "f", "clutter_version": 2, "backbone": "b",
             "variant": variant, "seed": seed, "types": "fragments+noise", "severity": severity, "accuracy": value}
            for variant, values in variants.items()
            for seed, value in enumerate(values)
            for severity in range(6)
        ]
    )  # fmt: skip


CHANGES = {"SGD": (("cbam_sgd", "baseline_sgd"), ("cbam", "baseline"))}


@pytest.mark.parametrize(
    ("sgd", "said"),
    [
        ((71.0, 71.5), "+1.25 [-1.93, +4.43] points, {usual}: another sign; the change is +2.75 [-6.78, +12.28]"),
        ((67.0, 67.5), "-2.75 [-5.93, +0.43] points, {usual}: the same sign; the change is -1.25 [-10.78, +8.28]"),
    ],
)
def test_another_recipe_is_compared_on_the_seeds_of_both(sgd, said):
    frame = accuracies(baseline=[70, 71, 72], cbam=[69, 69, 90], baseline_sgd=[70, 70], cbam_sgd=sgd)
    [sentence] = change_sentences(frame, CHANGES)
    said = said.format(usual="`cbam` against `baseline` -1.50 [-7.85, +4.85]")
    assert sentence == f"**SGD**: `cbam_sgd` against `baseline_sgd` {said} (2 seeds: within noise)."


def test_another_recipe_without_a_common_seed_is_said_to_be_missing():
    frame = accuracies(baseline=[70, 71], cbam=[69, 69], baseline_sgd=[70, 70])
    assert change_sentences(frame, CHANGES) == ["**SGD**: no seed of all four networks is done."]


def costs(**variants):
    """By variant: what `mosaic` costs it with each seed, in points; every network is right at 80 % without clutter."""
    clean = accuracies(**{variant: [80.0] * len(values) for variant, values in variants.items()})
    cost = [variants[variant][seed] for variant, seed in zip(clean["variant"], clean["seed"], strict=True)]
    lost = pd.Series(cost, index=clean.index).where(clean["severity"] > 0, 0)
    return clean.assign(types="mosaic", accuracy=clean["accuracy"] - lost)


def test_the_lesson_says_what_each_type_of_the_outcome_costs():
    parts = {"fragments": costs(baseline=[12, 13]), "noise": costs(baseline=[1, 2])}
    frame = pd.concat([accuracies(baseline=[70, 71]), *(part.assign(types=name) for name, part in parts.items())])
    assert lesson_sentence(frame) == (
        "`fragments` hides the target and costs the plain network 12.5 points, and `noise` hides nothing and costs the "
        "plain network 1.5 points. So the outcome mostly measures hidden targets."
    )
    other = frame.replace({"types": {"fragments": "noise", "noise": "fragments"}})
    assert lesson_sentence(other).endswith("`noise` hides nothing and costs the plain network 12.5 points.")
    assert lesson_sentence(frame[frame["types"] != "fragments"]) == "", "nothing to compare"


def test_costs_are_compared_with_each_variants_own_reference():
    frame = costs(baseline=[4, 5, 6], cbam=[1, 3, 2], long=[3], cbam_long=[2])
    table = cost_table(frame, {"baseline": ["cbam", "long"], "long": ["cbam_long"]}, "mosaic")
    assert table.index.tolist() == ["baseline", "cbam", "long", "cbam_long"], "each once, in the frame's order"
    assert table["compared with"].tolist() == ["–", "baseline", "baseline", "long"]
    assert table["cost"].tolist() == [5, 2, 3, 2]
    assert table[["severity 0", "mean 1–5"]].values.tolist() == [[80, 75], [80, 78], [80, 77], [80, 78]]
    assert table["reduction"].tolist() == ["–", "3.00 [0.52, 5.48]", "1.00", "1.00"]
    assert cost_table(frame, {"missing": []}, "mosaic").empty


def test_the_sentences_say_who_loses_less_who_loses_more_and_what_is_within_noise():
    frame = costs(
        baseline=[4, 5, 6], better=[1, 2.1, 3], best=[0.5, 1.6, 2.5], worse=[6, 7, 8.1], same=[5, 4, 6], one=[4]
    )
    first, fewer, more, rest = cost_sentences(frame, "mosaic")
    assert first == "The baseline loses 5.00 [2.52, 7.48] points to `mosaic`, 3 seeds."
    assert fewer.startswith("Reductions of this cost whose intervals lie above 0 (not tested): `best` +3.47 [+3.32, ")
    assert "`better` +2.97" in fewer
    assert more.startswith("Larger costs, whose intervals lie below 0 (not tested): `worse` -2.03")
    assert rest == "Within noise, or without an interval: `same` +0.00 [-2.48, +2.48], `one` +0.00."

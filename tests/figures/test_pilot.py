"""What a pilot's verdicts are called in plain words."""

import pandas as pd

from attn_tutorial.figures import summary_sentences, verdict_sentences


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
        "**Helps in clutter because it looks**: none of the 3 measured.",
        "**A gain of 0.5 points or more is unlikely**: `se` (-0.40 [-0.90, +0.10]), `cbam` (-0.20 [-0.60, +0.20]).",
        "**Undecided**: `non_local` (+1.20 [+0.90, +1.50]).",
    ]
    assert summary_sentences(table(se=("+2.00 [+1.00, +3.00]", 3, "supported", "")))[0] == (
        "**Helps in clutter because it looks**: `se` (+2.00 [+1.00, +3.00])."
    )


def test_each_verdict_is_a_sentence():
    first, _, third = verdict_sentences(MIXED)
    assert first == (
        "`se` speaks against it: the interval lies below +0.5 points, so a gain worth having is unlikely "
        "(-0.40 [-0.90, +0.10] points against the baseline, 3 seeds; not shown: gain over the baseline)."
    )
    assert third.startswith("`non_local` is undecided, as not all four conditions are shown to hold (+1.20 [")

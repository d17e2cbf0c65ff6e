"""The headroom is drawn, tabulated and said as the frame has it."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from attn_tutorial.errors import InputError
from attn_tutorial.figures import describe_headroom_figure, headroom_figure, headroom_sentences, headroom_table

STEPS = {"surround+noise": 1.0, "mosaic": 2.0, "crowd": 3.0}


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def rows(variant, seeds=1, share=1.0, types=tuple(STEPS), spread=1.0):
    """Accuracies that fall from 80 by a step for each severity, or by a share of it; seeds lie apart by a spread."""
    return [
        {
            "run_id": f"{variant}{seed}", "variant": variant, "seed": seed, "types": kind, "severity": severity,
            "accuracy": 80 + spread * seed - share * (1 + 0.1 * seed) * STEPS[kind] * severity,
        }
        for seed in range(seeds)
        for kind in types
        for severity in range(6)
    ]  # fmt: skip


@pytest.fixture
def frame():
    return pd.DataFrame(rows("baseline", 2) + rows("oracle gate", 2, share=0.25))


def test_each_background_has_a_panel_with_the_cost_of_the_baseline_shaded(frame):
    figure = headroom_figure(frame)
    assert [axes.get_title() for axes in figure.axes] == list(STEPS)
    for axes, step in zip(figure.axes, STEPS.values(), strict=True):
        means = {line.get_label(): line.get_ydata() for line in axes.lines if line.get_label() in set(frame["variant"])}
        fall = 1.05 * step * np.arange(6)
        assert np.allclose(means["baseline"], 80.5 - fall)
        assert np.allclose(means["oracle gate"], 80.5 - 0.25 * fall)
        dashed = next(line for line in axes.lines if line.get_linestyle() == "--")
        assert list(dashed.get_ydata()) == [80.5, 80.5]
        (shaded,) = axes.collections
        heights = shaded.get_paths()[0].vertices[:, 1]
        assert (heights.min(), heights.max()) == pytest.approx((80.5 - fall[-1], 80.5))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["baseline", "oracle gate"]


def test_the_figure_is_put_in_words(frame):
    assert describe_headroom_figure(frame) == (
        "Accuracy in percent from severity 0 to 5, by the kind of background. "
        "surround+noise: baseline 80 to 75, oracle gate 80 to 79; mosaic: baseline 80 to 70, oracle gate 80 to 78; "
        "crowd: baseline 80 to 65, oracle gate 80 to 77."
    )


def test_costs_are_tabulated(frame):
    table = headroom_table(frame).set_index(["background", "variant"])
    assert table.loc[("crowd", "baseline")].tolist() == pytest.approx([80.5, 71.0, 9.4, 2], abs=0.11)
    assert table.loc[("crowd", "oracle gate"), "cost"] == pytest.approx(2.4, abs=0.06)
    assert len(table) == 6


def test_the_sentences_say_what_is_lost_and_what_is_won_back():
    frame = pd.DataFrame(rows("baseline") + rows("oracle gate", share=0.25))
    won = "oracle gate wins back 75 % of that."
    assert headroom_sentences(frame) == [
        f"To seen backgrounds (surround+noise) the baseline loses 3.0 points, 1 seed; {won}",
        f"To unseen backgrounds (mosaic and crowd) the baseline loses 7.5 points, 1 seed; {won}",
    ]
    worse = pd.DataFrame(rows("baseline") + rows("oracle gate", share=1.5))
    assert "wins back -50 % of that" in headroom_sentences(worse)[0]


def test_several_seeds_give_intervals(frame):
    seen, _ = headroom_sentences(frame)
    # Costs of 3.0 and 3.3: the t interval of two seeds is 12.7 times the half of their difference.
    assert "[1.2, 5.1] points, 2 seeds; oracle gate wins back 75 % of that." in seen


def test_without_a_baseline_or_an_unseen_kind_less_is_said():
    oracle = pd.DataFrame(rows("oracle gate"))
    assert headroom_sentences(oracle) == []
    only_seen = pd.DataFrame(rows("baseline", types=("surround+noise",)) + rows("oracle gate"))
    assert len(headroom_sentences(only_seen)) == 1
    assert [axes.get_title() for axes in headroom_figure(only_seen).axes] == ["surround+noise"]


def test_records_of_two_kinds_are_refused(frame):
    mixed = pd.concat([frame.assign(preset="quick"), frame.assign(preset="full-cpu")])
    with pytest.raises(InputError, match="one kind"):
        headroom_figure(mixed)

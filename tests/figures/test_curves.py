"""Curves of training: a line for each run, or, of many variants, a panel for each."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest

from attn_tutorial.figures import describe_learning_curves, learning_curves
from attn_tutorial.ledger.record import CurvePoint


def records(*variants, seeds=2):
    """Runs whose loss falls by 1 from 2, and by a tenth less with each variant and each seed."""
    return [
        SimpleNamespace(
            variant=variant,
            run_id=f"{variant}{seed}",
            curve=[
                CurvePoint(samples=1000 * (1 + step), loss=2 + 0.1 * (place + seed) - step, accuracy=0.2 + 0.5 * step)
                for step in (0, 1)
            ],
        )
        for place, variant in enumerate(variants)
        for seed in range(seeds)
    ]


def losses(axes):
    return [line.get_ydata()[-1] for line in axes.lines if len(line.get_ydata())]


def test_few_variants_share_the_axes():
    figure = learning_curves(records("baseline", "se"))
    loss, accuracy = figure.axes
    assert losses(loss) == pytest.approx([1.0, 1.1, 1.1, 1.2])
    assert losses(accuracy) == pytest.approx([70] * 4)
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["baseline", "se"]
    plt.close(figure)


@pytest.mark.parametrize("baseline", ["baseline", "half length", None])
def test_many_variants_get_a_panel_each_with_the_baselines_runs_behind(baseline):
    names = [f"variant {number}" for number in range(7)]
    figure = learning_curves(records(*[baseline] * bool(baseline), *names), baseline or "not there")
    shown = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title() for axes in shown] == names
    behind = [1.0, 1.1] if baseline else []
    for number, axes in enumerate(shown, start=len(behind) // 2):
        assert losses(axes) == pytest.approx([*behind, 1 + 0.1 * number, 1.1 + 0.1 * number])
    assert figure.get_supylabel() == "loss in training" + (f"; grey: {baseline}" if baseline else "")
    plt.close(figure)


def test_the_description_has_each_variants_means():
    said = describe_learning_curves(records("baseline", "se") + records("cbam", seeds=1))
    assert said.endswith(
        "means over runs: baseline (2 runs): loss 2.05 to 1.05, accuracy 20% to 70%; "
        "se (2 runs): loss 2.15 to 1.15, accuracy 20% to 70%; cbam (1 run): loss 2.00 to 1.00, accuracy 20% to 70%."
    )


def test_the_description_of_panels_tells_what_they_draw():
    said = describe_learning_curves(records(*(f"variant {number}" for number in range(7)), seeds=1))
    assert said.startswith("Training loss over the images seen")
    assert "variant 6 (1 run): loss 2.60 to 1.60." in said
    assert "accuracy" not in said

"""What whole networks cost, and what they gain for it."""

from collections.abc import Iterable
from statistics import median

import matplotlib.pyplot as plt
import pandas as pd
import torch
from matplotlib.figure import Figure

from attn_tutorial.analysis.outcomes import BASELINE
from attn_tutorial.analysis.statistics import paired_differences, seed_differences
from attn_tutorial.blocks.measure import count_flops, peak_bytes, seconds_in_turn
from attn_tutorial.datasets import CLASS_COUNT
from attn_tutorial.errors import InputError
from attn_tutorial.figures.style import draw_mark, mark_legend, markers, palette
from attn_tutorial.study import PlannedRun
from attn_tutorial.training import build_network, thread_count

_MEASURES = {"parameters": "parameters", "MFLOP": "operations", "time": "time"}


def network_costs(runs: Iterable[PlannedRun], batch: int, rounds: int, baseline: str = BASELINE) -> pd.DataFrame:
    """Count and time the networks of a study in this process, on one thread, on random canvases.

    Args:
        runs: one for each variant, the baseline among them.
        batch: canvases in a pass.
        rounds: of timing; the networks take turns in each.
        baseline: the variant that times are compared with.

    Returns:
        a row a variant; columns: `variant`; `parameters` (trained); `MFLOP` (millions of floating-point operations of a
        forward pass of one canvas, see `blocks.measure.count_flops`); `ms` (of a forward and a backward pass of the
        batch); `time` (the median over the rounds of its time ÷ the baseline's); `MB` (the most that the pass holds).

    Raises:
        InputError: the baseline is not among the runs.

    """
    runs = list(runs)
    _check_baseline(baseline, [run.variant for run in runs])
    networks = {run.variant: build_network(run.spec, CLASS_COUNT) for run in runs}
    side = runs[0].spec.clutter.canvas
    x = torch.randn((batch, 3, side, side), generator=torch.Generator().manual_seed(0)).requires_grad_()
    with thread_count(1):
        seconds = seconds_in_turn(networks, x, rounds)
    rows = [
        {
            "variant": variant,
            "parameters": sum(weights.numel() for weights in network.parameters() if weights.requires_grad),
            "MFLOP": count_flops(network, x) / batch / 1e6,
            "ms": 1000 * median(seconds[variant]),
            "time": median(own / plain for own, plain in zip(seconds[variant], seconds[baseline], strict=True)),
            "MB": peak_bytes(network, x) / 1e6,
        }
        for variant, network in networks.items()
    ]
    return pd.DataFrame(rows)


def gain_figure(costs: pd.DataFrame, outcomes: pd.DataFrame, baseline: str = BASELINE) -> Figure:
    """Draw the gain in accuracy over what it costs more than the baseline: parameters, operations and time.

    Marks are means over seeds with 95 % t intervals, paired by seed; small dots are the seeds.

    Args:
        costs: of `network_costs`.
        outcomes: an outcome frame, see `study.outcomes`.
        baseline: the variant that costs and accuracies are compared with.

    Raises:
        InputError: the baseline has no costs, or no run.

    """
    table = _gains(costs, outcomes, baseline)
    seeds = seed_differences(outcomes, baseline)
    colours, marks = palette(table.index), markers(table.index)
    figure, panels = plt.subplots(
        len(_MEASURES), 1, figsize=(5.2, 2.3 * len(_MEASURES) + 0.15 * len(table) + 0.4), sharey=True
    )
    for axes, (measure, name) in zip(panels, _MEASURES.items(), strict=True):
        axes.axhline(0, color=plt.rcParams["text.color"], linewidth=1)
        for variant, row in table.iterrows():
            colour, x = colours[str(variant)], row[measure]
            differences = seeds[seeds["variant"] == variant]["difference"]
            axes.plot([x] * len(differences), differences, ".", color=colour, alpha=0.6, markersize=4)
            axes.vlines(x, row["low"], row["high"], color=colour, linewidth=1.4)
            draw_mark(axes, x, row["difference"], colour, marks[str(variant)])
        if measure != "time":
            axes.set_xscale("symlog", linthresh=0.1)  # from a few weights to a seventh of the network
            axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel(f"{name}, % above {baseline}")
    figure.supylabel(f"points of accuracy above {baseline}", fontsize=12)
    mark_legend(figure, colours, marks)
    return figure


def describe_gain_figure(costs: pd.DataFrame, outcomes: pd.DataFrame, baseline: str = BASELINE) -> str:
    """Say in sentences what `gain_figure` shows, for readers who do not see it."""
    texts = [
        f"{variant} {row['difference']:+.1f} points for "
        + ", ".join(f"{row[measure]:+.1f} % {name}" for measure, name in _MEASURES.items())
        for variant, row in _gains(costs, outcomes, baseline).iterrows()
    ]
    return f"Gain in accuracy over added cost, against {baseline}: {'; '.join(texts)}."


def _gains(costs: pd.DataFrame, outcomes: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Paired differences, and costs in percent above the baseline's, by variant."""
    _check_baseline(baseline, costs["variant"])
    measures = costs.set_index("variant")[list(_MEASURES)]
    added = 100 * (measures / measures.loc[baseline] - 1)
    return paired_differences(outcomes, baseline).set_index("variant").join(added, how="inner")


def _check_baseline(baseline: str, variants: Iterable[str]) -> None:
    known = list(dict.fromkeys(variants))
    if baseline not in known:
        raise InputError(
            f"baseline {baseline!r} was given, of which there is no network; there are networks of {', '.join(known)}"
        )

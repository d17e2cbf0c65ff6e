"""The page of what networks cost: what is counted, what is timed, and what the records say each network gains."""

from collections.abc import Iterator

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown, display
from matplotlib.figure import Figure

from attn_tutorial.analysis.outcomes import areas, as_gains, distraction_costs
from attn_tutorial.analysis.statistics import paired_differences
from attn_tutorial.figures.colours import ROLE_COLOURS
from attn_tutorial.figures.gains import describe_gain_figure, gain_figure
from attn_tutorial.figures.style import NARROW, SMALL_TEXT, show, show_table
from attn_tutorial.figures.tables import (
    cost_outcomes,
    difference_table,
    distraction_cost_table,
    main_types,
    record_table,
)
from attn_tutorial.ledger import Held, Ledger, held_in
from attn_tutorial.pages.results import largest_preset, standing, visible
from attn_tutorial.study import Study

_CHEAP = 1.02  # times the baseline's operations
_AS_BASELINE = "as the baseline"


def cost_sentence(costs: pd.DataFrame, baseline: str) -> str:
    """Say how much longer networks take that add few operations; an empty text if there are none.

    Args:
        costs: the frame of `analysis.network_costs`.
        baseline: the variant that costs are compared with.

    """
    others = _ratios(costs, baseline)
    cheap = others[others["operations"] < _CHEAP]["time"]
    if cheap.empty:
        return ""
    return (
        f"{len(cheap)} of {len(others)} networks add less than {100 * (_CHEAP - 1):.0f} % of operations, but take up "
        f"to {cheap.max():.2f} times as long as the plain network."
    )


def time_sentences(costs: pd.DataFrame, baseline: str) -> list[str]:
    """Say how far time and operations differ, and which networks cannot be told from the baseline by time.

    Args:
        costs: the frame of `analysis.network_costs`.
        baseline: the variant that costs are compared with.

    """
    others = _ratios(costs, baseline)
    rank = others["time"].corr(others["operations"], method="spearman")
    gap = others.iloc[int((others["time"] / others["operations"]).argmax())]
    same = [f"`{name}`" for name in others.index[others["same time"]]]
    return [
        f"Over these networks the rank correlation of time and operations is {rank:.2f}. The same order would give 1.",
        f"The widest gap is in `{gap.name}`: {gap['operations']:.2f} times the operations of the plain network, and "
        f"{gap['time']:.2f} times its time.",
        f"These take as long as the plain network, within noise: {', '.join(same) or 'none'}.",
    ]


def show_costs(costs: pd.DataFrame, baseline: str) -> None:
    """Display each network's operations and time beside the baseline's.

    Args:
        costs: the frame of `analysis.network_costs`.
        baseline: the variant that costs are compared with.

    """
    show(
        lambda: _cost_figure(costs, baseline),
        _describe_cost_figure(costs, baseline),
        "Operations and time, as multiples of the baseline's. Networks with few operations come first. The lines are "
        "95 % intervals of the time over rounds. Where two lines overlap, either network may be the faster one.",
    )


def show_cost_table(costs: pd.DataFrame, study: Study, batch: int) -> None:
    """Display all costs as numbers, in the order of operations.

    Args:
        costs: the frame of `analysis.network_costs`.
        study: the study whose networks these are.
        batch: number of canvases in a timed pass.

    """
    table = costs.set_index("variant")
    same = _ratios(costs, study.baseline)["same time"].reindex(table.index, fill_value=False)
    shown = pd.DataFrame(
        {
            "parameters": table["parameters"].map("{:,.0f}".format),
            "MFLOP": table["MFLOP"].map("{:.1f}".format),
            "time ÷ baseline's": table["time"].map("{:.2f}".format).mask(same, _AS_BASELINE),
            "95 % interval": [
                "–" if name == study.baseline else f"{row['time_low']:.2f} to {row['time_high']:.2f}"
                for name, row in table.iterrows()
            ],
            "memory, MB": table["MB"].map("{:.1f}".format),
        }
    ).loc[table.sort_values(["MFLOP", "parameters"]).index]
    plain = costs.loc[costs["variant"] == study.baseline, "ms"]
    show_table(
        shown,
        f"Networks of the study {study.name}, a batch of {batch} on one thread. The baseline takes {plain.mean():.0f} "
        f"ms. “{_AS_BASELINE}”: the interval of the time includes 1.",
    )


def read_gains(study: Study, ledger: Ledger, backbone: str, preset: str | None = None) -> list[Held]:
    """Return a study's runs in one backbone, at one preset: the largest one with records, or the one that is named."""
    return largest_preset((held for held in held_in(study, ledger) if held.backbone == backbone), preset)


def gain_sentences(study: Study, ledger: Ledger, kinds: list[Held], costs: pd.DataFrame) -> list[str]:
    """Say which blocks gain something with their whole interval, one sentence for each kind of runs.

    Args:
        study: the study whose runs say what networks gain.
        ledger: the records.
        kinds: what `read_gains` returned.
        costs: the frame of `analysis.network_costs`; only networks that it contains count.

    """
    lines = []
    for _, frame in _compared(study, ledger, kinds):
        if not _can_compare(study, frame):
            continue
        outcomes, measure = _outcomes(frame)
        rows = paired_differences(outcomes, study.baseline).set_index("variant")
        rows = rows[rows.index.isin(costs["variant"]) & rows.index.isin(study.family)]
        above = [f"`{name}`" for name in rows.index[rows["low"] > 0]]
        lines.append(
            f"Blocks whose gain has an interval above 0 ({measure} the plain network): "
            f"{', '.join(above) if above else 'none'} of {len(rows)}."
        )
    return lines


def show_gains(study: Study, ledger: Ledger, kinds: list[Held], costs: pd.DataFrame) -> None:
    """Display the gains of a study's runs over what their networks cost, or why there are none to show.

    Args:
        study: the study whose runs say what networks gain.
        ledger: the records.
        kinds: what `read_gains` returned.
        costs: the frame of `analysis.network_costs`.

    """
    if not kinds:
        display(Markdown(f"No run of the study {study.name} in this backbone is here yet."))
    for held in kinds:
        hidden = visible(study, ledger, held)
        if isinstance(hidden, str):
            display(Markdown(hidden))
    for held, frame in _compared(study, ledger, kinds):
        display(Markdown(f"**{_about(study, held, frame)}**"))
        if not _can_compare(study, frame):
            display(Markdown("There are no two variants to compare, the baseline among them."))
            continue
        _show_gain_figure(costs, frame, study.baseline)


def _show_gain_figure(costs: pd.DataFrame, frame: pd.DataFrame, baseline: str) -> None:
    outcomes, measure = _outcomes(frame)
    show(
        lambda: gain_figure(costs, outcomes, baseline, measure),
        describe_gain_figure(costs, outcomes, baseline, measure),
        "Gain against cost. Higher is better, and further left is cheaper. Lines are 95 % intervals over seeds; small "
        "dots are seeds.",
    )


def show_gain_tables(study: Study, ledger: Ledger, kinds: list[Held]) -> None:
    """Display the numbers of the figure of gains, and the records behind it."""
    for _, frame in _compared(study, ledger, kinds):
        if not _can_compare(study, frame):
            continue
        if unseen := cost_outcomes(frame).get("unseen"):
            table = distraction_cost_table(frame, unseen, study.baseline, study.family)
            caption = f"The unseen distraction cost ({' and '.join(unseen)}) in points, 95 % t interval over seeds."
        else:
            types = main_types(frame)
            table = difference_table(frame, types, study.baseline, study.family)
            caption = f"Difference from the baseline on {types}, in points, 95 % t interval over seeds."
        show_table(table, caption)
        show_table(record_table(frame), "The records behind it.")


def _compared(study: Study, ledger: Ledger, kinds: list[Held]) -> Iterator[tuple[Held, pd.DataFrame]]:
    """Yield the runs that may be shown, with the accuracies of the baseline and of what is compared with it."""
    for held in kinds:
        shown = visible(study, ledger, held)
        if not isinstance(shown, str):
            frame = ledger.frame(shown.runs)
            yield shown, frame[frame["variant"].isin([study.baseline, *study.comparisons[study.baseline]])]


def _can_compare(study: Study, frame: pd.DataFrame) -> bool:
    return study.baseline in set(frame["variant"]) and frame["variant"].nunique() > 1


def _outcomes(frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return the outcome that counts as a gain, and what it is called."""
    if unseen := cost_outcomes(frame).get("unseen"):
        return as_gains(distraction_costs(frame, unseen)), "points of unseen cost below"
    return areas(frame, main_types(frame)), "points of accuracy above"


def _about(study: Study, held: Held, frame: pd.DataFrame) -> str:
    return (
        f"{standing(study, held, frame)}{study.title}; {held.images.source}; preset {held.preset}; {held.backbone}; "
        f"seeds: {frame['seed'].nunique()}"
    )


def _ratios(costs: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Return the other networks' operations and times as multiples of the baseline's, few operations first."""
    table = costs.set_index("variant").sort_values(["MFLOP", "parameters"])
    plain = table.loc[baseline]
    return pd.DataFrame(
        {
            "operations": table["MFLOP"] / plain["MFLOP"],
            "time": table["time"],
            "low": table["time_low"],
            "high": table["time_high"],
            "same time": (table["time_low"] <= 1) & (table["time_high"] >= 1),
        }
    ).drop(index=baseline)


def _cost_figure(costs: pd.DataFrame, baseline: str) -> Figure:
    rows = _ratios(costs, baseline)
    places = range(len(rows))
    figure, axes = plt.subplots(figsize=(NARROW, 0.27 * len(rows) + 1.4))
    axes.axvline(1, color=plt.rcParams["text.color"], linewidth=1)
    axes.hlines(places, rows["low"], rows["high"], color=ROLE_COLOURS["clear"], linewidth=2)
    axes.plot(rows["time"], places, "o", color=ROLE_COLOURS["clear"], label="time", markersize=6)
    axes.plot(
        rows["operations"], places, "s", color=ROLE_COLOURS["noise"], label="operations", markersize=6,
        markerfacecolor="none", markeredgewidth=1.6,
    )  # fmt: skip
    axes.set(ylim=(len(rows) - 0.5, -0.5))
    axes.set_yticks(places, rows.index)
    figure.supxlabel(f"times those of {baseline}")
    figure.legend(*axes.get_legend_handles_labels(), fontsize=SMALL_TEXT, loc="outside upper center", ncols=2)
    return figure


def _describe_cost_figure(costs: pd.DataFrame, baseline: str) -> str:
    rows = [
        f"{name} {row['operations']:.2f} times the operations, {row['time']:.2f} times the time"
        for name, row in _ratios(costs, baseline).iterrows()
    ]
    return f"Operations and time beside those of {baseline}: {'; '.join(rows)}."

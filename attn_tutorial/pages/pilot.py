"""What the pilot found: a table of verdicts and sentences, from a ledger's frames, and the answer that it gives."""

import itertools
import statistics
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
from IPython.display import Markdown, display

from attn_tutorial.analysis.outcomes import BASELINE, areas, as_gains, distraction_costs, slopes
from attn_tutorial.analysis.statistics import MARGIN, intervals
from attn_tutorial.analysis.verdicts import Found, Verdict, difference, judge
from attn_tutorial.clutter.names import axis_of
from attn_tutorial.figures.forest import describe_forest_plot, forest_plot
from attn_tutorial.figures.style import show
from attn_tutorial.figures.tables import (
    by_axis,
    difference_table,
    distraction_cost_table,
    interval_text,
    main_types,
    types_with_costs,
)
from attn_tutorial.ledger import Ledger, held_in
from attn_tutorial.study import Study

_PILOT, _PILOT_PRESET = "pilot", "full-cpu"
_UNSEEN = "mosaic"
"""The pilot's one strong background that hides nothing and that no network was trained on."""
_REFUTED = f"the interval excludes a gain of {MARGIN:g} points or more"
_SAYS = {
    "supported": "supported by the protocol's rule, because all four conditions hold",
    "refuted": f"refuted by the protocol's rule, because {_REFUTED}",
    "undecided": "undecided, because not all four conditions are shown to hold",
    "not measured": "not measured yet",
}
_HEADINGS = {"supported": "Supported", "refuted": f"Refuted ({_REFUTED})", "undecided": "Undecided"}


def show_interim(progress: str, ledger: Ledger) -> None:
    """Display the pilot's answer, as long as the study of backgrounds has none.

    Args:
        progress: a sentence that says how far that study is.
        ledger: contains the pilot's records.

    """
    lines = [f"**It is not known yet.** {progress} Until then there is the pilot's answer."]
    frame = pilot_frame(ledger)
    if frame.empty:
        display(Markdown(lines[0]))
        return
    study = Study.load(_PILOT)
    compared = frame[frame["variant"].isin([study.baseline, *study.comparisons[study.baseline]])]
    lines += interim_sentences(compared, study)
    display(Markdown("\n".join(f"- {line}" for line in lines)))
    reductions = as_gains(distraction_costs(compared, [_UNSEEN]))
    reductions["variant"] = reductions["variant"].map(study.label)
    baseline, controls = study.label(study.baseline), [study.label(name) for name in study.controls]
    show(
        lambda: forest_plot(reductions, baseline, controls, None, f"points of the cost of {_UNSEEN} below the"),
        describe_forest_plot(reductions, baseline, controls),
        f"The pilot, exploratory: by how much each network lessens what {_UNSEEN} costs the plain network. Further "
        "right is better. Below the line are controls.",
    )


def interim_sentences(frame: pd.DataFrame, study: Study) -> list[str]:
    """Say what the pilot found: on its primary outcome, and on the one strong background that hides nothing.

    Args:
        frame: the accuracies of the pilot's runs that are compared with the baseline.
        study: the pilot.

    """
    blocks = [name for name in study.family if name in set(frame["variant"])]
    seeds = frame["seed"].nunique()
    gains = {name: difference(areas(frame, main_types(frame)), name, study.baseline) for name in blocks}
    above = [f"{study.label(name)} {_text(each)}" for name, each in gains.items() if each is not None and each.above]
    costs = as_gains(distraction_costs(frame, [_UNSEEN]))
    fewer = {name: difference(costs, name, study.baseline) for name in blocks}
    lower = [study.label(name) for name, each in fewer.items() if each is not None and each.above]
    return [
        f"Where clutter hides the target, the pilot ({_seeds(seeds)}) found a gain with an interval above 0 for "
        f"{', '.join(above) if above else 'none'} of {len(blocks)} blocks.",
        f"On `{_UNSEEN}`, a background that hides nothing and that training did not show, the cost was lower with an "
        f"interval above 0 for {len(lower)} of {len(blocks)} blocks{': ' if lower else ''}{'; '.join(lower)}. This was "
        "seen after the fact, so it is a hypothesis.",
    ]


def pilot_frame(ledger: Ledger) -> pd.DataFrame:
    """Return the accuracies of the pilot's own runs: those that its plan has, at its preset."""
    study = Study.load(_PILOT)
    frames = [
        ledger.frame(study.plan(_PILOT_PRESET, held.images))
        for held in held_in(study, ledger)
        if held.preset == _PILOT_PRESET
    ]
    return max(frames, key=len) if frames else ledger.frame([])


def verdict_table(
    frame: pd.DataFrame, lesions: pd.DataFrame, variants: Sequence[str], static: str, baseline: str = BASELINE
) -> pd.DataFrame:
    """Judge blocks by the four conditions of the protocol, see `analysis.verdicts`.

    Args:
        frame: `Ledger.frame()` of one study at one preset on one image set.
        lesions: `ledger.frames.lesion_frame` of the same runs.
        variants: the names of the blocks under test.
        static: the variant whose gates do not depend on the image.
        baseline: the variant that the blocks are compared with.

    Returns:
        a row for each variant that has runs; columns: `verdict`; means in points with their 95 % t intervals, as text;
        `80 % power`, as in `difference_table`; `seeds`; `not shown`, the conditions that are not shown to hold.

    """
    types = main_types(frame)
    there = [name for name in variants if name in set(frame["variant"])]
    compared = frame[frame["variant"].isin([baseline, *there])]
    power = difference_table(compared, types, baseline, family=there)["80 % power"]
    rows = {name: _row(judge(frame, lesions, name, baseline, static, types)) for name in there}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("variant")
    if len(table):
        table.insert(2, "80 % power", power.reindex(there))  # beside the gain
    return table


def _row(verdict: Verdict) -> dict[str, object]:
    return {
        "verdict": verdict.word,
        **{name: "–" if each is None else _text(each) for name, each in verdict.conditions.items()},
        "seeds": verdict.gain.seeds if verdict.gain else 0,
        "not shown": ", ".join(verdict.not_shown),
    }


def verdict_sentences(table: pd.DataFrame) -> list[str]:
    """Return a sentence for each measured row of a `verdict_table`."""
    return [
        f"`{name}` is {_SAYS[row['verdict']]}. Its gain is {row['gain over the baseline']} points "
        f"({_seeds(row['seeds'])}).{' Not shown: ' + row['not shown'] + '.' if row['not shown'] else ''}"
        for name, row in table.to_dict("index").items()
        if row["seeds"]
    ]


def summary_sentences(table: pd.DataFrame) -> list[str]:
    """Return a line for each verdict: the blocks of a `verdict_table` that have it, with their gains."""
    measured = table[table["seeds"] > 0]
    lines = []
    for word, heading in _HEADINGS.items():
        rows = measured[measured["verdict"] == word]
        gains = [f"`{name}` ({gain})" for name, gain in rows["gain over the baseline"].items()]
        lines.append(f"**{heading}**: {', '.join(gains) or f'none of the {len(measured)} measured'}.")
    return lines


def finding_sentence(table: pd.DataFrame) -> str:
    """Say how many blocks of a `verdict_table` have each verdict, without their gains."""
    measured = table[table["seeds"] > 0]
    counts = [f"{word} for {(measured['verdict'] == word).sum() or 'none'}" for word in _HEADINGS]
    return (
        f"By rules that were fixed in advance, the claim that attention helps in such clutter is {counts[0]} of "
        f"{len(measured)} blocks, {counts[1]} and {counts[2]}."
    )


def lesson_sentence(frame: pd.DataFrame, baseline: str = BASELINE) -> str:
    """Say what each clutter type of the primary outcome costs the baseline, and what the outcome measures therefore.

    Args:
        frame: `Ledger.frame()` of one study at one preset on one image set.
        baseline: the variant whose costs are reported.

    Returns:
        a text; it is empty if the types were not tested alone, or all lie on one axis.

    """
    plain = frame[frame["variant"] == baseline]
    alone = [name for name in main_types(frame).split("+") if name in types_with_costs(plain)]
    costs = {name: distraction_costs(plain, [name])["value"].mean() for name in reversed(by_axis(alone))}
    hiding = {name: cost for name, cost in costs.items() if axis_of(name) == "occlusion"}
    if not hiding or len(hiding) == len(costs):
        return ""
    text = ", and ".join(
        f"`{name}` {'hides the target' if name in hiding else 'hides nothing'} and costs the plain network {cost:.1f} "
        "points"
        for name, cost in costs.items()
    )
    if min(hiding.values()) <= max(cost for name, cost in costs.items() if name not in hiding):
        return f"{text}."
    return f"{text}. So the outcome mostly measures hidden targets."


def benchmark_sentence(frame: pd.DataFrame, baseline: str = BASELINE) -> str:
    """Say how far accuracy falls with severity, and how much it varies from seed to seed.

    Args:
        frame: `Ledger.frame()` of one study at one preset on one image set.
        baseline: the variant whose accuracies are reported.

    """
    types = main_types(frame)
    plain = frame[(frame["variant"] == baseline) & (frame["types"] == types)]
    means = plain.groupby("severity")["accuracy"].mean().to_dict()
    severities, values = list(means), list(means.values())
    steps = [before - after for before, after in itertools.pairwise(values)]
    fall = -slopes(plain, types)["value"].mean()
    text = (
        f"The baseline names {values[0]:.1f} % of the test images right at severity {severities[0]} and "
        f"{values[-1]:.1f} % at severity {severities[-1]}: {fall:.2f} points less with each step, the smallest step "
        f"{min(steps):.1f} and the largest {max(steps):.1f}."
    )
    spread = {row["variant"]: row for row in intervals(areas(frame, types)).to_dict("records")}
    own = spread[baseline]
    if own["seeds"] < 2:
        return text
    median = statistics.median(row["sd"] for row in spread.values() if row["seeds"] > 1)
    return (
        f"{text} Its mean over the severities, {own['mean']:.1f} %, has a standard deviation of {own['sd']:.2f} points "
        f"over {own['seeds']} seeds; the median of all variants with several seeds is {median:.2f}."
    )


def cost_table(frame: pd.DataFrame, comparisons: Mapping[str, Sequence[str]], types: str) -> pd.DataFrame:
    """Return the distraction cost of every variant on one composition, each compared with its own reference.

    Args:
        frame: `Ledger.frame()` of one study at one preset on one image set.
        comparisons: by reference, the variants that are compared with it: `Study.comparisons`.
        types: the composition of clutter types.

    Returns:
        the rows of `figures.distraction_cost_table`, each variant once, with a column `compared with`.

    """
    parts = []
    for reference, names in comparisons.items():
        chosen = frame[frame["variant"].isin([reference, *names])]
        if chosen.empty:
            continue
        table = distraction_cost_table(chosen, [types], reference)
        table.insert(0, "compared with", ["–" if name == reference else reference for name in table.index])
        parts.append(table)
    if not parts:
        return pd.DataFrame()
    table = pd.concat(parts)
    table = table[~table.index.duplicated()]  # a reference may itself be compared with another one
    return table.reindex([name for name in frame["variant"].unique() if name in table.index])


def cost_sentences(frame: pd.DataFrame, types: str, baseline: str = BASELINE) -> list[str]:
    """Say how many points the baseline loses on one composition, and which variants lose fewer or more.

    Args:
        frame: see `cost_table`; the baseline and the variants that are compared with it.
        types: the composition of clutter types.
        baseline: the variant that the others are compared with.

    """
    costs = distraction_costs(frame, [types])
    own = intervals(costs[costs["variant"] == baseline]).iloc[0]
    gains = as_gains(costs)
    found = {name: difference(gains, name, baseline) for name in costs["variant"].unique() if name != baseline}
    fewer: list[str] = []
    more: list[str] = []
    unclear: list[str] = []
    for name, each in sorted(found.items(), key=lambda pair: -(pair[1].mean if pair[1] else 0)):
        if each is not None:
            group = fewer if each.above else more if each.high < 0 else unclear
            group.append(f"`{name}` {_text(each)}")
    cost = interval_text(own["mean"], own["low"], own["high"])
    lines = [f"The baseline loses {cost} points to `{types}`, {_seeds(int(own['seeds']))}."]
    for group, words in (
        (fewer, "Reductions of this cost whose intervals lie above 0 (not tested)"),
        (more, "Larger costs, whose intervals lie below 0 (not tested)"),
        (unclear, "Within noise, or without an interval"),
    ):
        if group:
            lines.append(f"{words}: {', '.join(group)}.")
    return lines


def contrast_sentences(frame: pd.DataFrame, pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Say how far some variants lie above others on the primary outcome, paired by seed.

    Args:
        frame: `Ledger.frame()` of one study at one preset on one image set.
        pairs: pairs of variants; each first one is compared with its second one.

    Returns:
        a sentence for each pair, in order; it says so if the pair has no seed in common.

    """
    outcomes = areas(frame, main_types(frame))
    return [_contrast(one, other, difference(outcomes, one, other)) for one, other in pairs]


def change_sentences(frame: pd.DataFrame, changes: Mapping[str, tuple[tuple[str, str], tuple[str, str]]]) -> list[str]:
    """Say whether a difference keeps its sign under another recipe, and by how much it changes, seed by seed.

    Args:
        frame: `Ledger.frame()` of one study at one preset on one image set.
        changes: by the name of what changes, the pair of variants under the other recipe and the pair under the usual
            one.

    Returns:
        a sentence for each change, over the seeds that all four variants have; it says so if they have none.

    """
    outcomes = areas(frame, main_types(frame))
    return [_change(outcomes, name, *pairs) for name, pairs in changes.items()]


def _change(outcomes: pd.DataFrame, name: str, there: tuple[str, str], usual: tuple[str, str]) -> str:
    seeds = [set(outcomes.loc[outcomes["variant"] == variant, "seed"]) for variant in (*there, *usual)]
    same = outcomes[outcomes["seed"].isin(set.intersection(*seeds))]
    wide = same.pivot(index="seed", columns="variant", values="value")
    new, old = difference(same, *there), difference(same, *usual)
    if new is None or old is None:
        return f"**{name}**: no seed of all four networks is done."
    gains = {"there": wide[there[0]] - wide[there[1]], "usual": wide[usual[0]] - wide[usual[1]]}
    long = pd.DataFrame(gains).melt(ignore_index=False, var_name="variant", value_name="value").reset_index()
    change = difference(long, "there", "usual")
    assert change is not None  # both sides have the same seeds
    sign = "another sign" if new.mean * old.mean < 0 else "the same sign"
    return (
        f"**{name}**: `{there[0]}` against `{there[1]}` {_text(new)} points, `{usual[0]}` against `{usual[1]}` "
        f"{_text(old)}: {sign}; the change is {_text(change)} ({_seeds(change.seeds)}: {change.reading})."
    )


def _contrast(one: str, other: str, found: Found | None) -> str:
    if found is None:
        return f"`{one}` against `{other}`: no seed of both is done."
    return f"`{one}` against `{other}`: {_text(found)} points, {_seeds(found.seeds)}: {found.reading}."


def _text(found: Found) -> str:
    return interval_text(found.mean, found.low, found.high, "+.2f")


def _seeds(count: int) -> str:
    return f"{count} seed{'s' if count > 1 else ''}"

"""The book's answer: three sentences, a figure and tables, from the ledger by the rules of the study's protocol."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from IPython.display import Markdown, display

from attn_tutorial.analysis.contrasts import cost_reductions
from attn_tutorial.analysis.explanations import Remains, explain, gain_remains
from attn_tutorial.analysis.outcomes import distraction_costs, won_back
from attn_tutorial.analysis.primary import Finding, joined, judge_primary, judge_seen
from attn_tutorial.analysis.resampling import bootstrap_reductions, read_image_costs
from attn_tutorial.analysis.statistics import intervals
from attn_tutorial.analysis.stopping import Stage, stage_of
from attn_tutorial.figures.outcomes import describe_outcome_figure, outcome_figure
from attn_tutorial.figures.style import show, show_table
from attn_tutorial.figures.tables import interval_text
from attn_tutorial.ledger import Held, Ledger, held_in
from attn_tutorial.study import Protocol, Study

_ORACLE = "oracle gate"


@dataclass(frozen=True)
class Results:
    """What a ledger has of the study with a protocol, once stage 1 is complete."""

    study: Study
    protocol: Protocol
    held: Held
    frame: pd.DataFrame
    """Accuracies of all runs of the study at the protocol's scale."""
    stage: Stage
    findings: list[Finding]
    """Of the blocks under test, in the protocol's order."""

    @property
    def counted(self) -> pd.DataFrame:
        """Return the rows of the seeds that count for the primary outcome."""
        return self.frame[self.frame["seed"].isin(self.stage.seeds)]

    @property
    def variants(self) -> list[str]:
        """Return the variants of stage 1, as the main figure shows them."""
        protocol = self.protocol
        return [protocol.baseline, *protocol.primary, protocol.pooling, _ORACLE]


def read_results(study: Study, ledger: Ledger) -> Results | str:
    """Return the results of a study with a protocol; before stage 1 is complete, a sentence that says how far it is."""
    assert study.protocol is not None
    protocol = Protocol.load(study.protocol)
    for held in held_in(study, ledger):
        frame = ledger.frame(held.runs)
        if not protocol.covers(held.preset, held.images.name) or frame.empty:
            continue
        stage = stage_of(protocol, frame)
        if not stage.done:
            return stage.sentence
        findings = judge_primary(
            frame, protocol.margin, protocol.primary, protocol.baseline, stage.seeds, protocol.pooled
        )
        return Results(study, protocol, held, frame, stage, findings)
    return "The study has no runs yet."


def answer_sentences(results: Results) -> list[str]:
    """Return the answer in three sentences: which blocks help and how much, which do not, and how much there is to win.

    Args:
        results: of the study.

    """
    remains = gain_remains(results.protocol, explain(results.protocol, results.frame))
    return [_who_helps(results, remains), _who_does_not(results), _how_much_there_is(results)]


def show_answer(results: Results) -> None:
    """Display the answer, and on how many seeds, images and samples it stands."""
    sentences = " ".join(answer_sentences(results))
    display(Markdown(f"{sentences}\n\n*{_scale(results)}*"))


def show_main_figure(results: Results) -> None:
    """Display what seen and unseen backgrounds cost the networks of stage 1."""
    show(
        lambda: outcome_figure(results.counted, results.study, results.variants),
        describe_outcome_figure(results.counted, results.study, results.variants),
        "What backgrounds cost. Further left is better. Marks are means over seeds with 95 % intervals, dots are "
        "seeds, and the vertical line is the plain network.",
    )


def show_verdicts(results: Results) -> None:
    """Display each block's primary outcome, its verdict, and how small an effect could have been found."""
    rows = {}
    for each in results.findings:
        rows[results.study.label(each.variant)] = {
            "verdict": each.verdict,
            "reduction of the unseen cost": interval_text(each.estimate, each.low, each.high),
            "p (Holm)": _p(each.p_adjusted),
            **{f"on {types}": f"{value:+.2f}" for types, value in each.by_types.items()},
            "accuracy, unseen": f"{each.accuracy:+.2f}",
            "accuracy, severity 0": f"{each.severity_0:+.2f}",
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("block")
    show_table(table, "Points, against the plain network of the same seed; 95 % intervals.")
    first = results.findings[0]
    display(
        Markdown(
            f"The margin is {first.margin:g} points. With {first.seeds} seeds, a true reduction of "
            f"{first.smallest_found:.2f} points is found with a chance of 80 %, and one of "
            f"{first.smallest_supported:.2f} points is supported with that chance."
        )
    )


def show_seen(results: Results) -> None:
    """Display the key secondary outcome, for the blocks that passed the primary one."""
    protocol = results.protocol
    table = judge_seen(results.frame, results.findings, protocol.baseline, results.stage.seeds, protocol.pooled)
    if table.empty:
        display(Markdown("No block passed the primary outcome, so the seen cost is not tested."))
        return
    _show_reductions(results, table, "The seen cost: reductions in points, against the plain network; 95 % intervals.")


def show_pooling(results: Results) -> None:
    """Display each block against one weighing of places at the network's end."""
    protocol = results.protocol
    table = cost_reductions(
        results.frame, protocol.outcome, protocol.primary, protocol.pooling, results.stage.seeds,
        [protocol.baseline],
    )  # fmt: skip
    if table.empty:
        return
    caption = "The unseen cost: reductions in points, against attention pooling. Below 0: attention pooling loses less."
    _show_reductions(results, table, caption)


def show_other_analyses(results: Results, ledger: Ledger) -> None:
    """Display the primary outcome by other analyses: paired t tests, a bootstrap, and each precision by itself."""
    protocol, seeds = results.protocol, results.stage.seeds
    found = results.findings
    columns: dict[str, Mapping[str, str]] = {
        "the protocol's model": {each.variant: interval_text(each.estimate, each.low, each.high) for each in found},
        "paired t test": {
            each.variant: interval_text(each.estimate, each.paired_low, each.paired_high) for each in found
        },
    }
    runs = [run for run in results.held.runs if run.variant in (protocol.baseline, *protocol.primary)]
    costs = read_image_costs(ledger, runs, protocol.outcome)
    if {variant for variant, _ in costs} == {protocol.baseline, *protocol.primary}:
        drawn = bootstrap_reductions(costs, protocol.primary, protocol.baseline, seeds)
        columns["bootstrap of seeds and images"] = _texts(drawn)
    precisions = results.counted.groupby("seed")["precision"].agg(lambda each: " and ".join(sorted(each.unique())))
    if precisions.nunique() > 1:
        for precision, of_precision in precisions.groupby(precisions):
            table = cost_reductions(
                results.frame, protocol.outcome, protocol.primary, protocol.baseline, of_precision.index,
                protocol.pooled,
            )  # fmt: skip
            columns[f"{precision}, {len(of_precision)} seeds"] = _texts(table)
    shown = pd.DataFrame(columns).loc[protocol.primary].rename(index=results.study.label).rename_axis("block")
    show_table(shown, "Reduction of the unseen cost in points, 95 % intervals, by other analyses.")


def show_explanations(results: Results) -> None:
    """Display the comparisons that explain the result, question by question."""
    table = explain(results.protocol, results.frame)
    label = results.study.label
    shown = pd.DataFrame(
        {
            "question": table["question"].where(~table["question"].duplicated(), ""),
            "compared": [f"{label(row['variant'])} − {label(row['reference'])}" for row in table.to_dict("records")],
            "reduction of the unseen cost": [
                interval_text(row["estimate"], row["low"], row["high"]) for row in table.to_dict("records")
            ],
            "accuracy, unseen": table["accuracy"].map("{:+.2f}".format),
            "seeds": table["seeds"],
        }
    )
    if len(shown):
        show_table(shown, "Points, 95 % intervals, not corrected for the number of comparisons.")
    missing = [
        each.question for each in results.protocol.explanations if each.question not in table["question"].to_list()
    ]
    if missing:
        display(Markdown(f"Runs for these questions are still missing: {' '.join(missing)}"))


def _who_helps(results: Results, remains: Remains) -> str:
    helping = [each for each in results.findings if each.verdict == "supported"]
    if not helping:
        return "**No block is shown to lessen what unseen backgrounds cost by an amount that matters.**"
    lost = _mean_cost(results, results.protocol.baseline)
    amounts = joined(
        [f"{_name(results, each)} by {interval_text(each.estimate, each.low, each.high, '.1f')}" for each in helping]
    )
    how = "keep to the target" if remains == "remains" else "are more robust to backgrounds that they have never seen"
    return (
        f"**Yes, {'all four do' if len(helping) == len(results.findings) else 'some do'}: on backgrounds that training "
        f"did not show, networks with {joined([_name(results, each) for each in helping])} {how}.** The plain network "
        f"loses {lost:.1f} points there, and the blocks reduce this loss: {amounts}."
    )


def _who_does_not(results: Results) -> str:
    words = {
        "refuted": f"a reduction of {results.protocol.margin:g} points or more is refuted for",
        "cannot tell": "the study cannot tell about",
    }
    parts = []
    for verdict, text in words.items():
        names = [
            f"{_name(results, each)} ({interval_text(each.estimate, each.low, each.high, '.1f')})"
            for each in results.findings
            if each.verdict == verdict
        ]
        if names:
            parts.append(f"{text} {joined(names)}")
    if not parts:
        return "None of the four fails."
    sentence = "; ".join(parts)
    return f"{sentence[0].upper()}{sentence[1:]}."


def _how_much_there_is(results: Results) -> str:
    protocol, frame = results.protocol, results.counted
    parts = []
    means = intervals(won_back(frame, protocol.outcome, protocol.baseline)).to_dict("records")
    shares = {str(row["variant"]): float(row["mean"]) for row in means}
    if _ORACLE in shares:
        parts.append(f"a network that is told where the target is wins back {shares[_ORACLE]:.0f} % of the loss")
    if protocol.pooling in shares:
        parts.append(f"one weighing of places at the network's end wins back {shares[protocol.pooling]:.0f} %")
    best = max(results.findings, key=lambda each: each.estimate)
    parts.append(f"the block with the largest reduction, {_name(results, best)}, {shares[best.variant]:.0f} %")
    sentence = joined(parts)
    return f"{sentence[0].upper()}{sentence[1:]}."


def _scale(results: Results) -> str:
    frame, run = results.counted, results.held.runs[0]
    return (
        f"{len(results.stage.seeds)} seeds; {results.held.backbone}; {run.spec.training.samples:,} training samples; "
        f"{frame['images'].max():,} test images of {results.held.images.source}."
    )


def _show_reductions(results: Results, table: pd.DataFrame, caption: str) -> None:
    shown = pd.DataFrame(
        {
            "reduction": _texts(table),
            "p (Holm)": {row["variant"]: _p(row["p_adjusted"]) for row in table.to_dict("records")},
            "accuracy": {row["variant"]: f"{row['accuracy']:+.2f}" for row in table.to_dict("records")},
        }
    )
    show_table(shown.rename(index=results.study.label).rename_axis("block"), caption)


def _texts(table: pd.DataFrame) -> dict[str, str]:
    """Return by variant the estimate of each row of a table with its interval."""
    rows = table.to_dict("records")
    return {row["variant"]: interval_text(row["estimate"], row["low"], row["high"]) for row in rows}


def _p(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def _mean_cost(results: Results, variant: str) -> float:
    costs = distraction_costs(results.counted, results.protocol.outcome)
    return float(costs.loc[costs["variant"] == variant, "value"].mean())


def _name(results: Results, finding: Finding) -> str:
    return results.study.label(finding.variant)

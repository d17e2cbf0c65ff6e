"""Sections of the result pages: accuracies, differences, curves and runs of a study."""

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import pandas as pd
from IPython.display import Markdown, display

from attn_tutorial.analysis.outcomes import areas, as_gains, distraction_costs
from attn_tutorial.analysis.statistics import LEAST_SEEDS
from attn_tutorial.analysis.stopping import hidden_results
from attn_tutorial.datasets import CLASS_COUNT
from attn_tutorial.figures.curves import (
    describe_learning_curves,
    describe_severity_curves,
    learning_curves,
    severity_curves,
)
from attn_tutorial.figures.distraction import describe_distraction_cost_figure, distraction_cost_figure
from attn_tutorial.figures.forest import describe_forest_plot, forest_plot
from attn_tutorial.figures.style import show, show_table
from attn_tutorial.figures.tables import (
    accuracy_table,
    cost_outcomes,
    difference_table,
    distraction_cost_table,
    exploratory_table,
    main_types,
    run_table,
    type_cost_table,
    type_table,
    types_with_costs,
)
from attn_tutorial.ledger import Held, Ledger, held_in
from attn_tutorial.study import Study, preset_names, study_names

_CHANCE = 100 / CLASS_COUNT  # percent


def show_results(study: Study, ledger: Ledger, largest: bool = False) -> None:
    """Display the figures of a study's runs in a ledger, one section for each preset, image set and backbone.

    Args:
        study: the study.
        ledger: the records.
        largest: show only the largest preset that has records.

    """
    everything = _chosen(study, ledger, largest)
    for held in everything:
        _show_part(study, ledger, held, _show_figures)
    if not everything:
        display(Markdown(f"No record of the study *{study.name}* is here yet."))


def show_result_tables(study: Study, ledger: Ledger, largest: bool = False) -> None:
    """Display the tables behind the figures of `show_results`, and nothing if there are no records.

    Args:
        study: the study.
        ledger: the records.
        largest: show only the largest preset that has records.

    """
    everything = _chosen(study, ledger, largest)
    for held in everything:
        _show_part(study, ledger, held, _show_tables, titled=len(everything) > 1)


def show_held(study: Study, ledger: Ledger, held: Held, titled: bool = True) -> None:
    """Display the runs of a study at one preset, on one image set, in one backbone: figures, then tables.

    Args:
        study: the study.
        ledger: the records.
        held: the runs.
        titled: whether a first line names the images, the preset, the network and the scale.

    """
    _show_part(study, ledger, held, _show_figures, _show_tables, titled=titled)


def largest_preset(everything: Iterable[Held], preset: str | None = None) -> list[Held]:
    """Return the runs at one preset: the largest one that has records, or another one that is named."""
    there = list(everything)
    if preset is None:
        preset = max((held.preset for held in there), key=preset_names().index, default=None)
    return [held for held in there if held.preset == preset]


def visible(study: Study, ledger: Ledger, held: Held) -> Held | str:
    """Return the runs whose results may be shown, or a text that says why there are none.

    A study with a protocol hides its results until stage 1 is complete. Another study may plan the same runs: they are
    hidden there, too.

    Args:
        study: the study.
        ledger: the records.
        held: the study's runs at one preset, on one image set, in one backbone.

    """
    if hidden := hidden_results(study, ledger.frame(held.runs)):
        return hidden
    if study.protocol is not None:
        return held
    reasons = hidden_runs(ledger)
    shown = [run for run in held.runs if run.run_id not in reasons]
    if held.runs and not shown:
        return reasons[held.runs[0].run_id]
    return replace(held, runs=shown)


def hidden_runs(ledger: Ledger) -> dict[str, str]:
    """Return by run id why results must not be shown yet, for the runs of studies with a protocol."""
    reasons: dict[str, str] = {}
    for study in _studies_with_protocol():
        for held in held_in(study, ledger):
            if hidden := hidden_results(study, ledger.frame(held.runs)):
                reasons |= {run.run_id: hidden for run in held.runs}
    return reasons


@functools.cache
def _studies_with_protocol() -> list[Study]:
    return [study for study in map(Study.load, study_names()) if study.protocol is not None]


def _chosen(study: Study, ledger: Ledger, largest: bool) -> list[Held]:
    everything = held_in(study, ledger)
    return largest_preset(everything) if largest else everything


def _show_part(
    study: Study,
    ledger: Ledger,
    held: Held,
    *parts: Callable[[Study, Ledger, Held, pd.DataFrame], None],
    titled: bool = True,
) -> None:
    """Display what the runs are, and then parts of their results, if these may be shown."""
    shown = visible(study, ledger, held)
    if isinstance(shown, str):
        if titled:
            display(Markdown(f"**{_about(study, held, ledger.frame([]))}**\n\n{shown}"))
        return
    frame = ledger.frame(shown.runs)
    if titled:
        display(Markdown(f"**{_about(study, shown, frame)}**"))
        if frame.empty:
            display(Markdown("None of its runs has finished."))
    if len(frame):
        for part in parts:
            part(study, ledger, shown, frame)


def _show_figures(study: Study, _ledger: Ledger, held: Held, frame: pd.DataFrame) -> None:
    if types_with_costs(frame):
        show(
            lambda: distraction_cost_figure(frame, study.baseline),
            describe_distraction_cost_figure(frame),
            "What each kind of clutter costs: accuracy at severity 0 minus the mean at severities 1 to 5, in points. "
            f"Lower is better.{_note(study, held, frame)}",
        )
    for reference, chosen in _comparisons(study, frame):
        note = _note(study, held, frame, chosen)
        if _both(chosen, reference):
            for name, types in cost_outcomes(chosen).items():
                _show_cost_figure(study, chosen, reference, name, types, note)
            _show_difference_figure(study, chosen, reference, note)
        else:
            display(Markdown(f"No difference from `{reference}` can be computed."))
        _show_curves(chosen, reference, note)


def _show_tables(study: Study, ledger: Ledger, held: Held, frame: pd.DataFrame) -> None:
    types, note = main_types(frame), _note(study, held, frame)
    show_table(
        accuracy_table(frame, types),
        f"Accuracy in % on {types}: mean over the severities, and at each (exploratory).{note}",
    )
    for reference, chosen in _comparisons(study, frame):
        _show_comparison_tables(study, chosen, reference, _note(study, held, frame, chosen))
    show_table(type_table(frame), f"Exploratory: accuracy in % by clutter type, mean over severities 1 to 5.{note}")
    if types_with_costs(frame):
        show_table(type_cost_table(frame), f"Exploratory: distraction cost in points by clutter type.{note}")
    named = [(name, record) for name, record in ledger.named(held.runs) if record.curve]
    records = [record.model_copy(update={"variant": name}) for name, record in named]
    if records:
        show(lambda: learning_curves(records, study.baseline), describe_learning_curves(records), f"Training.{note}")
    show_table(
        run_table(frame),
        "The runs behind these numbers. Speeds depend on what else the machine did, so they do not compare blocks."
        f"{note}",
    )


def _comparisons(study: Study, frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each reference with the rows of the variants that are compared with it, and its own."""
    for reference, names in study.comparisons.items():
        chosen = frame[frame["variant"].isin([reference, *names])]
        if len(chosen):
            yield reference, chosen


def _both(chosen: pd.DataFrame, reference: str) -> bool:
    """Return whether there is a reference, and something to compare with it."""
    return reference in set(chosen["variant"]) and chosen["variant"].nunique() > 1


def _show_curves(chosen: pd.DataFrame, reference: str, note: str) -> None:
    show(
        lambda: severity_curves(chosen, _CHANCE, baseline=reference),
        describe_severity_curves(chosen),
        f"Exploratory: accuracy by severity, on {main_types(chosen)}.{note}",
    )


def _show_comparison_tables(study: Study, chosen: pd.DataFrame, reference: str, note: str) -> None:
    """Display the tables of some variants beside the reference that they are compared with."""
    for name, types in cost_outcomes(chosen).items():
        table = distraction_cost_table(chosen, types, reference, study.family)
        outcome = f"The {name} distraction cost ({' and '.join(types)})"
        show_table(table, f"{outcome}, in points, beside the accuracies in % that it is made of.{note}")
    if not _both(chosen, reference):
        return
    show_table(
        difference_table(chosen, baseline=reference, family=study.family),
        f"Difference from {reference} in mean accuracy on {main_types(chosen)}, in points, 95 % t interval over seeds."
        f"{note}",
    )
    if set(chosen["severity"]) > {0} and chosen["types"].nunique() > 1:
        show_table(
            exploratory_table(chosen, baseline=reference),
            "Exploratory. Slope: points that accuracy changes with each step of severity. Relative clutter error: the "
            f"error in clutter, in % of the error of {reference}.{note}",
        )


def _show_cost_figure(
    study: Study, chosen: pd.DataFrame, reference: str, name: str, types: tuple[str, ...], note: str
) -> None:
    """Display by how much each variant reduces one of the reference's distraction costs."""
    reductions = as_gains(distraction_costs(chosen, types))
    if _both(reductions, reference):
        show(
            lambda: forest_plot(reductions, reference, study.controls, None, f"points of {name} cost below"),
            describe_forest_plot(reductions, reference, study.controls),
            f"How much each network lessens the {name} distraction cost ({' and '.join(types)}) of {reference}. "
            f"Further right is better.{note}",
        )


def _show_difference_figure(study: Study, chosen: pd.DataFrame, reference: str, note: str) -> None:
    outcomes = areas(chosen, main_types(chosen))
    show(
        lambda: forest_plot(outcomes, reference, study.controls),
        describe_forest_plot(outcomes, reference, study.controls),
        f"Gain over {reference} in mean accuracy on {main_types(chosen)}. Further right is better.{note}",
    )


def standing(study: Study, held: Held, frame: pd.DataFrame) -> str:
    """Return the start of a caption that says how much weight its runs have.

    Two studies have an outcome that was fixed in advance: `main` and `pilot`. The runs of `main` count as a pilot too
    until a variant has enough seeds for a test. All other studies are exploratory.

    Args:
        study: the study.
        held: the study's runs at one preset, on one image set, in one backbone.
        frame: `Ledger.frame` of the runs that are shown.

    Returns:
        words that end with a space; an empty text for a test of study `main`.

    """
    if held.preset == "smoke":
        return "A test of the machinery, not a result. "
    if study.name == "pilot" or (study.name == "main" and frame["seed"].nunique() < LEAST_SEEDS):
        return "Pilot: "
    return "" if study.name == "main" else "Exploratory: "


def scale(held: Held, frame: pd.DataFrame) -> str:
    """Return how many seeds the runs in a frame have, and on how many samples they were trained."""
    there = set(zip(frame["variant"], frame["seed"], strict=True))
    samples = sorted({run.spec.training.samples for run in held.runs if (run.variant, run.spec.seed) in there})
    return f"seeds: {frame['seed'].nunique()}; {' and '.join(f'{each:,}' for each in samples)} training samples"


def _about(study: Study, held: Held, frame: pd.DataFrame) -> str:
    """Return what the runs are: their images, scale and seeds."""
    about = f"{held.images.source}; preset {held.preset}; {held.backbone}"
    if len(frame):
        about += f"; {scale(held, frame)}; {frame['images'].iloc[0]:,} test images"
    return standing(study, held, frame) + about


def _note(study: Study, held: Held, frame: pd.DataFrame, chosen: pd.DataFrame | None = None) -> str:
    """Return what a caption adds to the line above: a warning at the smoke preset, and another scale if it differs.

    Args:
        study: the study.
        held: the study's runs that are shown.
        frame: their accuracies.
        chosen: the rows that the caption is about; all by default.

    """
    texts = [standing(study, held, frame).strip()] if held.preset == "smoke" else []
    if chosen is not None and (own := scale(held, chosen)) != scale(held, frame):
        texts.append(f"Scale: {own}.")
    return "".join(f" {text}" for text in texts)

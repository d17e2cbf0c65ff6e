"""Sections of the result pages: accuracies, differences, curves and runs of a study."""

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
from attn_tutorial.study import Study

_CHANCE = 100 / CLASS_COUNT  # percent


def show_results(study: Study, ledger: Ledger) -> None:
    """Display a study's runs in a ledger, one section for each preset, image set and backbone."""
    everything = held_in(study, ledger)
    for held in everything:
        show_held(study, ledger, held)
    if not everything:
        display(Markdown(f"No record of the study *{study.name}* is here yet."))


def show_held(study: Study, ledger: Ledger, held: Held) -> None:
    """Display the runs of a study at one preset, on one image set, in one backbone."""
    frame = ledger.frame(held.runs)
    about = _about(study, held, frame)
    display(Markdown(f"**{about}**"))
    if frame.empty:
        display(Markdown("None of its runs has finished."))
        return
    if hidden := hidden_results(study, frame):
        display(Markdown(hidden))
        return
    costs = bool(types_with_costs(frame))
    if costs:
        show(
            lambda: distraction_cost_figure(frame, study.baseline),
            describe_distraction_cost_figure(frame),
            f"What each kind of clutter costs: accuracy at severity 0 minus the mean at severities 1 to 5. {about}.",
        )
    types = main_types(frame)
    show_table(
        accuracy_table(frame, types),
        f"Accuracy in % on {types}: mean over the severities, and at each (exploratory). {about}.",
    )
    for reference, names in study.comparisons.items():
        chosen = frame[frame["variant"].isin([reference, *names])]
        if len(chosen):
            _show_comparison(study, chosen, reference, _about(study, held, chosen))
    show_table(type_table(frame), f"Exploratory: accuracy in % by clutter type, mean over severities 1 to 5. {about}.")
    if costs:
        show_table(type_cost_table(frame), f"Exploratory: distraction cost in points by clutter type. {about}.")
    named = [(name, record) for name, record in ledger.named(held.runs) if record.curve]
    records = [record.model_copy(update={"variant": name}) for name, record in named]
    if records:
        show(lambda: learning_curves(records, study.baseline), describe_learning_curves(records), f"Training. {about}.")
    show_table(
        run_table(frame),
        "The runs behind these numbers. Speeds depend on what else the machine did, so they do not compare blocks. "
        f"{about}.",
    )


def _show_comparison(study: Study, chosen: pd.DataFrame, reference: str, about: str) -> None:
    """Display some variants beside the reference that they are compared with."""
    both = reference in set(chosen["variant"]) and chosen["variant"].nunique() > 1
    for name, types in cost_outcomes(chosen).items():
        _show_costs(study, chosen, reference, name, types, about)
    if both:
        _show_differences(study, chosen, reference, about)
    else:
        display(Markdown(f"No difference from `{reference}` can be computed."))
    show(
        lambda: severity_curves(chosen, _CHANCE, baseline=reference),
        describe_severity_curves(chosen),
        f"Exploratory: by severity, on {main_types(chosen)}. {about}.",
    )
    if both and set(chosen["severity"]) > {0} and chosen["types"].nunique() > 1:
        table = exploratory_table(chosen, baseline=reference)
        units = f"points with each step of severity; error in clutter, where {reference} has 100"
        show_table(table, f"Exploratory: {units}. {about}.")


def _show_costs(
    study: Study, chosen: pd.DataFrame, reference: str, name: str, types: tuple[str, ...], about: str
) -> None:
    """Display one of the study's distraction costs, and by how much each variant reduces the reference's."""
    outcome = f"The {name} distraction cost ({' and '.join(types)})"
    table = distraction_cost_table(chosen, types, reference, study.family)
    show_table(table, f"{outcome}, in points, beside the accuracies in % that it is made of. {about}.")
    reductions = as_gains(distraction_costs(chosen, types))
    if reference in set(reductions["variant"]) and reductions["variant"].nunique() > 1:
        show(
            lambda: forest_plot(reductions, reference, study.controls, None, f"points of {name} cost below"),
            describe_forest_plot(reductions, reference, study.controls),
            f"{outcome}: reductions, the largest first. {about}.",
        )


def _show_differences(study: Study, chosen: pd.DataFrame, reference: str, about: str) -> None:
    show_table(
        difference_table(chosen, baseline=reference, family=study.family),
        f"Difference from {reference} in mean accuracy on {main_types(chosen)}, in points, 95 % t interval over seeds. "
        f"{about}.",
    )
    outcomes = areas(chosen, main_types(chosen))
    show(
        lambda: forest_plot(outcomes, reference, study.controls),
        describe_forest_plot(outcomes, reference, study.controls),
        f"The same, the largest first. {about}.",
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
    """Return what a caption says about some rows: their images, scale and seeds."""
    about = f"{held.images.source}; preset {held.preset}; {held.backbone}"
    if len(frame):
        about += f"; {scale(held, frame)}; {frame['images'].iloc[0]:,} test images"
    return standing(study, held, frame) + about

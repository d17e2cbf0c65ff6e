"""The page of a study's protocol: its rules, what they were computed from, and how far the study is."""

import pandas as pd
from IPython.display import Markdown, display

from attn_tutorial.analysis.outcomes import distraction_costs
from attn_tutorial.analysis.primary import margin_of
from attn_tutorial.analysis.stopping import stage_of
from attn_tutorial.errors import check_choice
from attn_tutorial.figures.style import show_table
from attn_tutorial.ledger import Ledger, held_in
from attn_tutorial.spec import SEEN
from attn_tutorial.study import Protocol, Study

_LENGTH_OF_HASH = 12  # characters that a page shows


def show_section(protocol: Protocol, title: str) -> None:
    """Display a section of a protocol's text, without its title.

    Raises:
        InputError: the text has no section with this title.

    """
    sections = protocol.sections
    check_choice("title", title, sections)
    display(Markdown(sections[title]))


def show_numbers(protocol: Protocol) -> None:
    """Display the numbers that a protocol fixes, and the hash of its file."""
    rule = protocol.seeds
    numbers = {
        "study": f"{protocol.name}, at the preset {protocol.preset}, on {protocol.images}",
        "under test": ", ".join(protocol.primary),
        "margin": f"{protocol.margin:g} points of unseen cost",
        "level of the corrected tests": f"{protocol.alpha:g}",
        "pooled standard deviation": ", ".join([protocol.baseline, *protocol.primary, *protocol.pooled]),
        "seeds": f"from {rule.first} on; {rule.fewer} or {rule.more}, decided after {rule.look}",
        "hash (SHA-256)": f"{protocol.sha256[:_LENGTH_OF_HASH]}…",
    }
    table = pd.DataFrame({"decided": numbers}).rename_axis("what")
    show_table(table, "What is fixed. Every record of the study has the whole hash in its field `protocol`.")


def show_margin(protocol: Protocol, tuning: Ledger) -> None:
    """Display the baselines that the margin was computed from.

    Args:
        protocol: of the study.
        tuning: the ledger with the runs of the study `margin`.

    """
    for held in held_in(Study.load("margin"), tuning):
        if held.preset != protocol.preset:
            continue
        frame = tuning.frame(held.runs)
        parts = {"unseen cost": distraction_costs(frame, protocol.outcome)}
        parts |= {f"cost of {types}": distraction_costs(frame, [types]) for types in protocol.outcome}
        table = pd.DataFrame({name: costs.set_index("seed")["value"] for name, costs in parts.items()})
        show_table(
            table.round(2).rename_axis("seed"),
            f"Distraction costs of the baseline in points, on {frame['images'].iloc[0]:,} validation images. A fifth "
            f"of the mean unseen cost is {margin_of(frame):.2f} points; the protocol's margin is {protocol.margin:g}.",
        )


def show_rates(tuning: Ledger, preset: str) -> None:
    """Display what stage 0 measured: accuracies by learning rate, and by the weight of the supervised gate's loss.

    Args:
        tuning: the ledger with the runs of the study `learning-rates`.
        preset: at which they were run.

    """
    study = Study.load("learning-rates")
    for held in held_in(study, tuning):
        if held.preset == preset:
            frame = tuning.frame(study.plan(preset, held.images))  # other studies add seeds of the baseline
            frame = frame[frame["types"] == SEEN]
            means = frame.groupby("variant", sort=False)["accuracy"].mean().round(2).rename("accuracy").reset_index()
            means[["network", "rate"]] = means["variant"].str.rsplit(" ", n=1, expand=True)
            table = means.pivot(index="network", columns="rate", values="accuracy")
            show_table(
                table[sorted(table.columns, key=lambda rate: float(str(rate)))].reindex(means["network"].unique()),
                "Stage 0: mean accuracy in % on surround and noise over severities 0 to 5, one seed, on "
                f"{frame['images'].iloc[0]:,} validation images. A column is a learning rate: of the baseline, of all "
                "but the convolutions; of a block and of attention pooling, of its own weights. For the supervised "
                "gate, it is the weight of its loss.",
            )


def show_stage(protocol: Protocol, study: Study, ledger: Ledger) -> None:
    """Display how many runs of a study are done, and what its protocol says next. No accuracy is shown."""
    for held in held_in(study, ledger):
        if not protocol.covers(held.preset, held.images.name):
            continue
        frame = ledger.frame(held.runs)
        if frame.empty:
            continue
        runs = frame.drop_duplicates(["variant", "seed"])
        counts = runs.groupby("variant").size().reindex(list(study.variants), fill_value=0)
        wanted = pd.Series(study.seeds if isinstance(study.seeds, dict) else {}, dtype=int)
        table = pd.DataFrame({"runs that are done": counts, "planned": wanted.reindex(counts.index)})
        display(Markdown(stage_of(protocol, frame).sentence))
        show_table(table.rename_axis("variant"), f"Runs of the study {study.name}, {held.images.source}.")
        show_table(
            runs.groupby("precision").agg(seeds=("seed", _listed), runs=("run_id", "size")),
            "Precision of training, by seed. All variants of a seed must have the same.",
        )
        return
    display(Markdown(f"No run of the study {study.name} at the preset {protocol.preset} is in the ledger yet."))


def _listed(seeds: pd.Series) -> str:
    return ", ".join(map(str, sorted(seeds.unique())))

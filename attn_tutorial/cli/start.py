"""What the commands that train have in common: start the runs, show their results, and say how they ended."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import pandas as pd

    from attn_tutorial.study import Study


def start(study: "str | Study", preset: str, seeds: int | None, images: str | None, results: Path, **how: Any) -> None:
    """Train what is missing, print the table, and exit with a status that says how it went."""
    from attn_tutorial.engine import StudyInterrupted
    from attn_tutorial.engine.start import start_study
    from attn_tutorial.ledger import Ledger

    try:
        runs, counts = start_study(study, preset, seeds, images, results, **how)
    except StudyInterrupted as stop:
        click.echo(str(stop), err=True)
        sys.exit(130)
    ledger = Ledger(results)
    frame = ledger.frame(runs)
    for source in frame["source"].unique():
        click.echo(f"{source}; preset {preset}")
    show_accuracies(study, frame)
    for planned in runs:
        record = ledger.get(planned)
        if record and record.error:
            reason = record.error.splitlines()[0]
            click.echo(f"{planned.variant} seed {planned.spec.seed} {record.status}: {reason}", err=True)
    if set(counts) != {"done"}:
        click.echo(f"not all runs are done: {counts}; the records are in {results}", err=True)
        sys.exit(1)


def show_accuracies(study: "str | Study", frame: "pd.DataFrame") -> None:
    """Print accuracy by variant and severity, and distraction costs, tables for each backbone.

    Of a study whose protocol hides its results so far, print how many runs are done.
    """
    from attn_tutorial.analysis.stopping import hidden_results
    from attn_tutorial.figures.tables import accuracy_table, main_types, type_cost_table
    from attn_tutorial.study import Study

    if hidden := hidden_results(study if isinstance(study, Study) else Study.load(study), frame):
        click.echo(hidden)
        return
    for backbone, rows in frame.groupby("backbone", sort=False):
        types = main_types(rows)
        click.echo(f"{backbone}; seeds: {rows['seed'].nunique()}; accuracy in % on {types}, mean and by severity")
        click.echo(accuracy_table(rows, types).to_string())
        costs = type_cost_table(rows)
        if not costs.empty:
            click.echo("distraction cost in points: accuracy at severity 0 minus the mean at the severities above")
            click.echo(costs.to_string())

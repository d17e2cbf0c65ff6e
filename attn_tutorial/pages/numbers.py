"""All numbers of the study of backgrounds: accuracies by severity, and the runs behind them."""

import pandas as pd
from IPython.display import Markdown, display

from attn_tutorial.figures.style import show_table
from attn_tutorial.figures.tables import accuracy_table, by_axis, main_types, run_table
from attn_tutorial.ledger import Ledger
from attn_tutorial.pages.answer import Results
from attn_tutorial.pages.pilot import pilot_frame
from attn_tutorial.study import Study


def show_accuracies(results: Results | str, ledger: Ledger) -> None:
    """Display the accuracy of every network at every severity, a table for each kind of clutter.

    Args:
        results: of the study of backgrounds, see `read_results`. While it has none, the pilot's runs are shown.
        ledger: contains the pilot's records.

    """
    frame, study = _shown(results, ledger)
    if frame.empty:
        display(Markdown("No record is here yet."))
        return
    names = ", ".join(f"`{types}`" for types in by_axis(frame["types"]))
    display(
        Markdown(
            f"{study.title}: {frame['source'].iloc[0]}; {frame['backbone'].iloc[0]}; preset {frame['preset'].iloc[0]}. "
            f"Kinds of clutter: {names}. At severity 0 all are the same test."
        )
    )
    for types in [main_types(frame), *(name for name in by_axis(frame["types"]) if name != main_types(frame))]:
        table = accuracy_table(frame, types).drop(columns="parameters")
        images = frame.loc[(frame["types"] == types) & (frame["severity"] > 0), "images"].max()
        show_table(
            table.rename(index=study.label).round(1),
            f"{types}: accuracy in % at each severity, means over seeds, {images:,} test images.",
        )


def show_run_list(results: Results | str, ledger: Ledger) -> None:
    """Display the runs behind the numbers, with their ids."""
    frame, study = _shown(results, ledger)
    if len(frame):
        table = run_table(frame)
        show_table(table.rename(index=study.label), "The runs. Speeds depend on what else the machine did.")


def _shown(results: Results | str, ledger: Ledger) -> tuple[pd.DataFrame, Study]:
    if not isinstance(results, str):
        return results.frame, results.study
    return pilot_frame(ledger), Study.load("pilot")

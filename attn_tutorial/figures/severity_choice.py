"""Show how the severity tables of `surround` and `crowd` were chosen: every candidate, and what it cost.

The candidates are rows of `data/tuning/background.csv`, which `benchmarks/background_table.py` writes.
"""

import ast
from importlib import import_module
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from attn_tutorial.figures.colours import markers, palette
from attn_tutorial.figures.style import MEDIUM_TEXT, SMALLEST_TEXT, WIDE
from attn_tutorial.paths import user_path
from attn_tutorial.spec import SEEN

_LAYERS = {SEEN: "surround", "mosaic": "mosaic", "crowd": "crowd"}
"""By composition that a network was tested on: the layer that it is about, in the order of the page."""
_TRAINING = ["surround", "network", "seed", "samples"]
_TUNED = ("surround", "crowd")
_COLUMNS = 3


def read_candidates(file: Path) -> pd.DataFrame | None:
    """Return the accuracies under every candidate table, in percent; None if none was recorded yet.

    Returns:
        a row for each network, seed, candidate and severity. Columns: those of the file, and `layer`, whose table it
        is, or `mosaic`, whose table was not changed; `candidate`, its name, with the table of `surround` that the
        network was trained on; `chosen`, whether it is the table that the package has now, on a network trained on
        today's table of `surround`.

    """
    file = user_path(file, "file")
    if not file.exists():
        return None
    rows = pd.read_csv(file, keep_default_na=False)
    rows = rows[rows["types"].isin(_LAYERS)].sort_values(["network", "seed"], kind="stable")
    if rows.empty:
        return None
    rows["layer"] = rows["types"].map(_LAYERS)
    rows["candidate"] = [
        f"surround: {surround}" if layer == "surround" else f"{_named(layer, crowd)}, trained on surround: {surround}"
        for layer, surround, crowd in zip(rows["layer"], rows["surround"], rows["crowd"], strict=True)
    ]
    levels = {layer: import_module(f"attn_tutorial.clutter.layers.{layer}").LEVELS for layer in _TUNED}
    today = rows["levels"].map(ast.literal_eval) == rows["layer"].map(levels)
    trained = rows.loc[(rows["layer"] == "surround") & today, "surround"].unique()
    rows["chosen"] = today & rows["surround"].isin(trained)
    # By layer; then all networks of a candidate together.
    rows = pd.concat([rows[rows["layer"] == layer] for layer in _LAYERS.values()])
    return pd.concat([rows[rows["candidate"] == name] for name in rows["candidate"].unique()], ignore_index=True)


def candidate_figure(candidates: pd.DataFrame) -> Figure:
    """Draw accuracy over severity: a panel for each candidate, a line for each network; titles name the chosen ones.

    Args:
        candidates: see `read_candidates`.

    """
    names = list(dict.fromkeys(candidates["candidate"]))
    rows = -(-len(names) // _COLUMNS)
    figure, grid = plt.subplots(
        rows, _COLUMNS, figsize=(WIDE, 2.0 * rows + 0.5), sharex=True, sharey=True, squeeze=False
    )
    for axes in grid.flat[len(names) :]:
        axes.set_axis_off()
    networks = candidates["network"].unique()
    colours, marks = palette(networks), markers(networks)
    for name, axes in zip(names, grid.flat, strict=False):
        shown = candidates[candidates["candidate"] == name]
        for (network, _, _), run in shown.groupby(["network", "seed", "samples"], sort=False):
            axes.plot(
                run["severity"], run["accuracy"], color=colours[network], marker=marks[network], markersize=3.5,
                linewidth=1.2,
            )  # fmt: skip
        chosen = bool(shown["chosen"].any())
        axes.set_title(
            _marked(name, chosen).replace(", ", "\n"), fontsize=SMALLEST_TEXT, fontweight="bold" if chosen else "normal"
        )
        axes.set(xticks=sorted(candidates["severity"].unique()))
    for axes in grid.flat[: len(names)][-_COLUMNS:]:
        axes.tick_params(labelbottom=True)  # the lowest of each column, also where the last row is not full
    for network in networks:
        grid[0, 0].plot([], [], color=colours[network], marker=marks[network], label=network)
    figure.legend(
        *grid[0, 0].get_legend_handles_labels(), fontsize=SMALLEST_TEXT, loc="outside upper center", ncols=len(networks)
    )
    figure.supxlabel("severity", fontsize=MEDIUM_TEXT)
    figure.supylabel("accuracy in %, validation images", fontsize=MEDIUM_TEXT)
    return figure


def level_table(candidates: pd.DataFrame) -> pd.DataFrame:
    """Tabulate the candidate tables: number and side in pixels by severity.

    Args:
        candidates: see `read_candidates`.

    """
    tables = candidates[candidates["layer"].isin(_TUNED)].sort_values("chosen", ascending=False, kind="stable")
    rows = [
        {"layer": row["layer"], "candidate": row[row["layer"]], "chosen": "yes" if row["chosen"] else "no"}
        | {
            str(severity): f"{count} × {size}" if count else "–"
            for severity, (count, size) in enumerate(ast.literal_eval(row["levels"]))
        }
        for _, row in tables.drop_duplicates(["layer", "levels"]).iterrows()
    ]
    return pd.DataFrame(rows).sort_values("layer", ascending=False, kind="stable", ignore_index=True)


def candidate_table(candidates: pd.DataFrame) -> pd.DataFrame:
    """Tabulate, for each candidate and network, the cost of every step of severity and of all of them, in points.

    The unseen cost is the mean of the costs of `crowd` and of `mosaic` for the same network.

    Args:
        candidates: see `read_candidates`.

    """
    run = ["candidate", *_TRAINING]
    wide = candidates.pivot(index=run, columns="severity", values="accuracy")
    wide = wide.reindex(pd.MultiIndex.from_frame(candidates[run].drop_duplicates()))
    steps = (-wide.diff(axis=1).iloc[:, 1:]).rename(columns=lambda severity: f"to {severity}")
    cost = wide[0] - wide.drop(columns=0).mean(axis=1)
    about = candidates.drop_duplicates(run).set_index(run)
    on_mosaic = cost[about["layer"] == "mosaic"].groupby(_TRAINING).first()
    of_mosaic = on_mosaic.reindex(pd.MultiIndex.from_frame(about.index.to_frame()[_TRAINING])).set_axis(cost.index)
    table = steps.assign(cost=cost, unseen=((cost + of_mosaic) / 2).where(about["layer"] == "crowd"))
    table.insert(0, "severity 0", wide[0])
    table = table.map(lambda value: "–" if pd.isna(value) else f"{value:z.1f}").reset_index()
    # The training has a column of its own.
    names = table["candidate"].str.split(",").str[0]
    table["candidate"] = [_marked(*row) for row in zip(names, about["chosen"], strict=True)]
    named = {"surround": "trained on surround", "unseen": "unseen cost"}
    table = table.rename(columns=named).rename_axis(columns=None)
    return table if candidates["samples"].nunique() > 1 else table.drop(columns="samples")


def describe_candidates(candidates: pd.DataFrame) -> str:
    """Say in a sentence what `candidate_figure` shows."""
    chosen = candidates[candidates["chosen"]].drop_duplicates("candidate")["candidate"]
    ends = [
        f"{name}, {network}: from {run.iloc[0]:.1f} to {run.iloc[-1]:.1f}"
        for (name, network), run in candidates.groupby(["candidate", "network"], sort=False)["accuracy"]
    ]
    return (
        f"Accuracy in percent over severity under each candidate. {'; '.join(ends)}. "
        f"Chosen: {'; '.join(chosen) or 'none of these'}."
    )


def _named(layer: str, table: str) -> str:
    return f"{layer}: {table}" if table else layer


def _marked(candidate: str, chosen: bool) -> str:
    table, *training = candidate.split(", ")
    return ", ".join((f"{table} (chosen)" if chosen else table, *training))

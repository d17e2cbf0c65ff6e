"""Write the table of the recipe's tuning from the ledger of the study `recipe`, for the baseline's chapter.

First run the study, as `attn-tutorial study run recipe --preset full-cpu --seeds 1 --results data/tuning/runs`.
"""

from pathlib import Path

import click
import pandas as pd

from attn_tutorial.cli.options import FILE, FOLDER
from attn_tutorial.ledger import Ledger, held_in
from attn_tutorial.study import Study

OUT = Path("data/tuning/recipe.csv")


@click.command(help=__doc__)
@click.argument("results", type=FOLDER)
@click.option("--preset", default="full-cpu", show_default=True, help="At what scale it was run.")
@click.option("--out", type=FILE, default=OUT, show_default=True)
def main(results: Path, preset: str, out: Path) -> None:
    ledger = Ledger(results)
    frames = [ledger.frame(held.runs) for held in held_in(Study.load("recipe"), ledger) if held.preset == preset]
    if len(frames) != 1:
        raise click.UsageError(
            f"{results} holds records of study recipe at preset {preset} on {len(frames)} image sets"
        )
    runs = frames[0]
    means = runs.groupby("variant", sort=False)["accuracy"].mean().rename("accuracy").reset_index()
    means["difference"] = (means["accuracy"] - means.loc[means["variant"] == "as it is", "accuracy"].item()).round(3)
    shared = runs.iloc[0][["source", "samples", "images"]].to_dict()
    table = means.assign(**shared, seeds=runs["seed"].nunique())
    table.to_csv(out, index=False, lineterminator="\n")
    click.echo(f"{out}\n{pd.read_csv(out).to_string()}")


if __name__ == "__main__":
    main()

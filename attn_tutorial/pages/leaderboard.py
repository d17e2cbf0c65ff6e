"""The table of all claims: networks of any origin on the benchmark, with what others can check about them."""

from pathlib import Path

import pandas as pd
from IPython.display import Markdown, display

from attn_tutorial.benchmark import leaderboard, read_claims
from attn_tutorial.benchmark.claim import SEEDS_WANTED
from attn_tutorial.figures.style import show_table
from attn_tutorial.paths import user_path


def show_leaderboard(folder: str | Path) -> None:
    """Display the claims of a folder, a table for each set of images and each kind of training.

    Claims that cannot be used follow in a table of their own, with the reasons.

    Args:
        folder: the folder of claims, such as `data/claims`.

    """
    found, left_out = read_claims(folder)
    if not found:
        display(Markdown("There is no claim in the table yet."))
    for (about, training), table in leaderboard(found).items():
        show_table(
            table,
            f"Training: {training}. The smallest unseen cost comes first. Accuracy at severity 0 in %; costs in points "
            f"with 95 % intervals, over seeds from {SEEDS_WANTED} seeds on, otherwise over images. {about}.",
        )
    if left_out:
        # The reasons name files by their whole path, which means nothing on another machine.
        place = user_path(folder, "claims")
        reasons = {name: reason.replace(str(place / name), name) for name, reason in left_out.items()}
        table = pd.DataFrame({"claim": list(reasons), "reason": list(reasons.values())})
        show_table(table, "Claims that are left out, and why.")

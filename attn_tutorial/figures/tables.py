"""Tables of a study from the ledger's frame; accuracies in percent."""

import numpy as np
import pandas as pd
from scipy import stats

PRIMARY = "fragments+noise"
"""The composition of types that training sees, and that the headline is about."""


def main_types(frame: pd.DataFrame) -> str:
    """Name the composition of types that a frame is mainly about: the benchmark's own where it was tested."""
    tested = frame["types"].unique()
    return PRIMARY if PRIMARY in tested else str(tested[0])


def accuracy_table(frame: pd.DataFrame, types: str | None = None) -> pd.DataFrame:
    """Accuracy by variant and severity, averaged over seeds.

    Args:
        frame: `Ledger.frame()` of one study at one preset on one image set.
        types: the composition of clutter types; `main_types` by default.

    Returns:
        a row for each variant, in the frame's order; columns: `mean` over the severities, "0" to "5", `seeds`,
        `parameters`.

    """
    _check_one_kind(frame)
    chosen = frame[frame["types"] == (types or main_types(frame))]
    by_severity = chosen.groupby(["variant", "severity"], sort=False)["accuracy"].mean().unstack("severity")
    by_severity = by_severity.reindex(chosen["variant"].unique())
    by_severity.columns = [str(severity) for severity in by_severity.columns]
    groups = chosen.groupby("variant")
    by_severity.insert(0, "mean", by_severity.mean(axis=1))
    return by_severity.assign(seeds=groups["seed"].nunique(), parameters=groups["parameters"].first()).round(1)


def difference_table(frame: pd.DataFrame, types: str | None = None) -> pd.DataFrame:
    """Difference of each variant's mean accuracy from the baseline's, paired by seed, in points.

    The interval is Student's t over seeds at 95 %. From one seed there is none, and nothing can be concluded.

    Returns:
        a row for each variant but the baseline; columns: `difference`, `low`, `high`, `seeds`, `reading`.

    """
    _check_one_kind(frame)
    chosen = frame[frame["types"] == (types or main_types(frame))]
    means = chosen.groupby(["seed", "variant"], sort=False)["accuracy"].mean().unstack("variant")
    rows = {}
    for variant in means.columns.drop("baseline", errors="ignore"):
        paired = (means[variant] - means["baseline"]).dropna() if "baseline" in means else pd.Series(dtype=float)
        if paired.empty:
            continue
        low = high = np.nan
        if len(paired) > 1:
            half = stats.t.ppf(0.975, len(paired) - 1) * stats.sem(paired)
            low, high = paired.mean() - half, paired.mean() + half
        rows[variant] = {
            "difference": paired.mean(),
            "low": low,
            "high": high,
            "seeds": len(paired),
            "reading": _reading(low, high),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("variant").round(2)


def run_table(frame: pd.DataFrame) -> pd.DataFrame:
    """What each run cost: a row for each run, with its id, speed and training time in minutes."""
    runs = frame.drop_duplicates("run_id")
    return pd.DataFrame(
        {
            "variant": runs["variant"],
            "seed": runs["seed"],
            "images/s": runs["samples_per_second"].round(0).astype(int),
            "minutes": (runs["training_seconds"] / 60).round(1),
            "run": runs["run_id"],
        }
    ).reset_index(drop=True)


def _reading(low: float, high: float) -> str:
    if np.isnan(low):
        return "one seed: no interval"
    return "within noise" if low <= 0 <= high else "differs"


def _check_one_kind(frame: pd.DataFrame) -> None:
    for column in ("fingerprint", "clutter_version", "preset"):
        if frame[column].nunique() > 1:
            given = ", ".join(map(str, frame[column].unique()))
            raise ValueError(
                f"a table was asked of records of several kinds ({column}: {given}); never averaged: choose one"
            )

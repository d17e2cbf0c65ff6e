"""Tables of a study's runs, from a ledger's frame; accuracies are in percent."""

from collections.abc import Iterable, Sequence

import pandas as pd

from attn_tutorial.analysis.outcomes import (
    BASELINE,
    OUTCOME,
    SEEN_COST,
    UNSEEN_COST,
    areas,
    as_gains,
    check_one_kind,
    distraction_costs,
    distraction_table,
)
from attn_tutorial.clutter.names import AXES, axis_of
from attn_tutorial.spec import SEEN


def main_types(frame: pd.DataFrame) -> str:
    """Return the composition of types that a frame is mainly about: the benchmark's own, if it was tested."""
    tested = frame["types"].unique()
    return SEEN if SEEN in tested or not len(tested) else str(tested[0])


def by_axis(types: Iterable[str]) -> list[str]:
    """Return compositions of clutter types in the order of their axes: background first, occlusion last."""
    return sorted(dict.fromkeys(types), key=lambda name: AXES.index(axis_of(name)))


def cost_outcomes(frame: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Return the study's distraction costs that a frame was tested for: by name, the compositions of each.

    The primary one, "unseen", comes first. A frame of the pilot has none: its networks were tested on other clutter.
    """
    costs = {"unseen": UNSEEN_COST, "seen": SEEN_COST}
    tested = types_with_costs(frame)
    return {name: types for name, types in costs.items() if set(types) <= set(tested)}


def types_with_costs(frame: pd.DataFrame) -> list[str]:
    """Return the compositions that have a distraction cost, background first.

    These are the compositions that all their runs were tested on at the same severities, 0 and some above it.
    """
    tested = frame.groupby(["types", "run_id"], sort=False)["severity"].agg(frozenset)
    found = [types for types, runs in tested.groupby("types", sort=False) if runs.nunique() == 1 and {0} < runs.iloc[0]]
    return by_axis(map(str, found))


def accuracy_table(frame: pd.DataFrame, types: str | None = None) -> pd.DataFrame:
    """Return accuracy by variant and severity, averaged over seeds.

    Args:
        frame: `Ledger.frame()` of one study at one preset on one image set.
        types: the composition of clutter types; `main_types` by default.

    Returns:
        a row for each variant, in the frame's order; columns: `mean` over the severities, "0" to "5", `seeds`,
        `parameters`.

    """
    check_one_kind(frame)
    chosen = frame[frame["types"] == (types or main_types(frame))]
    by_severity = chosen.groupby(["variant", "severity"], sort=False)["accuracy"].mean().unstack("severity")
    by_severity = by_severity.reindex(chosen["variant"].unique())
    by_severity.columns = [str(severity) for severity in by_severity.columns]
    groups = chosen.groupby("variant")
    by_severity.insert(0, "mean", by_severity.mean(axis=1))
    return by_severity.assign(seeds=groups["seed"].nunique(), parameters=groups["parameters"].first()).round(1)


def difference_table(
    frame: pd.DataFrame, types: str | None = None, baseline: str = BASELINE, family: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return the difference of each variant's mean accuracy from the baseline's, paired by seed, in points.

    The interval is Student's t over seeds at 95 %, see `analysis.statistics`. One seed gives no interval, so nothing
    can be concluded from it; a test needs four seeds.

    Args:
        frame: `Ledger.frame()` of one study at one preset on one image set.
        types: the composition of clutter types; `main_types` by default.
        baseline: the variant that the others are compared with.
        family: the variants over which Holm's correction is taken; all but the baseline by default.

    Returns:
        a row for each variant except the baseline; columns: `difference`, `low`, `high`, `seeds`, `left out` (seeds
        without a partner), `80 % power`, `reading`; and `p (Holm)`, if there is a family and a variant has enough seeds
        for a test (NaN for a variant with fewer). `80 % power` is the smallest true difference that so many seeds find
        with a chance of 80 %: at the first step of Holm's correction, or with fewer seeds than a test needs, by an
        interval that excludes 0; NaN with one seed.

    """
    from attn_tutorial.analysis.statistics import MARGIN  # here, because printing accuracies needs none of it

    return _differences(areas(frame, types or main_types(frame)), baseline, family, MARGIN)


def distraction_cost_table(
    frame: pd.DataFrame, types: Iterable[str], baseline: str = BASELINE, family: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return distraction costs beside the accuracies that they are made of, and the reductions against the baseline.

    The cost is the accuracy at severity 0 minus the mean over the severities above 0, in points. With several
    compositions, costs and accuracies are means over them. A cost alone says little: a network can have a small one
    because it is bad at severity 0 already.

    Args:
        frame: `Ledger.frame()` of one study at one preset on one image set.
        types: the compositions of clutter types, such as `analysis.UNSEEN_COST`.
        baseline: the variant that the others are compared with.
        family: the variants over which Holm's correction is taken; all but the baseline by default.

    Returns:
        a row for each variant that was tested on all compositions, in the frame's order; columns: `severity 0` and
        `mean 1–5`, accuracies in percent; `cost` in points; `reduction`, of the baseline's cost by this variant's,
        paired by seed, with its 95 % t interval, as text; `p (Holm)`, `80 % power` and `reading` as in
        `difference_table`, but nothing is called equivalent; `seeds`.

    """
    chosen = list(types)
    costs = distraction_costs(frame, chosen)
    table = distraction_table(frame, chosen)
    table = table[table["run_id"].isin(costs["run_id"])]
    cluttered = frame.loc[frame["types"].isin(chosen) & (frame["severity"] > 0), "severity"]
    mean = f"mean {cluttered.min()}–{cluttered.max()}"
    # First over the compositions of a run, so that each seed counts once.
    runs = table.groupby(OUTCOME[:3], sort=False)[["severity_0", "clutter", "cost"]].mean()
    groups = runs.groupby("variant", sort=False)
    shown = groups.mean().round(2).rename(columns={"severity_0": "severity 0", "clutter": mean})
    shown = shown.reindex([name for name in frame["variant"].unique() if name in shown.index])
    found = _differences(as_gains(costs), baseline, family, None)
    if len(found):
        texts = found.apply(with_interval, axis="columns")
        shown["reduction"] = texts.reindex(shown.index).fillna("–")
        for column in ("p (Holm)", "80 % power"):
            if column in found:
                shown[column] = found[column].reindex(shown.index)
        shown["reading"] = found["reading"].reindex(shown.index).fillna("–")
    return shown.assign(seeds=groups.size())


def _differences(
    outcomes: pd.DataFrame, baseline: str, family: Sequence[str] | None, margin: float | None
) -> pd.DataFrame:
    """Return the rows of `difference_table` for any outcome; without a margin nothing is called equivalent."""
    from attn_tutorial.analysis.statistics import LEAST_SEEDS, equivalence, paired_differences

    if baseline not in set(outcomes["variant"]):
        outcomes = outcomes[:0]
    table = paired_differences(outcomes, baseline, family).set_index("variant")
    table["verdict"] = "undecided"
    if margin is not None:
        table["verdict"] = equivalence(outcomes, baseline, margin).set_index("variant")["verdict"]
    blocks = len(table if family is None else family)
    shown = table[["difference", "low", "high", "seeds", "left_out"]].rename(columns={"left_out": "left out"})
    tested = table["seeds"] >= LEAST_SEEDS
    if blocks and tested.any():
        shown["p (Holm)"] = table["p_holm"]
    rows = list(zip((row for _, row in table.iterrows()), tested, strict=True))
    shown["80 % power"] = [_power(row, max(1, blocks), enough) for row, enough in rows]
    shown["reading"] = [_reading(row, enough) for row, enough in rows]
    return shown.round({"difference": 2, "low": 2, "high": 2, "p (Holm)": 4, "80 % power": 2})


def type_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return accuracy by variant and composition of clutter types, averaged over seeds and severities with clutter.

    Args:
        frame: `Ledger.frame()` of one study at one preset on one image set.

    Returns:
        a row for each variant, in the frame's order; a column for each composition that was tested, under its axis. If
        only severity 0 was tested, it alone counts.

    """
    check_one_kind(frame)
    cluttered = frame[frame["severity"] > 0]
    chosen = frame if cluttered.empty else cluttered
    return _by_type(chosen.pivot_table("accuracy", "variant", "types", sort=False), frame, 1)


def type_cost_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the distraction cost by variant and composition of clutter types, averaged over seeds.

    Args:
        frame: `Ledger.frame()` of one study at one preset on one image set.

    Returns:
        like `type_table`, with columns for the compositions that were tested at severity 0 and above.

    """
    table = distraction_table(frame, types_with_costs(frame))
    return _by_type(table.pivot_table("cost", "variant", "types", sort=False), frame, 2)


def _by_type(wide: pd.DataFrame, frame: pd.DataFrame, digits: int) -> pd.DataFrame:
    order = by_axis(wide.columns)
    wide = wide.reindex(index=frame["variant"].unique(), columns=order)
    wide.columns = pd.MultiIndex.from_arrays([[axis_of(types) for types in order], order])
    return wide.round(digits)


def exploratory_table(frame: pd.DataFrame, types: str | None = None, baseline: str = BASELINE) -> pd.DataFrame:
    """Return the exploratory outcomes: how fast accuracy falls with severity, and the relative clutter error.

    Args:
        frame: `Ledger.frame()` of one study at one preset on one image set.
        types: the composition whose slope is taken; `main_types` by default.
        baseline: the variant that the others are compared with.

    Returns:
        a row for each variant; columns: `slope` (points for a step of severity); `beyond the baseline's` (the paired
        difference of the slopes: above 0, accuracy falls more slowly); `relative clutter error` (100 for the baseline)
        for each axis, over its types that were tested alone; `seeds`. Means with 95 % t intervals over seeds, as text.

    """
    from attn_tutorial.analysis.outcomes import relative_clutter_error, slopes
    from attn_tutorial.analysis.statistics import intervals, paired_differences

    falls = slopes(frame, types or main_types(frame))
    own = intervals(falls).set_index("variant")
    columns = {
        "slope": own,
        "beyond the baseline's": paired_differences(falls, baseline).set_index("variant"),
    }
    alone = by_axis(name for name in frame["types"].unique() if "+" not in name)
    for axis in dict.fromkeys(map(axis_of, alone)):
        errors = relative_clutter_error(frame, [name for name in alone if axis_of(name) == axis], baseline)
        columns[f"relative clutter error, {axis}"] = intervals(errors).set_index("variant")
    texts = {name: table.apply(with_interval, axis="columns") for name, table in columns.items() if len(table)}
    return pd.DataFrame(texts, index=own.index).fillna("–").assign(seeds=own["seeds"])


def with_interval(row: pd.Series) -> str:
    """Return `interval_text` of a row of a table of means or of differences."""
    return interval_text(row["mean"] if "mean" in row else row["difference"], row["low"], row["high"])


def interval_text(middle: float, low: float, high: float, form: str = "z.2f") -> str:
    """Return a mean or a difference with its interval, such as "1.20 [0.40, 2.00]", or alone if the ends are NaN.

    Args:
        middle: the mean or difference.
        low: the lower end of its interval.
        high: the upper end of its interval.
        form: the format of each number.

    """
    return f"{middle:{form}}" if pd.isna(low) else f"{middle:{form}} [{low:{form}}, {high:{form}}]"


def run_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return what each run cost: a row for each run, with its id, speed and training time in minutes."""
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


def record_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the ids of the runs behind a figure or a table: a row for each variant, a column for each seed."""
    runs = frame.drop_duplicates("run_id")
    wide = runs.pivot(index="variant", columns="seed", values="run_id").reindex(runs["variant"].unique())
    return wide.rename(columns=lambda seed: f"seed {seed}").rename_axis(index="variant", columns=None)


def _power(row: pd.Series, blocks: int, tested: bool) -> float:
    from attn_tutorial.analysis.statistics import minimal_detectable_effect

    if pd.isna(row["within_noise"]):  # there is no interval
        return float("nan")
    found = minimal_detectable_effect(row["sd"], [row["seeds"]], blocks)
    return float(found["holm" if tested else "uncorrected"][0])


def _reading(row: pd.Series, tested: bool) -> str:
    if row["seeds"] == 1:
        return "one seed: no interval"
    if pd.isna(row["within_noise"]):
        return "the seeds do not differ: no interval"
    if row["verdict"] == "equivalent":
        return "equivalent"
    if row["within_noise"]:
        return "within noise"
    if not tested:
        return "interval excludes 0 (not tested)"
    if pd.isna(row["p_holm"]):  # outside the family
        return "differs (uncorrected)"
    return "differs, but not after Holm" if row["p_holm"] >= 0.05 else "differs"

"""One number a run, from a ledger's frame: what statistics and figures compare.

An outcome frame has a row for each run, with the columns `variant`, `seed`, `run_id` and `value`.
"""

from collections.abc import Iterable

import pandas as pd

from attn_tutorial.errors import InputError
from attn_tutorial.spec import SEEN

BASELINE = "baseline"
OUTCOME = ["variant", "seed", "run_id", "value"]
_ALIKE = ("preset", "fingerprint", "clutter_version", "backbone")


def areas(frame: pd.DataFrame, types: str = SEEN) -> pd.DataFrame:
    """Mean accuracy over the severities, in percent, of each run: the area under its severity curve.

    On `fragments+noise` this is the study's primary outcome.

    Args:
        frame: `Ledger.frame()` of one study at one preset on one image set.
        types: the composition of clutter types.

    Raises:
        InputError: see `check_one_kind`; or the runs were not tested at the same severities.

    """
    runs = _by_severity(frame, types)
    return _outcome(runs.mean(axis="columns"))


def slopes(frame: pd.DataFrame, types: str = SEEN) -> pd.DataFrame:
    """Points of accuracy that each run gains with each step of severity, by a fitted line; below 0 for a loss.

    Args:
        frame: as for `areas`.
        types: the composition of clutter types.

    Raises:
        InputError: as `areas`; or there is one severity only, through which no line is fitted.

    """
    from scipy import stats  # here, since tables of accuracies do without

    runs = _by_severity(frame, types)
    if len(runs.columns) == 1:
        raise InputError(
            f"slopes were asked of runs that were tested at severity {runs.columns[0]} only; a line needs two: "
            "take a study that tests more"
        )
    return _outcome(runs.apply(lambda run: stats.linregress(runs.columns, run).slope, axis="columns"))


def relative_clutter_error(
    frame: pd.DataFrame, types: Iterable[str] | None = None, baseline: str = BASELINE
) -> pd.DataFrame:
    """Error in clutter as a percentage of the baseline's of the same seed, which is 100; below it is better.

    As the mCE of CIFAR-10-C (Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions
    and Perturbations", section 4): for each clutter type, the errors summed over severities 1 to 5, divided by the
    baseline's; then the mean over the types.

    Args:
        frame: as for `areas`.
        types: compositions of clutter types; by default all types that were tested alone.
        baseline: the variant that is 100.

    Returns:
        an outcome frame; runs whose seed the baseline lacks are left out.

    Raises:
        InputError: as `areas`; or no type was tested alone.

    """
    tested = frame["types"].unique()
    chosen = [name for name in tested if "+" not in name] if types is None else list(types)
    if not chosen and len(frame):
        raise InputError(
            f"a relative clutter error was asked of runs that were tested on {', '.join(tested)} only; "
            "name these compositions as types, or take runs that were tested on single types"
        )
    ratios = []
    for name in chosen:
        runs = _by_severity(frame, name)
        errors = (100 - runs.drop(columns=0, errors="ignore")).sum(axis="columns")
        of_baseline = errors[errors.index.get_level_values("variant") == baseline].droplevel(["variant", "run_id"])
        partners = of_baseline.reindex(errors.index.get_level_values("seed"))
        ratios.append(100 * errors / partners.to_numpy())
    return _outcome(pd.concat(ratios, axis="columns").mean(axis="columns", skipna=False).dropna() if ratios else None)


def check_one_kind(frame: pd.DataFrame) -> None:
    """Raise `InputError` where records would be averaged that never may be.

    Those of several kinds, see `check_kinds`; and two runs of one variant with one seed, two networks under one name.
    """
    check_kinds(frame)
    runs = frame.drop_duplicates(["variant", "seed", "run_id"])
    twice = runs[runs.duplicated(["variant", "seed"], keep=False)]
    if len(twice):
        variant, seed = twice.iloc[0][["variant", "seed"]]
        of_one = twice[(twice["variant"] == variant) & (twice["seed"] == seed)]
        raise InputError(
            f"variant {variant} has several runs with seed {seed} ({', '.join(of_one['run_id'])}), which are different "
            "networks; take the runs of one study: ledger.frame(held.runs) for a held of held_in(study, ledger)"
        )


def check_kinds(frame: pd.DataFrame) -> None:
    """Raise `InputError` where a frame mixes presets, image sets, benchmark versions or backbones."""
    for column in _ALIKE:
        given = frame[column].unique().tolist() if column in frame else []
        if len(given) > 1:
            raise InputError(
                f"records of several kinds were given ({column}: {', '.join(map(str, given))}), which are never "
                f"averaged: choose one, as frame[frame[{column!r}] == {given[0]!r}]"
            )


def _by_severity(frame: pd.DataFrame, types: str) -> pd.DataFrame:
    """Accuracies of each run (rows: variant, seed, run_id) at each severity (columns)."""
    check_one_kind(frame)
    chosen = frame[frame["types"] == types]
    if chosen.empty and len(frame):
        raise InputError(
            f"types {types!r} was given, on which none of these runs was tested; they were on "
            f"{', '.join(frame['types'].unique())}"
        )
    order = pd.MultiIndex.from_frame(chosen[OUTCOME[:3]].drop_duplicates())
    wide = chosen.pivot(index=OUTCOME[:3], columns="severity", values="accuracy").reindex(order)
    holes = wide[wide.isna().any(axis="columns")]
    if len(holes):
        variant, seed, run_id = holes.index[0]
        missing = ", ".join(map(str, wide.columns[holes.iloc[0].isna()]))
        raise InputError(
            f"run {run_id} ({variant}, seed {seed}) was not tested at severity {missing}, as others were: "
            "a mean over other severities cannot be compared; take runs that were tested alike"
        )
    return wide


def _outcome(values: pd.Series | None) -> pd.DataFrame:
    if values is None or values.empty:
        return pd.DataFrame(columns=OUTCOME).astype({"value": float})
    return values.rename("value").reset_index()

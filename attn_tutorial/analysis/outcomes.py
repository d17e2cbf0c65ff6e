"""Reduce each run of a ledger's frame to one number, which statistics and figures compare.

An outcome frame has one row per run, with the columns `variant`, `seed`, `run_id` and `value`.
"""

from collections.abc import Iterable

import pandas as pd

from attn_tutorial.clutter.names import UNSEEN_TYPES
from attn_tutorial.errors import InputError
from attn_tutorial.spec import SEEN

BASELINE = "baseline"
SEEN_COST = (SEEN,)
"""The compositions of the seen distraction cost, the key secondary outcome."""
UNSEEN_COST: tuple[str, ...] = UNSEEN_TYPES
"""The compositions of the unseen distraction cost, the primary outcome: the mean of the costs of both."""
OUTCOME = ["variant", "seed", "run_id", "value"]
_KIND = ("preset", "fingerprint", "target", "backbone", "split")


def distraction_table(frame: pd.DataFrame, types: Iterable[str] | None = None) -> pd.DataFrame:
    """Return the distraction cost of each run in each composition, beside the accuracies that it is made of.

    The cost is the accuracy at severity 0 minus the mean of the accuracies at the severities above 0. A cost alone says
    little: a network can have a small one because it is bad at severity 0 already.

    Args:
        frame: `Ledger.frame()` of one study at one preset on one image set.
        types: the compositions of clutter types; by default all that were tested at severity 0 and above.

    Returns:
        a row for each run and composition; columns: `variant`, `seed`, `run_id`, `types`, `severity_0` and `clutter`
        (accuracies in percent), `cost` (points).

    Raises:
        InputError: as for `areas`, or runs were not tested at severity 0 or not at any above it.

    """
    chosen = list(dict.fromkeys(frame["types"])) if types is None else list(types)
    parts = []
    for name in chosen:
        runs = _by_severity(frame, name)
        if runs.empty:
            continue
        if 0 not in runs.columns or len(runs.columns) < 2:
            if types is None:
                continue
            tested = ", ".join(map(str, runs.columns))
            raise InputError(
                f"A distraction cost needs runs that were tested at severity 0 and above, but these were tested on "
                f"{name} at severity {tested} only. Choose runs that were tested at severities 0 to 5."
            )
        part = pd.DataFrame({"severity_0": runs[0], "clutter": runs.drop(columns=0).mean(axis="columns")})
        parts.append(part.reset_index().assign(types=name))
    if not parts:
        return pd.DataFrame(columns=[*OUTCOME[:3], "types", "severity_0", "clutter", "cost"])
    table = pd.concat(parts, ignore_index=True)
    table["cost"] = table["severity_0"] - table["clutter"]
    return table[[*OUTCOME[:3], "types", "severity_0", "clutter", "cost"]]


def distraction_costs(frame: pd.DataFrame, types: Iterable[str]) -> pd.DataFrame:
    """Return each run's mean distraction cost over compositions, in points, as an outcome frame.

    Args:
        frame: see `distraction_table`.
        types: the compositions, such as `SEEN_COST` or `UNSEEN_COST`.

    Returns:
        an outcome frame without the runs that were not tested on all of these compositions.

    Raises:
        InputError: as for `distraction_table`.

    """
    chosen = list(dict.fromkeys(types))
    table = distraction_table(frame, chosen)
    if table.empty:
        return _outcome(None)
    costs = table.groupby(OUTCOME[:3], sort=False)["cost"].agg(["mean", "size"])
    return _outcome(costs.loc[costs["size"] == len(chosen), "mean"])


def as_gains(costs: pd.DataFrame) -> pd.DataFrame:
    """Return an outcome frame of costs with the other sign, so that differences from the baseline are reductions."""
    return costs.assign(value=-costs["value"])


def won_back(frame: pd.DataFrame, types: Iterable[str], baseline: str = BASELINE) -> pd.DataFrame:
    """Return how much of the baseline's distraction cost each run wins back, in percent of that cost.

    100 means that the clutter costs the run nothing, 0 that it costs as much as it costs the baseline with the same
    seed, and less than 0 that it costs more. The baseline's cost is the headroom: if it is small, the share says
    little.

    Args:
        frame: see `distraction_table`.
        types: the compositions, such as `SEEN_COST` or `UNSEEN_COST`.
        baseline: the variant whose cost counts as 100 %.

    Returns:
        an outcome frame without the baseline, and without the runs whose seed the baseline lacks.

    """
    costs = distraction_costs(frame, types)
    check_baseline(baseline, costs["variant"])
    headroom = costs[costs["variant"] == baseline].set_index("seed")["value"]
    others = costs[(costs["variant"] != baseline) & costs["seed"].isin(headroom.index)]
    of_baseline = headroom.loc[others["seed"]].to_numpy()
    return others.assign(value=100 * (of_baseline - others["value"]) / of_baseline).reset_index(drop=True)


def areas(frame: pd.DataFrame, types: str = SEEN) -> pd.DataFrame:
    """Return the mean accuracy over the severities of each run, in percent: the area under its severity curve.

    On `fragments+noise` this is the primary outcome of the pilot study; 93 % of that fall is occlusion.

    Args:
        frame: `Ledger.frame()` of one study at one preset on one image set.
        types: the composition of clutter types that the runs were tested on.

    Raises:
        InputError: The frame mixes records (see `check_one_kind`), or its runs were tested at different severities.

    """
    runs = _by_severity(frame, types)
    return _outcome(runs.mean(axis="columns"))


def slopes(frame: pd.DataFrame, types: str = SEEN) -> pd.DataFrame:
    """Return the slope of a line fitted to each run's accuracy over severity, in points per step; a loss is below 0.

    Args:
        frame: see `areas`.
        types: the composition of clutter types that the runs were tested on.

    Raises:
        InputError: As for `areas`, or the runs were tested at one severity only.

    """
    from scipy import stats  # here, because tables of accuracies do not need it

    runs = _by_severity(frame, types)
    if len(runs.columns) == 1:
        raise InputError(
            f"A slope needs runs that were tested at two severities or more, but these were tested at severity "
            f"{runs.columns[0]} only. Choose a study that tests more severities."
        )
    return _outcome(runs.apply(lambda run: stats.linregress(runs.columns, run).slope, axis="columns"))


def relative_clutter_error(
    frame: pd.DataFrame, types: Iterable[str] | None = None, baseline: str = BASELINE
) -> pd.DataFrame:
    """Return each run's error in clutter, in percent of the baseline's error with the same seed; below 100 is better.

    It is computed like the mCE of CIFAR-10-C (Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to
    Common Corruptions and Perturbations", section 4): for each clutter type, the errors are summed over severities 1
    to 5 and divided by the baseline's sum. The result is the mean over the types.

    Args:
        frame: see `areas`.
        types: compositions of clutter types; by default all types that were tested alone.
        baseline: the variant whose error counts as 100.

    Returns:
        an outcome frame without the runs whose seed the baseline lacks.

    Raises:
        InputError: As for `areas`, or no type was tested alone.

    """
    tested = frame["types"].unique()
    chosen = [name for name in tested if "+" not in name] if types is None else list(types)
    if not chosen and len(frame):
        raise InputError(
            f"A relative clutter error needs runs that were tested on single clutter types, but these were tested on "
            f"{', '.join(tested)} only. Pass these compositions as `types`, or choose runs that were tested on single "
            "types."
        )
    ratios = []
    for name in chosen:
        runs = _by_severity(frame, name)
        errors = (100 - runs.drop(columns=0, errors="ignore")).sum(axis="columns")
        of_baseline = errors[errors.index.get_level_values("variant") == baseline].droplevel(["variant", "run_id"])
        partners = of_baseline.reindex(errors.index.get_level_values("seed"))
        ratios.append(100 * errors / partners.to_numpy())
    return _outcome(pd.concat(ratios, axis="columns").mean(axis="columns", skipna=False).dropna() if ratios else None)


def check_baseline(baseline: str, variants: Iterable[str], kind: str = "run") -> None:
    """Raise `InputError` unless `baseline` is one of the variants that have a run (or another `kind`: "network")."""
    known = list(dict.fromkeys(variants))
    if baseline not in known:
        raise InputError(
            f"`baseline` must be a variant that has a {kind}, but got {baseline!r}. There are {kind}s of "
            f"{', '.join(known)}: choose one of these."
        )


def check_one_kind(frame: pd.DataFrame) -> None:
    """Raise `InputError` if a frame mixes records that must never be averaged.

    These are records of several kinds (see `check_kinds`), and several runs of one variant with the same seed, which
    are different networks under one name.
    """
    check_kinds(frame)
    runs = frame.drop_duplicates(["variant", "seed", "run_id"])
    twice = runs[runs.duplicated(["variant", "seed"], keep=False)]
    if len(twice):
        variant, seed = twice.iloc[0][["variant", "seed"]]
        of_one = twice[(twice["variant"] == variant) & (twice["seed"] == seed)]
        raise InputError(
            f"Each variant must have one run per seed, but variant {variant} has several runs with seed {seed} "
            f"({', '.join(of_one['run_id'])}), which are different networks. Choose the runs of one study: "
            "`ledger.frame(held.runs)` for one `held` of `held_in(study, ledger)`."
        )


def check_kinds(frame: pd.DataFrame) -> None:
    """Raise `InputError` if a frame mixes presets, image sets, sizes of the target, backbones or splits."""
    for column in _KIND:
        given = frame[column].unique().tolist() if column in frame else []
        if len(given) > 1:
            raise InputError(
                f"Records must be of one kind to be averaged, but got several kinds ({column}: "
                f"{', '.join(map(str, given))}). Choose one, for example frame[frame[{column!r}] == {given[0]!r}]."
            )


def _by_severity(frame: pd.DataFrame, types: str) -> pd.DataFrame:
    """Return the accuracies of each run (rows: variant, seed, run_id) at each severity (columns)."""
    check_one_kind(frame)
    chosen = frame[frame["types"] == types]
    if chosen.empty and len(frame):
        raise InputError(
            f"`types` must be a composition that these runs were tested on ({', '.join(frame['types'].unique())}), "
            f"but got {types!r}. Choose one of these."
        )
    order = pd.MultiIndex.from_frame(chosen[OUTCOME[:3]].drop_duplicates())
    wide = chosen.pivot(index=OUTCOME[:3], columns="severity", values="accuracy").reindex(order)
    holes = wide[wide.isna().any(axis="columns")]
    if len(holes):
        variant, seed, run_id = holes.index[0]
        missing = ", ".join(map(str, wide.columns[holes.iloc[0].isna()]))
        raise InputError(
            f"All runs must be tested at the same severities to be compared, but run {run_id} ({variant}, seed {seed}) "
            f"was not tested at severity {missing}. Choose runs that were tested at the same severities."
        )
    return wide


def _outcome(values: pd.Series | None) -> pd.DataFrame:
    if values is None or values.empty:
        return pd.DataFrame(columns=OUTCOME).astype({"value": float})
    return values.rename("value").reset_index()

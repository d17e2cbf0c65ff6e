"""Compare variants with a reference variant by one model of all runs: outcome = variant + seed.

This is the analysis of the study "backgrounds". The seeds are blocks of a randomised block design, because the networks
of one seed share their first weights, their data order and their clutter. One residual standard deviation is pooled
over all variants. With ten seeds and five variants it has 36 degrees of freedom, where a paired t test has 9.

Source: Montgomery, "Design and Analysis of Experiments", chapter 4 (randomised complete blocks); Holm, "A simple
sequentially rejective multiple test procedure", 1979.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from attn_tutorial.analysis.outcomes import BASELINE, UNSEEN_COST, check_baseline, distraction_table
from attn_tutorial.analysis.statistics import LEAST_SEEDS, holm_adjusted, paired_differences
from attn_tutorial.clutter.names import SEVERITIES
from attn_tutorial.errors import InputError

PRIMARY_FAMILY = ("se", "cbam", "spatial", "non_local")
"""The four blocks of the study "backgrounds" that share Holm's correction. All of them start as the identity."""
_LEVEL = 0.95
_NO_SPREAD = 1e-9  # points; the rounding of sums makes equal values differ by less
_ACCURACIES = {"clutter": "accuracy", "severity_0": "severity_0"}
_OF_RUN = ["cost", *_ACCURACIES]


def complete_seeds(
    frame: pd.DataFrame,
    types: Iterable[str] = UNSEEN_COST,
    family: Sequence[str] = PRIMARY_FAMILY,
    reference: str = BASELINE,
) -> list[int]:
    """Return the seeds for which every variant of a family and the reference have a result, in ascending order.

    Args:
        frame: `Ledger.frame()` of one study at one preset on one image set: a row for each run, composition and
            severity, with the accuracy in percent.
        types: the compositions of clutter types on which a run must be tested to count.
        family: names of variants.
        reference: the variant that they are compared with.

    Raises:
        InputError: as for `cost_reductions`.

    """
    _check_family(family, reference)
    return _complete(_runs(frame, types), [reference, *family])


def cost_reductions(
    frame: pd.DataFrame,
    types: Iterable[str] = UNSEEN_COST,
    family: Sequence[str] = PRIMARY_FAMILY,
    reference: str = BASELINE,
    seeds: Iterable[int] | None = None,
    pooled: Iterable[str] | None = None,
) -> pd.DataFrame:
    """Return by how much each variant of a family reduces the reference's distraction cost, with intervals and tests.

    The cost of a composition is the accuracy at severity 0 minus the mean of the accuracies at severities 1 to 5. The
    outcome is its mean over `types`. All numbers come from the complete seeds only (see `complete_seeds`). The interval
    and p of a contrast come from `two_way`; p is corrected over the family by Holm's method. A paired t test of each
    contrast alone stands beside them, to show how much the result depends on the pooled model.

    Args:
        frame: see `complete_seeds`.
        types: the compositions of clutter types of the outcome, such as `UNSEEN_COST` or `SEEN_COST`.
        family: the variants that are compared with the reference, and share the correction.
        reference: the variant whose cost counts as not reduced, for example the baseline or attention pooling.
        seeds: only these seeds, for example `Stage.seeds`; by default all.
        pooled: names of further variants whose spread enters the pooled standard deviation, if they have all of the
            complete seeds; by default all variants of the frame. Leave out a variant whose cost varies much more or
            less over seeds than the others': the model assumes one standard deviation for all.

    Returns:
        a row for each variant of the family, in its order; no row without a complete seed. Columns: `variant`;
        `estimate`, `low`, `high` (reduction and its 95 % interval, points); `p`, `p_adjusted` (two-sided; NaN with
        fewer seeds than `LEAST_SEEDS`); `sd` (of a paired difference, pooled over the variants, points); `seeds`,
        `variants` (numbers in the model); `estimate_<types>` (reduction in each composition, points); `accuracy`,
        `severity_0` (accuracy minus the reference's, mean over severities 1 to 5 and at severity 0, points);
        `paired_low`, `paired_high`, `paired_p`, `paired_sd` (of the paired t test). Intervals are NaN with one seed, or
        if the runs do not vary at all.

    Raises:
        InputError: the reference is in the family or has no run, the family is empty or names a variant twice, the
            frame mixes records (see `outcomes.check_one_kind`), or runs were not tested at severities 0 to 5.

    """
    _check_family(family, reference)
    chosen = list(dict.fromkeys(types))
    runs = _runs(frame, chosen)
    if len(runs):
        check_baseline(reference, runs.index.unique("variant"))
    complete = _complete(runs, [reference, *family])
    used = complete if seeds is None else sorted(set(seeds) & set(complete))
    if not used:
        return no_reductions(chosen)
    runs = runs[runs.index.get_level_values("seed").isin(used)]
    gains = -pd.DataFrame(runs["cost"]).mean(axis="columns").unstack("seed").dropna()
    allowed = gains.index if pooled is None else [reference, *family, *pooled]
    gains = gains.loc[gains.index.isin(allowed)]
    table = two_way(gains, family, reference)
    if len(used) < LEAST_SEEDS:
        table["p"] = np.nan
    table["p_adjusted"] = holm(table["p"])
    means = runs.groupby("variant").mean()
    differences = means.loc[list(family)] - means.loc[reference]
    for name in chosen:
        table[f"estimate_{name}"] = -differences["cost", name]
    for name in ("clutter", "severity_0"):
        table[_ACCURACIES[name]] = pd.DataFrame(differences[name]).mean(axis="columns")
    values = gains.loc[[reference, *family]].melt(ignore_index=False).reset_index()
    alone = paired_differences(values, reference).set_index("variant")[["low", "high", "p", "sd"]]
    return table.join(alone.add_prefix("paired_"))[_columns(chosen)].reset_index()


def no_reductions(types: Iterable[str]) -> pd.DataFrame:
    """Return the frame of `cost_reductions` without a row."""
    return pd.DataFrame(columns=["variant", *_columns(list(types))])


def two_way(values: pd.DataFrame, family: Sequence[str], reference: str) -> pd.DataFrame:
    """Fit value = variant + seed by least squares, and return the contrasts of a family with a reference.

    Args:
        values: one number for each variant (rows) and seed (columns), without holes. All variants enter the pooled
            standard deviation.
        family: the variants to compare.
        reference: the variant that they are compared with.

    Returns:
        a row for each variant of the family. Columns: `estimate`, `low`, `high` (difference from the reference and its
        95 % interval), `p` (two-sided), `sd` (of a paired difference, √2 times the residual standard deviation),
        `seeds`, `variants`. Interval, p and sd are NaN with one seed, or if the residuals are all 0.

    Raises:
        InputError: a value is missing.

    """
    from statsmodels.regression.linear_model import OLS

    if values.isna().any(axis=None):
        row, column = np.argwhere(values.isna().to_numpy())[0]
        variant, seed = values.index[row], values.columns[column]
        raise InputError(
            f"Each variant must have a value for each seed, but {variant} has none for seed {seed}. Leave out that "
            "variant or that seed."
        )
    variants, seeds = values.shape
    effects = np.kron(np.eye(variants), np.ones((seeds, 1)))
    at = values.index.tolist().index(reference)
    design = np.column_stack([np.delete(effects, at, axis=1), np.kron(np.ones((variants, 1)), np.eye(seeds))])
    fitted = OLS(values.to_numpy().ravel(), design).fit()
    kept = values.index.delete(at)
    table = pd.DataFrame({"estimate": fitted.params[: variants - 1]}, index=kept)
    table[["low", "high", "p", "sd"]] = np.nan
    if seeds > 1 and np.sqrt(fitted.mse_resid) > _NO_SPREAD:
        ends = fitted.conf_int(1 - _LEVEL)[: variants - 1]
        table["low"], table["high"] = ends[:, 0], ends[:, 1]
        table["p"] = fitted.pvalues[: variants - 1]
        table["sd"] = np.sqrt(2 * fitted.mse_resid)
    table["seeds"], table["variants"] = seeds, variants
    return table.loc[list(family)].rename_axis("variant")


def holm(p: pd.Series) -> pd.Series:
    """Return p values corrected by Holm's method over all of them, or NaN for all if one is NaN."""
    if p.empty or p.isna().any():
        return p * np.nan
    return pd.Series(holm_adjusted(p), index=p.index)


def _runs(frame: pd.DataFrame, types: Iterable[str]) -> pd.DataFrame:
    """Return a row for each run (variant, seed) that was tested on all compositions; columns: (`_OF_RUN`, types)."""
    chosen = list(dict.fromkeys(types))
    tested = frame[frame["types"].isin(chosen)].groupby("types", sort=False)["severity"].unique()
    for name, severities in tested.items():
        if set(severities) != set(SEVERITIES):
            raise InputError(
                f"Runs must be tested at severities 0 to 5 for the protocol's costs, but on {name} they were tested at "
                f"{', '.join(map(str, sorted(severities)))}. Choose runs that were tested at all six."
            )
    table = distraction_table(frame, chosen)
    wide = table.pivot(index=["variant", "seed"], columns="types", values=_OF_RUN)
    return wide.reindex(columns=pd.MultiIndex.from_product([_OF_RUN, chosen])).dropna().astype(float)


def _complete(runs: pd.DataFrame, variants: Sequence[str]) -> list[int]:
    of_variants = runs[runs.index.get_level_values("variant").isin(variants)]
    counts = of_variants.groupby("seed").size()
    return sorted(int(seed) for seed in counts.index[counts == len(variants)])


def _columns(types: Sequence[str]) -> list[str]:
    paired = [f"paired_{name}" for name in ("low", "high", "p", "sd")]
    found = ["estimate", "low", "high", "p", "p_adjusted", "sd", "seeds", "variants"]
    return [*found, *(f"estimate_{name}" for name in types), "accuracy", "severity_0", *paired]


def _check_family(family: Sequence[str], reference: str) -> None:
    if isinstance(family, str) or not len(family) or len(set(family)) < len(family) or reference in family:
        raise InputError(
            "`family` must be a list of one or more different variants without the reference "
            f"{reference!r}, but got {family!r}. Change one of the two."
        )

"""Draw conclusions from runs with several seeds: intervals, paired differences, equivalence, power.

The functions take outcome frames (`areas`, `slopes`, `relative_clutter_error`) and return tidy frames. Intervals are
Student's t over seeds, because a bootstrap over three to ten seeds covers too little. The tests come from scipy and
statsmodels; Holm's correction is here, see `holm_adjusted`. With fewer seeds than `LEAST_SEEDS` there are intervals but
no tests. With one seed, or with seeds that do not differ at all, there is no interval either (NaN).
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from attn_tutorial.analysis.outcomes import BASELINE, areas, check_baseline, check_kinds, relative_clutter_error, slopes
from attn_tutorial.errors import InputError
from attn_tutorial.spec import SEEN

__all__ = [
    "LEAST_SEEDS",
    "MARGIN",
    "areas",
    "compare_ledgers",
    "equivalence",
    "intervals",
    "minimal_detectable_effect",
    "paired_differences",
    "relative_clutter_error",
    "seed_differences",
    "slopes",
]

LEAST_SEEDS = 4
"""Smallest number of seeds for a test."""
MARGIN = 0.5
"""Points of accuracy: a true difference within ± this margin counts as no difference."""
_ALPHA = 0.05
_ENDS = ["low", "high", "seeds"]
_NO_SPREAD = 1e-9  # points; the rounding of sums makes equal values differ by less


def intervals(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of each variant with its 95 % t interval over seeds.

    Args:
        outcomes: an outcome frame.

    Returns:
        a row for each variant; columns: `variant`, `mean`, `low`, `high`, `sd` (over seeds), `seeds`.

    """
    return _describe(_wide(outcomes), 0.95).drop(columns="p").reset_index()


def seed_differences(outcomes: pd.DataFrame, baseline: str = BASELINE) -> pd.DataFrame:
    """Return each variant's value minus the baseline's value with the same seed.

    Seeds that only one of the two has are left out.

    Returns:
        columns: `variant`, `seed`, `difference`.

    """
    wide = _differences(_wide(outcomes), baseline)
    return wide.melt(ignore_index=False, value_name="difference").dropna().reset_index()


def paired_differences(
    outcomes: pd.DataFrame, baseline: str = BASELINE, family: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return each variant's difference from the baseline, paired by seed, with Student's t test and 95 % interval.

    The interval is for each variant alone. Holm's correction applies to the p values (column `p_holm`).

    Args:
        outcomes: an outcome frame.
        baseline: the variant that the others are compared with.
        family: the variants that share Holm's correction, for example the blocks of a study without its controls; by
            default all but the baseline. A variant with too few seeds for a p value counts as one with p = 1, so that
            the correction is never weaker than for the whole family.

    Returns:
        a row for each variant that has a pair; columns: `variant`, `difference`, `low`, `high`, `sd` (of the
        differences), `seeds` (pairs), `left_out` (seeds that only one of the two has), `p`, `p_holm` (NaN outside the
        family), `within_noise` (whether the interval includes 0; <NA> without one).

    Raises:
        InputError: The frame has no such baseline.

    """
    wide = _wide(outcomes)
    table = _describe(_differences(wide, baseline), 0.95).rename(columns={"mean": "difference"})
    table["p"] = table["p"].where(table["seeds"] >= LEAST_SEEDS)
    unlike = wide.reindex(table.index).notna() != wide.reindex([baseline]).notna().to_numpy()
    table.insert(5, "left_out", unlike.sum(axis="columns"))
    table["p_holm"] = _holm(table["p"], table.index.tolist() if family is None else list(family))
    table["within_noise"] = _includes_zero(table)
    return table[table["seeds"] > 0].reset_index()


def equivalence(outcomes: pd.DataFrame, baseline: str = BASELINE, margin: float = MARGIN) -> pd.DataFrame:
    """Test whether each variant does as well as the baseline within a margin.

    The test is TOST (Schuirmann, 1987): two one-sided t tests at 5 %, paired by seed. The variants are equivalent if
    both "the difference is below -margin" and "the difference is above +margin" are rejected.

    Args:
        outcomes: an outcome frame.
        baseline: the variant that the others are compared with.
        margin: largest difference that counts as equivalent, in the unit of the outcome.

    Returns:
        a row for each variant; columns: `variant`, `difference`, `low`, `high` (the 90 % interval, which lies within
        the margins exactly if the test says equivalent), `seeds`, `p`, `verdict`. The verdict is "equivalent";
        "different" if the test does not say equivalent and the 95 % interval excludes 0; otherwise, and always with
        fewer seeds than `LEAST_SEEDS`, "undecided".

    Raises:
        InputError: The frame has no such baseline, or the margin is not above 0.

    """
    _check_margin(margin)
    wide = _differences(_wide(outcomes), baseline)
    table = _describe(wide, 0.90).rename(columns={"mean": "difference"})
    above, below = (_t_test(wide, edge, side)[0] for edge, side in ((-margin, "greater"), (margin, "less")))
    table["p"] = above.where(above > below, below).where(table["seeds"] >= LEAST_SEEDS)
    table["verdict"] = _verdicts(table["p"], _describe(wide, 0.95), table["seeds"])
    return table[table["seeds"] > 0].drop(columns="sd").reset_index()


def minimal_detectable_effect(sd: float, seeds: Iterable[int], blocks: int, power: float = 0.8) -> pd.DataFrame:
    """Return the smallest true paired difference that a two-sided t test at 5 % over seeds finds with a given power.

    Without a correction, it is also the smallest difference whose 95 % interval excludes 0 with that power. Therefore
    it is given for seeds that are too few for a test, too.

    Args:
        sd: standard deviation of the paired differences over seeds, in the unit of the result. If two networks vary
            alike and independently over seeds, it is √2 times the standard deviation of one network.
        seeds: numbers of seeds.
        blocks: number of blocks in the family of Holm's correction, whose first step tests at 5 % ÷ blocks.
        power: probability of finding the difference.

    Returns:
        a row for each number of seeds; columns: `seeds`, `uncorrected`, `holm`. Values are NaN for fewer seeds than an
        interval (2) or a test (`LEAST_SEEDS`) needs.

    Raises:
        InputError: A number is out of range.

    """
    from statsmodels.stats.power import TTestPower

    if not sd >= 0 or blocks < 1 or not _ALPHA < power < 1:
        raise InputError(
            f"`sd` must be at least 0, `blocks` at least 1, and `power` above {_ALPHA} and below 1, but got sd {sd}, "
            f"blocks {blocks}, power {power}. Change the one that is out of range."
        )
    solve = TTestPower().solve_power
    rows = [
        {
            "seeds": count,
            **{
                name: sd * float(solve(nobs=count, alpha=level, power=power)) if count >= least else np.nan
                for name, level, least in (("uncorrected", _ALPHA, 2), ("holm", _ALPHA / blocks, LEAST_SEEDS))
            },
        }
        for count in seeds
    ]
    return pd.DataFrame(rows, columns=["seeds", "uncorrected", "holm"])


def compare_ledgers(
    published: pd.DataFrame, own: pd.DataFrame, margin: float = MARGIN, types: str = SEEN
) -> pd.DataFrame:
    """Compare two ledgers' areas under the severity curves, as two independent samples of seeds.

    Args:
        published: `Ledger.frame()` of one study at one preset on one image set.
        own: the same frame of another ledger.
        margin: largest difference that counts as equivalent, in points.
        types: the composition of clutter types that the runs were tested on.

    Returns:
        a row for each variant in either ledger; columns: `variant`; `published`, `published_low`, `published_high`,
        `published_seeds`, and the same for `own`; `difference` (own minus published) with Welch's 95 % interval `low`,
        `high`; `p` of equivalence (two one-sided Welch tests); `verdict` as in `equivalence`.

    Raises:
        InputError: The ledgers contain different kinds of records (preset, images, backbone), or the margin is not
            above 0.

    """
    _check_margin(margin)
    check_kinds(pd.concat([published, own]) if len(published) and len(own) else published)
    wide = {"published": _wide(areas(published, types)), "own": _wide(areas(own, types))}
    table = pd.DataFrame(index=wide["published"].index.union(wide["own"].index, sort=False).rename("variant"))
    for side, values in wide.items():
        described = _describe(values.reindex(table.index), 0.95)
        table[side] = described["mean"]
        table[[f"{side}_{name}" for name in _ENDS]] = described[_ENDS]
    table["difference"] = table["own"] - table["published"]
    empty = pd.Series(dtype=float)
    first, second = (values.T for values in wide.values())
    welch = [_welch(first.get(name, empty).dropna(), second.get(name, empty).dropna(), margin) for name in table.index]
    for place, column in enumerate(("low", "high", "p")):
        table[column] = [row[place] for row in welch]
    table["verdict"] = _verdicts(table["p"], table, table[["published_seeds", "own_seeds"]].min(axis="columns"))
    return table.reset_index()


def _wide(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Return variants as rows, in their order, and seeds as columns, with NaN where a run is missing."""
    wide = outcomes.pivot(index="variant", columns="seed", values="value")
    return wide.reindex(pd.Index(outcomes["variant"].unique(), name="variant"))


def _differences(wide: pd.DataFrame, baseline: str) -> pd.DataFrame:
    if wide.empty:
        return wide
    check_baseline(baseline, wide.index)
    return wide.drop(index=baseline) - wide.loc[baseline]


def _describe(wide: pd.DataFrame, level: float) -> pd.DataFrame:
    p, low, high = _t_test(wide, 0.0, "two-sided", level)
    return pd.DataFrame(
        {
            "mean": wide.mean(axis="columns"),
            "low": low,
            "high": high,
            "sd": wide.std(axis="columns"),
            "seeds": wide.count(axis="columns"),
            "p": p,
        }
    )


def _t_test(wide: pd.DataFrame, mean: float, side: str, level: float = 0.95) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Return p and the interval's ends of each row's one-sample t test; NaN where the values do not differ."""
    p, low, high = (pd.Series(np.nan, index=wide.index, dtype=float) for _ in range(3))
    varied = wide[wide.std(axis="columns") > _NO_SPREAD]
    # scipy tests all rows with the same number of seeds in one call.
    for count, rows in varied.groupby(varied.count(axis="columns")):
        values = rows.to_numpy()[rows.notna().to_numpy()].reshape(len(rows), count)
        test = stats.ttest_1samp(values, mean, axis=1, alternative=side)
        p[rows.index], (low[rows.index], high[rows.index]) = test.pvalue, test.confidence_interval(level)
    return p, low, high


def _welch(published: pd.Series, own: pd.Series, margin: float) -> tuple[float, float, float]:
    fewest = min(len(own), len(published))
    if fewest < 2 or max(own.std(), published.std()) < _NO_SPREAD:
        return np.nan, np.nan, np.nan
    low, high = stats.ttest_ind(own, published, equal_var=False).confidence_interval(0.95)
    above = stats.ttest_ind(own + margin, published, equal_var=False, alternative="greater").pvalue
    below = stats.ttest_ind(own - margin, published, equal_var=False, alternative="less").pvalue
    return low, high, max(above, below) if fewest >= LEAST_SEEDS else np.nan


def holm_adjusted(p: Sequence[float] | pd.Series) -> NDArray[np.float64]:
    """Return p values after Holm's correction, in their order.

    `statsmodels` has the same, but collects garbage in each call, which takes half a second in a large process.

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics, 1979.
    """
    values = np.asarray(p, dtype=float)
    order = values.argsort(kind="stable")
    steps = np.arange(len(values), 0, -1) * values[order]
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected


def _holm(p: pd.Series, family: list[str]) -> pd.Series:
    if p.reindex(family).notna().sum() == 0:
        return p * np.nan
    corrected = holm_adjusted(p.reindex(family).fillna(1.0))
    return pd.Series(corrected, index=family).reindex(p.index).where(p.notna())


def _includes_zero(table: pd.DataFrame) -> pd.Series:
    includes = (table["low"] <= 0) & (table["high"] >= 0)
    return includes.astype("boolean").mask(table["low"].isna())


def _verdicts(p: pd.Series, described: pd.DataFrame, seeds: pd.Series) -> pd.Series:
    differs = ~_includes_zero(described).fillna(True) & (seeds >= LEAST_SEEDS)
    return pd.Series("undecided", index=p.index).mask(differs, "different").mask(p < _ALPHA, "equivalent")


def _check_margin(margin: float) -> None:
    if not margin > 0:
        raise InputError(f"`margin` must be a number of points above 0, but got {margin!r}. Choose a larger one.")

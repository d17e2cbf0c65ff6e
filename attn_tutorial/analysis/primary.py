"""Judge blocks by the protocol of the study "backgrounds", which was written down before its runs.

The primary outcome is the reduction of the unseen distraction cost against the baseline. Four blocks share Holm's
correction. The module `contrasts` has the model, `stopping` counts the seeds, and `power` says what they can find.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from attn_tutorial.analysis.contrasts import PRIMARY_FAMILY, cost_reductions, holm, no_reductions
from attn_tutorial.analysis.outcomes import BASELINE, SEEN_COST, UNSEEN_COST, distraction_costs
from attn_tutorial.analysis.power import check_margin, smallest_reduction
from attn_tutorial.analysis.statistics import LEAST_SEEDS
from attn_tutorial.errors import InputError

MARGIN_SHARE = 0.2
"""The margin as a share of the baseline's unseen cost: a smaller reduction does not matter."""
Word = Literal["supported", "refuted", "cannot tell", "too few seeds"]
_ALPHA = 0.05
_ROUNDING = 1e-9  # points; sums of equal values differ by less


@dataclass(frozen=True)
class Finding:
    """What the study says about one block: numbers in points, p values two-sided, NaN where there is none."""

    variant: str
    margin: float
    """The smallest reduction that matters. It was fixed before the runs."""
    estimate: float
    """Reduction of the unseen distraction cost against the baseline, paired by seed."""
    low: float
    """Lower end of its 95 % interval."""
    high: float
    """Upper end of its 95 % interval."""
    p: float
    p_adjusted: float
    """p, corrected over the family by Holm's method."""
    sd: float
    """Standard deviation of a paired difference over seeds, pooled over the variants of the model."""
    seeds: int
    variants: int
    """Number of variants in the model."""
    family: int
    """Number of blocks that share the correction."""
    by_types: Mapping[str, float]
    """The reduction on each composition of clutter types."""
    accuracy: float
    """Accuracy on unseen backgrounds (severities 1 to 5) minus the baseline's."""
    severity_0: float
    """Accuracy at severity 0 minus the baseline's."""
    paired_low: float
    """Lower end of the 95 % interval of a paired t test of this block alone."""
    paired_high: float
    """Upper end of the 95 % interval of a paired t test of this block alone."""
    paired_p: float
    paired_sd: float

    @property
    def verdict(self) -> Word:
        """Return what the protocol's rules say.

        Supported: no condition fails (see `failed`). Refuted: the whole 95 % interval lies below the margin. With fewer
        seeds than `LEAST_SEEDS` there is no verdict. In all other cases the study cannot tell.
        """
        if self.seeds < LEAST_SEEDS:
            return "too few seeds"
        if self.high < self.margin:
            return "refuted"
        return "cannot tell" if self.failed else "supported"

    @property
    def failed(self) -> list[str]:
        """Return which conditions of support do not hold, as parts of a sentence.

        The conditions: adjusted p below 0.05; an estimate of at least the margin; the cost falls on every composition;
        an accuracy on unseen backgrounds that is not below the baseline's.
        """
        reasons = []
        if pd.isna(self.p_adjusted):
            reasons.append("there is no test")
        elif not self.p_adjusted < _ALPHA:
            reasons.append(f"the adjusted p is {self.p_adjusted:.3f}")
        if not self.estimate >= self.margin - _ROUNDING:
            reasons.append(f"the reduction is less than the margin of {self.margin:.2f} points")
        if risen := [f"`{name}`" for name, value in self.by_types.items() if not value > _ROUNDING]:
            reasons.append(f"the cost does not fall on {' and '.join(risen)}")
        if not self.accuracy >= -_ROUNDING:
            reasons.append(f"the accuracy on unseen backgrounds is {-self.accuracy:.2f} points below the baseline's")
        return reasons

    @property
    def smallest_found(self) -> float:
        """Return the smallest true reduction that these seeds find with 80 %, in points; NaN without a verdict."""
        if self.seeds < LEAST_SEEDS or pd.isna(self.sd):
            return float("nan")
        return smallest_reduction(self.sd, self.seeds, self.variants, self.family)

    @property
    def smallest_supported(self) -> float:
        """Return the smallest true reduction that is found and estimated at the margin or above it with 80 %."""
        if self.seeds < LEAST_SEEDS or pd.isna(self.sd):
            return float("nan")
        return smallest_reduction(self.sd, self.seeds, self.variants, self.family, margin=self.margin)

    def sentence(self, label: str | None = None) -> str:
        """Return the finding as one sentence: the estimate, its interval, the verdict and its reasons.

        Args:
            label: how readers call the variant, such as "CBAM, gates start at 1"; by default its name.

        """
        change = "lowers" if self.estimate >= 0 else "raises"
        count = f"{self.seeds} seed{'s' if self.seeds > 1 else ''}"
        interval = "no interval" if pd.isna(self.low) else (
            f"95 % interval of the reduction {_signed(self.low)} to {_signed(self.high)}"
        )  # fmt: skip
        start = (
            f"{label or f'`{self.variant}`'} {change} the unseen distraction cost by {abs(self.estimate):.2f} points "
            f"({interval}, {count})"
        )
        match self.verdict:
            case "too few seeds":
                return f"{start}: a verdict needs at least {LEAST_SEEDS} seeds."
            case "supported":
                return f"{start}: the study supports that it helps by at least {self.margin:.2f} points."
            case "refuted":
                return f"{start}: the study refutes that it helps by {self.margin:.2f} points or more."
        return f"{start}: the study cannot tell whether it helps, because {joined(self.failed)}."


def judge_primary(
    frame: pd.DataFrame,
    margin: float,
    family: Sequence[str] = PRIMARY_FAMILY,
    baseline: str = BASELINE,
    seeds: Iterable[int] | None = None,
    pooled: Iterable[str] | None = None,
) -> list[Finding]:
    """Return what the study says about each block of the primary family; nothing without a complete seed.

    Args:
        frame: `Ledger.frame()` of the study at one preset on one image set.
        margin: smallest reduction that matters, in points. It is fixed after stage 0, see `margin_of`.
        family: the variants with the blocks.
        baseline: the variant that they are compared with.
        seeds: the seeds that count, for example `Stage.seeds`; by default all that are complete.
        pooled: see `cost_reductions`.

    Raises:
        InputError: the margin is not a number above 0, or as for `cost_reductions`.

    """
    check_margin(margin)
    table = cost_reductions(frame, UNSEEN_COST, family, baseline, seeds, pooled)
    return [_finding(row, margin, len(table)) for row in table.to_dict("records")]


def judge_seen(
    frame: pd.DataFrame,
    findings: Iterable[Finding],
    baseline: str = BASELINE,
    seeds: Iterable[int] | None = None,
    pooled: Iterable[str] | None = None,
) -> pd.DataFrame:
    """Return the key secondary result: by how much the blocks that passed the primary test reduce the seen cost.

    Only a block with the verdict "supported" is tested, and Holm's correction is over the tested blocks. In simulated
    studies without any seen effect, a false finding then happened in at most 5 % of studies, as long as the noise of
    the two outcomes correlated by 0.9 or less.

    Args:
        frame: see `judge_primary`.
        findings: of the whole family.
        baseline: see `judge_primary`.
        seeds: see `judge_primary`.
        pooled: see `cost_reductions`.

    Returns:
        see `cost_reductions`, with a row only for each block that passed.

    """
    verdicts = {finding.variant: finding.verdict for finding in findings}
    if not verdicts:
        return no_reductions(SEEN_COST)
    table = cost_reductions(frame, SEEN_COST, list(verdicts), baseline, seeds, pooled)
    table = table[table["variant"].map(verdicts) == "supported"].reset_index(drop=True)
    return table.assign(p_adjusted=holm(table["p"]))


def margin_of(frame: pd.DataFrame, baseline: str = BASELINE) -> float:
    """Return the margin that the baseline's runs give: a fifth of their mean unseen distraction cost, in points.

    Use it once, on the runs of stage 0, and write the number down before stage 1.

    Args:
        frame: `Ledger.frame()` of stage 0.
        baseline: the plain network.

    Raises:
        InputError: the baseline has no run that was tested on all unseen compositions.

    """
    costs = distraction_costs(frame, UNSEEN_COST)
    own = costs.loc[costs["variant"] == baseline, "value"]
    if own.empty:
        raise InputError(
            f"A margin needs runs of {baseline} that were tested on {' and '.join(UNSEEN_COST)}, but there are none. "
            "Run stage 0 first."
        )
    return MARGIN_SHARE * float(own.mean())


def _finding(row: Mapping[Hashable, Any], margin: float, family: int) -> Finding:
    own = {str(name): value for name, value in row.items() if name in Finding.__dataclass_fields__}
    by_types = {name: row[f"estimate_{name}"] for name in UNSEEN_COST}
    return Finding(**own, margin=margin, family=family, by_types=by_types)


def _signed(points: float) -> str:
    return f"{points:+.2f}".replace("-", "−")


def joined(parts: Sequence[str]) -> str:
    """Return parts of a sentence as "a", "a and b" or "a, b and c"."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))

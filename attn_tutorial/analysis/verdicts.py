"""Judge blocks by the pilot's protocol: four conditions that were written down before the runs."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from attn_tutorial.analysis.outcomes import areas, slopes
from attn_tutorial.analysis.statistics import MARGIN, intervals, paired_differences


@dataclass(frozen=True)
class Found:
    """A mean over seeds with its 95 % t interval, in points. The ends are NaN if there is no interval."""

    mean: float
    low: float
    high: float
    seeds: int

    @property
    def above(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.low > 0

    @property
    def reading(self) -> str:
        """What can be said from the interval alone, without a test."""
        if pd.isna(self.low):
            return "one seed, no interval" if self.seeds == 1 else "no interval"
        if self.low > 0 or self.high < 0:
            return "the interval excludes 0 (not tested)"
        return "within noise"


@dataclass(frozen=True)
class Verdict:
    """Whether the runs support or refute the hypothesis that a block helps in clutter."""

    gain: Found | None
    """Difference from the baseline on the primary outcome."""
    steadier: Found | None
    """Its slope over severity minus the baseline's. Above 0, the block loses less with each step of severity."""
    beyond_static: Found | None
    """Difference from the static gate on the primary outcome."""
    harm_of_class: Found | None
    """Accuracy lost at the highest severity with the gates of another image of the same class."""
    harm_of_others: Found | None
    """Accuracy lost at the highest severity with the gates of an image of another class."""

    @property
    def conditions(self) -> Mapping[str, Found | None]:
        """What must lie above 0, by its name in tables. The fourth condition has two parts."""
        return {
            "gain over the baseline": self.gain,
            "slope beyond the baseline's": self.steadier,
            "gain over the static gate": self.beyond_static,
            "harm by gates of its class": self.harm_of_class,
            "harm by gates of another class": self.harm_of_others,
        }

    @property
    def not_shown(self) -> list[str]:
        """Names of the conditions that do not lie above 0."""
        return [name for name, found in self.conditions.items() if found is None or not found.above]

    @property
    def word(self) -> str:
        """The verdict: supported, refuted or undecided; "not measured" if the variant or the baseline has no run."""
        if self.gain is None:
            return "not measured"
        if self.gain.high < MARGIN:
            return "refuted"
        return "undecided" if self.not_shown else "supported"


def judge(frame: pd.DataFrame, lesions: pd.DataFrame, variant: str, baseline: str, static: str, types: str) -> Verdict:
    """Judge a block's runs by the protocol.

    Args:
        frame: `Ledger.frame()` of one study at one preset on one image set.
        lesions: `ledger.frames.lesion_frame` of the same runs.
        variant: the variant with the block.
        baseline: the variant that it is compared with.
        static: the variant whose gates do not depend on the input.
        types: the composition of clutter types of the primary outcome.

    Returns:
        the verdict. A condition is None if the runs that it needs are missing.

    """
    primary = areas(frame, types)
    return Verdict(
        gain=difference(primary, variant, baseline),
        steadier=difference(slopes(frame, types), variant, baseline),
        beyond_static=difference(primary, variant, static),
        harm_of_class=_harm(lesions, variant, "other_same_class"),
        harm_of_others=_harm(lesions, variant, "other_class"),
    )


def difference(outcomes: pd.DataFrame, variant: str, reference: str) -> Found | None:
    """Return a variant's difference from a reference variant, paired by seed, or None if one of them has no run.

    Args:
        outcomes: an outcome frame.
        variant: the variant to judge.
        reference: the variant that it is compared with.

    """
    pair = outcomes[outcomes["variant"].isin([variant, reference])]
    if pair["variant"].nunique() < 2:
        return None
    return _found(paired_differences(pair, reference), "difference")


def _harm(lesions: pd.DataFrame, variant: str, lesion: str) -> Found | None:
    chosen = lesions[(lesions["variant"] == variant) & (lesions["lesion"] == lesion)]
    hardest = chosen[chosen["severity"] == chosen["severity"].max()]
    return _found(intervals(hardest.rename(columns={"harm": "value"}).drop(columns=["low", "high"])), "mean")


def _found(table: pd.DataFrame, middle: str) -> Found | None:
    if table.empty:
        return None
    row = table.iloc[0]
    return Found(float(row[middle]), float(row["low"]), float(row["high"]), int(row["seeds"]))

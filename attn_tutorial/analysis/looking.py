"""Whether a block looks at the target: the protocol's rule, from lesions of its gates and from where its maps lie."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from attn_tutorial.analysis.outcomes import OUTCOME
from attn_tutorial.analysis.statistics import LEAST_SEEDS, intervals
from attn_tutorial.analysis.verdicts import Found
from attn_tutorial.spec import SEEN

LOOKED_AT = (SEEN, "mosaic")
"""The compositions over which the rule takes the mean."""
LESIONS = ("other_clutter", "shuffle")
Word = Literal["looks", "not shown", "too few seeds", "no places", "not measured"]


@dataclass(frozen=True)
class Looking:
    """Whether a block looks at the target, and why."""

    conditions: Mapping[str, Found | None]
    """What must lie above 0, in points of accuracy; of the maps, in shares of the chance level. None: not measured."""
    has_places: bool
    """Whether the block weighs places."""

    @property
    def missing(self) -> list[str]:
        """Names of the conditions that were measured and do not lie above 0."""
        return [name for name, found in self.conditions.items() if found is not None and not found.above]

    @property
    def word(self) -> Word:
        """The verdict."""
        found = [each for each in self.conditions.values() if each is not None]
        if not self.has_places:
            return "no places"
        if len(found) < len(self.conditions):
            return "not measured"
        if min(each.seeds for each in found) < LEAST_SEEDS:
            return "too few seeds"
        return "not shown" if self.missing else "looks"


def judge_looking(
    lesions: pd.DataFrame, places: pd.DataFrame, variant: str, types: Sequence[str] = LOOKED_AT
) -> Looking | None:
    """Judge by the protocol whether a block looks at the target.

    Args:
        lesions: `ledger.frames.lesion_frame` of one study at one preset on one image set; no donor of gates was chosen
            by the label.
        places: `ledger.frames.localisation_frame` of the same runs.
        variant: the variant with the block.
        types: the compositions; each seed counts with its mean over them.

    Returns:
        the verdict; None if no lesion of this variant was measured in all of these compositions.

    """
    rows = lesions[(lesions["variant"] == variant) & lesions["types"].isin(types)]
    if set(rows["types"]) < set(types):
        return None
    hardest, weakest = rows["severity"].max(), rows["severity"].min()
    tried = of_places(rows["lesion"].unique().tolist())
    conditions: dict[str, Found | None] = {}
    for lesion in LESIONS:
        name = next((each for each in tried if each.split(" ")[0] == lesion), None)
        harm = _by_seed(rows[rows["lesion"] == name], "harm", types)
        strong, weak = (harm[harm["severity"] == severity] for severity in (hardest, weakest))
        conditions[f"harm by `{lesion}`"] = _found(strong)
        both = strong.merge(weak, on=OUTCOME[:3], suffixes=("", "_weak"))
        conditions[f"more harm by `{lesion}` than at severity {weakest}"] = _found(
            both.assign(value=both["value"] - both["value_weak"])
        )
    own = places[
        (places["variant"] == variant)
        & places["types"].isin(types)
        & (places["severity"] == hardest)
        & (places["map"] != "grad_cam")
        & (places["mask"] == "tile")
    ]
    beyond = own.assign(beyond=own["enrichment"] - own["enrichment_elsewhere"])
    conditions["maps on their own target"] = _found(_by_seed(beyond, "beyond", types))
    return Looking(conditions, has_places=any(name.startswith("shuffle") for name in tried))


def of_places(lesions: Sequence[str]) -> list[str]:
    """Return the lesions that a claim to look rests on: of several kinds of maps, those of the maps of places alone."""
    whole = [name for name in ("other_same_class", "other_class", *LESIONS) if name in lesions]
    shuffled = [name.removeprefix("shuffle ") for name in lesions if name.startswith("shuffle (")]
    parts = [f"{name} {kind}" for kind in shuffled for name in LESIONS]
    return parts or whole


def _by_seed(rows: pd.DataFrame, column: str, types: Sequence[str]) -> pd.DataFrame:
    """Return the mean of a column over slots, and then over compositions, for each run that has all of these."""
    keys = [*OUTCOME[:3], "severity"]
    cells = rows.groupby([*keys, "types"], sort=False)[column].mean().reset_index()
    complete = cells.groupby(keys, sort=False)[column].agg(["mean", "size"]).reset_index()
    return complete[complete["size"] == len(set(types))].rename(columns={"mean": "value"})[[*keys, "value"]]


def _found(outcomes: pd.DataFrame) -> Found | None:
    if outcomes.empty:
        return None
    row = intervals(outcomes[OUTCOME]).iloc[0]
    return Found(float(row["mean"]), float(row["low"]), float(row["high"]), int(row["seeds"]))

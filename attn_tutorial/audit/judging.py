"""Judge the promises of the clutter benchmark by records and by measurements on canvases. Imports no torch."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from attn_tutorial.analysis.outcomes import BASELINE, SEEN_COST, UNSEEN_COST, distraction_costs, won_back
from attn_tutorial.audit.promises import (
    ERROR,
    EVEN_TYPES,
    LEAK_TYPES,
    LEAST_SEEN_COST,
    LEAST_STEP,
    LEAST_UNSEEN_COST,
    LEAST_WON_BACK,
    MOST_STEP,
    SEARCHED_TYPES,
    Cost,
    Detection,
    Duplicates,
    EvenFall,
    Guess,
    Hits,
    Level,
    NoLeak,
    NoTestImage,
    PixelComparison,
    Point,
    SamePixels,
    Shortcut,
    Sources,
    Touched,
    Twins,
    WeakBackground,
    WholeTarget,
)
from attn_tutorial.clutter.names import SEVERITIES
from attn_tutorial.ledger.frames import accuracy_frame
from attn_tutorial.ledger.record import Accuracy, Record
from attn_tutorial.spec import SEEN

_GUESSING, _MISTAKEN = "tile_removed", "tile_removed_other_classes"
_ORACLE, _WRONG_ORACLE, _ORACLE_INPUT = "oracle gate", "wrong oracle", "severity_0_only"


def no_leak(records: Mapping[str, Record], chance: float, hits: Sequence[Hits]) -> NoLeak:
    """Judge promise 1 by the network `tile_removed`, and by what detectors found.

    Args:
        records: the audit's records by variant. `tile_removed_other_classes`, whose distractors are of other classes
            only, is shown but not judged.
        chance: the accuracy of guessing the label, 0 to 1.
        hits: what the detectors found. Judged is what they found among background types where the target was removed.

    """
    judged = [row for types in LEAK_TYPES for row in _guesses(_GUESSING, records, types)]
    mistaken = [row for types in LEAK_TYPES for row in _guesses(_MISTAKEN, records, types)]
    tested = {(row.types, row.severity) for row in judged}
    missing = [(types, severity) for types in LEAK_TYPES for severity in SEVERITIES if (types, severity) not in tested]
    outside = [row for row in judged if not row.low <= chance <= row.high]
    measured = f"The network that never saw a target names {_range([row.accuracy for row in judged])} of the labels "
    measured += f"right, where chance is {100 * chance:g} %"
    measured += f"; beyond chance: {_places(outside)}." if outside else "; chance lies in every interval."
    if missing:
        measured += f" Not tested: {', '.join(f'{types} at severity {severity}' for types, severity in missing)}."

    detections = _detections(hits)
    searched = [row for row in detections if row.judged]
    found = [row for row in searched if not row.low <= row.chance <= row.high]
    for detector in dict.fromkeys(row.detector for row in searched):
        rows = [row for row in searched if row.detector == detector]
        measured += (
            f" The {detector} detector finds {_range([row.rate for row in rows])} of the removed targets, where chance "
            f"is {_range([row.chance for row in rows])}."
        )
    measured += (
        f" Beyond chance: {'; '.join(f'{row.detector} detector, {_places([row])}' for row in found)}."
        if found
        else " Chance lies in every interval."
    )
    guesses, places_hidden = not outside and not missing, bool(searched) and not found
    return NoLeak(
        measured=measured,
        passed=guesses and places_hidden,
        canvases_passed=places_hidden,
        chance=chance,
        guesses=judged + mistaken,
        detections=detections,
    )


def same_pixels(rows: Sequence[PixelComparison]) -> SamePixels:
    """Judge promise 2 by how many pixels differ between ways of rendering."""
    run = [row for row in rows if row.pixels is not None]
    wrong = [row for row in run if row.pixels or row.mask_pixels]
    measured = f"{max((row.canvases for row in run), default=0):,} canvases, {len(run)} other ways of rendering: "
    measured += "; ".join(
        f"{row.way}: {row.pixels:,} pixels and {row.mask_pixels:,} of the masks differ" for row in wrong
    ) or ("0 pixels and 0 of the masks differ")
    measured += "".join(f"; {row.way}: not run" for row in rows if row.pixels is None) + "."
    passed = bool(run) and not wrong
    return SamePixels(measured=measured, passed=passed, canvases_passed=passed, rows=list(rows))


def even_fall(baseline: Record) -> EvenFall:
    """Judge promise 3 by the baseline's accuracies.

    All severities are tested on the same images. The intervals ignore this, so they are wider than necessary: a step
    that they call too small or too large is so.
    """
    levels = {types: _levels(_of(baseline, types)) for types in dict.fromkeys(row.types for row in baseline.accuracy)}
    parts, faults = [], []
    for types in EVEN_TYPES:
        rows = levels.get(types, [])
        if missing := sorted(set(SEVERITIES) - {row.severity for row in rows}):
            faults.append(f"on {types} the baseline was not tested at severity {_list(missing)}")
        for row in rows:
            if row.low is None or row.high is None:
                continue
            low, high = -100 * row.high, -100 * row.low
            if high < LEAST_STEP or low > MOST_STEP:
                kind = "too small" if high < LEAST_STEP else "too large"
                interval = f"interval {low:.1f} to {high:.1f} points"
                faults.append(f"on {types} the step to severity {row.severity} is {kind} ({interval})")
        steps = _points([-row.change for row in rows if row.change is not None])
        parts.append(f"on {types} the steps cost {steps or 'an unknown number of'} points")
    seen, unseen = _cost(baseline, SEEN_COST), _cost(baseline, UNSEEN_COST)
    for name, cost, kinds, least in (
        ("seen", seen, SEEN_COST, LEAST_SEEN_COST),
        ("unseen", unseen, UNSEEN_COST, LEAST_UNSEEN_COST),
    ):
        ends = None if cost is None else _cost_interval(baseline, kinds)
        interval = f" (interval {ends[0]:.1f} to {ends[1]:.1f})" if ends else ""
        parts.append(f"the {name} cost is {_number(cost, '.2f')} points{interval}")
        if ends is None or ends[1] < least:
            faults.append(f"the {name} cost must be at least {least:g} points")
    measured = f"{_sentence('; '.join(parts))}."
    if faults:
        measured += f" {_sentence('; '.join(faults))}."
    return EvenFall(
        measured=measured,
        passed=not faults,
        canvases_passed=None,
        seen_cost=seen,
        unseen_cost=unseen,
        rows=[row for rows in levels.values() for row in rows],
    )


def whole_target(touched: Sequence[Touched], records: Mapping[str, Record]) -> WholeTarget:
    """Judge promise 4 by the targets' pixels on background canvases, and by what the oracle gate wins back.

    Args:
        touched: how many pixels of targets each composition changes.
        records: the audit's records by variant. `oracle gate` is judged; `wrong oracle` and `severity_0_only` are
            shown.

    """
    costs = [_costs(variant, records) for variant in (BASELINE, _ORACLE, _WRONG_ORACLE)]
    oracle = costs[1]
    whole = bool(touched) and not any(row.pixels or row.mask_pixels for row in touched)
    enough = all(
        won is not None and round(won, 6) >= LEAST_WON_BACK for won in (oracle.seen_won_back, oracle.unseen_won_back)
    )
    measured = f"{sum(row.canvases for row in touched):,} canvases: "
    measured += "; ".join(
        f"{row.types}: {row.pixels:,} pixels of targets changed, {row.mask_pixels:,} of the masks wrong"
        for row in touched
        if row.pixels or row.mask_pixels
    ) or ("0 pixels of targets changed, and every mask is the whole box")
    measured += (
        f". The oracle gate wins back {_number(oracle.seen_won_back)} % of the seen and "
        f"{_number(oracle.unseen_won_back)} % of the unseen cost"
        + ("." if enough else f", where {LEAST_WON_BACK:g} % are promised.")
    )
    return WholeTarget(
        measured=measured,
        passed=whole and enough,
        canvases_passed=whole,
        rows=list(touched),
        costs=costs,
        curves=[
            Point(variant=variant, types=row.types, severity=row.severity, accuracy=row.accuracy)
            for variant in (BASELINE, _ORACLE, _WRONG_ORACLE)
            for types in (*SEEN_COST, *UNSEEN_COST)
            for row in _of(records[variant], types)
        ],
        oracle_input=_accuracy_at_0(records[_ORACLE_INPUT]),
    )


def no_test_image(
    duplicates: Sequence[Duplicates], sources: Sequence[Sources], examples: Sequence[Twins]
) -> NoTestImage:
    """Judge promise 5 by the images that distractors come from."""
    parts = []
    for split in dict.fromkeys(row.split for row in sources):
        rows = [row for row in sources if row.split == split]
        layers = ", ".join(f"{row.layer} {row.images:,}" for row in rows)
        parts.append(
            f"On {rows[0].canvases:,} canvases of {split} the layers show so many images: {layers}; "
            f"{sum(row.duplicates for row in rows):,} near-duplicates are among them, and "
            f"{rows[0].not_barred:,} are not barred."
        )
    passed = bool(sources) and not any(row.duplicates or row.not_barred for row in sources)
    return NoTestImage(
        measured=" ".join(parts),
        passed=passed,
        canvases_passed=passed,
        duplicates=list(duplicates),
        sources=list(sources),
        examples=list(examples),
    )


def weak_background(deviations: Sequence[float], records: Mapping[str, Record]) -> WeakBackground:
    """Judge promise 6 by the background of canvases at severity 0 and by the baseline's record.

    Args:
        deviations: of each canvas, the standard deviation of the pixels outside the target, as a share of their range.
        records: the audit's records by variant. `baseline` is judged; the two networks trained at severity 0 only are
            shown.

    """
    rows = [
        Shortcut(variant=variant, **row.model_dump(include=set(Shortcut.model_fields)))
        for variant in ("severity_0_only", "severity_0_only_blank")
        for row in records[variant].accuracy
    ]
    again = {row.severity for row in _of(records[BASELINE], SEEN) if row.recalibrated is not None}
    missing = sorted(set(SEVERITIES) - again)
    blank = int(np.sum(np.asarray(deviations) <= 0))
    mean, least = float(np.mean(deviations)), float(np.min(deviations))
    measured = (
        f"Standard deviation of the background over {len(deviations):,} canvases: mean {mean:.4f}, least {least:.4f} "
        f"of the pixel range; {blank:,} blank. Recalibrated accuracy "
        + (f"is missing at severity {_list(missing)}." if missing else "is known at every severity.")
    )
    return WeakBackground(
        measured=measured,
        passed=not blank and not missing,
        canvases_passed=not blank,
        canvases=len(deviations),
        mean_sd=mean,
        least_sd=least,
        rows=rows,
    )


def _of(record: Record, types: str) -> list[Accuracy]:
    return sorted((row for row in record.accuracy if row.types == types), key=lambda row: row.severity)


def _guesses(variant: str, records: Mapping[str, Record], types: str) -> list[Guess]:
    together = len(LEAK_TYPES) * len(SEVERITIES)
    return [
        Guess(
            variant=variant,
            types=types,
            severity=row.severity,
            accuracy=row.accuracy,
            images=row.images,
            **_exact_interval(_right(row), row.images, together),
        )
        for row in _of(records[variant], types)
    ]


def _detections(hits: Sequence[Hits]) -> list[Detection]:
    """Add intervals to the hits.

    Chance differs from guess to guess, because a guess at the canvas's edge has fewer neighbours. The number of hits
    then varies less than a binomial one with the same mean (Hoeffding, "On the distribution of the number of successes
    in independent trials", 1956), so that the intervals are wider than necessary.
    """
    judged = [row.tile == "removed" and row.types in SEARCHED_TYPES for row in hits]
    return [
        Detection(**row.model_dump(), **_exact_interval(row.hits, row.canvases, max(1, sum(judged))), judged=is_judged)
        for row, is_judged in zip(hits, judged, strict=True)
    ]


def _exact_interval(right: int, tried: int, together: int) -> dict[str, Any]:
    """Return the ends of an exact binomial interval (Clopper and Pearson), one of several that share the error rate."""
    low, high = proportion_confint(right, tried, ERROR / together, method="beta")
    return {"low": float(low), "high": float(high)}


def _cost(record: Record, types: Iterable[str]) -> float | None:
    """Return a network's mean distraction cost over compositions, in points; None if it was not tested in all."""
    if any({row.severity for row in _of(record, name)} != set(SEVERITIES) for name in types):
        return None
    return float(distraction_costs(accuracy_frame([("", record)]), types)["value"].iloc[0])


def _cost_interval(record: Record, types: Iterable[str]) -> tuple[float, float]:
    """Return the ends of the interval of a mean distraction cost, in points.

    They are the means of the intervals of the compositions, each of a difference of two proportions: the accuracy at
    severity 0, and the mean accuracy above it. Both come from the same images, which this ignores, so the interval is
    wider than necessary.
    """
    ends = []
    for name in types:
        first, *rest = _of(record, name)
        mean = sum(map(_right, rest)) / len(rest)
        ends.append(
            confint_proportions_2indep(
                _right(first), first.images, mean, first.images, method="newcomb", compare="diff", alpha=ERROR
            )
        )
    low, high = np.mean(ends, axis=0)
    return 100 * float(low), 100 * float(high)


def _costs(variant: str, records: Mapping[str, Record]) -> Cost:
    record, baseline = records[variant], records[BASELINE]

    def won(types: Iterable[str], cost: float | None) -> float | None:
        headroom = _cost(baseline, types)
        if variant == BASELINE or cost is None or headroom is None or headroom <= 0:
            return None
        both = accuracy_frame([(BASELINE, baseline), (variant, record)])
        return float(won_back(both, types)["value"].iloc[0])

    seen, unseen = _cost(record, SEEN_COST), _cost(record, UNSEEN_COST)
    return Cost(
        variant=variant,
        accuracy=_accuracy_at_0(record),
        seen=seen,
        unseen=unseen,
        seen_won_back=won(SEEN_COST, seen),
        unseen_won_back=won(UNSEEN_COST, unseen),
    )


def _accuracy_at_0(record: Record) -> float | None:
    # At severity 0 every composition is the same canvas.
    return next((row.accuracy for row in record.accuracy if row.severity == 0), None)


def _levels(tested: Sequence[Accuracy]) -> list[Level]:
    changes = [(None, None, None), *(_change(*pair) for pair in pairwise(tested))]
    return [
        Level(**row.model_dump(include=set(Level.model_fields)), change=change, low=low, high=high)
        for row, (change, low, high) in zip(tested, changes, strict=False)
    ]


def _change(before: Accuracy, after: Accuracy) -> tuple[float, float, float]:
    """Return the change of accuracy and the two ends of its interval.

    Source: Newcombe, "Interval estimation for the difference between independent proportions", Statistics in Medicine
    17, 1998, method 10 (Wilson's score intervals combined).

    """
    low, high = confint_proportions_2indep(
        _right(after), after.images, _right(before), before.images, method="newcomb", compare="diff", alpha=ERROR
    )
    return after.accuracy - before.accuracy, float(low), float(high)


def _right(row: Accuracy) -> int:
    return round(row.accuracy * row.images)


def _range(shares: Sequence[float]) -> str:
    ends = dict.fromkeys(f"{100 * end(shares):.1f}" for end in (min, max) if shares)
    return f"{' to '.join(ends)} %" if ends else "an unknown share"


def _places(rows: Sequence[Guess | Detection]) -> str:
    return ", ".join(f"{row.types} at severity {row.severity}" for row in rows)


def _points(shares: Sequence[float]) -> str:
    return ", ".join(f"{round(100 * share, 1) + 0.0:.1f}" for share in shares)  # no "-0.0"


def _number(value: float | None, form: str = ".1f") -> str:
    return "unknown" if value is None else f"{value:{form}}"


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]

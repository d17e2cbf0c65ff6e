"""Judge the promises of the clutter benchmark by records and by measurements on canvases. Imports no torch."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep

from attn_tutorial.audit.promises import (
    ERROR,
    LEAST_FALL,
    Decline,
    Duplicates,
    FragmentSources,
    Guess,
    Level,
    NoLeak,
    NoTestImage,
    PixelComparison,
    SamePixels,
    Shortcut,
    Twins,
    WeakBackground,
)
from attn_tutorial.clutter.names import SEVERITIES
from attn_tutorial.ledger.record import Accuracy, Record
from attn_tutorial.spec import SEEN


def no_leak(records: Mapping[str, Record], chance: float) -> NoLeak:
    """Judge promise 1 by the network `tile_removed`.

    Args:
        records: the audit's records by variant. `tile_removed_other_classes`, whose fragments are of other classes
            only, is shown but not judged.
        chance: the accuracy of guessing, 0 to 1.

    """
    judged = _guesses("tile_removed", records)
    rows = judged + _guesses("tile_removed_other_classes", records)
    missing = sorted(set(SEVERITIES) - {row.severity for row in judged})
    outside = [row.severity for row in judged if not row.low <= chance <= row.high]
    measured = f"Chance is {100 * chance:g} %; accuracy {_range([row.accuracy for row in judged])}"
    measured += f"; beyond chance at severity {_list(outside)}." if outside else "; chance lies in every interval."
    if missing:
        measured += f" Not tested: severity {_list(missing)}."
    return NoLeak(measured=measured, passed=not outside and not missing, chance=chance, rows=rows)


def same_pixels(canvases: int, rows: Sequence[PixelComparison]) -> SamePixels:
    """Judge promise 2 by how many pixels differ between ways of rendering `canvases` canvases."""
    run = [row for row in rows if row.pixels is not None]
    wrong = [row for row in run if row.pixels or row.mask_pixels]
    measured = f"{canvases:,} canvases, {len(run)} other ways of rendering: "
    measured += "; ".join(
        f"{row.way}: {row.pixels:,} pixels and {row.mask_pixels:,} of the masks differ" for row in wrong
    ) or ("0 pixels and 0 of the masks differ")
    measured += "".join(f"; {row.way}: not run" for row in rows if row.pixels is None) + "."
    return SamePixels(measured=measured, passed=bool(run) and not wrong, canvases=canvases, rows=list(rows))


def decline(baseline: Record) -> Decline:
    """Judge promise 3 by the baseline's accuracies.

    All severities are tested on the same images. The intervals ignore this, so they are wider than necessary: a change
    that they call a rise is a rise.
    """
    rows = [level for types in baseline.spec.evaluation.types for level in _levels(_of(baseline, types))]
    rises = [f"{row.types} at severity {row.severity}" for row in rows if row.low is not None and row.low > 0]
    fragments = {row.severity: row.accuracy for row in rows if row.types == "fragments"}
    missing = sorted(set(SEVERITIES) - set(fragments))
    falls = {} if missing else {severity: fragments[0] - fragments[severity] for severity in LEAST_FALL}
    short = [severity for severity, fall in falls.items() if round(100 * fall, 6) < LEAST_FALL[severity]]
    steps = [-row.change for row in rows if row.types == "fragments" and row.change is not None]
    evenness = max(steps) / min(steps) if steps and min(steps) > 0 else None

    if missing:
        measured = f"fragments was not tested at severity {_list(missing)}. "
    else:
        measured = "On fragments it falls by " + " and ".join(
            f"{100 * fall:.1f} points at severity {severity}" for severity, fall in falls.items()
        )
        measured += f"; steps {_points(steps)} points"
        measured += f", the largest {evenness:.1f} times the smallest. " if evenness else ", not all of them falls. "
    measured += f"It rises: {', '.join(rises)}." if rises else "No rise beyond its interval."
    passed = not (short or rises or missing)
    return Decline(measured=measured, passed=passed, falls=falls, evenness=evenness, rows=rows)


def weak_background(deviations: Sequence[float], records: Mapping[str, Record]) -> WeakBackground:
    """Judge promise 4 by the background of canvases at severity 0 and by the baseline's record.

    Args:
        deviations: of each canvas, the standard deviation of the pixels outside the tile, as a share of their range.
        records: the audit's records by variant. `baseline` is judged; the two networks trained at severity 0 only are
            shown.

    """
    rows = [
        Shortcut(variant=variant, **row.model_dump(include=set(Shortcut.model_fields)))
        for variant in ("severity_0_only", "severity_0_only_blank")
        for row in records[variant].accuracy
    ]
    again = {row.severity for row in _of(records["baseline"], SEEN) if row.recalibrated is not None}
    missing = sorted(set(SEVERITIES) - again)
    blank = int(np.sum(np.asarray(deviations) <= 0))
    mean, least = float(np.mean(deviations)), float(np.min(deviations))
    measured = (
        f"Standard deviation of the background over {len(deviations):,} canvases: mean {mean:.4f}, least {least:.4f} "
        f"of the pixel range; {blank:,} blank. Recalibrated accuracy "
        + (f"is missing at severity {_list(missing)}." if missing else "is known at every severity.")
    )
    passed = not blank and not missing
    return WeakBackground(
        measured=measured, passed=passed, canvases=len(deviations), mean_sd=mean, least_sd=least, rows=rows
    )


def no_test_image(
    duplicates: Sequence[Duplicates], fragments: Sequence[FragmentSources], examples: Sequence[Twins]
) -> NoTestImage:
    """Judge promise 5 by the images that fragments are cut from."""
    measured = " ".join(
        f"{row.split}: fragments on {row.canvases:,} canvases show {row.images:,} images, {row.duplicates:,} of them "
        f"near-duplicates; {row.not_barred:,} near-duplicates are not barred."
        for row in fragments
    )
    passed = not any(row.duplicates or row.not_barred for row in fragments)
    return NoTestImage(
        measured=measured,
        passed=passed,
        duplicates=list(duplicates),
        fragments=list(fragments),
        examples=list(examples),
    )


def _of(record: Record, types: str) -> list[Accuracy]:
    return sorted((row for row in record.accuracy if row.types == types), key=lambda row: row.severity)


def _guesses(variant: str, records: Mapping[str, Record]) -> list[Guess]:
    tested = _of(records[variant], SEEN)
    intervals = [
        stats.binomtest(_right(row), row.images).proportion_ci(1 - ERROR / len(tested), method="exact")
        for row in tested
    ]
    return [
        Guess(
            variant=variant,
            severity=row.severity,
            accuracy=row.accuracy,
            images=row.images,
            low=interval.low,
            high=interval.high,
        )
        for row, interval in zip(tested, intervals, strict=True)
    ]


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
    return f"{100 * min(shares):.1f} to {100 * max(shares):.1f} %" if shares else "unknown"


def _points(shares: Sequence[float]) -> str:
    return ", ".join(f"{round(100 * share, 1) + 0.0:.1f}" for share in shares)  # no "-0.0"


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))

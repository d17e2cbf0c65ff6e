"""The five promises of the clutter benchmark and how each is judged. Free of torch, for reports are read by it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy import stats

from attn_tutorial.clutter.names import SEVERITIES
from attn_tutorial.ledger.record import Accuracy, Record
from attn_tutorial.spec import SEEN

LEAST_FALL = {3: 4.0, 5: 15.0}
"""By severity: points that the baseline's accuracy on `fragments` must at least have lost since severity 0."""
ERROR = 0.05
"""Of all of a gate's intervals of chance together, and of each interval of a step of accuracy."""


class Row(BaseModel):
    """A row of what was measured; accuracies and their changes are shares, 0 to 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Gate(Row):
    """A promise, what was measured, and whether it is kept."""

    title: str
    promised: str
    measured: str
    passed: bool


class Guess(Row):
    """Accuracy of a network that never saw a tile, with its exact binomial interval."""

    variant: str
    severity: int
    accuracy: float
    images: int
    low: float
    high: float


class NoLeak(Gate):
    """Gate 1."""

    title: str = "No leak"
    promised: str = (
        "A network trained on canvases without their tiles guesses: chance lies in the exact binomial interval of its "
        f"accuracy at every severity (together {100 * (1 - ERROR):g} %, by Bonferroni)."
    )
    chance: float
    rows: list[Guess]


class Comparison(Row):
    """How many pixels another way of rendering changes."""

    way: str
    pixels: int | None
    """None: not run."""
    mask_pixels: int | None


class SamePixels(Gate):
    """Gate 2."""

    title: str = "Same pixels"
    promised: str = (
        "All types composed, at severities 0 to 5: a canvas and its visible mask are the same for every batch size, "
        "order, number of threads and device."
    )
    canvases: int
    rows: list[Comparison]


class Level(Row):
    """Accuracy at a severity, and its change since the severity before."""

    types: str
    severity: int
    accuracy: float
    recalibrated: float | None
    images: int
    change: float | None
    low: float | None
    high: float | None


class Decline(Gate):
    """Gate 3."""

    title: str = "Severity is hard"
    promised: str = (
        "No type's accuracy rises from a severity to the next by more than chance explains "
        f"({100 * (1 - ERROR):g} % interval of the difference of two proportions); on fragments it falls by at least "
        + " and ".join(f"{points:g} points at severity {severity}" for severity, points in LEAST_FALL.items())
        + "."
    )
    falls: dict[int, float]
    """By severity: what accuracy on `fragments` lost since severity 0."""
    evenness: float | None
    """The largest step on `fragments` over the smallest; None where one is no fall."""
    rows: list[Level]


class Shortcut(Row):
    """Accuracy of a network that was trained at severity 0 only."""

    variant: str
    types: str
    severity: int
    accuracy: float
    recalibrated: float | None


class WeakBackground(Gate):
    """Gate 4."""

    title: str = "No blank canvas"
    promised: str = (
        "At severity 0 the background of every canvas varies, and the baseline's accuracy with recalibrated BatchNorm "
        "statistics is known at every severity."
    )
    canvases: int
    mean_sd: float
    """Standard deviation of the pixels outside the tile, channel by channel: mean over the canvases; share of the
    pixel range."""
    least_sd: float
    rows: list[Shortcut]


class Twins(Row):
    """A near-duplicate among the training images, by the two images' places in their files."""

    kind: str
    train: int
    test: int


class Duplicates(Row):
    """How many near-duplicates of one kind there are."""

    between: str
    kind: str
    pairs: int
    images: int
    """Of the split that fragments come from, in these pairs."""


class Fragments(Row):
    """What is cut into fragments on the canvases of a split's first epoch."""

    split: str
    canvases: int
    images: int
    """Different images that fragments are cut from."""
    duplicates: int
    """Of these, the near-duplicates of images that must not be fragments here."""
    not_barred: int
    """Near-duplicates that the image set would lend, whether they were drawn or not."""


class NoTestImage(Gate):
    """Gate 5."""

    title: str = "No test image among the fragments"
    promised: str = (
        "No image of the test file, and no near-duplicate of one, is a fragment in training; no near-duplicate of a "
        "scored test image is one in the test."
    )
    duplicates: list[Duplicates]
    fragments: list[Fragments]
    examples: list[Twins]


def no_leak(records: Mapping[str, Record], chance: float) -> NoLeak:
    """Judge gate 1 by the networks `tile_removed`; that with fragments of other classes only is shown beside it."""
    rows = []
    for variant in ("tile_removed", "tile_removed_other_classes"):
        tested = _of(records[variant], SEEN)
        for row in tested:
            interval = _count(row).proportion_ci(1 - ERROR / len(tested), method="exact")
            rows.append(
                Guess(
                    variant=variant,
                    severity=row.severity,
                    accuracy=row.accuracy,
                    images=row.images,
                    low=interval.low,
                    high=interval.high,
                )
            )
    judged = [row for row in rows if row.variant == "tile_removed"]
    missing = sorted(set(SEVERITIES) - {row.severity for row in judged})
    outside = [row.severity for row in judged if not row.low <= chance <= row.high]
    measured = f"Chance is {100 * chance:g} %; accuracy {_range([row.accuracy for row in judged])}"
    measured += f"; beyond chance at severity {_list(outside)}." if outside else "; chance lies in every interval."
    if missing:
        measured += f" Not tested: severity {_list(missing)}."
    return NoLeak(measured=measured, passed=not outside and not missing, chance=chance, rows=rows)


def same_pixels(canvases: int, rows: Sequence[Comparison]) -> SamePixels:
    """Judge gate 2 by how many pixels differ."""
    run = [row for row in rows if row.pixels is not None]
    wrong = [row for row in run if row.pixels or row.mask_pixels]
    measured = f"{canvases:,} canvases, {len(run)} other ways of rendering: "
    measured += "; ".join(
        f"{row.way}: {row.pixels:,} pixels and {row.mask_pixels:,} of the masks differ" for row in wrong
    ) or ("0 pixels and 0 of the masks differ")
    measured += "".join(f"; {row.way}: not run" for row in rows if row.pixels is None) + "."
    return SamePixels(measured=measured, passed=bool(run) and not wrong, canvases=canvases, rows=list(rows))


def decline(baseline: Record) -> Decline:
    """Judge gate 3 by the baseline's accuracies.

    All severities are tested on the same images. The intervals take no account of that, which makes them wider than
    they need be: what they call a rise is one.

    Source of the interval: Newcombe, "Interval estimation for the difference between independent proportions",
    Statistics in Medicine 17, 1998, method 10 (Wilson's score intervals combined).

    """
    rows, rises = [], []
    for types in baseline.spec.evaluation.types:
        before: Accuracy | None = None
        for row in _of(baseline, types):
            change, low, high = _difference(before, row) if before else (None, None, None)
            shared = row.model_dump(include=set(Level.model_fields))
            rows.append(Level(**shared, change=change, low=low, high=high))
            if low is not None and low > 0:
                rises.append(f"{types} at severity {row.severity}")
            before = row
    fragments = {row.severity: row.accuracy for row in rows if row.types == "fragments"}
    missing = sorted(set(SEVERITIES) - set(fragments))
    falls = {} if missing else {severity: fragments[0] - fragments[severity] for severity in LEAST_FALL}
    short = [severity for severity, fall in falls.items() if round(100 * fall, 6) < LEAST_FALL[severity]]
    steps = [-row.change for row in rows if row.types == "fragments" and row.change is not None]
    evenness = max(steps) / min(steps) if steps and min(steps) > 0 else None

    measured = "On fragments it falls by " + " and ".join(
        f"{100 * fall:.1f} points at severity {s}" for s, fall in falls.items()
    )
    measured += f"; steps {_points(steps)} points"
    measured += f", the largest {evenness:.1f} times the smallest. " if evenness else ", not all of them falls. "
    if missing:
        measured = f"fragments was not tested at severity {_list(missing)}. "
    measured += f"It rises: {', '.join(rises)}." if rises else "No rise beyond its interval."
    passed = not (short or rises or missing)
    return Decline(measured=measured, passed=passed, falls=falls, evenness=evenness, rows=rows)


def weak_background(deviations: Sequence[float], records: Mapping[str, Record]) -> WeakBackground:
    """Judge gate 4 by the background of canvases at severity 0 and by the baseline's record.

    Args:
        deviations: of each canvas, the standard deviation of the pixels outside the tile, as a share of their range.
        records: `baseline` is judged; the two networks trained at severity 0 only are shown beside it.

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
    duplicates: Sequence[Duplicates], fragments: Sequence[Fragments], examples: Sequence[Twins]
) -> NoTestImage:
    """Judge gate 5 by the images that fragments are cut from."""
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


def _count(row: Accuracy) -> Any:
    return stats.binomtest(round(row.accuracy * row.images), row.images)


def _difference(before: Accuracy, after: Accuracy) -> tuple[float, float, float]:
    """Change of accuracy with the two ends of its interval."""
    change = after.accuracy - before.accuracy
    was, now = (_count(row).proportion_ci(1 - ERROR, method="wilson") for row in (before, after))
    low = change - np.hypot(after.accuracy - now.low, was.high - before.accuracy)
    high = change + np.hypot(now.high - after.accuracy, before.accuracy - was.low)
    return change, float(low), float(high)


def _range(shares: Sequence[float]) -> str:
    return f"{100 * min(shares):.1f} to {100 * max(shares):.1f} %" if shares else "unknown"


def _points(shares: Sequence[float]) -> str:
    return ", ".join(f"{round(100 * share, 1) + 0.0:.1f}" for share in shares)  # no "-0.0"


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))

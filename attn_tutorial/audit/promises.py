"""The five promises of the clutter benchmark, and what is measured for each. Imports no torch: reports load fast."""

from pydantic import BaseModel, ConfigDict

LEAST_FALL = {3: 4.0, 5: 15.0}
"""Points of accuracy that the baseline must lose on `fragments` since severity 0, at least, by severity."""
ERROR = 0.05
"""Error rate: shared by all chance intervals of promise 1 (Bonferroni), and used for each change in accuracy alone."""


class Row(BaseModel):
    """A row of measurements. Accuracies and their changes are shares, 0 to 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Promise(Row):
    """A promise, what was measured, and whether the benchmark keeps it."""

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


class NoLeak(Promise):
    """Promise 1: canvases without their tiles do not give the label away."""

    title: str = "No leak"
    promised: str = (
        "A network trained on canvases without their tiles can only guess: chance lies in the exact binomial interval "
        f"of its accuracy at every severity (all intervals together {100 * (1 - ERROR):g} %, by Bonferroni)."
    )
    chance: float
    rows: list[Guess]


class PixelComparison(Row):
    """How many pixels another way of rendering changes."""

    way: str
    pixels: int | None
    """None if this way was not run."""
    mask_pixels: int | None


class SamePixels(Promise):
    """Promise 2: a canvas does not depend on how it is rendered."""

    title: str = "Same pixels"
    promised: str = (
        "With all types composed, at severities 0 to 5, a canvas and its visible mask are the same for every batch "
        "size, order, number of threads and device."
    )
    canvases: int
    rows: list[PixelComparison]


class Level(Row):
    """Accuracy at a severity, and its change from the previous severity."""

    types: str
    severity: int
    accuracy: float
    recalibrated: float | None
    images: int
    change: float | None
    low: float | None
    high: float | None


class Decline(Promise):
    """Promise 3: accuracy falls with severity."""

    title: str = "Severity is hard"
    promised: str = (
        "No type's accuracy rises from one severity to the next by more than chance explains "
        f"({100 * (1 - ERROR):g} % interval of the difference of two proportions); on fragments it falls by at least "
        + " and ".join(f"{points:g} points at severity {severity}" for severity, points in LEAST_FALL.items())
        + "."
    )
    falls: dict[int, float]
    """Accuracy lost on `fragments` since severity 0, by severity."""
    evenness: float | None
    """The largest step on `fragments` divided by the smallest; None if one of them is not a fall."""
    rows: list[Level]


class Shortcut(Row):
    """Accuracy of a network that was trained at severity 0 only."""

    variant: str
    types: str
    severity: int
    accuracy: float
    recalibrated: float | None


class WeakBackground(Promise):
    """Promise 4: the background of severity 0 is weak, but not blank."""

    title: str = "No blank canvas"
    promised: str = (
        "At severity 0 the background of every canvas varies, and the baseline's accuracy with recalibrated BatchNorm "
        "statistics is known at every severity."
    )
    canvases: int
    mean_sd: float
    """Standard deviation of the pixels outside the tile, channel by channel, as a share of the pixel range: mean over
    the canvases."""
    least_sd: float
    rows: list[Shortcut]


class Twins(Row):
    """A training image and its near-duplicate, by the two images' positions in their files."""

    kind: str
    train: int
    test: int


class Duplicates(Row):
    """How many near-duplicates of one kind there are."""

    between: str
    kind: str
    pairs: int
    images: int
    """How many images of the split that fragments come from are in these pairs."""


class FragmentSources(Row):
    """Which images are cut into fragments on the canvases of a split's first epoch."""

    split: str
    canvases: int
    images: int
    """How many different images fragments are cut from."""
    duplicates: int
    """How many of these are near-duplicates of images that must not be fragments here."""
    not_barred: int
    """How many near-duplicates the image set would lend, whether they were drawn or not."""


class NoTestImage(Promise):
    """Promise 5: training shows no part of a test image."""

    title: str = "No test image among the fragments"
    promised: str = (
        "No image of the test file, and no near-duplicate of one, is a fragment in training; no near-duplicate of a "
        "scored test image is a fragment in the test."
    )
    duplicates: list[Duplicates]
    fragments: list[FragmentSources]
    examples: list[Twins]

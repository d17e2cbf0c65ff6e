"""The six promises of the clutter benchmark, and what is measured for each. Imports no torch: reports load fast."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from attn_tutorial.clutter.names import SEEN_TYPES, UNSEEN_TYPES
from attn_tutorial.spec import SEEN

ERROR = 0.05
"""Error rate: shared by all chance intervals of networks, and by all of detectors (Bonferroni); used separately for
each change in accuracy."""
ALL_BACKGROUNDS = "+".join((*SEEN_TYPES, *UNSEEN_TYPES))
"""The composition of all background types."""
LEAK_TYPES = (ALL_BACKGROUNDS, SEEN, *UNSEEN_TYPES)
"""Promise 1: the compositions in which networks that never saw a target must guess."""
SEARCHED_TYPES = ("surround", "crowd", SEEN, ALL_BACKGROUNDS)
"""Promise 1: the compositions that the detectors search."""
SEARCHED_SEVERITIES = (1, 3, 5)
EVEN_TYPES = (SEEN, "crowd")
"""Promise 3: the compositions whose steps are judged."""
LEAST_STEP, MOST_STEP = 0.3, 4.0
"""Promise 3: points of accuracy that a step of severity may cost the baseline."""
LEAST_SEEN_COST, LEAST_UNSEEN_COST = 4.0, 8.0
"""Promise 3: the baseline's least distraction costs, in points."""
LEAST_WON_BACK = 50.0
"""Promise 4: how much of each cost the oracle gate must win back at least, in percent."""


class Row(BaseModel):
    """A row of measurements. Accuracies, their changes and rates are shares, 0 to 1; costs are in points."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Promise(Row):
    """A promise, what was measured, and whether the benchmark keeps it."""

    title: str
    promised: str
    measured: str
    passed: bool
    canvases_passed: bool | None
    """Whether the part that needs no network passed; None if there is no such part."""


class Guess(Row):
    """Accuracy of a network that never saw a target, with its exact binomial interval."""

    variant: str
    types: str
    severity: int
    accuracy: float
    images: int
    low: float
    high: float


class Hits(Row):
    """How often a detector found the target's place."""

    detector: Literal["border", "hole"]
    types: str
    severity: int
    tile: Literal["removed", "shown"]
    """Whether the target was removed from the canvases, or shown: a check that the detector can find one."""
    canvases: int
    hits: int
    """On how many canvases its guess was right, within a pixel across and down."""
    chance: float
    """The rate of hits if the target's place has nothing to do with the guesses."""


class Detection(Hits):
    """The hits of a detector with the exact binomial interval of their rate."""

    low: float
    high: float
    judged: bool

    @property
    def rate(self) -> float:
        """The share of the canvases on which the guess was right."""
        return self.hits / self.canvases


class NoLeak(Promise):
    """Promise 1: canvases without their targets give away neither the label nor the target's place."""

    title: str = "No leak"
    promised: str = (
        "Without their targets, background canvases give away neither the label nor the target's place. A network "
        "trained on them guesses the label in every composition at every severity, and a border detector and a hole "
        "detector guess the place: chance lies in each exact binomial interval. All intervals of the networks "
        f"together have {100 * (1 - ERROR):g} %, and so have all of the detectors (Bonferroni)."
    )
    chance: float
    """The accuracy of guessing the label."""
    guesses: list[Guess]
    detections: list[Detection]


class PixelComparison(Row):
    """How many pixels another way of rendering changes."""

    way: str
    canvases: int
    pixels: int | None
    """None if this way was not run."""
    mask_pixels: int | None


class SamePixels(Promise):
    """Promise 2: a canvas does not depend on how it is rendered."""

    title: str = "Same pixels"
    promised: str = (
        "At severities 0 to 5 a canvas and its visible mask are the same for every batch size, order, number of "
        "threads and device, with all types composed; and in JavaScript, with all background types composed."
    )
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


class EvenFall(Promise):
    """Promise 3: every step of severity costs something, none costs much, and together they leave headroom."""

    title: str = "Even fall"
    promised: str = (
        f"On {' and on '.join(EVEN_TYPES)} each step of severity costs the baseline between {LEAST_STEP:g} and "
        f"{MOST_STEP:g} points: no {100 * (1 - ERROR):g} % interval of a step lies wholly outside. The seen "
        f"distraction cost ({SEEN}) is at least {LEAST_SEEN_COST:g} points, and the unseen cost (mean of "
        f"{' and '.join(UNSEEN_TYPES)}) at least {LEAST_UNSEEN_COST:g} points: neither interval lies wholly below."
    )
    seen_cost: float | None
    """In points; None if a severity was not tested."""
    unseen_cost: float | None
    rows: list[Level]
    """Of every composition that the baseline was tested in."""


class Touched(Row):
    """How many pixels of targets a composition of types changes."""

    types: str
    canvases: int
    pixels: int
    """Pixels in the targets' boxes that are not the targets' own."""
    mask_pixels: int
    """Pixels in which the visible mask is not the whole box."""


class Cost(Row):
    """What distractors cost a network, in points, and how much of the baseline's cost it wins back, in percent."""

    variant: str
    accuracy: float | None
    """At severity 0."""
    seen: float | None
    """None if a severity was not tested."""
    unseen: float | None
    seen_won_back: float | None
    """None for the baseline, or if the baseline loses nothing."""
    unseen_won_back: float | None


class Point(Row):
    """Accuracy of a network at a severity."""

    variant: str
    types: str
    severity: int
    accuracy: float


class WholeTarget(Promise):
    """Promise 4: every pixel of the target is there, so a network that knows its place does better."""

    title: str = "Whole target"
    promised: str = (
        "Background types touch no pixel of the target, alone and together, at severities 1 to 5, and the visible mask "
        "is the target's whole box. Knowing the place pays: the oracle gate wins back at least "
        f"{LEAST_WON_BACK:g} % of the seen and of the unseen cost."
    )
    rows: list[Touched]
    costs: list[Cost]
    """Of the baseline and both oracles."""
    curves: list[Point]
    oracle_input: float | None
    """Accuracy at severity 0 of the network that was trained at severity 0 only. As an oracle that is shown nothing but
    the target it has no distraction cost, whatever the severity; so its accuracy is reported apart."""


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
    """How many images of the split that distractors come from are in these pairs."""


class Sources(Row):
    """Which images a layer shows on the canvases of a split's first epoch, whole or in pieces."""

    split: str
    layer: str
    canvases: int
    images: int
    """How many different images it shows."""
    duplicates: int
    """How many of these are near-duplicates of images that must not be distractors here."""
    not_barred: int
    """How many near-duplicates the image set would lend, whether they were drawn or not."""


class NoTestImage(Promise):
    """Promise 5: training shows no part of a test image."""

    title: str = "No test image among the distractors"
    promised: str = (
        "No image of the test file, and no near-duplicate of one, is a distractor in training, in any layer that shows "
        "other images; no near-duplicate of a scored test image is a distractor in the test."
    )
    duplicates: list[Duplicates]
    sources: list[Sources]
    examples: list[Twins]


class Shortcut(Row):
    """Accuracy of a network that was trained at severity 0 only."""

    variant: str
    types: str
    severity: int
    accuracy: float
    recalibrated: float | None


class WeakBackground(Promise):
    """Promise 6: the background of severity 0 is weak, but not blank."""

    title: str = "No blank canvas"
    promised: str = (
        "At severity 0 the background of every canvas varies, and the baseline's accuracy with recalibrated BatchNorm "
        "statistics is known at every severity."
    )
    canvases: int
    mean_sd: float
    """Standard deviation of the pixels outside the target, channel by channel, as a share of the pixel range: mean over
    the canvases."""
    least_sd: float
    rows: list[Shortcut]

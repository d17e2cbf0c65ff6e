"""The record of one run: everything that it depended on and everything that came out."""

import functools
import platform
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from attn_tutorial import __version__
from attn_tutorial.clutter.names import versions_drawn
from attn_tutorial.datasets.store import Prepared
from attn_tutorial.spec import Images, RunSpec

Share = Annotated[float, "share"]
"""A number from 0 to 1, which frames give in percent."""
Condition = tuple[str, str, int]
"""Split, composition of clutter types, severity."""
SCHEMA = 2
"""Of new records. Records of schema 1 are still read, see `ledger.reading`."""


class Stored(BaseModel):
    """Base of everything that a record contains: a field that is not declared is an error, not lost in silence."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Tested(Stored):
    """A result of a test: which images were tested, in which clutter."""

    split: Literal["test", "val"] = "test"
    types: str
    """Composition of clutter types, joined by +."""
    severity: int
    images: int
    """How many images count."""

    @property
    def condition(self) -> Condition:
        """What was tested, without the number of images."""
        return self.split, self.types, self.severity


class Accuracy(Tested):
    """Accuracy on one composition of clutter types at one severity."""

    accuracy: Share
    """Share of the images that the network names correctly, 0 to 1."""
    per_class: list[float] = []
    """The same for the images of each class, in the order of the classes."""
    ece: float | None = None
    """Expected calibration error over 15 bins, 0 to 1."""
    nll: float | None = None
    """Mean negative log-likelihood, nats."""
    brier: float | None = None
    """Mean Brier score, summed over the classes, 0 to 2."""
    recalibrated: Share | None = None
    """The same with BatchNorm statistics from training images in this clutter; None where this was not tested."""
    own_class: Share | None = None
    """Accuracy on the canvases on which a smaller whole image (`crowd`) is of the target's class; None without any."""
    own_class_images: int | None = None
    """How many canvases these are."""


class Localisation(Tested):
    """Where one map of a network is large: means over images. Each measure is also taken on another canvas's mask.

    The images that count are those whose mask contains a cell of the map, and not all of its cells.
    """

    slot: str
    """Module name of the block, such as "stage1.0.slot"; for Grad-CAM that of the layer."""
    map: str
    """ "spatial" or "full" (the gate, its mean over the channels), "received" (Non-local) or "grad_cam"."""
    mask: Literal["tile", "object"]
    """What the map is compared with: the tile's visible pixels, or those of the object's silhouette."""
    height: int
    width: int
    """Cells of the map, in its own resolution."""
    enrichment: float
    """Share of the map's mass on the mask, divided by the mask's share of the area; 1 by chance."""
    enrichment_elsewhere: float
    """The same on the mask of another canvas: what a map reaches that prefers the middle, whatever it looks at."""
    pointing: float
    """Share of the images whose largest weight lies on the mask, 0 to 1."""
    pointing_elsewhere: float
    auc: float
    """Chance that a cell on the mask has a larger weight than one off it, 0 to 1; 0.5 by chance."""
    auc_elsewhere: float


class Lesion(Tested):
    """Accuracy with gates of all blocks of the network replaced at test time."""

    lesion: str
    """ "none" or one of `evaluation.LESIONS`, which may have a kind of map behind it, as in "shuffle (spatial)": that
    kind alone is replaced. The pilot's records also have "other_same_class" and "other_class", whose donors of gates
    were chosen by the label."""
    accuracy: Share
    """Share of the images that the network names correctly, 0 to 1."""
    recalibrated: Share | None = None
    """The same with BatchNorm statistics that were taken under the lesion: for "none" and "identity", else None. In the
    pilot's records it is there for all."""
    harm: Share
    """Accuracy of the intact network minus the one under the lesion; both are recalibrated where the row has
    `recalibrated`."""
    low: Share
    high: Share
    """Ends of the harm's 95 % interval, from a paired bootstrap over the images."""


class CurvePoint(Stored):
    """A point of the learning curve: means over the training batches since the previous point."""

    samples: int
    loss: float
    accuracy: Share


class Heading(BaseModel):
    """The part of a record that says which run it is, how it ended and what was tested: a quick read."""

    model_config = ConfigDict(frozen=True)

    schema_version: int
    run_id: str
    spec: RunSpec
    status: Literal["done", "diverged", "failed"]
    error: str | None = None
    samples: int | None = None
    training_seconds: float | None = None
    evaluation_seconds: float | None = None
    data: Images
    conditions: frozenset[Condition] = frozenset()
    """What was tested, as far as it still holds."""
    void: tuple[str, ...] = ()
    """Clutter types that were tested in another version than today's, whose rows do not count."""

    @property
    def training_id(self) -> str:
        """The id of the training, which records of every schema have in common; see `spec.run_ids`."""
        return self.spec.run_id(self.data.fingerprint)


class Record(Stored):
    """One run's record. The ledger has one JSON file of it for each run."""

    schema_version: int = SCHEMA
    run_id: str
    study: str
    preset: str
    variant: str
    protocol: str | None = None
    """SHA-256 of the protocol that the run was started under, see `study.Protocol`; None without one."""
    spec: RunSpec
    status: Literal["done", "diverged", "failed"]
    error: str | None = None
    diverged_at: int | None = None
    """The step, counted from 1, whose loss was the first that is not finite."""
    accuracy: list[Accuracy] = []
    localisation: list[Localisation] = []
    """Empty where it was not asked for or cannot be measured, for example with a tile that fills the canvas."""
    lesions: list[Lesion] = []
    """Empty where they were not asked for, or where the network has no gates."""
    curve: list[CurvePoint] = []
    weights_sha256: str | None = None
    parameters: int | None = None
    """Numbers of the network that training moves."""
    samples: int | None = None
    samples_per_second: float | None = None
    """In training, with the rendering of the canvases."""
    training_seconds: float | None = None
    evaluation_seconds: float | None = None
    resumed_at: list[int] = []
    """Steps at which the training was resumed after an interruption."""
    data: Images
    versions_trained: dict[str, int] = Field(default_factory=lambda given: given["spec"].versions())
    """Versions of the parts that the training used, by name: the canvas, clutter layers, "block" and its name."""
    versions_tested: dict[str, int] = Field(default_factory=lambda given: _versions_drawn(given["accuracy"]))
    """Versions of the canvas and of the clutter layers that the tests used."""
    versions: dict[str, str]
    git_revision: str | None
    device: str
    processor: str
    threads: int | None = None
    """Of torch, in training and testing. None, like the next three, where the run ended before."""
    precision: str | None = None
    """Of the forward and the backward pass in training."""
    memory_format: str | None = None
    compiled: bool | None = None
    finished_at: str

    @property
    def training_id(self) -> str:
        """The id of the training, which records of every schema have in common; see `spec.run_ids`."""
        return self.spec.run_id(self.data.fingerprint)

    @property
    def conditions(self) -> frozenset[Condition]:
        """What was tested."""
        return frozenset(row.condition for row in self.accuracy)

    def of_split(self, split: str) -> "Record":
        """Return the record with the tests on one split only."""
        if all(row.split == split for row in self.accuracy):
            return self
        kept = {name: [row for row in getattr(self, name) if row.split == split] for name in TESTS}
        return self.model_copy(update=kept)

    def with_tests(self, tests: Mapping[str, list[Tested]]) -> "Record":
        """Return the record with more results, by field, which replace its own where both have a condition."""
        joined: dict[str, Any] = {name: _joined(getattr(self, name), rows) for name, rows in tests.items()}
        drawn = _versions_drawn(row for rows in tests.values() for row in rows)
        return self.model_copy(update={**joined, "versions_tested": {**self.versions_tested, **drawn}})

    @property
    def tests(self) -> dict[str, list[Tested]]:
        """All results of tests, by field."""
        return {name: list(getattr(self, name)) for name in TESTS}

    def summary(self, accuracy: bool = True) -> str:
        """Say in one line how the run ended, how accurate its network is unless that is hidden, and what it took."""
        parts: list[str] = [self.status]
        if self.accuracy and accuracy:
            first = self.accuracy[0]
            shares = [row.accuracy for row in self.accuracy if (row.split, row.types) == (first.split, first.types)]
            parts.append(f"accuracy {100 * sum(shares) / len(shares):.1f} % ({first.types}, mean over severities)")
        if self.training_seconds and self.samples_per_second:
            minutes = self.training_seconds / 60
            parts.append(f"trained in {minutes:.1f} min at {self.samples_per_second:.0f} images/s in {self.precision}")
        if self.resumed_at:
            parts.append(f"resumed at step {', '.join(map(str, self.resumed_at))}")
        if self.error:
            parts.append(self.error.splitlines()[0])
        return "; ".join(parts)


TESTS: dict[str, type[Tested]] = {"accuracy": Accuracy, "localisation": Localisation, "lesions": Lesion}
"""The fields of a record that contain results of tests, and what their rows are."""


def _versions_drawn(rows: Iterable[Tested]) -> dict[str, int]:
    return {
        name: version for row in rows for name, version in versions_drawn(row.types.split("+"), [row.severity]).items()
    }


def _joined(mine: list[Tested], others: list[Tested]) -> list[Tested]:
    replaced = {row.condition for row in others}
    return [row for row in mine if row.condition not in replaced] + others


def circumstances(images: Prepared, device: str) -> dict[str, Any]:
    """Return the fields of a record that say on which images and with what a run was made."""
    return {
        "data": {
            "name": images.name,
            "source": images.source,
            "fingerprint": images.fingerprint,
            "archive_sha256": images.archive_sha256,
        },
        "versions": {
            "attn_tutorial": __version__,
            "python": platform.python_version(),
            **{package: metadata.version(package) for package in ("torch", "numpy", "pillow")},
        },
        "git_revision": git_revision(),
        "device": device,
        "processor": _processor(),
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@functools.cache
def git_revision() -> str | None:
    """Return the commit of the package's checkout, with "+changes" where files differ from it; None outside of one."""

    def git(*words: str) -> str:
        where = Path(__file__).parent
        return subprocess.run(["git", *words], cwd=where, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--", "..") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

"""The record of one run: everything it depended on and everything that came out."""

import functools
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from attn_tutorial import __version__
from attn_tutorial.clutter.names import CLUTTER_VERSION
from attn_tutorial.datasets.store import Prepared
from attn_tutorial.spec import Images, RunSpec

SCHEMA = 1


class Accuracy(BaseModel):
    """Accuracy on one composition of clutter types at one severity."""

    types: str
    severity: int
    accuracy: float
    """Share of the images named right, 0 to 1."""
    images: int
    per_class: list[float] = []
    """The same for the images of each class, in the order of the classes."""
    ece: float | None = None
    """Expected calibration error over 15 bins, 0 to 1."""
    nll: float | None = None
    """Mean negative log-likelihood, nats."""
    brier: float | None = None
    """Mean Brier score, summed over the classes, 0 to 2."""
    recalibrated: float | None = None
    """The same with BatchNorm statistics taken anew, from training images in this clutter; None where not tested."""


class Localisation(BaseModel):
    """Where one map of a network is large: means over images. Each measure is also taken on another canvas's mask."""

    slot: str
    """The block's module name, as "stage1.0.slot"; the layer's, for Grad-CAM."""
    map: str
    """ "spatial" or "full" (the gate, its mean over the channels), "received" (Non-local) or "grad_cam"."""
    mask: Literal["tile", "object"]
    """What the map is held against: the tile's visible pixels, or those of the object's silhouette."""
    types: str
    severity: int
    images: int
    """Those that count: their mask holds a cell of the map, and not all of them."""
    height: int
    width: int
    """Cells of the map, which is not enlarged."""
    enrichment: float
    """Share of the map's mass on the mask over the mask's share of the area; 1 by chance."""
    enrichment_elsewhere: float
    """The same on the mask of another canvas: what a map has that prefers the middle, whatever it looks at."""
    pointing: float
    """Share of the images whose largest weight lies on the mask, 0 to 1."""
    pointing_elsewhere: float
    auc: float
    """Chance that a cell on the mask has a larger weight than one off it, 0 to 1; 0.5 by chance."""
    auc_elsewhere: float


class Lesion(BaseModel):
    """Accuracy with all gates of the network replaced at test time."""

    lesion: str
    """ "none", "mean", "other_same_class", "other_class", "shuffle" or "identity": see `evaluation.LESIONS`."""
    types: str
    severity: int
    images: int
    accuracy: float
    """Share of the images named right, 0 to 1."""
    recalibrated: float
    """The same with BatchNorm statistics taken anew under the lesion."""
    harm: float
    """Recalibrated accuracy without the lesion less that with it, on the same images."""
    low: float
    high: float
    """Ends of the harm's 95 % interval, from a paired bootstrap over the images."""


class CurvePoint(BaseModel):
    """A point of the learning curve: means over the training batches since the point before."""

    samples: int
    loss: float
    accuracy: float


class Heading(BaseModel):
    """What of a record says which run it is and how it ended: a small part, which is read in a tenth of the time."""

    schema_version: int
    run_id: str
    spec: RunSpec
    status: Literal["done", "diverged", "failed"]
    error: str | None = None
    samples: int | None = None
    training_seconds: float | None = None
    evaluation_seconds: float | None = None
    data: Images
    clutter_version: int


class Record(BaseModel):
    """One run's record; the ledger holds one JSON file of it a run."""

    model_config = ConfigDict(frozen=True)

    schema_version: int = SCHEMA
    run_id: str
    study: str
    preset: str
    variant: str
    spec: RunSpec
    status: Literal["done", "diverged", "failed"]
    error: str | None = None
    diverged_at: int | None = None
    """The step, counted from 1, whose loss was the first that is not finite."""
    accuracy: list[Accuracy] = []
    localisation: list[Localisation] = []
    """Empty where it was not asked for or cannot be measured, as with a tile that fills the canvas."""
    lesions: list[Lesion] = []
    """Empty where they were not asked for, or the network has no gates."""
    curve: list[CurvePoint] = []
    weights_sha256: str | None = None
    parameters: int | None = None
    """Trained numbers of the network."""
    samples: int | None = None
    samples_per_second: float | None = None
    """In training, rendering of the canvases included."""
    training_seconds: float | None = None
    evaluation_seconds: float | None = None
    resumed_at: list[int] = []
    """Steps at which the training was resumed after an interruption."""
    data: Images
    clutter_version: int = CLUTTER_VERSION
    versions: dict[str, str]
    git_revision: str | None
    device: str
    processor: str
    threads: int | None = None
    """Of torch, in training and testing; None where it did not come to that, as of the three that follow."""
    precision: str | None = None
    """Of the forward and the backward pass in training."""
    memory_format: str | None = None
    compiled: bool | None = None
    finished_at: str

    def summary(self) -> str:
        """One line: how the run ended, how accurate its network is, and what it took."""
        parts: list[str] = [self.status]
        if self.accuracy:
            types = self.accuracy[0].types
            shares = [row.accuracy for row in self.accuracy if row.types == types]
            parts.append(f"accuracy {100 * sum(shares) / len(shares):.1f} % ({types}, mean over severities)")
        if self.training_seconds and self.samples_per_second:
            minutes = self.training_seconds / 60
            parts.append(f"trained in {minutes:.1f} min at {self.samples_per_second:.0f} images/s in {self.precision}")
        if self.resumed_at:
            parts.append(f"resumed at step {', '.join(map(str, self.resumed_at))}")
        if self.error:
            parts.append(self.error.splitlines()[0])
        return "; ".join(parts)


def circumstances(images: Prepared, device: str) -> dict[str, Any]:
    """Return the fields of a record that say on what and with what a run was made."""
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
    """Commit of the package's checkout, with "+changes" where files differ from it; None outside a checkout."""

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

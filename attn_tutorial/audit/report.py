"""Audit the clutter benchmark: judge its six promises and write the report that the book shows. Imports no torch."""

import functools
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from attn_tutorial.audit.promises import (
    EvenFall,
    NoLeak,
    NoTestImage,
    Promise,
    SamePixels,
    WeakBackground,
    WholeTarget,
)
from attn_tutorial.clutter.names import CLUTTER_TYPES, SEVERITIES, versions_drawn
from attn_tutorial.datasets.names import TILE
from attn_tutorial.engine.images import prepare_images
from attn_tutorial.ledger.ledger import Ledger
from attn_tutorial.ledger.reading import LedgerError
from attn_tutorial.ledger.record import circumstances
from attn_tutorial.paths import user_path
from attn_tutorial.spec import Images
from attn_tutorial.study.study import Study
from attn_tutorial.training.files import write_whole

if TYPE_CHECKING:
    from attn_tutorial.datasets import ImageSet

SEEDS = 1
"""One network of each variant, because the promises are about the benchmark and not about seeds."""
CANVASES = 10_000
_SMOKE_CANVASES = 200
_JAVASCRIPT_CANVASES = 2_000
_log = logging.getLogger(__name__)


class AuditReport(BaseModel):
    """What the audit found, on which images, runs and versions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: str
    data: Images
    size: int
    """Side of a target in pixels."""
    canvas: int
    """Side of a canvas in pixels."""
    layer_versions: dict[str, int]
    """Version of the canvas and of every clutter layer."""
    runs: dict[str, str]
    """Run id by variant."""
    training_samples: int
    """Images that each network saw, counting repeats."""
    no_leak: NoLeak
    same_pixels: SamePixels
    even_fall: EvenFall
    whole_target: WholeTarget
    no_test_image: NoTestImage
    weak_background: WeakBackground
    versions: dict[str, str]
    git_revision: str | None
    device: str
    processor: str
    threads: int
    finished_at: str

    @property
    def promises(self) -> list[Promise]:
        """The promises, from 1 to 6."""
        return [
            self.no_leak,
            self.same_pixels,
            self.even_fall,
            self.whole_target,
            self.no_test_image,
            self.weak_background,
        ]

    @property
    def broken(self) -> dict[int, Promise]:
        """The promises that are not kept, by number; of a report that is no result, only what needs no network."""
        return {
            number: promise
            for number, promise in enumerate(self.promises, 1)
            if not (promise.passed if self.is_result else promise.canvases_passed is not False)
        }

    @property
    def is_result(self) -> bool:
        """Whether the report is a result: not at preset "smoke", which only shows that everything works."""
        return self.preset != "smoke"

    def file_name(self) -> str:
        """Return a name for each preset and image set. It does not end in .json, because such files are records."""
        return f"audit-{self.preset}-{self.data.fingerprint[:16]}.yaml"


def run_audit(preset: str, data: str | None, root: Path, results: Path) -> AuditReport:
    """Judge the six promises by the runs of study `audit` in `results`, and write the report there.

    Args:
        preset: preset of the runs.
        data: name or path of the images, see `prepare_images`.
        root: the folder that contains `raw/`.
        results: folder of the records, in which all runs of the study must be done.

    Raises:
        LedgerError: A run of the study has no result, or the report cannot be written.

    """
    import torch

    from attn_tutorial.audit import canvas_checks as checks
    from attn_tutorial.audit import detectors, javascript, judging
    from attn_tutorial.datasets import load_images

    root, results = user_path(root, "root"), user_path(results, "results")
    prepared, source = prepare_images(data, root, preset)
    ledger = Ledger(results)
    runs = Study.load("audit").plan(preset, prepared, SEEDS)
    records = {name: record for name, record in ledger.named(runs) if record.status == "done" and record.accuracy}
    if missing := [run.variant for run in runs if run.variant not in records]:
        raise LedgerError(
            f"{results} must have a result of every variant of study 'audit', but it has no result of "
            f"{', '.join(missing)}. Run study 'audit' at preset {preset!r}."
        )
    spec = runs[0].spec

    def load(split: str, size: int) -> "ImageSet":
        images = load_images(prepared.name, split, root=root, source=source, size=size)
        return images if split == "test" or spec.data.train_images is None else images.take(spec.data.train_images)

    train, test = load("train", spec.data.size), load("test", spec.data.size)
    # Near-duplicates are judged at the images' own size; a resized set has them in the same places.
    in_train, in_bank, examples = checks.find_duplicates(load("train", TILE), load("test", TILE))
    count = _SMOKE_CANVASES if preset == "smoke" else CANVASES
    report = AuditReport(
        preset=preset,
        size=spec.data.size,
        canvas=spec.clutter.canvas,
        layer_versions=versions_drawn(CLUTTER_TYPES, SEVERITIES),
        runs={name: record.run_id for name, record in records.items()},
        training_samples=spec.training.samples,
        no_leak=judging.no_leak(records, 1 / len(prepared.classes), detectors.search_all(test, count)),
        same_pixels=judging.same_pixels(
            [
                *checks.compare_ways(train, count),
                javascript.compare_javascript(test, min(count, _JAVASCRIPT_CANVASES)),
            ]
        ),
        even_fall=judging.even_fall(records["baseline"]),
        whole_target=judging.whole_target(checks.touched_targets(test, count), records),
        no_test_image=judging.no_test_image(
            [*checks.count_kinds("train, test file", in_train), *checks.count_kinds("bank, test", in_bank)],
            [*checks.check_sources(train, in_train), *checks.check_sources(test, in_bank)],
            examples,
        ),
        weak_background=judging.weak_background(checks.background_deviations(test, count), records),
        threads=torch.get_num_threads(),
        **circumstances(prepared, "cuda" if torch.cuda.is_available() else "cpu"),
    )
    _write(report, results)
    return report


def read_reports(folder: str | Path) -> list[AuditReport]:
    """Return the reports in a results folder. Reports about other layer versions are left out with a warning."""
    found = ((path, _read(path)) for path in sorted(user_path(folder, "results").glob("audit-*.yaml")))
    return [report for _, report in found if report]


def _write(report: AuditReport, results: Path) -> None:
    text = yaml.safe_dump(report.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)
    try:
        write_whole(results / report.file_name(), text.encode())
    except OSError as error:
        raise LedgerError(
            f"The report cannot be written to {results} ({error.strerror}). Free some space and give the same command "
            "again; nothing that was trained is lost."
        ) from None


def _read(path: Path) -> AuditReport | None:
    """Return a report, or None with a warning if the file is not a report about today's layers."""
    try:
        report = AuditReport.model_validate(yaml.safe_load(path.read_text("utf-8")))
        today = versions_drawn(CLUTTER_TYPES, SEVERITIES)
        if changed := [name for name, version in report.layer_versions.items() if today.get(name) != version]:
            raise ValueError(
                f"it is about another version of {', '.join(changed)} than this package draws; run "
                "`attn-tutorial data audit` again"
            )
    except (ValueError, yaml.YAMLError, OSError, RecursionError) as error:
        cause = f"{error.error_count()} fields are not valid" if isinstance(error, ValidationError) else str(error)
        _say_left_out(path, cause)
        return None
    return report


@functools.cache
def _say_left_out(path: Path, cause: str) -> None:
    _log.warning("%s is left out, because it is not a report of an audit that can be shown: %s", path, cause)

"""Audit the clutter benchmark: judge its five promises and write the report that the book shows. Imports no torch."""

import functools
import logging
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from attn_tutorial.audit.promises import Decline, NoLeak, NoTestImage, Promise, SamePixels, WeakBackground
from attn_tutorial.clutter.names import CLUTTER_TYPES, SEVERITIES, versions_drawn
from attn_tutorial.engine.images import prepare_images
from attn_tutorial.ledger.ledger import Ledger
from attn_tutorial.ledger.reading import LedgerError
from attn_tutorial.ledger.record import circumstances
from attn_tutorial.spec import Images
from attn_tutorial.study.study import Study
from attn_tutorial.training.files import write_whole

SEEDS = 1
"""One network of each variant, because the promises are about the benchmark and not about seeds."""
CANVASES = 10_000
_SMOKE_CANVASES = 200
_VERSION_2 = {"canvas": 1, "fragments": 1, "mosaic": 1, "noise": 1, "strokes": 1, "veil": 1}
"""Layer versions of reports that have `clutter_version: 2`. Never changes: such a report stays about these pixels."""
_log = logging.getLogger(__name__)


class AuditReport(BaseModel):
    """What the audit found, on which images, runs and versions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: str
    data: Images
    layer_versions: dict[str, int]
    """Version of the canvas and of every clutter layer."""
    runs: dict[str, str]
    """Run id by variant."""
    training_samples: int
    """Images that each network saw, counting repeats."""
    no_leak: NoLeak
    same_pixels: SamePixels
    decline: Decline
    weak_background: WeakBackground
    no_test_image: NoTestImage
    versions: dict[str, str]
    git_revision: str | None
    device: str
    processor: str
    threads: int
    finished_at: str

    @model_validator(mode="before")
    @classmethod
    def _read_version_2(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("clutter_version") != 2:
            return values
        kept = {name: value for name, value in values.items() if name not in ("clutter_version", "severity_table")}
        return {**kept, "layer_versions": _VERSION_2}

    @property
    def promises(self) -> list[Promise]:
        """The promises, from 1 to 5."""
        return [self.no_leak, self.same_pixels, self.decline, self.weak_background, self.no_test_image]

    @property
    def is_result(self) -> bool:
        """Whether the report is a result: not at preset "smoke", which only shows that everything works."""
        return self.preset != "smoke"

    def file_name(self) -> str:
        """Return a name for each preset and image set. It does not end in .json, because such files are records."""
        return f"audit-{self.preset}-{self.data.fingerprint[:16]}.yaml"


def run_audit(preset: str, data: str | None, root: Path, results: Path) -> AuditReport:
    """Judge the five promises by the runs of study `audit` in `results`, and write the report there.

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
    from attn_tutorial.audit import judging
    from attn_tutorial.datasets import load_images

    prepared, source = prepare_images(data, root, preset)
    ledger = Ledger(results)
    runs = Study.load("audit").plan(preset, prepared, SEEDS)
    records = {name: record for name, record in ledger.named(runs) if record.status == "done" and record.accuracy}
    if missing := [run.variant for run in runs if run.variant not in records]:
        raise LedgerError(
            f"{results} must have a result of every variant of study 'audit', but it has no result of "
            f"{', '.join(missing)}. Run study 'audit' at preset {preset!r}."
        )
    train, test = (load_images(prepared.name, split, root=root, source=source) for split in ("train", "test"))
    spec = runs[0].spec
    if spec.data.train_images is not None:
        train = train.take(spec.data.train_images)
    count = _SMOKE_CANVASES if preset == "smoke" else CANVASES
    comparisons = checks.compare_ways(train, count)
    deviations = checks.background_deviations(test, count)
    in_train, in_bank, examples = checks.find_duplicates(train, test)
    report = AuditReport(
        preset=preset,
        layer_versions=versions_drawn(CLUTTER_TYPES, SEVERITIES),
        runs={name: record.run_id for name, record in records.items()},
        training_samples=spec.training.samples,
        no_leak=judging.no_leak(records, chance=1 / len(prepared.classes)),
        same_pixels=judging.same_pixels(min(count, len(train)), comparisons),
        decline=judging.decline(records["baseline"]),
        weak_background=judging.weak_background(deviations, records),
        no_test_image=judging.no_test_image(
            [*checks.count_kinds("train, test file", in_train), *checks.count_kinds("bank, test", in_bank)],
            [checks.check_fragments(train, in_train), checks.check_fragments(test, in_bank)],
            examples,
        ),
        threads=torch.get_num_threads(),
        **circumstances(prepared, "cuda" if torch.cuda.is_available() else "cpu"),
    )
    _write(report, results)
    return report


def read_reports(folder: str | Path) -> list[AuditReport]:
    """Return the reports in a results folder. Reports about other layer versions are left out with a warning."""
    found = ((path, _read(path)) for path in sorted(Path(folder).glob("audit-*.yaml")))
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

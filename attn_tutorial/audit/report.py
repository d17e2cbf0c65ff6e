"""The audit of the clutter benchmark: five gates, and the report of them that the book shows. Free of torch."""

import functools
import logging
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from attn_tutorial.audit import promises as gates
from attn_tutorial.audit.promises import Decline, Gate, NoLeak, NoTestImage, SamePixels, WeakBackground
from attn_tutorial.clutter import severity as levels
from attn_tutorial.clutter.names import CLUTTER_VERSION, SEVERITIES
from attn_tutorial.engine.images import prepare_images
from attn_tutorial.ledger.ledger import Ledger, LedgerError
from attn_tutorial.ledger.record import circumstances
from attn_tutorial.spec import Images
from attn_tutorial.study.study import Study
from attn_tutorial.training.files import write_whole

SEEDS = 1
"""The gates are about the benchmark, not about seeds: one network of each variant."""
CANVASES = 10_000
_SMOKE_CANVASES = 200
_log = logging.getLogger(__name__)


class Severity(BaseModel):
    """What a severity means for every clutter type: a row of the severity table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    severity: int
    fragments: int
    fragment_px: int
    """Side, beside a 32 px tile."""
    overlap_percent: int
    """Most of the tile that fragments hide."""
    noise_sd: float
    """Share of the pixel range."""
    mosaic: float
    """Share of the shuffled image in the background."""
    strokes: int
    stroke_px: int
    veil: float
    """Share of the shuffled image in the tile."""


class AuditReport(BaseModel):
    """What the audit found, and on what."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: str
    data: Images
    clutter_version: int
    severity_table: list[Severity]
    runs: dict[str, str]
    """Run id by variant."""
    training_samples: int
    """Images that each network saw, repeats counted."""
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

    @property
    def gates(self) -> list[Gate]:
        """The gates, from 1 to 5."""
        return [self.no_leak, self.same_pixels, self.decline, self.weak_background, self.no_test_image]

    @property
    def is_result(self) -> bool:
        """False at the preset that only shows that everything works."""
        return self.preset != "smoke"

    def file_name(self) -> str:
        """One report for each preset and image set; never a name that ends in .json, for those are records."""
        return f"audit-{self.preset}-{self.data.fingerprint[:16]}.yaml"


def run_audit(preset: str, data: str | None, root: Path, results: Path) -> AuditReport:
    """Judge the five gates by the runs of study `audit` in `results`, and write the report there.

    Args:
        preset: of the runs.
        data: see `prepare_images`.
        root: the folder that holds `raw/`.
        results: folder of the records, in which all runs of the study are done.

    """
    import torch

    from attn_tutorial.audit import canvas_checks as checks
    from attn_tutorial.datasets import load_images

    prepared, source = prepare_images(data, root, preset)
    ledger = Ledger(results)
    runs = Study.load("audit").plan(preset, prepared, SEEDS)
    records = {run.variant: record for run in runs if (record := ledger.get(run.run_id)) and record.status == "done"}
    if missing := [run.variant for run in runs if run.variant not in records]:
        raise LedgerError(f"{results} has no result of {', '.join(missing)}: run study 'audit' at preset {preset!r}")
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
        clutter_version=CLUTTER_VERSION,
        severity_table=severity_table(),
        runs={run.variant: run.run_id for run in runs},
        training_samples=spec.training.samples,
        no_leak=gates.no_leak(records, chance=1 / len(prepared.classes)),
        same_pixels=gates.same_pixels(min(count, len(train)), comparisons),
        decline=gates.decline(records["baseline"]),
        weak_background=gates.weak_background(deviations, records),
        no_test_image=gates.no_test_image(
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
    """Return the reports in a results folder; those of other versions of the benchmark are left out with a warning."""
    found = ((path, _read(path)) for path in sorted(Path(folder).glob("audit-*.yaml")))
    return [report for _, report in found if report]


def severity_table() -> list[Severity]:
    """Return the severity table of this version of the benchmark."""
    return [
        Severity(
            severity=severity,
            fragments=levels.FRAGMENTS[severity][0],
            fragment_px=levels.FRAGMENTS[severity][1],
            overlap_percent=levels.FRAGMENTS[severity][2],
            noise_sd=levels.NOISE_SD[severity] / 1000,
            mosaic=round(levels.MOSAIC_CONTRAST[severity] / 256, 3),
            strokes=levels.STROKES[severity][0],
            stroke_px=levels.STROKES[severity][1],
            veil=round(levels.VEIL_ALPHA[severity] / 256, 3),
        )
        for severity in SEVERITIES
    ]


def _write(report: AuditReport, results: Path) -> None:
    text = yaml.safe_dump(report.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)
    try:
        write_whole(results / report.file_name(), text.encode())
    except OSError as error:
        raise LedgerError(
            f"the report cannot be written to {results} ({error.strerror}): free some space and give the same command "
            "again; nothing that was trained is lost"
        ) from None


def _read(path: Path) -> AuditReport | None:
    """Return a report, or None with a warning where a file is none of this version of the benchmark."""
    try:
        report = AuditReport.model_validate(yaml.safe_load(path.read_text("utf-8")))
        if report.clutter_version != CLUTTER_VERSION or report.severity_table != severity_table():
            raise ValueError(
                f"it is about version {report.clutter_version} of the clutter benchmark, or another severity table, "
                "than this version's: audit it anew"
            )
    except (ValueError, yaml.YAMLError, OSError, RecursionError) as error:
        cause = f"{error.error_count()} fields are not valid" if isinstance(error, ValidationError) else str(error)
        _say_left_out(path, cause)
        return None
    return report


@functools.cache
def _say_left_out(path: Path, cause: str) -> None:
    _log.warning("%s is left out: it is no report of an audit that can be shown (%s)", path, cause)

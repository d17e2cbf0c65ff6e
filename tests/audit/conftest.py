"""What tests of the audit share: records of its study that no run made, and canvases that are not as they should be."""

import functools
from dataclasses import replace

import pytest

from attn_tutorial.clutter import Clutter
from attn_tutorial.clutter.names import SEVERITIES
from attn_tutorial.ledger import Record
from attn_tutorial.spec import Images
from attn_tutorial.study import Study

CIFAR = Images(name="cifar10", source="CIFAR-10", fingerprint="a" * 64, archive_sha256=None)
GUESSING = [0.10, 0.105, 0.095, 0.1, 0.11, 0.1]
FALLING = [0.79, 0.78, 0.765, 0.75, 0.73, 0.705]  # costs 4.4 points
STEEP = [0.79, 0.72, 0.66, 0.655, 0.66, 0.65]  # costs 12.1 points
LEVEL = [0.80, 0.80, 0.798, 0.795, 0.79, 0.785]
CURVES = {
    "baseline": {"mosaic": STEEP, "*": FALLING},
    "oracle gate": LEVEL,
    "wrong oracle": [0.7, 0.68, 0.65, 0.6, 0.55, 0.5],
    "tile_removed": GUESSING,
    "tile_removed_other_classes": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
    "severity_0_only": [0.82, *FALLING[1:]],
}


@functools.cache
def _plan(preset, images):
    return Study.load("audit").plan(preset, Images.model_validate_json(images), seeds=1)


def _make_records(images=CIFAR, preset="quick", **curves):
    """Records of study `audit`: 2,000 test images; `curves` names a variant's accuracies, or those of its types."""
    records = {}
    for run in _plan(preset, images.model_dump_json()):
        given = {**CURVES, **curves}.get(run.variant, FALLING)
        evaluation = run.spec.evaluation
        rows = [
            {
                "split": "test",
                "types": types,
                "severity": severity,
                "accuracy": (given.get(types, given.get("*", FALLING)) if isinstance(given, dict) else given)[severity],
                "images": 2000,
                "recalibrated": 0.5 if types in evaluation.recalibrated else None,
            }
            for types in evaluation.types
            for severity in SEVERITIES
        ]
        records[run.variant] = Record(
            run_id=run.run_id, study="audit", preset=preset, variant=run.variant, spec=run.spec, status="done",
            accuracy=rows, data=images, versions={}, git_revision=None, device="cpu", processor="p", threads=1,
            finished_at="today",
        )  # fmt: skip
    return records


@pytest.fixture(scope="session")
def make_records():
    return _make_records


@pytest.fixture
def spoil(monkeypatch):
    """Has a function alter every batch that is rendered: it returns the fields that change."""

    def spoil(change):
        render = Clutter.render

        def spoilt(clutter, images, indices, *more, **how):
            batch = render(clutter, images, indices, *more, **how)
            return replace(batch, **change(batch))

        monkeypatch.setattr(Clutter, "render", spoilt)

    return spoil

"""Runs of seconds, for the runners; records as no run made them, for what reads ledgers."""

import pytest

from attn_tutorial.spec import RunSpec
from attn_tutorial.study import PlannedRun, Record, Study
from attn_tutorial.study.images import prepare_images
from attn_tutorial.study.record import Images, circumstances
from attn_tutorial.study.setting import Setting

IMAGES = Images(name="shapes", source="shapes", fingerprint="b" * 64, archive_sha256=None)


@pytest.fixture(scope="session")
def prepared(tiny_cifar, tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    return prepare_images(str(tiny_cifar), root), root


@pytest.fixture
def setting(prepared, tmp_path):
    (images, source), root = prepared
    return Setting("headline", "smoke", images, root, source, tmp_path / "runs", "cpu", 60.0)


@pytest.fixture
def plan():
    """Makes a plan of short runs: by the name of a variant, what differs in it."""

    def make(setting, **variants):
        runs = []
        for name, change in variants.items():
            spec = RunSpec.parse(
                {
                    "data": {"name": "cifar10"},
                    "backbone": {"depth": 8, "width": 16, "stem": "whiten4"},
                    "evaluation": {
                        "images": 20, "types": ["fragments+noise"], "severities": [0, 5], "recalibrated": [],
                        "look": None,
                    },
                    **change,
                    "training": {"samples": 128, "batch_size": 32, **change.get("training", {})},
                }
            )  # fmt: skip
            runs.append(PlannedRun(spec.run_id(setting.images.fingerprint), name, spec))
        return runs

    return make


@pytest.fixture
def make_record():
    """Makes the record of a planned run."""

    def make(run, images=IMAGES, preset="quick", base=80.0, **changes):
        rows = [
            {"types": types, "severity": severity, "accuracy": (base - 3 * severity) / 100, "images": 100}
            for types in ("fragments+noise", "noise")
            for severity in range(6)
        ]
        return Record(
            **{
                "run_id": run.run_id, "study": "headline", "preset": preset, "variant": run.variant, "spec": run.spec,
                "status": "done", "accuracy": rows, "parameters": 10, "samples_per_second": 1.0,
                "training_seconds": 60.0, **circumstances(images, "cpu"), "threads": 1, **changes,
            }
        )  # fmt: skip

    return make


@pytest.fixture
def runs():
    """The headline's runs at quick, two seeds."""
    return Study.load("headline").plan("quick", IMAGES, seeds=2)

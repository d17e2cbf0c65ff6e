"""Runs of seconds, for the runners."""

import pytest

from attn_tutorial.spec import RunSpec
from attn_tutorial.study import PlannedRun
from attn_tutorial.study.images import prepare_images
from attn_tutorial.study.setting import Setting


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

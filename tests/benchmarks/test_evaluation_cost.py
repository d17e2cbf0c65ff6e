"""The benchmark of the evaluation counts what it should, at sizes that take seconds; its times are not tested."""

from pathlib import Path
from runpy import run_path

import pytest
import torch

FILE = Path(__file__).parents[2] / "benchmarks" / "evaluation.py"


@pytest.fixture(autouse=True)
def _threads_as_before():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(("block", "passed"), [(None, 60 + 2 * 60), ("se", 60 + 2 * 60 + 20 + 20 * (5 * 2 + 6))])
def test_every_image_that_passes_the_network_is_counted(block, passed, test_images, train):
    from attn_tutorial.spec import RunSpec

    names = run_path(str(FILE))
    evaluation = {"images": 20, "types": ["noise"], "severities": [0, 3, 5], "look": {"severities": [5]}}
    evaluation["recalibrated"] = ["noise"]
    about = {"data": {"name": "shapes"}, "training": {"samples": 128}, "evaluation": evaluation}
    spec = RunSpec.parse(about | ({"block": block} if block else {}))
    measured = names["measure"](spec, test_images, train)
    grad_cam = 2 * 20  # the pass that predicts the class, and the pass of Grad-CAM
    assert measured["images passed"] == passed + grad_cam
    assert measured["evaluation ÷ its passes"] > 0

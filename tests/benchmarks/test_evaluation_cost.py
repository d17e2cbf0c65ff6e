"""The benchmark of the evaluation counts what it should, at sizes that take seconds; its times are not tested."""

from pathlib import Path
from runpy import run_path

import pytest
import torch

from attn_tutorial.spec import RunSpec

FILE = Path(__file__).parents[2] / "benchmarks" / "evaluation.py"


@pytest.fixture(autouse=True)
def _threads_as_before():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def make_spec(block, **evaluation):
    about = {"data": {"name": "shapes"}, "training": {"samples": 1000, "batch_size": 20}, "evaluation": evaluation}
    return RunSpec.parse(about | ({"block": block} if block else {}))


@pytest.mark.parametrize("block", [None, "se"])
def test_every_part_is_timed(block, test_images, train):
    measured = run_path(str(FILE))["measure"](make_spec(block), test_images, train, 20)
    assert measured["training"] > measured["rendering"] > 0
    assert measured["accuracy"] > 0
    assert (measured["mean gates"] > 0) == (measured["lesions"] != 0) == (block is not None)


def test_images_are_counted_as_the_test_uses_them():
    spec = make_spec(
        "se", types=["surround+noise", "mosaic", "veil"], severities=[0, 3, 5], images=100, secondary=["veil"],
        secondary_images=40, look={"images": 30, "severities": [0, 5], "types": ["mosaic", "veil"]},
    )  # fmt: skip
    costs = {"training": 0.06, "accuracy": 60.0, "localisation": 6.0, "lesions": 0.6, "mean gates": 120.0}
    found = run_path(str(FILE))["at_preset"](spec, costs, 5000)
    assert found["training"] == pytest.approx(1.0)
    # Severity 0 once, on all; 3 and 5 of three compositions. Looked at: severity 0 once, 5 of two.
    assert found["accuracy"] == pytest.approx(100 + 4 * 100 + 2 * 40)
    assert found["localisation"] == pytest.approx(0.1 * 3 * 30)
    assert found["lesions"] == pytest.approx(0.01 * 3 * 30 + 2)
    assert found["test ÷ training"] == pytest.approx(found["accuracy"] + found["localisation"] + found["lesions"])

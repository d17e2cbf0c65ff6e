"""The script for a GPU refuses what its last step would refuse, before its first one. Nothing here needs a GPU."""

from pathlib import Path
from runpy import run_path

import pytest
from click.testing import CliRunner

FILE = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--study", "nonsense"], "nonsense"),
        (["--preset", "nonsense"], "nonsense"),
        (["--data", "/nothing/here"], "--data must be a folder or archive of CIFAR-10, but /nothing/here does not"),
        (["--rounds", "0"], "0 is not in the range x>=1"),
    ],
)
def test_wrong_values_are_refused_at_once(words, message):
    script = run_path(str(FILE))
    script["main"].callback.__globals__["check_machine"] = lambda: pytest.fail("the machine was checked first")
    refused = CliRunner().invoke(script["main"], words)
    assert refused.exit_code == 2, refused.output
    assert message in " ".join(refused.output.split())

"""`make gpu` says in one message what is missing; its times are tried on a CPU. Nothing here needs a GPU."""

import subprocess
import sys
from pathlib import Path
from runpy import run_path

import pytest
import torch
from click.testing import CliRunner

FILE = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


@pytest.fixture
def script():
    return run_path(str(FILE))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_there_is_one_message():
    done = subprocess.run([sys.executable, FILE], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "torch must find an NVIDIA GPU, but finds none" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_missing_packages_are_named(script, monkeypatch):
    names = script["main"].callback.__globals__
    names["find_spec"] = lambda name: None if name in ("seaborn", "PIL") else object()
    result = CliRunner().invoke(script["main"], [])
    assert result.exit_code == 2
    assert "these packages are missing: seaborn, pillow. Install them with: pip install seaborn pillow" in " ".join(
        result.output.split()
    )


def test_an_old_torch_is_named(script, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.8.1+cu128")
    result = CliRunner().invoke(script["main"], [])
    assert result.exit_code == 2
    assert "torch must be 2.9 or newer, but is 2.8.1+cu128" in " ".join(result.output.split())


def test_the_packages_are_those_of_the_project(script):
    """Everything that the package itself needs, as far as it has an import name of its own."""
    import tomllib

    project = tomllib.loads((FILE.parents[1] / "pyproject.toml").read_text())["project"]
    wanted = {each.split(">")[0].split("<")[0] for each in project["dependencies"]} - {"click"}
    assert wanted <= set(script["NEEDED"].values())


def test_times_are_printed_for_each_backbone_and_block(script, capsys):
    tiny = {"ResNet-8, width 16": {"depth": 8, "width": 16, "stem": "whiten4"}}
    script["step_times"]("cpu", 1, 1, tiny, 8)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines[1:]] == [
        f"ResNet-8, width 16, {block or 'no block'}" for block in script["BLOCKS"]
    ]
    assert "model only ÷ step" in lines[0]

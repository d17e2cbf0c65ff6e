"""Parameters of a notebook: what is refused, and how papermill shows it."""

import subprocess
import sys
from pathlib import Path
from typing import Literal

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from pydantic import PositiveInt

from attn_tutorial.pages import ParameterError, Parameters, project_root, read_parameters


class Settings(Parameters):
    preset: Literal["smoke", "quick"]
    seeds: PositiveInt
    lr: float = 0.1
    bias: bool = False
    data: str | None = None


def given(**values: object) -> dict[str, object]:
    ipython = {
        "In": [""],
        "Out": {},
        "exit": print,
        "_i1": "text",
        "__name__": "__main__",
        "Path": Path,
        "sys": sys,
    }
    return {**ipython, "preset": "quick", "seeds": 1, **values}


def test_valid_parameters_are_read_with_their_defaults() -> None:
    settings = read_parameters(given(lr=1, data="cifar10"), Settings)
    assert (settings.preset, settings.seeds, settings.lr, settings.data) == ("quick", 1, 1.0, "cifar10")
    with pytest.raises(ValueError, match="frozen"):
        settings.seeds = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ({"presett": "quick"}, ["'presett' is not a parameter", "Did you mean 'preset'?"]),
        ({"preset": "quik"}, ["`preset` must be one of 'smoke', 'quick', but got 'quik' (str).", "mean 'quick'?"]),
        ({"seeds": 0}, ["`seeds` must be", "but got 0 (int).", "a whole number > 0"]),
        ({"seeds": 2.0}, ["`seeds` must be", "but got 2.0 (float)."]),
        ({"seeds": True}, ["`seeds` must be", "but got True (bool)."]),
        ({"lr": "1e-3"}, ["`lr` must be", "but got '1e-3' (str).", "YAML reads 1e-3 as text", "0.001 or 1.0e-3"]),
        ({"bias": "true"}, ["`bias` must be", "but got 'true' (str).", "-p NAME True", "true without quotes"]),
        ({"data": 3}, ["`data` must be", "but got 3 (int).", "text or None"]),
        ({"seeds": "many", "extra": 1}, ["but got 'many' (str)", "'extra' is not a parameter"]),
    ],
)
def test_a_wrong_parameter_is_explained(values: dict[str, object], texts: list[str]) -> None:
    with pytest.raises(ParameterError) as caught:
        read_parameters(given(**values), Settings)
    message = str(caught.value)
    for text in [*texts, "This notebook's parameters:", "preset: one of 'smoke', 'quick'", "-p NAME VALUE"]:
        assert text in message


def test_a_parameter_that_no_cell_assigns_is_named() -> None:
    namespace = given()
    del namespace["seeds"]
    with pytest.raises(ParameterError, match="seeds: Field required"):
        read_parameters(namespace, Settings)


def test_a_cell_run_again_sees_the_names_of_later_cells() -> None:
    namespace = given()
    read_parameters(namespace, Settings)
    namespace.update(accuracy=0.7, seeds=3)
    assert read_parameters(namespace, Settings).seeds == 3
    namespace["seeds"] = "3"
    with pytest.raises(ParameterError):
        read_parameters(namespace, Settings)


READ = """
from pydantic import PositiveInt
from attn_tutorial.pages import Parameters, read_parameters

class Settings(Parameters):
    seeds: PositiveInt
    lr: float

settings = read_parameters(globals(), Settings)
print("read", settings.seeds, settings.lr)
"""


@pytest.fixture
def run_papermill(tmp_path: Path):
    cells = [new_code_cell("seeds = 1\nlr = 0.1", metadata={"tags": ["parameters"]}), new_code_cell(READ)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=cells, metadata=kernel), tmp_path / "tiny.ipynb")

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "papermill", "tiny.ipynb", "out.ipynb", "--log-output", *options]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)

    return run


def test_papermill_passes_good_parameters(run_papermill) -> None:
    outcome = run_papermill("-p", "seeds", "2", "-p", "lr", "1e-3")
    assert outcome.returncode == 0, outcome.stderr
    assert "read 2 0.001" in outcome.stdout + outcome.stderr


def test_papermill_stops_with_the_message_and_no_traceback(run_papermill) -> None:
    outcome = run_papermill("-p", "sedes", "2", "-y", "{lr: 1e-3}")
    assert outcome.returncode != 0
    end = outcome.stderr[-1500:]
    assert "'sedes' is not a parameter of this notebook. Did you mean 'seeds'?" in end
    assert "YAML reads 1e-3 as text" in end
    assert "read_parameters(globals()" not in end[end.index("ParameterError") :]


def test_the_project_is_found_from_its_folders_and_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(__file__).parents[2]
    monkeypatch.chdir(root / "tests")
    assert project_root() == root
    monkeypatch.chdir(tmp_path)
    assert project_root() == root
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "_config.yml").touch()
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert project_root() == tmp_path


def test_a_missing_project_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("attn_tutorial.pages.parameters.__file__", str(tmp_path / "attn_tutorial" / "parameters.py"))
    with pytest.raises(FileNotFoundError, match="clone of the repository"):
        project_root()

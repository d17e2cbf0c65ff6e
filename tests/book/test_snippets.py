"""The Python on the pages runs as it stands: the blocks of a page in order, in one process, as a reader tries them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from attn_tutorial.cli import main
from attn_tutorial.datasets import as_image_set

BOOK = Path(__file__).parents[2] / "book"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = {page.name: BLOCK.findall(page.read_text(encoding="utf-8")) for page in sorted(BOOK.glob("*.md"))}


@pytest.mark.parametrize("page", [page for page, blocks in PAGES.items() if blocks])
def test_the_python_on_a_page_runs(page, tmp_path):
    code = "\n".join(PAGES[page])
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr


def test_the_exports_on_a_page_do_not_stand_in_each_others_way(tmp_path, monkeypatch):
    commands = re.findall(r"^attn-tutorial (data export[^#\n]*)", (BOOK / "data.md").read_text(), re.MULTILINE)
    assert len(commands) >= 2
    monkeypatch.chdir(tmp_path)
    images = as_image_set(np.zeros((1000, 16, 16, 3), dtype=np.uint8), name="shapes")
    monkeypatch.setattr("attn_tutorial.cli.data._load", lambda *words: images)
    monkeypatch.setattr(
        "attn_tutorial.clutter.export_canvases", lambda images, clutter, out, *how: out.mkdir(exist_ok=False)
    )
    for command in commands:
        result = CliRunner().invoke(main, command.split())
        assert result.exit_code == 0, result.output


def test_pages_with_python_are_found():
    assert len(PAGES["data.md"]) >= 5


SHELL = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
YAML = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.timeout(600)
def test_the_commands_of_the_page_on_reruns_run_as_they_stand(tmp_path, lent_images):
    page = (BOOK / "rerun.md").read_text(encoding="utf-8")
    # A project's folder whose ledger is empty; the published table needs CIFAR-10, and is tried where that is at hand.
    for name in ("_config.yml", "pyproject.toml", "notebooks"):
        (tmp_path / name).symlink_to(BOOK.parent / name)
    (mine,) = YAML.findall(page)
    (tmp_path / "mine.yaml").write_text(mine)
    commands = [line for block in SHELL.findall(page) for line in block.splitlines() if "data/results" not in line]
    assert len(commands) >= 9
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    script = "set -e\n" + "\n".join(commands)
    result = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=590
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    assert "8 runs: 8 done; none left" in result.stdout
    assert "the same weights, sha256" in result.stdout
    assert (tmp_path / "results.csv").exists()
    assert len(list((tmp_path / "data" / "runs").glob("*.json"))) == 8 + 5

"""The Python on the pages runs as it stands: the blocks of a page in order, in one process, as a reader tries them."""

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
    monkeypatch.setattr("attn_tutorial.cli._load", lambda *words: images)
    monkeypatch.setattr(
        "attn_tutorial.datasets.export_canvases", lambda images, clutter, out, *how: out.mkdir(exist_ok=False)
    )
    for command in commands:
        result = CliRunner().invoke(main, command.split())
        assert result.exit_code == 0, result.output


def test_pages_with_python_are_found():
    assert len(PAGES["data.md"]) >= 5

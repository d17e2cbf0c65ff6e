"""The Python on the pages runs as it stands: the blocks of a page in order, in one process, as a reader tries them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

BOOK = Path(__file__).parents[2] / "book"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = {page.name: BLOCK.findall(page.read_text(encoding="utf-8")) for page in sorted(BOOK.glob("*.md"))}


@pytest.mark.parametrize("page", [page for page, blocks in PAGES.items() if blocks])
def test_the_python_on_a_page_runs(page, tmp_path):
    code = "\n".join(PAGES[page])
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr


def test_pages_with_python_are_found():
    assert len(PAGES["data.md"]) >= 5

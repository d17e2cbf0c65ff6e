import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).parents[2]
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
Build = Callable[..., subprocess.CompletedProcess[str]]
WriteNotebook = Callable[[str], None]


@pytest.fixture
def tiny_book(tmp_path: Path) -> Path:
    """The book's own machinery and settings around one prose page and one notebook, notebooks/tiny.ipynb."""
    shutil.copytree(ROOT / "book", tmp_path / "book", ignore=shutil.ignore_patterns("*.md", "__pycache__"))
    shutil.copy(ROOT / "_config.yml", tmp_path)
    (tmp_path / "book" / "index.md").write_text("# Start\n\nThe number $e^{i\\pi}$.\n")
    toc = "format: jb-book\nroot: book/index\nchapters:\n  - file: notebooks/tiny\n"
    (tmp_path / "_toc.yml").write_text(toc)
    (tmp_path / "notebooks").mkdir()
    return tmp_path


@pytest.fixture
def write_notebook(tiny_book: Path) -> WriteNotebook:
    def write(code: str) -> None:
        cells = [new_markdown_cell("# Tiny"), new_code_cell(code)]
        nbformat.write(new_notebook(cells=cells, metadata=KERNEL), tiny_book / "notebooks" / "tiny.ipynb")

    return write


@pytest.fixture
def build(tiny_book: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    monkeypatch.delenv("ATTN_TUTORIAL_REPOSITORY", raising=False)
    monkeypatch.delenv("ATTN_TUTORIAL_CIFAR10", raising=False)

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(tiny_book / "book" / "build.py"), *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    return run

"""The book's build on a tiny book: it stops on a broken notebook, and its pages follow the ledger."""

import json
from pathlib import Path

import pytest

PRINT_ACCURACY = """
import json
from pathlib import Path
record = json.loads((Path("..") / "data" / "results" / "run.json").read_text())
print("accuracy", record["accuracy"])
"""


def write_record(book: Path, accuracy: float) -> None:
    (book / "data" / "results").mkdir(parents=True, exist_ok=True)
    (book / "data" / "results" / "run.json").write_text(json.dumps({"accuracy": accuracy}))


def test_a_broken_notebook_fails_the_build_and_is_named(write_notebook, build) -> None:
    write_notebook("raise ValueError('deliberately broken')")
    outcome = build()
    assert outcome.returncode != 0
    end = outcome.stderr[-400:]
    assert "notebooks/tiny.ipynb stopped with an error" in end
    assert "ValueError: deliberately broken" in end


def test_pages_follow_the_ledger_and_nothing_is_executed_twice(tiny_book, write_notebook, build) -> None:
    page = tiny_book / "_build" / "html" / "notebooks" / "tiny.html"
    write_notebook(PRINT_ACCURACY)
    write_record(tiny_book, 71.25)
    first = build("--strict", "--fresh")
    assert first.returncode == 0, first.stderr
    assert str(tiny_book / "_build" / "html" / "index.html") in first.stdout
    text = page.read_text()
    assert "accuracy 71.25" in text
    assert "_sources/notebooks/tiny.ipynb" in text
    assert "github.com" not in text
    assert "colab" not in text
    built = page.stat().st_mtime_ns

    unchanged = build()
    assert unchanged.returncode == 0, unchanged.stderr
    assert "Executing notebook" not in unchanged.stdout
    assert page.stat().st_mtime_ns == built

    write_record(tiny_book, 72.5)
    changed = build()
    assert changed.returncode == 0, changed.stderr
    assert "accuracy 72.5" in page.read_text()


def test_a_warning_fails_the_strict_build(tiny_book, write_notebook, build) -> None:
    write_notebook("print('fine')")
    (tiny_book / "book" / "index.md").write_text("# Start\n\n{term}`a word that no glossary has`\n")
    strict = build("--strict")
    assert strict.returncode != 0
    assert "a word that no glossary has" in strict.stderr
    assert "--strict allows none" in strict.stderr


def test_buttons_lead_to_the_repository(tiny_book, write_notebook, build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTN_TUTORIAL_REPOSITORY", "https://github.com/owner/name")
    write_notebook("print('fine')")
    outcome = build()
    assert outcome.returncode == 0, outcome.stderr
    page = (tiny_book / "_build" / "html" / "notebooks" / "tiny.html").read_text()
    assert "https://colab.research.google.com/github/owner/name/blob/main/notebooks/tiny.ipynb" in page
    assert "https://mybinder.org/v2/gh/owner/name/main?urlpath=lab/tree/notebooks/tiny.ipynb" in page
    assert "https://github.com/owner/name/edit/main/notebooks/tiny.ipynb" in page
    assert "_sources/notebooks/tiny.ipynb" in page

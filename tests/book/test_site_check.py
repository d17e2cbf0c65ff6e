"""The check of built pages finds each defect that it is there for."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site_check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_check", ROOT / "book" / "site_check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "_static").mkdir()
    (tmp_path / "_static" / "look.css").write_text("a { background: url('../here.png') }")
    (tmp_path / "here.png").write_bytes(b"")
    (tmp_path / "index.html").write_text("<p>start</p>")
    return tmp_path


def test_a_page_without_defects(site_check: ModuleType, site: Path) -> None:
    body = """
    <link rel="stylesheet" href="../_static/look.css?v=1"><link rel="canonical" href="https://book.example/">
    <img src="../here.png" alt=""><img src="data:image/png;base64,AAAA" alt="dots">
    <a href="https://paper.example">paper</a> <a href="../index.html#top">start</a> <a href="#here">here</a>
    """
    (site / "sub" / "page.html").write_text(body)
    assert site_check.check_site(site) == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('<img src="gone.png" alt="">', "gone.png does not exist"),
        ('<img alt="">', "without a source"),
        ('<img src="../here.png">', "without alt text"),
        ('<img src="https://cdn.example/a.png" alt="">', "from another host"),
        ('<script src="//cdn.example/a.js"></script>', "from another host"),
        ('<script src="gone.js"></script>', "gone.js does not exist"),
        ('<link rel="stylesheet" href="https://cdn.example/a.css">', "from another host"),
        ('<link rel="preload" href="https://cdn.example/a.woff2">', "from another host"),
        ("<style>@import 'https://cdn.example/a.css';</style>", "from another host"),
        ('<p style="background: url(https://cdn.example/a.png)">', "from another host"),
        ('<a href="gone.html">more</a>', "links to gone.html"),
        ('<div class="output traceback highlight">', "shows a traceback"),
    ],
)
def test_a_defect_is_found(site_check: ModuleType, site: Path, body: str, expected: str) -> None:
    (site / "sub" / "page.html").write_text(body)
    (problem,) = site_check.check_site(site)
    assert problem.startswith("sub/page.html: ")
    assert expected in problem


def test_a_style_sheet_that_loads_a_foreign_font_is_found(site_check: ModuleType, site: Path) -> None:
    (site / "_static" / "look.css").write_text("@font-face { src: url(https://fonts.example/a.woff2) }")
    assert site_check.check_site(site) == ["_static/look.css: loads https://fonts.example/a.woff2 from another host"]

"""The settings that keep the book right; each stands against a trap that passes unseen."""

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text())
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())


def test_notebooks_are_executed_and_their_errors_stop_the_build() -> None:
    execute = CONFIG["execute"]
    assert execute["execute_notebooks"] == "cache"
    assert execute["raise_on_error"] is True
    assert execute["timeout"] == 600


def test_only_the_pages_of_the_contents_are_built() -> None:
    assert CONFIG["only_build_toc_files"] is True
    assert ".venv" in CONFIG["exclude_patterns"]


def test_no_repository_is_written_down() -> None:
    assert "repository" not in CONFIG
    assert "launch_buttons" not in CONFIG
    assert "://" not in (ROOT / "_config.yml").read_text()


def test_the_contents_hold_every_notebook_and_every_page() -> None:
    listed = {TOC["root"], *(chapter["file"] for part in TOC["parts"] for chapter in part["chapters"])}
    pages = {f"book/{path.stem}" for path in (ROOT / "book").glob("*.md")}
    notebooks = {f"notebooks/{path.stem}" for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert listed == pages | notebooks


def test_parts_have_captions() -> None:
    assert all(part["caption"] for part in TOC["parts"])

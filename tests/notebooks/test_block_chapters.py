"""The block chapters run, their classes are the package's, their broken snippets break, and exercises have solutions.

What differs from chapter to chapter is in `chapters/`, in a module of the notebook's name:

- TWINS: the chapter's class, its arguments for C channels, the package's name and options for the same thing
- MESSAGES: what the chapter prints where something fails
- OTHER_PARAMETERS: parameters that are not the notebook's own, with which all its equalities must hold, too
- PARTS, in chapters of several blocks: their headings, below each of which every step stands, from by hand to package
"""

import re
from dataclasses import replace
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import nbformat
import pytest
import torch

from attn_tutorial.blocks import build_block
from attn_tutorial.pages import ParameterError

FOLDER = Path(__file__).parents[2] / "notebooks"
# Read as files, since test modules cannot import each other.
FACTS = {path.stem: run_path(str(path)) for path in sorted((Path(__file__).parent / "chapters").glob("*.py"))}
CHAPTERS = tuple(FACTS)
SHORT = {"samples": 128}
HEADINGS = (
    "The idea in a picture",
    "by hand",
    "By loops",
    "Without loops",
    "As a class",
    "The package's class",
    "What goes wrong if",
    "Before training",
    "What it costs",
    "See it attend",
    "What the study found",
    "Exercises",
    "Sources",
)


def cells(chapter, kind):
    notebook = nbformat.read(FOLDER / f"{chapter}.ipynb", as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == kind]


@pytest.fixture
def run(make_images, monkeypatch, tmp_path, lent_images):
    """Runs a chapter's cells on small images without any record, with parameters given as papermill gives them."""
    bank = make_images(40, "bank", start=200, side=24)
    images = {
        "train": make_images(200, "train", start=300, side=24),
        "test": replace(make_images(200, "test", side=24), fragments=bank),
    }
    monkeypatch.setattr("attn_tutorial.engine.images.prepare_images", lambda *_: (SimpleNamespace(name="shapes"), None))

    def load(name, split, *, size, **_):
        assert size == images[split].images.shape[1], "chapters show the primary geometry"
        return images[split]

    monkeypatch.setattr("attn_tutorial.datasets.load_images", load)
    for place in ("pages", "pages.parameters"):
        monkeypatch.setattr(f"attn_tutorial.{place}.project_root", lambda: tmp_path)

    def run(chapter, **given):
        namespace = {"__name__": "__main__"}
        for cell in cells(chapter, "code"):
            exec(compile(cell.source, f"{chapter}.ipynb", "exec"), namespace)
            if "parameters" in cell.metadata.get("tags", []):
                namespace.update({**SHORT, **given})
        return namespace

    return run


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_chapters_classes_are_the_packages(chapter, run, capsys):
    namespace = run(chapter)
    output = capsys.readouterr().out
    for message in FACTS[chapter]["MESSAGES"]:
        assert message in output
    for class_name, arguments, name, options in FACTS[chapter]["TWINS"]:
        for channels, training in ((16, True), (24, False)):
            torch.manual_seed(channels)
            ours = namespace[class_name](*arguments(channels)).double().train(training)
            package = build_block(name, channels, **options).double().train(training)
            with torch.no_grad():
                for step, whole in zip(ours.parameters(), package.parameters(), strict=True):
                    whole.copy_(step.normal_())
            x = torch.randn(3, channels, 5, 7, dtype=torch.float64)
            assert (ours(x) - x).abs().max() > 0.1
            torch.testing.assert_close(ours(x), package(x))


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_equality_holds_for_other_parameters_too(chapter, run):
    run(chapter, **FACTS[chapter]["OTHER_PARAMETERS"])


@pytest.mark.parametrize("chapter", CHAPTERS)
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"chanels": 16}, "'chanels' is not a parameter.*Did you mean 'channels'"),
        ({"channels": "16"}, r"`channels` must be .* but got '16' \(str\)"),
        ({"height": 0}, "`height` must be"),
        ({"seed": -1}, "`seed` must be"),
    ],
)
def test_a_wrong_parameter_stops_the_chapter(chapter, given, message, run):
    with pytest.raises(ParameterError, match=message):
        run(chapter, **given)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_chapter_goes_step_by_step(chapter):
    prose = [line for cell in cells(chapter, "markdown") for line in cell.source.splitlines()]
    assert prose[0].startswith("# ")
    assert prose[2].startswith("**Question.**")
    found = iter([line for line in prose if line.startswith(("## ", "### "))])
    missing = [heading for heading in HEADINGS if not any(heading in line for line in found)]
    assert missing == []


@pytest.mark.parametrize("chapter", [chapter for chapter in CHAPTERS if "PARTS" in FACTS[chapter]])
def test_each_part_of_a_chapter_goes_step_by_step(chapter):
    prose = "\n".join(cell.source for cell in cells(chapter, "markdown"))
    for part in FACTS[chapter]["PARTS"]:
        _, _, rest = prose.partition(f"\n## {part}\n")
        found = iter([line for line in rest.partition("\n## ")[0].splitlines() if line.startswith("### ")])
        missing = [heading for heading in HEADINGS[1:6] if not any(heading in line for line in found)]
        assert missing == [], part


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_self_check_finds_the_wrong_step_and_the_hidden_solution_is_right(chapter, run, capsys):
    run(chapter)
    attempt, _, solution = capsys.readouterr().out.rpartition("first, then check again.")
    assert ": wrong, because" in attempt
    assert "All steps are right." in solution
    notebook = nbformat.read(FOLDER / f"{chapter}.ipynb", as_version=4)
    heading = next(i for i, cell in enumerate(notebook.cells) if "## Exercises" in cell.source)
    exercises = [line for cell in notebook.cells[heading:] for line in cell.source.splitlines() if line[:4] == "### "]
    hidden = [cell for cell in notebook.cells[heading:] if "hide-cell" in cell.metadata.get("tags", [])]
    assert len(hidden) == len(exercises) >= 2
    assert all(cell.cell_type == "code" for cell in hidden)
    checked = [cell for cell in hidden if re.search(r"^check\w*\(", cell.source, re.MULTILINE)]
    assert (attempt + solution).count("All steps are right.") == len(checked) >= 1


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_shown_code_is_short_and_fits_the_window(chapter):
    shown = [cell.source.splitlines() for cell in cells(chapter, "code") if not cell.metadata.get("tags")]
    assert max(len(lines) for lines in shown) <= 16
    assert [line for lines in shown for line in lines if len(line) > 72] == []


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_torch_is_imported_where_the_reader_sees_it(chapter):
    out_of_sight = {"hide-input", "remove-input"}
    shown = [cell.source for cell in cells(chapter, "code") if not out_of_sight & {*cell.metadata.get("tags", [])}]
    first_use = next(index for index, source in enumerate(shown) if "torch." in source or "nn." in source)
    assert "import torch\nfrom torch import nn\n" in "\n".join(shown[: first_use + 1])

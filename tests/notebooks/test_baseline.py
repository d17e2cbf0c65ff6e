"""The chapter on the baseline: its loop by hand is `fit`, and what it says of stopping, damage and NaN happens."""

from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import torch

from attn_tutorial.pages import ParameterError

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "baseline.ipynb"


@pytest.fixture
def run(make_images, monkeypatch):
    """Runs the chapter's cells on small images, with parameters given as papermill gives them."""
    images = make_images(100, "train", side=24)
    monkeypatch.setattr("attn_tutorial.engine.images.prepare_images", lambda *_: (SimpleNamespace(name="shapes"), None))
    monkeypatch.setattr("attn_tutorial.datasets.load_images", lambda *_, **__: images)

    def run(change=lambda source: source, **given):
        namespace = {"__name__": "__main__"}
        for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
            if cell.cell_type == "code":
                exec(compile(change(cell.source), NOTEBOOK.name, "exec"), namespace)
                if "parameters" in cell.metadata.get("tags", []):
                    namespace.update(given)
        return namespace

    return run


SMALL = {"batch_size": 8, "steps": 6, "rounds": 1}


def test_the_page_runs_and_the_loop_by_hand_is_fit(run, capsys):
    namespace = run(**SMALL)
    said = capsys.readouterr().out
    assert f"by hand {namespace['by_hand'][:16]} = fit {namespace['by_hand'][:16]}" in said
    assert "resumed at step [2], with the same weights at the end" in said
    assert "is damaged; it is set aside" in said
    assert "Diverged: the loss became" in said
    _, _, checks = said.partition("first step")
    first, second = checks.split("first step")
    assert first.count("wrong") == 4
    assert (second.count("right"), second.count("wrong")) == (5, 0)
    assert set(namespace["moving"]) == {
        f"{precision}, {layout}"
        for precision in ("float32", "bfloat16")
        for layout in ("contiguous_format", "channels_last")
    }


def test_another_loop_is_not_taken_for_fit(run):
    def spoil(source):
        return source.replace("label_smoothing=0.1", "label_smoothing=0.2")

    with pytest.raises(AssertionError):
        run(spoil, **SMALL)


def test_parameters_are_checked(run):
    with pytest.raises(ParameterError, match="batch_size"):
        run(batch_size=1)


@pytest.fixture(autouse=True)
def threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)

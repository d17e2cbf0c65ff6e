"""The comparison page runs, and shows what it measured of every block."""

from pathlib import Path

import nbformat
import pytest

from attn_tutorial.blocks import BLOCKS
from attn_tutorial.pages import ParameterError

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "compare_blocks.ipynb"


@pytest.fixture
def run(monkeypatch):
    """Runs the page's cells and returns its names, and the tables that it shows, by caption."""
    tables = {}
    monkeypatch.setattr("attn_tutorial.figures.show_table", lambda frame, caption: tables.update({caption: frame}))
    monkeypatch.setattr("attn_tutorial.figures.show", lambda draw, alt, caption: tables.update({caption: draw()}))

    def run(**given):
        namespace = {"__name__": "__main__"}
        for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
            if cell.cell_type == "code":
                exec(compile(cell.source, NOTEBOOK.name, "exec"), namespace)
            if "parameters" in cell.metadata.get("tags", []):
                namespace.update(given)
        return namespace, tables

    return run


def test_every_table_has_every_block(run, capsys):
    namespace, tables = run(rounds=1, batch=2)
    sights = {caption: frame for caption, frame in tables.items() if caption.startswith("What blocks see")}
    assert [name for frame in sights.values() for name in frame.index] == sorted(
        BLOCKS, key=lambda name: [name in frame.index for frame in sights.values()], reverse=True
    )
    assert max(map(len, sights.values())) <= 12
    whole = [frame for caption, frame in tables.items() if caption not in sights and hasattr(frame, "index")]
    assert len(whole) == 5
    assert all(set(BLOCKS) <= set(frame.index) for frame in whole)
    costs = namespace["costs"].set_index(["block", "shape"])
    assert costs["parameters"]["non_local", "128×6×6"] == 2 * 128**2 + 2.5 * 128 + 2 * 128
    output = capsys.readouterr().out
    middle = "[0, 1, 1, 1, 1, 1, 1, 1, 0]"
    assert output.count(middle) == 7
    assert f"Non-local needs {costs['memory']['non_local', '64×56×56']:.1f} times the memory of the features" in output
    assert f"One map of all pairs alone would need {(56 * 56) ** 2 / (64 * 56 * 56):.0f} times" in output


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"batch": 1}, "`batch` must be"),
        ({"rounds": 0}, "`rounds` must be"),
        ({"round": 3}, "'round' is not a parameter.*Did you mean 'rounds'"),
    ],
)
def test_a_wrong_parameter_stops_the_page(run, given, message):
    with pytest.raises(ParameterError, match=message):
        run(**given)

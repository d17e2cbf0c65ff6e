"""The block chapters run, their classes are the package's, and their broken snippets break."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import torch

from attn_tutorial.blocks import build_block
from attn_tutorial.notebook import ParameterError

FOLDER = Path(__file__).parents[2] / "notebooks"
CHAPTERS = ("channel_attention", "spatial_attention", "non_local")

# chapter: its class, the class's arguments, the package's name and options for the same thing, for C channels
TWINS = {
    "channel_attention": [("SqueezeExcite", lambda c: (c, 4), "se", {"reduction": 4})],
    "spatial_attention": [
        ("SpatialGate", lambda c: (3, False), "spatial", {"kernel": 3, "norm": False}),
        ("SpatialGate", lambda c: (7,), "spatial", {}),
        ("ChannelGate", lambda c: (c, 8), "channel", {"reduction": 8}),
        ("CBAM", lambda c: (c, 4, 3), "cbam", {"reduction": 4, "kernel": 3}),
    ],
    "non_local": [("NonLocal", lambda c: (c, 10), "non_local", {"inner": 10})],
}
MESSAGES = {
    "channel_attention": [
        "PyTorch says: Initializing zero-element tensors is a no-op",
        "The block returns half of its input",
        "ValueError: 8 channels with reduction 16",
        "RuntimeError: The size of tensor a (7) must match the size of tensor b (32)",
    ],
    "spatial_attention": [
        "in (2, 32, 9, 6) out (2, 1, 9, 6)",
        "RuntimeError: Given groups=1, weight of size [32, 32, 3, 3], expected input[2, 1, 9, 6]",
    ],
    "non_local": ["RuntimeError: Expected size for first two dimensions of batch2 tensor to be: [2, 20]"],
}
OTHER_PARAMETERS = {
    "channel_attention": {"seed": 5, "channels": 48, "reduction": 16, "height": 1, "width": 2},
    "spatial_attention": {"seed": 5, "channels": 16, "reduction": 1, "kernel": 3, "height": 3, "width": 4},
    "non_local": {"seed": 5, "channels": 7, "inner": 20, "height": 4, "width": 5},  # N = inner
}
HEADINGS = (
    "The idea in a picture",
    "by hand",
    "By loops",
    "Without loops",
    "As a class",
    "The package's class",
    "What it can",
    "What goes wrong if",
    "What it costs",
    "Try it",
    "Sources",
)


def cells(chapter, kind):
    notebook = nbformat.read(FOLDER / f"{chapter}.ipynb", as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == kind]


@pytest.fixture
def run(make_images, monkeypatch):
    """Runs a chapter's cells on small images, with parameters given as papermill gives them."""
    images = replace(make_images(200, "test"), fragments=make_images(40, "bank", start=200))
    monkeypatch.setattr("attn_tutorial.study.images.prepare_images", lambda *_: (SimpleNamespace(name="shapes"), None))
    monkeypatch.setattr("attn_tutorial.datasets.load_images", lambda *_, **__: images)

    def run(chapter, **given):
        namespace = {"__name__": "__main__"}
        for cell in cells(chapter, "code"):
            exec(compile(cell.source, f"{chapter}.ipynb", "exec"), namespace)
            if "parameters" in cell.metadata.get("tags", []):
                namespace.update(given)
        return namespace

    return run


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_chapters_classes_are_the_packages(chapter, run, capsys):
    namespace = run(chapter)
    output = capsys.readouterr().out
    for message in MESSAGES[chapter]:
        assert message in output
    for class_name, arguments, name, options in TWINS[chapter]:
        for channels, training in ((16, True), (24, False)):
            torch.manual_seed(channels)
            ours = namespace[class_name](*arguments(channels)).train(training)
            package = build_block(name, channels, **options).train(training)
            with torch.no_grad():
                for step, whole in zip(ours.parameters(), package.parameters(), strict=True):
                    whole.copy_(step.normal_())
            x = torch.randn(3, channels, 5, 7)
            assert (ours(x) - x).abs().max() > 0.1
            torch.testing.assert_close(ours(x), package(x), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_equality_holds_for_other_parameters_too(chapter, run):
    run(chapter, **OTHER_PARAMETERS[chapter])


@pytest.mark.parametrize("chapter", CHAPTERS)
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"chanels": 16}, "'chanels' is not a parameter.*Did you mean 'channels'"),
        ({"channels": "16"}, r"channels = '16' \(str\) is not allowed"),
        ({"height": 0}, "height = 0"),
        ({"seed": -1}, "seed = -1"),
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
    found = iter([line for line in prose if line.startswith("## ")])
    missing = [heading for heading in HEADINGS if not any(heading in line for line in found)]
    assert missing == []


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_shown_code_is_short_and_fits_the_window(chapter):
    shown = [cell.source.splitlines() for cell in cells(chapter, "code") if not cell.metadata.get("tags")]
    assert max(len(lines) for lines in shown) <= 16
    assert [line for lines in shown for line in lines if len(line) > 72] == []


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_torch_is_imported_where_the_reader_sees_it(chapter):
    shown = [cell.source for cell in cells(chapter, "code") if "hide-input" not in cell.metadata.get("tags", [])]
    first_use = next(index for index, source in enumerate(shown) if "torch." in source or "nn." in source)
    assert "import torch\nfrom torch import nn\n" in "\n".join(shown[: first_use + 1])

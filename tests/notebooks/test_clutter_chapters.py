"""The chapters of the benchmark run, what they check can fail, and what they say follows their numbers."""

import ast
import itertools
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import torch

from attn_tutorial.clutter import SEVERITIES, Clutter
from attn_tutorial.clutter.layers import noise
from attn_tutorial.ledger import Ledger, Record
from attn_tutorial.ledger.record import Accuracy
from attn_tutorial.pages import ParameterError
from attn_tutorial.spec import Images
from attn_tutorial.study import Study

FOLDER = Path(__file__).parents[2] / "notebooks"
CHAPTERS = ("clutter_gallery", "clutter_pitfalls")


def code_cells(chapter):
    notebook = nbformat.read(FOLDER / f"{chapter}.ipynb", as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.fixture
def run(make_images, monkeypatch, tmp_path):
    """Runs a chapter's cells on small images; returns its names, with what it said and the tables it showed."""
    bank = make_images(40, "bank", start=200)
    plain = replace(make_images(100, "test"), fragments=bank)
    shapes = replace(make_images(100, "test", masks=True), fragments=bank)
    said, tables = [], {}
    monkeypatch.setattr(
        "attn_tutorial.engine.images.prepare_images", lambda *_: (SimpleNamespace(name="cifar10"), None)
    )
    monkeypatch.setattr(
        "attn_tutorial.datasets.load_images", lambda name, *_, **__: shapes if name == "shapes" else plain
    )
    for place in ("pages", "pages.parameters"):
        monkeypatch.setattr(f"attn_tutorial.{place}.project_root", lambda: tmp_path)
    monkeypatch.setattr("attn_tutorial.figures.show_table", lambda frame, caption: tables.update({caption: frame}))
    monkeypatch.setattr("attn_tutorial.figures.show", lambda draw, alt, caption: None)  # drawing takes most of the time
    monkeypatch.setattr("IPython.display.display", lambda shown: said.append(shown.data))

    def run(chapter, **given):
        namespace = {"__name__": "__main__"}
        for cell in code_cells(chapter):
            exec(compile(cell.source, f"{chapter}.ipynb", "exec"), namespace)
            if "parameters" in cell.metadata.get("tags", []):
                namespace.update({"images": 4 if chapter == "clutter_gallery" else 100, **given})
        return SimpleNamespace(**{**namespace, "said": said, "tables": tables})

    return run


@pytest.fixture(scope="module")
def definitions():
    """The functions of the chapter on pitfalls, and nothing that it computes."""
    namespace = {}
    for cell in code_cells("clutter_pitfalls"):
        kept = [
            node
            for node in ast.parse(cell.source).body
            if isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef) and getattr(node, "name", "") != "render"
        ]
        exec(compile(ast.Module(kept, type_ignores=[]), "clutter_pitfalls.ipynb", "exec"), namespace)
    return SimpleNamespace(**namespace)


@pytest.fixture
def add_records(tmp_path):
    """Puts records of the audit's runs, of equal accuracy at each severity, into the ledger of a chapter."""

    def add(accuracies, seeds=1):
        images = Images(name="cifar10", source="a source", fingerprint="f" * 64, archive_sha256=None)
        for planned in Study.load("audit").plan("quick", images, seeds):
            if planned.variant not in accuracies:
                continue
            shown = [
                Accuracy(
                    types=types,
                    severity=level,
                    accuracy=accuracies[planned.variant],
                    images=2000,
                    recalibrated=accuracies[planned.variant] + 0.05
                    if types in planned.spec.evaluation.recalibrated
                    else None,
                )
                for types in planned.spec.evaluation.types
                for level in SEVERITIES
            ]
            record = Record(
                run_id=planned.run_id, study="audit", preset="quick", variant=planned.variant, spec=planned.spec,
                status="done", accuracy=shown, data=images, versions={}, git_revision=None, device="cpu",
                processor="", threads=1, finished_at="", parameters=1, samples_per_second=1.0, training_seconds=1.0,
            )  # fmt: skip
            Ledger(tmp_path / "data" / "runs").add(record)

    return add


@pytest.mark.parametrize("level", [0, 5])
def test_the_gallerys_checks_hold(level, run, capsys):
    run("clutter_gallery", severity=level, images=2, seed=3)
    assert "every painted colour is one of the named images" in capsys.readouterr().out


def whole_tile(batch):
    mask = batch.visible_mask.clone()
    for one, (x, y, width, height) in zip(mask, batch.tile_box.tolist(), strict=True):
        one[y : y + height, x : x + width] = True
    return mask


@pytest.mark.parametrize(
    ("field", "lie"),
    [
        ("visible_mask", whole_tile),
        ("visible_mask", lambda batch: batch.visible_mask | ~whole_tile(batch)),
        ("fragment_id", lambda batch: batch.fragment_id.roll(1, 0)),
        ("fragment_class", lambda batch: (batch.fragment_class + 1) % 10),
    ],
    ids=["more of the tile", "more than the tile", "other ids", "other classes"],
)
def test_the_gallery_would_notice_a_false_record(field, lie, run, monkeypatch):
    render = Clutter.render

    def false(self, *arguments, **options):
        batch = render(self, *arguments, **options)
        return replace(batch, **{field: lie(batch)})

    monkeypatch.setattr(Clutter, "render", false)
    with pytest.raises(AssertionError):
        run("clutter_gallery", severity=3)


def test_the_galleries_tables_are_read_from_the_package(run, monkeypatch):
    monkeypatch.setattr(noise, "LEVELS", (11, 22, 33, 44, 55, 66))
    tables = run("clutter_gallery").tables
    shown = next(frame for caption, frame in tables.items() if caption.startswith("The severity table"))
    assert shown.loc["noise: SD"].tolist() == ["0.011", "0.022", "0.033", "0.044", "0.055", "0.066"]
    words = next(frame for caption, frame in tables.items() if caption.startswith("Philox"))
    assert words.loc["all zero", "words"] == "6627e8d5 e169c58d bc57ac4c 9b00dbd8"  # of the generator's authors
    hashes = next(frame for caption, frame in tables.items() if caption.startswith("Version"))
    column = hashes["SHA-256 of the canvas"]
    assert column.nunique() == len(column)


def test_the_oracle_is_as_right_as_its_guess(definitions):
    # Of three classes: the label alone is missing; nothing is missing; the label is one of two that are missing.
    fragment_class = torch.tensor([[1, 1, 2], [0, 1, 2], [2, 2, 2]])
    batch = SimpleNamespace(fragment_class=fragment_class, label=torch.tensor([0, 0, 1]))
    likely = definitions.chance_of_being_right(batch, 3)
    assert likely.tolist() == pytest.approx([1, 1 / 3, 1 / 2])


def test_the_oracle_gains_from_fragments_that_avoid_the_label_only(run):
    chapter = run("clutter_pitfalls")
    oracles = chapter.oracles.set_index(["kind", "severity"])["rate"]
    avoid, anything = (oracles[kind] for kind in chapter.kinds.values())
    assert avoid[0] == anything[0] == pytest.approx(10)
    assert avoid.is_monotonic_increasing
    assert avoid[5] > 40
    assert anything[5] < 20
    assert "above chance" in chapter.said[0]
    missing = [text for text in chapter.said if text.startswith("No record of")]
    assert len(missing) == 2
    assert all("attn-tutorial study run audit" in text for text in missing)
    places = list(itertools.product(range(17), repeat=2))
    near = sum(max(abs(a - c), abs(b - d)) <= 1 for a, b in places for c, d in places)
    assert chapter.guess == pytest.approx(100 * near / len(places) ** 2)


def test_the_box_goes_around_what_is_not_grey(definitions):
    canvas = torch.full((2, 3, 20, 30), 128, dtype=torch.uint8)
    canvas[0, 1, 4, 7] = 127
    canvas[1, 0, 0:20, 29] = 0
    canvas[1, 2, 6, 11] = 255
    assert definitions.box_of_what_is_not_grey(canvas).tolist() == [[7, 4, 1, 1], [11, 0, 19, 20]]


def test_the_detector_finds_a_square_anywhere(definitions):
    corners = torch.tensor(list(itertools.product((0, 1, 8, 15, 16), repeat=2)))
    # Around the square a pattern whose steps are weaker than its edge's, but not than half of that: at the canvas's
    # border, where only two of its sides can be seen, these must be averaged over two.
    canvas = torch.full((len(corners), 3, 48, 48), 100, dtype=torch.uint8)
    canvas[:, :, ::2, ::2] = canvas[:, :, 1::2, 1::2] = 118
    for one, (x, y) in zip(canvas, corners.tolist(), strict=True):
        one[:, y : y + 32, x : x + 32] = 130
    batch = SimpleNamespace(canvas=canvas, tile_box=torch.cat((corners, torch.full_like(corners, 32)), 1))
    assert torch.equal(definitions.brightest_square(batch), corners)
    assert definitions.hits(batch, 0).all()


@pytest.mark.parametrize(
    ("low", "high", "word"), [(9.0, 11.0, "not told apart from"), (10.5, 12.0, "above"), (7.0, 9.5, "below")]
)
def test_what_is_said_of_chance_follows_the_interval(low, high, word, definitions):
    assert definitions.beside({"low": low, "high": high}, 10.0) == word


def test_records_are_shown_and_read(run, add_records):
    add_records({"tile_removed": 0.1, "tile_removed_other_classes": 0.25})
    add_records({"severity_0_only": 0.5, "severity_0_only_blank": 0.3})
    chapter = run("clutter_pitfalls")
    assert not [text for text in chapter.said if text.startswith("No record of")]
    leaks = next(frame for caption, frame in chapter.tables.items() if "no tile to see" in caption)
    assert leaks["mean"].to_dict() == {"tile_removed": 10.0, "tile_removed_other_classes": 25.0}
    spoken = "\n".join(chapter.said)
    assert "`tile_removed` names 10.0 % [8.8, 11.4] of the classes right at severity 5: not told apart from" in spoken
    assert "`tile_removed_other_classes` names 25.0 % [23.2, 26.9] of the classes right at severity 5: above" in spoken
    assert "by +20.0 points (BatchNorm as trained) and +20.0 points (BatchNorm recalibrated): 1 seed." in spoken
    assert "On noise at severity 5" in spoken
    recalibrated = [frame for caption, frame in chapter.tables.items() if "BatchNorm recalibrated" in caption]
    assert [frame.loc["severity_0_only", "mean"] for frame in recalibrated] == [55.0]


@pytest.mark.parametrize("chapter", CHAPTERS)
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"image": 16}, "'image' is not a parameter.*Did you mean 'images'"),
        ({"images": "16"}, r"`images` must be .* but got '16' \(str\)"),
        ({"images": 0}, "`images` must be"),
        ({"seed": -1}, "`seed` must be"),
    ],
    ids=["unknown", "text", "none", "negative"],
)
def test_a_wrong_parameter_stops_the_chapter(chapter, given, message, run):
    with pytest.raises(ParameterError, match=message):
        run(chapter, **given)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_shown_code_is_short_and_fits_the_window(chapter):
    shown = [cell.source.splitlines() for cell in code_cells(chapter) if not cell.metadata.get("tags")]
    assert max(len(lines) for lines in shown) <= 14
    assert [line for lines in shown for line in lines if len(line) > 72] == []

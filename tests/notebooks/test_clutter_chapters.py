"""The chapters of the benchmark run, what they check can fail, and what they say follows their numbers."""

import ast
import functools
import itertools
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import torch

from attn_tutorial.clutter import BACKGROUND_TYPES, OCCLUSION_TYPES, SEVERITIES, UNSEEN_TYPES, Clutter
from attn_tutorial.clutter.layers import noise, surround
from attn_tutorial.datasets import resize_images
from attn_tutorial.ledger import Ledger, Record
from attn_tutorial.ledger.record import Accuracy
from attn_tutorial.pages import ParameterError
from attn_tutorial.spec import ClutterSpec, Images
from attn_tutorial.study import Study

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
CHAPTERS = ("clutter_gallery", "clutter_pitfalls")


def code_cells(chapter):
    notebook = nbformat.read(FOLDER / f"{chapter}.ipynb", as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.fixture
def small_sets(make_images):
    """Returns 100 random test images with their bank, with or without masks, in a size."""
    bank = make_images(40, "bank", start=200)
    plain = replace(make_images(100, "test"), fragments=bank)
    shapes = replace(make_images(100, "test", masks=True), fragments=bank)

    def resized(images, size):
        return images if size == 32 else torch.from_numpy(resize_images(images.numpy(), size))

    @functools.cache
    def load(name, size=32):
        full = shapes if name == "shapes" else plain
        return replace(
            full,
            images=resized(full.images, size),
            masks=None if full.masks is None else resized(full.masks, size),
            fragments=replace(bank, images=resized(bank.images, size)),
        )

    return load


@pytest.fixture
def run(small_sets, monkeypatch, tmp_path, lent_images):
    """Runs a chapter's cells on small images, all or as far as one that contains a text.

    Returns the chapter's names, with what it said and the tables it showed.
    """
    said, tables = [], {}
    monkeypatch.setattr(
        "attn_tutorial.engine.images.prepare_images", lambda *_: (SimpleNamespace(name="cifar10"), None)
    )
    monkeypatch.setattr("attn_tutorial.datasets.load_images", lambda name, *_, size=32, **__: small_sets(name, size))
    for place in ("pages", "pages.parameters"):
        monkeypatch.setattr(f"attn_tutorial.{place}.project_root", lambda: tmp_path)
    monkeypatch.setattr("attn_tutorial.figures.show_table", lambda frame, caption: tables.update({caption: frame}))
    monkeypatch.setattr("attn_tutorial.figures.show", lambda draw, alt, caption: None)  # drawing takes most of the time
    monkeypatch.setattr("IPython.display.display", lambda shown: said.append(shown.data))

    def run(chapter, until=None, **given):
        namespace = {"__name__": "__main__"}
        said.clear()
        tables.clear()
        for cell in code_cells(chapter):
            exec(compile(cell.source, f"{chapter}.ipynb", "exec"), namespace)
            if "parameters" in cell.metadata.get("tags", []):
                namespace.update({"images": 4 if chapter == "clutter_gallery" else 100, **given})
            if until and until in cell.source:
                break
        return SimpleNamespace(**{**namespace, "said": [*said], "tables": {**tables}})

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
    """Puts records of an audit's runs into the ledger of a chapter; each severity costs a step of accuracy."""

    def add(accuracies, seeds=1, study="audit", step=0.0):
        images = Images(name="cifar10", source="a source", fingerprint="f" * 64, archive_sha256=None)
        for planned in Study.load(study).plan("quick", images, seeds):
            if planned.variant not in accuracies:
                continue
            first = accuracies[planned.variant]
            shown = [
                Accuracy(
                    types=types,
                    severity=level,
                    accuracy=first - step * level,
                    images=2000,
                    recalibrated=first + 0.05 if types in planned.spec.evaluation.recalibrated else None,
                )
                for types in planned.spec.evaluation.types
                for level in SEVERITIES
            ]
            record = Record(
                run_id=planned.run_id, study=study, preset="quick", variant=planned.variant, spec=planned.spec,
                status="done", accuracy=shown, data=images, versions={}, git_revision=None, device="cpu",
                processor="", threads=1, finished_at="", parameters=1, samples_per_second=1.0, training_seconds=1.0,
            )  # fmt: skip
            Ledger(tmp_path / "data" / "runs").add(record)

    return add


@pytest.mark.parametrize(("level", "size"), [(0, 24), (5, 16), (3, 32)])
def test_the_gallerys_checks_hold(level, size, run, capsys):
    run("clutter_gallery", severity=level, size=size, images=2, seed=3)
    printed = capsys.readouterr().out
    for fact in (
        "60 canvases show the whole target",
        "surround: every painted colour is one of the named images",
        "crowd: every painted colour is one of the named images",
        "surround, crowd, fragments draw the same alone and composed",
        f"severity 5: the first {surround.LEVELS[2][0]} pieces are severity 2's",
    ):
        assert fact in printed


def whole_tile(batch):
    mask = batch.visible_mask.clone()
    for one, (x, y, width, height) in zip(mask, batch.tile_box.tolist(), strict=True):
        one[y : y + height, x : x + width] = True
    return mask


def touched(batch):
    """One pixel of each target is another."""
    canvas = batch.canvas.clone()
    for one, (x, y, *_) in zip(canvas, batch.tile_box.tolist(), strict=True):
        one[:, y + 5, x + 7] = 255 - one[:, y + 5, x + 7]
    return canvas


@pytest.mark.parametrize(
    ("field", "lie"),
    [
        ("canvas", touched),
        ("tile_box", lambda batch: batch.tile_box.roll(1, 0)),
        ("visible_mask", whole_tile),
        ("visible_mask", lambda batch: batch.visible_mask | ~whole_tile(batch)),
        ("fragment_id", lambda batch: batch.fragment_id.roll(1, 0)),
        ("fragment_class", lambda batch: (batch.fragment_class + 1) % 10),
        ("fragment_layer", lambda batch: batch.fragment_layer[::-1]),
    ],
    ids=[
        "a pixel of the target",
        "another place",
        "more of the tile",
        "more than the tile",
        "other ids",
        "other classes",
        "other layers",
    ],
)
def test_the_gallery_would_notice_a_false_record(field, lie, run, monkeypatch):
    render = Clutter.render

    def false(self, *arguments, **options):
        batch = render(self, *arguments, **options)
        if field == "canvas" and self.types != ("mosaic",):
            return batch  # so that only the check of whole targets can notice
        return replace(batch, **{field: lie(batch)})

    monkeypatch.setattr(Clutter, "render", false)
    with pytest.raises(AssertionError):
        run("clutter_gallery", severity=3)


def test_the_galleries_tables_are_read_from_the_package(run, monkeypatch):
    monkeypatch.setattr(noise, "LEVELS", (110, 120, 130, 140, 150, 160))
    tables = run("clutter_gallery").tables
    background, occlusion = (
        next(frame for caption, frame in tables.items() if caption.startswith(f"{axis}: the severity table"))
        for axis in ("Background", "Occlusion")
    )
    assert background.loc["noise: SD, share of the pixel range"].tolist() == "0.11 0.12 0.13 0.14 0.15 0.16".split()
    assert {row.split(":")[0] for row in background.index} == set(BACKGROUND_TYPES)
    assert {row.split(":")[0] for row in occlusion.index} == set(OCCLUSION_TYPES)
    words = next(frame for caption, frame in tables.items() if caption.startswith("Philox"))
    assert words.loc["all zero", "words"] == "6627e8d5 e169c58d bc57ac4c 9b00dbd8"  # of the generator's authors
    hashes = next(frame for caption, frame in tables.items() if caption.startswith("Version"))
    column = hashes["SHA-256 of the canvas"]
    assert column.nunique() == len(column)


def test_the_headroom_is_read_from_the_records(run, add_records):
    hint = "No record of the baseline and the oracle gate"
    assert any(text.startswith(hint) for text in run("clutter_gallery", until="headroom_table").said)
    add_records({"baseline": 0.9}, step=0.02)
    add_records({"oracle gate": 0.9}, step=0.005)
    chapter = run("clutter_gallery", until="headroom_table")
    assert not any(text.startswith(hint) for text in chapter.said)
    spoken = "\n".join(chapter.said)
    assert "To seen backgrounds (surround+noise) the baseline loses 6.0 points, 1 seed; oracle gate wins" in spoken
    assert "To unseen backgrounds (mosaic and crowd) the baseline loses 6.0 points, 1 seed" in spoken
    assert spoken.count("oracle gate wins back 75 % of that") == 2
    table = next(frame for caption, frame in chapter.tables.items() if "distraction cost in points" in caption)
    assert table["cost"].tolist() == [6.0, 1.5] * 3


class Network:
    """Stands in for a session of onnxruntime: names the label of a canvas where `looks_right` says so."""

    def __init__(self, targets, looks_right):
        self.targets, self.looks_right = targets, looks_right

    def get_modelmeta(self):
        return SimpleNamespace(custom_metadata_map={"classes": json.dumps(self.targets.classes)})

    def run(self, outputs, fed):
        assert outputs == ["logits"]
        clean = Clutter(("noise",), 0).render(self.targets, range(len(self.targets)))
        tile = whole_tile(clean)[:, None].expand_as(clean.canvas)
        same = torch.from_numpy(fed["canvas"]) == clean.canvas
        right = self.looks_right(same, tile)
        named = (self.targets.labels + ~right) % 10
        return [torch.nn.functional.one_hot(named, 10).float().numpy()]


@pytest.fixture
def use_network(small_sets, monkeypatch, tmp_path):
    """Puts a network in the place of the published one."""

    def use(looks_right):
        (tmp_path / "data" / "networks").mkdir(parents=True)
        (tmp_path / "data" / "networks" / "baseline.onnx").touch()
        fake = SimpleNamespace(
            SessionOptions=SimpleNamespace,
            InferenceSession=lambda *_, **__: Network(small_sets("cifar10"), looks_right),
        )
        monkeypatch.setitem(sys.modules, "onnxruntime", fake)

    return use


def test_a_loss_by_what_is_hidden_is_told_from_a_loss_by_what_is_around(run, use_network):
    # Right where every pixel of the target can be seen.
    use_network(lambda same, tile: (same | ~tile).all((1, 2, 3)))
    chapter = run("clutter_pitfalls", until="Share of the target that is hidden", network_images=100)
    costs = chapter.costs.pivot(index="kind", columns="severity", values="rate")
    assert list(costs.columns) == [1, 2, 3, 4, 5]
    assert (costs.loc["around only"] == 0).all()
    assert (costs.loc["over only"] == costs.loc["both"]).all()
    assert costs.loc["both", 5] > 95
    spoken = "\n".join(chapter.said)
    assert "around* a whole target cost **0.0 [0.0, 0.0]**. The part over the target alone makes up 100 %" in spoken
    assert "was not run here" not in spoken


def test_a_loss_by_what_is_around_is_told_from_a_loss_by_what_is_hidden(run, use_network):
    # Right where nothing but the target has changed.
    use_network(lambda same, tile: (same | tile).all((1, 2, 3)))
    chapter = run("clutter_pitfalls", until="Share of the target that is hidden", network_images=100)
    costs = chapter.costs.pivot(index="kind", columns="severity", values="rate")
    assert (costs.loc["over only"] == 0).all()
    assert (costs.loc[["around only", "both"]] == 100).all(axis=None)
    assert "The part over the target alone makes up 0 %" in "\n".join(chapter.said)


def test_without_the_network_the_chapter_says_what_is_missing(run, monkeypatch, tmp_path):
    def missing():
        chapter = run("clutter_pitfalls", until="Share of the target that is hidden")
        assert chapter.session is None
        assert chapter.costs.empty
        hidden = next(frame for caption, frame in chapter.tables.items() if caption.startswith("Share of the target"))
        assert hidden.loc["fragments+noise", 5].endswith("(38)")
        assert (hidden.loc[["surround+noise", "mosaic", "crowd"]] == "0 (0)").all(axis=None)
        return next(text for text in chapter.said if text.startswith("**This experiment was not run here.**"))

    assert "needs the published network `data/networks/baseline.onnx`" in missing()
    (tmp_path / "data" / "networks").mkdir(parents=True)
    shutil.copy(ROOT / "data" / "networks" / "baseline.onnx", tmp_path / "data" / "networks")
    assert "needs CIFAR-10, but these images are random pixels" in missing()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "needs the package onnxruntime" in missing()


def test_the_gallery_says_what_training_sees():
    text = (FOLDER / "clutter_gallery.ipynb").read_text()
    assert ClutterSpec().types == ("noise", "surround")
    assert ClutterSpec().severities == (0, 1, 2)
    assert "train on `surround` and `noise` at severity 0 to 2. They are tested on the same types at 0 to" in text
    assert f"on {' and '.join(f'`{name}`' for name in UNSEEN_TYPES)}, which are *kinds* never seen" in text


def test_the_guess_is_as_right_as_it_is_likely(definitions):
    # Of three classes: the label alone is missing; nothing is missing; the label is one of two that are missing.
    fragment_class = torch.tensor([[1, 1, 2], [0, 1, 2], [2, 2, 2]])
    batch = SimpleNamespace(fragment_class=fragment_class, label=torch.tensor([0, 0, 1]))
    likely = definitions.chance_of_being_right(batch, 3)
    assert likely.tolist() == pytest.approx([1, 1 / 3, 1 / 2])


def test_only_distractors_that_avoid_the_label_name_it(run):
    chapter = run("clutter_pitfalls", until="gaps = last.loc")
    guessed = chapter.guessed.pivot(index="severity", columns="kind", values="rate")
    assert guessed.loc[0].tolist() == pytest.approx([10] * 4)
    for types in ("surround", "crowd"):
        avoid, anything = guessed[f"{types} avoids the label"], guessed[f"{types}, any class"]
        assert avoid.is_monotonic_increasing
        assert avoid[5] > 40
        assert anything[5] < 20
    assert "above chance" in next(text for text in chapter.said if text.startswith("*Surround avoids the label*"))
    missing = [text for text in chapter.said if text.startswith("No record of")]
    assert len(missing) == 2
    assert all("attn-tutorial study run audit" in text for text in missing)


def test_only_fragments_trace_a_tile_that_was_removed(run):
    chapter = run("clutter_pitfalls")
    places = range(48 - 24 + 1)
    near = sum(abs(a - b) <= 1 for a in places for b in places) / len(places) ** 2
    assert chapter.guess == pytest.approx(100 * near**2)
    found = chapter.detected.query("severity == 5").set_index(["tile", "kind"])
    removed = found.loc["removed"]
    assert removed.loc["fragments+noise", "low"] > chapter.guess
    for kind in ("surround+noise", "crowd", "mosaic"):
        assert removed.loc[kind, "rate"] < removed.loc["fragments+noise", "low"], kind
    assert any(text.startswith("The detector finds the fragments") for text in chapter.said)


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
    add_records({"tile_removed": 0.2}, study="audit-occlusion")
    add_records({"severity_0_only": 0.5, "severity_0_only_blank": 0.3})
    chapter = run("clutter_pitfalls", until="gaps = last.loc")
    assert not [text for text in chapter.said if text.startswith("No record of")]
    leaks = {caption: frame for caption, frame in chapter.tables.items() if "no tile to see" in caption}
    all_types = "surround+noise+mosaic+crowd"
    together = next(frame for caption, frame in leaks.items() if caption.startswith(f"Accuracy in % on {all_types} "))
    assert together["mean"].to_dict() == {"tile_removed": 10.0, "tile_removed_other_classes": 25.0}
    before = next(frame for caption, frame in leaks.items() if "Study audit-occlusion" in caption)
    assert before["mean"].to_dict() == {"tile_removed": 20.0}
    spoken = "\n".join(chapter.said)
    right = "of the classes right at severity 5"
    assert f"On {all_types}, `tile_removed` names 10.0 % [8.8, 11.4] {right}: not told apart from" in spoken
    assert f"On {all_types}, `tile_removed_other_classes` names 25.0 % [23.2, 26.9] {right}: above" in spoken
    assert f"On fragments+noise, `tile_removed` names 20.0 % [18.3, 21.8] {right}: above" in spoken
    assert "by +20.0 points (BatchNorm as trained) and +20.0 points (BatchNorm recalibrated): 1 seed." in spoken
    for types in ("mosaic", "crowd"):
        assert f"On {types} at severity 5" in spoken
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
        ({"size": 20}, "`size` must be one of 16, 24, 32"),
    ],
    ids=["unknown", "text", "none", "negative", "another size"],
)
def test_a_wrong_parameter_stops_the_chapter(chapter, given, message, run):
    with pytest.raises(ParameterError, match=message):
        run(chapter, **given)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_shown_code_is_short_and_fits_the_window(chapter):
    shown = [cell.source.splitlines() for cell in code_cells(chapter) if not cell.metadata.get("tags")]
    assert max(len(lines) for lines in shown) <= 14
    assert [line for lines in shown for line in lines if len(line) > 72] == []

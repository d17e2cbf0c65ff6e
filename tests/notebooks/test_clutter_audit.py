"""The audit's page shows the reports that are there: none, one of a smoke run, one with a broken promise."""

import re
import shutil
from pathlib import Path

import IPython.display
import matplotlib.pyplot as plt
import nbformat
import pytest
import yaml

from attn_tutorial.audit import promises
from attn_tutorial.audit.report import AuditReport
from attn_tutorial.clutter.names import CLUTTER_TYPES, SEVERITIES, versions_drawn
from attn_tutorial.datasets import load_images
from attn_tutorial.engine.images import prepare_images
from attn_tutorial.figures import audit as figures
from attn_tutorial.figures import style
from attn_tutorial.pages.parameters import ParameterError

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "clutter_audit.ipynb"
TUNING = NOTEBOOK.parents[1] / "data" / "tuning"
FALLING = [0.713, 0.68, 0.66, 0.62, 0.57, 0.524]


def make_report(images, preset="quick", leak=0.1, examples=()):
    guesses = [
        {"variant": variant, "severity": s, "accuracy": accuracy, "images": 2000, "low": accuracy - 0.02,
         "high": accuracy + 0.02}
        for variant, accuracy in (("tile_removed", leak), ("tile_removed_other_classes", 0.3))
        for s in SEVERITIES
    ]  # fmt: skip
    levels = [
        {"types": types, "severity": s, "accuracy": FALLING[s], "images": 2000,
         "recalibrated": FALLING[s] - 0.01 if types == "fragments+noise" else None,
         **dict.fromkeys(("change", "low", "high"), -0.0123 if s else None)}
        for types in ("fragments+noise", "fragments", "noise", "mosaic", "strokes", "veil")
        for s in SEVERITIES
    ]  # fmt: skip
    shortcuts = [
        {"variant": variant, "types": types, "severity": s, "accuracy": FALLING[s], "recalibrated": None}
        for variant in ("severity_0_only", "severity_0_only_blank")
        for types in ("fragments+noise", "noise")
        for s in SEVERITIES
    ]
    kept = {"measured": "as promised", "passed": True}
    passes = leak == 0.1
    return AuditReport(
        preset=preset,
        data=images,
        layer_versions=versions_drawn(CLUTTER_TYPES, SEVERITIES),
        runs={},
        training_samples=12345,
        no_leak=promises.NoLeak(measured="it guesses", passed=passes, chance=0.1, rows=guesses),
        same_pixels=promises.SamePixels(
            **kept,
            canvases=10_000,
            rows=[
                {"way": "batches of 7", "pixels": 0, "mask_pixels": 0},
                {"way": "on a GPU", "pixels": None, "mask_pixels": None},
            ],
        ),
        decline=promises.Decline(**kept, falls={3: 0.093, 5: 0.189}, evenness=2.0, rows=levels),
        weak_background=promises.WeakBackground(**kept, canvases=10, mean_sd=0.03, least_sd=0.02, rows=shortcuts),
        no_test_image=promises.NoTestImage(
            **kept,
            duplicates=[{"between": "train, test file", "kind": "exact", "pairs": 17, "images": 16}],
            fragments=[{"split": "train", "canvases": 45000, "images": 44700, "duplicates": 0, "not_barred": 0}],
            examples=list(examples),
        ),
        versions={"torch": "9.9"},
        git_revision=None,
        device="cpu",
        processor="a processor",
        threads=2,
        finished_at="2026-01-01",
    )


ABOUT = {"name": "cifar10", "source": "CIFAR-10 from somewhere", "fingerprint": "e" * 64, "archive_sha256": None}


@pytest.fixture
def page(tmp_path, monkeypatch, tiny_cifar):
    """Runs the notebook on reports in `data/results`, and returns what it shows; figures are drawn where asked."""
    monkeypatch.setenv("ATTN_TUTORIAL_CIFAR10", str(tiny_cifar))
    monkeypatch.setattr("attn_tutorial.pages.project_root", lambda: tmp_path)

    draw = style._image

    def page(*reports, drawn=False, **given):
        shown = []
        monkeypatch.setattr(style, "_image", draw if drawn else lambda _, theme, alt: f'<img alt="{alt}">')

        def display(what, raw=False):
            shown.append(what["text/html"] if raw else what.data)

        monkeypatch.setattr(IPython.display, "display", display)
        monkeypatch.setattr(style, "display", display)
        folder = tmp_path / "data" / "results"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(TUNING, tmp_path / "data" / "tuning", dirs_exist_ok=True)
        for report in reports:
            (folder / report.file_name()).write_text(yaml.safe_dump(report.model_dump(mode="json")))
        namespace = {"__name__": "__main__"}
        for cell in nbformat.read(NOTEBOOK, 4).cells:
            if cell.cell_type == "code":
                exec(compile(cell.source, NOTEBOOK.name, "exec"), namespace)
                if "parameters" in cell.metadata.get("tags", []):
                    namespace.update(given)
        return "\n".join(shown)

    return page


def test_without_a_report_the_page_says_how_to_make_one(page, tmp_path):
    text = page()
    assert text.count("No report is here yet") == 2
    assert "24 × 14" in text
    assert "<img" not in text
    assert not (tmp_path / "data" / "raw").exists(), "no images are prepared for nothing"


def test_a_report_is_shown_with_its_own_numbers(page):
    text = page(make_report(ABOUT), drawn=True)
    assert text.count("No report is here yet") == 1
    assert text.count("<img") == 6  # three figures, light and dark
    about = "CIFAR-10 from somewhere; preset quick; 12,345 training samples a network"
    assert all(about in caption for caption in re.findall("<figcaption>(Promise.*?)</figcaption>", text))
    assert "tile removed from 10.0 to 10.0" in text
    assert "fragments+noise from 71.3 to 52.4" in text
    assert "weak background from 71.3 to 52.4" in text
    assert "-1.2 [-1.2, -1.2]" in text
    assert "not run" in text
    assert "not a result" not in text
    assert "Not kept here" not in text
    assert "<td>17</td>" in text


def test_a_smoke_run_is_no_result(page):
    assert "A test of the machinery, not a result." in page(make_report(ABOUT, preset="smoke"))


def test_a_broken_promise_is_said_first(page):
    text = page(make_report(ABOUT, leak=0.25))
    assert "**Not kept here: promise 1 (No leak).**" in text
    assert text.index("Not kept here") < text.index("<table")
    assert "FAILED" in text


def test_the_readers_own_reports_stand_apart(page, tmp_path):
    own = tmp_path / "mine"
    own.mkdir()
    report = make_report(ABOUT, preset="smoke")
    (own / report.file_name()).write_text(yaml.safe_dump(report.model_dump(mode="json")))
    text = page(make_report(ABOUT), results=str(own))
    assert text.index("preset quick") < text.index("preset smoke")
    assert "No report is here yet" not in text


def test_near_duplicates_are_shown_only_from_the_reports_own_images(page, tmp_path):
    twins = [{"kind": "exact", "train": 3, "test": 149}, {"kind": "mirrored", "train": 65, "test": 2}]
    text = page(make_report(ABOUT, examples=twins))
    assert "not at hand" in text
    assert text.count("<img") == 6

    prepared, _ = prepare_images(None, tmp_path / "data")
    about = {name: getattr(prepared, name) for name in ABOUT}
    report = make_report(about, preset="smoke", examples=twins)
    text = page(report)
    assert text.count("<img") == 14
    assert "a training image above and a test image below: 1 exact, 1 mirrored." in text
    train, test = (load_images("cifar10", split, tmp_path / "data") for split in ("train", "test"))
    figure = figures.twins_figure(report, train, test)
    bank = test.fragments
    shown = [axes.images[0].get_array() for axes in figure.axes]
    for picture, split, place in zip(shown, (train, train, bank, test), (3, 65, 149, 2), strict=True):
        assert (picture == split.images[split.index == place][0].numpy()).all()
    plt.close(figure)


def test_the_curves_show_the_numbers():
    report = make_report(ABOUT)
    figure = figures.decline_figure(report)
    lines = [line.get_ydata().tolist() for axes in figure.axes for line in axes.lines]
    falling = [100 * share for share in FALLING]
    assert lines[0] == pytest.approx(falling)
    assert lines[1] == pytest.approx([100 * (share - 0.01) for share in FALLING])
    assert len(lines) == 7
    plt.close(figure)


@pytest.mark.parametrize("given", [{"result": "x"}, {"results": 3}])
def test_a_wrong_parameter_stops_the_page(page, given):
    with pytest.raises(ParameterError):
        page(**given)

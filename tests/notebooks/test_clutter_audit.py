"""The audit's page shows the reports that are there: none, one of a smoke run, one with a broken promise."""

import re
import shutil
from pathlib import Path

import IPython.display
import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pytest
import yaml

from attn_tutorial.audit import promises
from attn_tutorial.audit.report import AuditReport
from attn_tutorial.clutter.layers import crowd, surround
from attn_tutorial.clutter.names import CLUTTER_TYPES, SEVERITIES, versions_drawn
from attn_tutorial.datasets import load_images
from attn_tutorial.engine.images import prepare_images
from attn_tutorial.figures import audit as figures
from attn_tutorial.figures import audit_tables, severity_choice, style
from attn_tutorial.pages import audit as sections
from attn_tutorial.pages.parameters import ParameterError

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "clutter_audit.ipynb"
FALLING = [0.713, 0.68, 0.66, 0.62, 0.57, 0.524]
KEPT = {"measured": "as promised", "passed": True, "canvases_passed": True}


def make_report(images, preset="quick", leak=0.1, examples=(), samples=12345):
    guesses = [
        {"variant": variant, "types": types, "severity": s, "accuracy": accuracy, "images": 2000,
         "low": accuracy - 0.02, "high": accuracy + 0.02}
        for variant, accuracy in (("tile_removed", leak), ("tile_removed_other_classes", 0.3))
        for types in promises.LEAK_TYPES
        for s in SEVERITIES
    ]  # fmt: skip
    detections = [
        {"detector": detector, "types": types, "severity": s, "tile": tile, "canvases": 1000, "hits": hits,
         "chance": 0.0125, "low": hits / 1000 - 0.005, "high": hits / 1000 + 0.005, "judged": hits < 20}
        for types, tile, hits in (
            *((types, "removed", 12) for types in promises.SEARCHED_TYPES), ("fragments", "removed", 150),
            ("surround+noise", "shown", 950),
        )
        for detector in ("border", "hole")
        for s in (1, 3, 5)
    ]  # fmt: skip
    levels = [
        {"types": types, "severity": s, "accuracy": FALLING[s], "images": 2000,
         "recalibrated": FALLING[s] - 0.01 if types == "surround+noise" else None,
         **dict.fromkeys(("change", "low", "high"), -0.0123 if s else None)}
        for types in ("surround+noise", "mosaic", "crowd", "fragments", "strokes", "veil")
        for s in SEVERITIES
    ]  # fmt: skip
    costs = [
        {"variant": variant, "accuracy": 0.713, "seen": seen, "unseen": 2 * seen, "seen_won_back": back,
         "unseen_won_back": back}
        for variant, seen, back in (("baseline", 5.12, None), ("oracle gate", 1.0, 81.4), ("wrong oracle", 9.0, -76.0))
    ]  # fmt: skip
    curves = [
        {"variant": row["variant"], "types": types, "severity": s, "accuracy": FALLING[s]}
        for row in costs
        for types in ("surround+noise", "mosaic", "crowd")
        for s in SEVERITIES
    ]
    shortcuts = [
        {"variant": variant, "types": types, "severity": s, "accuracy": FALLING[s], "recalibrated": None}
        for variant in ("severity_0_only", "severity_0_only_blank")
        for types in ("surround+noise", "noise", "mosaic", "crowd")
        for s in SEVERITIES
    ]
    return AuditReport(
        preset=preset,
        data=images,
        size=24,
        canvas=48,
        layer_versions=versions_drawn(CLUTTER_TYPES, SEVERITIES),
        runs={row["variant"]: "run" for row in costs},
        training_samples=samples,
        no_leak=promises.NoLeak(
            **{**KEPT, "measured": "it guesses", "passed": leak == 0.1},
            chance=0.1,
            guesses=guesses,
            detections=detections,
        ),
        same_pixels=promises.SamePixels(
            **KEPT,
            rows=[
                {"way": "batches of 7", "canvases": 10_000, "pixels": 0, "mask_pixels": 0},
                {"way": "in JavaScript", "canvases": 2000, "pixels": None, "mask_pixels": None},
            ],
        ),
        even_fall=promises.EvenFall(**KEPT, seen_cost=5.12, unseen_cost=10.24, rows=levels),
        whole_target=promises.WholeTarget(
            **KEPT,
            rows=[{"types": "surround", "canvases": 2000, "pixels": 0, "mask_pixels": 0}],
            costs=costs,
            curves=curves,
            oracle_input=0.731,
        ),
        no_test_image=promises.NoTestImage(
            **KEPT,
            duplicates=[{"between": "train, test file", "kind": "exact", "pairs": 17, "images": 16}],
            sources=[
                {"split": "train", "layer": "surround", "canvases": 45000, "images": 44700, "duplicates": 0,
                 "not_barred": 0}
            ],
            examples=list(examples),
        ),
        weak_background=promises.WeakBackground(**KEPT, canvases=10, mean_sd=0.03, least_sd=0.02, rows=shortcuts),
        versions={"torch": "9.9"},
        git_revision=None,
        device="cpu",
        processor="a processor",
        threads=2,
        finished_at="2026-01-01",
    )  # fmt: skip


def make_candidates(folder):
    """Today's tables, other ones, and the accuracies of two seeds of the baseline and of the oracle gate."""
    other = ((0, 0), (1, 8), (2, 9), (3, 10), (4, 11), (5, 12))
    rows = []
    for trained, of_surround in (("other", other), ("today", surround.LEVELS)):
        for network, seed, top in (("baseline", 0, 70), ("baseline", 1, 71), ("oracle gate", 0, 75)):
            tested = [("surround+noise", "", of_surround), ("surround", "", of_surround), ("mosaic", "", of_surround)]
            tested += [("crowd", "today", crowd.LEVELS), ("crowd", "other", other)]
            for place, (types, of_crowd, levels) in enumerate(tested):
                for severity in SEVERITIES:
                    rows.append(
                        {"network": network, "seed": seed, "types": types, "surround": trained, "crowd": of_crowd,
                         "levels": str(levels), "severity": severity,
                         "accuracy": round(top - (1 + 0.1 * place) * severity, 2), "images": 5000, "samples": 100000,
                         "source": "CIFAR-10 from somewhere", "fingerprint": "e" * 64}
                    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(folder / "background.csv", index=False)


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

        for place in (IPython.display, style, sections):
            monkeypatch.setattr(place, "display", display)
        folder = tmp_path / "data" / "results"
        folder.mkdir(parents=True, exist_ok=True)
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
    assert text.startswith("No report is here yet")
    assert "No report of yours is here yet" in text
    assert "No candidate was recorded yet" in text
    assert "24 × 14" in text  # the severity table
    assert "<img" not in text
    assert not (tmp_path / "data" / "raw").exists(), "no images are prepared for nothing"


def test_a_report_is_shown_with_its_own_numbers(page, tmp_path):
    make_candidates(tmp_path / "data" / "tuning")
    text = page(make_report(ABOUT), drawn=True)
    assert text.startswith("The benchmark keeps its six promises. ")
    short = text.splitlines()[0]
    assert "cost the baseline 5.1 points of accuracy, and new ones 10.2" in short
    assert "wins back 81 % and 81 % of that" in short
    assert "a network names 10.0 % of the labels right, and two detectors find 1.2 % of the places" in short
    assert len(re.findall(r"\.(?: |$)", short)) == 3, "at most three sentences"
    assert text.count("<img") == 12  # six figures, light and dark
    assert text.index("<img") < text.index("<table")
    assert text.count("CIFAR-10 from somewhere, targets of 24 px on 48 px; preset quick, 12,345 training samples") == 1
    for number in range(1, 7):
        promised = audit_tables.verdict(make_report(ABOUT), number)
        assert promised in text
        assert promised.startswith("**Promised.** ")
    assert "target removed from 10.0 to 10.0" in text
    assert "surround+noise from 71.3 to 52.4" in text
    assert "weak background from 71.3 to 52.4" in text
    assert "border detector finds 15.0 % and the hole detector finds 15.0 %" in text
    assert "border detector finds 95.0 %" in text
    assert "1.2 [1.2, 1.2]" in text  # a step
    assert "<td>not run</td>" in text
    assert "<td>17</td>" in text
    assert "not a result" not in text
    assert "Not kept" not in text


def test_a_smoke_run_is_no_result(page):
    text = page(make_report(ABOUT, preset="smoke"))
    assert text.startswith("This report is a test of the machinery, not a result")
    captions = re.findall("<figcaption>(.*?)</figcaption>", text)
    shown = [caption for caption in captions if not caption.startswith("What each severity means")]
    assert len(shown) > 10
    assert all("A test of the machinery, not a result." in caption for caption in shown)


def test_a_broken_promise_is_said_first(page):
    text = page(make_report(ABOUT, leak=0.25))
    assert text.startswith("**Not kept: promise 1 (No leak)**; the benchmark keeps five of its six promises.")
    assert "chance explains" not in text
    assert "**FAILED.** it guesses" in text


def test_the_page_is_about_the_longest_training_and_the_readers_own_reports_stand_apart(page, tmp_path):
    own = tmp_path / "mine"
    own.mkdir()
    report = make_report(ABOUT, preset="smoke")
    (own / report.file_name()).write_text(yaml.safe_dump(report.model_dump(mode="json")))
    text = page(
        make_report(ABOUT), make_report(ABOUT, preset="full-cpu", samples=99999, leak=0.2),
        make_report(ABOUT, preset="smoke", samples=10**9), results=str(own),
    )  # fmt: skip
    assert text.startswith("**Not kept: promise 1")
    places = [text.index(f"preset {preset}") for preset in ("full-cpu", "quick", "smoke")]
    assert places == sorted(places)
    assert text.count("preset smoke") == 4  # two reports, each as a line and in a caption
    assert "No report" not in text


def test_near_duplicates_are_shown_only_from_the_reports_own_images(page, tmp_path):
    twins = [{"kind": "exact", "train": 3, "test": 149}, {"kind": "mirrored", "train": 65, "test": 2}]
    text = page(make_report(ABOUT, examples=twins))
    assert "not at hand" in text
    figures_without = text.count("<img")

    prepared, _ = prepare_images(None, tmp_path / "data")
    about = {name: getattr(prepared, name) for name in ABOUT}
    shutil.rmtree(tmp_path / "data" / "results")
    report = make_report(about, examples=twins)
    text = page(report)
    assert text.count("<img") == figures_without + 2
    assert "a training image above and a test image below: 1 exact, 1 mirrored." in text
    train, test = (load_images("cifar10", split, tmp_path / "data") for split in ("train", "test"))
    figure = figures.twins_figure(report, train, test)
    bank = test.fragments
    shown = [axes.images[0].get_array() for axes in figure.axes]
    for picture, split, place in zip(shown, (train, train, bank, test), (3, 65, 149, 2), strict=True):
        assert (picture == split.images[split.index == place][0].numpy()).all()
    plt.close(figure)


def test_the_curves_show_the_numbers():
    figure = figures.fall_figure(make_report(ABOUT))
    lines = [line.get_ydata().tolist() for axes in figure.axes for line in axes.lines]
    assert lines[0] == pytest.approx([100 * share for share in FALLING])
    assert lines[1] == pytest.approx([100 * (share - 0.01) for share in FALLING])
    assert len(lines) == 7
    plt.close(figure)


def test_the_detectors_show_the_numbers():
    report = make_report(ABOUT)
    figure = figures.detector_figure(report)
    border, hole = figure.axes
    assert (border.get_title(), hole.get_title()) == ("border detector", "hole detector")
    for axes in (border, hole):
        rates = [rate for line in axes.lines if line.get_marker() in "osD" for rate in line.get_xdata()]
        assert sorted(rates) == pytest.approx([1.2] * 12 + [15] * 3 + [95] * 3)
        ticks = [chance for line in axes.lines if line.get_marker() == "|" for chance in line.get_xdata()]
        assert ticks == pytest.approx([1.25] * 18)
        [first, *_] = [bar.get_segments() for bar in axes.collections]
        assert [end for end, _ in first[0]] == pytest.approx([0.7, 1.7])  # along the axis of the rates
    plt.close(figure)
    table = audit_tables.detector_table(report)
    assert len(table) == 12
    assert table.iloc[0].tolist() == ["border", "surround", "yes", *["1.2 [0.7, 1.7], 1.2"] * 3]


def test_candidates_are_shown_with_their_costs_and_the_chosen_marked(tmp_path):
    assert severity_choice.read_candidates(tmp_path / "background.csv") is None
    make_candidates(tmp_path)
    candidates = severity_choice.read_candidates(tmp_path / "background.csv")
    chosen = candidates[candidates["chosen"]]["candidate"].unique().tolist()
    assert chosen == ["surround: today", "crowd: today, trained on surround: today"]

    table = severity_choice.candidate_table(candidates)
    assert len(table) == 3 * (2 + 2 + 4)  # networks × candidates: surround, mosaic, crowd
    assert [*table.columns] == [
        "candidate", "trained on surround", "network", "seed", "severity 0", *(f"to {s}" for s in range(1, 6)), "cost",
        "unseen cost",
    ]  # fmt: skip
    row = table[table["candidate"] == "surround: today (chosen)"].iloc[1]
    assert row.tolist() == ["surround: today (chosen)", "today", "baseline", 1, "71.0", *["1.0"] * 5, "3.0", "–"]
    [row] = [each for _, each in table.iterrows() if each["candidate"] == "crowd: today (chosen)" and each["seed"]]
    assert row["trained on surround"] == "today"
    assert row[["cost", "unseen cost"]].tolist() == ["3.9", "3.8"]  # mosaic costs 3.6

    levels = severity_choice.level_table(candidates)
    assert levels[["layer", "candidate", "chosen"]].to_numpy().tolist() == [
        ["surround", "today", "yes"], ["surround", "other", "no"], ["crowd", "today", "yes"], ["crowd", "other", "no"],
    ]  # fmt: skip
    assert levels["5"].tolist()[1] == "5 × 12"

    figure = severity_choice.candidate_figure(candidates)
    panels = {axes.get_title(): axes for axes in figure.axes if axes.get_title()}
    assert len(panels) == 8
    assert [title for title, axes in panels.items() if axes.title.get_fontweight() == "bold"] == [
        "surround: today (chosen)", "crowd: today (chosen)\ntrained on surround: today",
    ]  # fmt: skip
    lines = [line.get_ydata().tolist() for line in panels["surround: today (chosen)"].lines]
    assert lines == [[top - s for s in SEVERITIES] for top in (70, 71, 75)]
    plt.close(figure)
    assert "Chosen: surround: today; crowd: today" in severity_choice.describe_candidates(candidates)


def test_candidates_without_todays_tables_are_shown_unmarked(tmp_path, monkeypatch):
    make_candidates(tmp_path)
    monkeypatch.setattr(surround, "LEVELS", ((0, 0), (9, 9), (9, 9), (9, 9), (9, 9), (9, 9)))
    candidates = severity_choice.read_candidates(tmp_path / "background.csv")
    assert not candidates["chosen"].any()  # the table of `crowd` is judged on networks of today's `surround`
    assert "Chosen: none of these." in severity_choice.describe_candidates(candidates)
    assert severity_choice.level_table(candidates)["chosen"].unique().tolist() == ["no"]


def test_the_repositorys_candidates_are_shown():
    candidates = severity_choice.read_candidates(NOTEBOOK.parents[1] / "data" / "tuning" / "background.csv")
    assert set(candidates["network"]) <= {"baseline", "oracle gate"}  # no block
    assert len(severity_choice.candidate_table(candidates))


@pytest.mark.parametrize("given", [{"result": "x"}, {"results": 3}])
def test_a_wrong_parameter_stops_the_page(page, given):
    with pytest.raises(ParameterError):
        page(**given)

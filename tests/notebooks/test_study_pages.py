"""The pages around the study: the protocol, and what the networks cost. They run, and show what they computed."""

from pathlib import Path

import nbformat
import pytest

from attn_tutorial.notebook import ParameterError
from attn_tutorial.study import Ledger, Record, Study
from attn_tutorial.study.record import Accuracy, Images
from attn_tutorial.study.statistics import minimal_detectable_effect

FOLDER = Path(__file__).parents[2] / "notebooks"
PHOTOS = Images(name="cifar10", source="photos of a test", fingerprint="a" * 64, archive_sha256=None)


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs a page's cells in a project whose ledgers are made up, and returns its texts, and tables by caption."""
    texts, shown = [], {}
    monkeypatch.setattr("IPython.display.display", lambda markdown: texts.append(markdown.data))
    monkeypatch.setattr("attn_tutorial.figures.show_table", lambda frame, caption: shown.update({caption: frame}))
    monkeypatch.setattr("attn_tutorial.figures.show", lambda draw, alt, caption: shown.update({caption: (draw(), alt)}))
    monkeypatch.setattr("attn_tutorial.notebook.project_root", lambda: tmp_path)

    def run(name, **given):
        namespace = {"__name__": "__main__"}
        for cell in nbformat.read(FOLDER / f"{name}.ipynb", as_version=4).cells:
            if cell.cell_type == "code":
                exec(compile(cell.source, name, "exec"), namespace)
            if "parameters" in cell.metadata.get("tags", []):
                namespace.update(given)
        return "\n".join(texts), shown

    return run


@pytest.fixture
def ledger(tmp_path):
    """Four seeds of the headline, whose runs the study `main` has, too; each variant a point above the one before."""
    for run in Study.load("headline").plan("quick", PHOTOS, seeds=4):
        place = ["baseline", "se", "cbam", "non_local"].index(run.variant)
        share = 0.7 + 0.01 * place + 0.001 * (run.spec.seed * (place + 1) % 4)
        rows = [
            Accuracy(types=types, severity=severity, accuracy=share, images=2000)
            for types in run.spec.evaluation.types
            for severity in range(6)
        ]
        Ledger(tmp_path / "data" / "results").add(
            Record(
                run_id=run.run_id, study="headline", preset="quick", variant=run.variant, spec=run.spec, status="done",
                accuracy=rows, data=PHOTOS, parameters=1, samples_per_second=1.0, training_seconds=1.0, versions={},
                git_revision=None, device="cpu", processor="", threads=1, finished_at="",
            )
        )  # fmt: skip


def table(shown, words):
    [found] = [frame for caption, frame in shown.items() if words in caption]
    return found


def test_the_protocol_computes_its_power_and_says_what_the_ledger_holds(run, ledger):
    texts, shown = run("protocol", sd=0.5)
    main = Study.load("main")
    roles = table(shown, main.title)["role"]
    assert roles[roles == "under test"].index.tolist() == main.family
    assert roles[roles == "control"].index.tolist() == main.controls
    assert f"{len(main.family)} variants are under test; {len(main.controls)} are controls." in texts
    effects = table(shown, "if one network spreads by 0.5 points")
    expected = minimal_detectable_effect(0.5 * 2**0.5, [10], len(main.family)).iloc[0]
    assert effects.loc[10].tolist() == pytest.approx([expected["uncorrected"], expected["holm"]], abs=0.006)
    assert effects.loc[3].isna().all()
    [held] = table(shown, "Runs of this study that are done").to_dict("records")
    assert (held["records"], held["variants"], held["seeds"]) == ("published", 4, "4 to 4")
    assert 0 < held["SD of a network"] < 0.3


@pytest.mark.parametrize(
    ("page", "caption", "given"),
    [
        ("protocol", "Runs of this study that are done", {}),
        ("what_it_costs", "The records behind it", {"study": "headline", "batch": 2, "rounds": 1}),
    ],
    ids=["protocol", "costs"],
)
def test_the_readers_folder_and_a_preset_can_be_named(run, ledger, tmp_path, page, caption, given):
    (tmp_path / "data" / "results").rename(tmp_path / "mine")
    _, shown = run(page, results=str(tmp_path / "mine"), preset="quick", **given)
    assert len(table(shown, caption))
    shown.clear()
    run(page, results=str(tmp_path / "mine"), preset="full-cpu", **given)
    assert not [words for words in shown if caption in words]


def test_without_records_the_protocol_says_so(run):
    texts, shown = run("protocol")
    assert "No run of the study main is in the ledger yet." in texts
    assert not [caption for caption in shown if "that are done" in caption]


def test_costs_are_measured_and_set_against_the_gains_in_the_ledger(run, ledger):
    texts, shown = run("what_it_costs", study="headline", batch=2, rounds=1)
    costs = table(shown, "a batch of 2 on one thread")
    assert costs.loc["baseline", ["parameters", "MFLOP", "time ÷ baseline's"]].tolist() == ["307,786", "56.0", "1.00"]
    assert set(costs.index) == set(Study.load("headline").variants)
    assert "Over these networks the rank correlation of time and operations is" in texts
    about = "photos of a test; preset quick; ResNet-8, width 32; seeds: 4"
    _, alt = table(shown, f"Gain against cost. {about}")
    assert "non_local +2.9 points for +13.6 % parameters, +13.7 % operations" in alt
    assert table(shown, f"over seeds. {about}").loc["se", "reading"] == "differs"
    assert table(shown, "The records behind it").shape == (4, 4)
    assert "No run of the study headline in this backbone is here yet." in texts  # of the reader's own


@pytest.mark.parametrize(
    ("page", "given", "message"),
    [
        ("protocol", {"sd": 0.0}, "sd = 0"),
        ("protocol", {"power": 1.0}, "power = 1"),
        ("what_it_costs", {"rounds": 0}, "rounds = 0"),
        ("what_it_costs", {"round": 3}, "'round' is not a parameter.*Did you mean 'rounds'"),
    ],
    ids=["sd", "power", "rounds", "misspelt"],
)
def test_a_wrong_parameter_stops_the_page(run, page, given, message):
    with pytest.raises(ParameterError, match=message):
        run(page, **given)

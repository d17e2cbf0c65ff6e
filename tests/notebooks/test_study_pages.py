"""The pages around the study: the protocol, and what the networks cost. They run, and show what they computed."""

import re
import zlib
from importlib import import_module
from itertools import product
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pytest

from attn_tutorial.analysis.statistics import minimal_detectable_effect
from attn_tutorial.ledger import Ledger, Record
from attn_tutorial.ledger.record import Accuracy, Lesion
from attn_tutorial.pages import ParameterError
from attn_tutorial.spec import Images
from attn_tutorial.study import Preset, Protocol, Study

FOLDER = Path(__file__).parents[2] / "notebooks"
PHOTOS = Images(name="cifar10", source="photos of a test", fingerprint="a" * 64, archive_sha256=None)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def run(monkeypatch, tmp_path, lent_images):
    """Runs a page's cells in a project whose ledgers are made up, and returns its texts, and tables by caption."""
    texts, shown = [], {}
    shows = {
        "display": lambda markdown: texts.append(markdown.data),
        "show_table": lambda frame, caption: shown.update({caption: frame}),
        "show": lambda draw, alt, caption: shown.update({caption: (draw(), alt)}),
    }
    of_pages = ("answer", "costs", "numbers", "pilot", "protocol", "results", "why_not")
    modules = ["IPython.display", "attn_tutorial.figures", *(f"attn_tutorial.pages.{name}" for name in of_pages)]
    for module, (name, instead) in product(map(import_module, modules), shows.items()):
        if hasattr(module, name):
            monkeypatch.setattr(module, name, instead)
    for place in ("pages", "pages.parameters"):
        monkeypatch.setattr(f"attn_tutorial.{place}.project_root", lambda: tmp_path)

    def run(name, **given):
        namespace = {"__name__": "__main__"}
        for cell in nbformat.read(FOLDER / f"{name}.ipynb", as_version=4).cells:
            if cell.cell_type == "code":
                exec(compile(cell.source, name, "exec"), namespace)
            if "parameters" in cell.metadata.get("tags", []):
                namespace.update(given)
        return "\n".join(texts), shown

    return run


def record(run, study, preset, rows, **changes):
    return Record(
        **{
            "run_id": run.run_id, "study": study, "preset": preset, "variant": run.variant, "spec": run.spec,
            "status": "done", "accuracy": rows, "data": PHOTOS, "parameters": 1, "samples": run.spec.training.samples,
            "samples_per_second": 1.0, "training_seconds": 90.0, "versions": {}, "git_revision": None, "device": "cpu",
            "processor": "", "threads": 1, "finished_at": "", **changes,
        }
    )  # fmt: skip


def accuracies(run, share, step=0.0):
    return [
        Accuracy(
            split=run.spec.evaluation.split,
            types=types,
            severity=severity,
            accuracy=share - step * severity,
            images=2000,
        )
        for types in run.spec.evaluation.types
        for severity in range(6)
    ]


@pytest.fixture
def ledger(tmp_path):
    """Four seeds of the headline, whose runs the study `main` has, too; each variant loses less than the one before."""
    for run in Study.load("headline").plan("quick", PHOTOS, seeds=4):
        place = ["baseline", "se", "cbam", "non_local"].index(run.variant)
        step = 0.03 - 0.003 * place + 0.0002 * (run.spec.seed * (place + 1) % 4)
        Ledger(tmp_path / "data" / "results").add(record(run, "headline", "quick", accuracies(run, 0.7, step)))


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
    assert effects.loc[3].isna().tolist() == [False, True], "an interval of three seeds can exclude 0; no test is made"
    [held] = table(shown, "Runs of this study that are done").to_dict("records")
    assert (held["preset"], held["variants"], held["seeds"]) == ("quick", 4, "4 to 4")
    assert held["outcome"] == "unseen cost"
    assert 0 < held["SD of a network"] < 0.3


def test_the_protocol_lists_the_candidates_for_the_pilots_scale(run, tmp_path):
    texts, shown = run("protocol")
    assert "No candidate is in the ledger." in texts
    pilot = table(shown, "The pilot: what is compared")
    assert pilot.loc["cbam, 3×", ["role", "compared with", "seeds"]].tolist() == ["under test", "baseline, 3×", 1]
    assert pilot.loc["se", ["role", "compared with", "seeds"]].tolist() == ["under test", "baseline", 3]
    for place, planned in enumerate(Study.load("budget").plan("full-cpu", PHOTOS, seeds=1)):
        Ledger(tmp_path / "data" / "results").add(
            record(planned, "budget", "full-cpu", accuracies(planned, 0.6 + 0.01 * place))
        )
    shown.clear()
    run("protocol")
    candidates = table(shown, "minutes of training on one core")
    assert set(candidates.index) == set(Study.load("budget").variants), "of all backbones, in one table"
    assert candidates["mean"].is_monotonic_decreasing
    [taken] = candidates[candidates["taken"] == "yes"].to_dict("records")
    assert taken["samples"] == f"{Preset.load('full-cpu').samples['cifar10']:,}"
    assert taken["minutes"] == 1.5


HARM = {"other_same_class": 0.01, "other_class": 0.03}


def pilot_record(run):
    """SE gains 3 points and falls more slowly; CBAM gains nothing; the static gate gains 1 point."""
    gains = {"se": (0.02, -0.004), "cbam": (-0.01, 0.0), "static_gate": (0.01, 0.0), "cbam, identity": (0.001, 0.0)}
    gain, step = gains.get(run.variant, (0.0, 0.0))
    noise = 0.0001 * (zlib.crc32(run.run_id.encode()) % 7)
    lesions = [
        Lesion(
            lesion=lesion, types="fragments+noise", severity=severity, images=100, accuracy=0.5, recalibrated=0.5,
            harm=harm * (severity > 0) + noise, low=0.0, high=0.1,
        )
        for lesion, harm in HARM.items()
        for severity in (0, 5)
    ]  # fmt: skip
    rows = accuracies(run, 0.8 + gain + 0.002 * run.spec.seed + noise, 0.03 + step + noise / 10)
    return record(run, "pilot", "full-cpu", rows, lesions=lesions)


def test_the_pilots_page_says_what_its_protocol_allows(run, tmp_path):
    plan = Study.load("pilot").plan("full-cpu", PHOTOS)
    *most, last = [planned for planned in plan if planned.variant != "cbam, 3×"]
    for planned in most:
        Ledger(tmp_path / "data" / "results").add(pilot_record(planned))
    texts, shown = run("pilot")
    assert f"**{len(plan) - 2} of {len(plan)} runs are done.**" in texts
    assert "The rest: 2 missing. **Until they are done this is an interim reading" in texts
    assert "**Supported**: `se` (+" in texts
    assert re.search(r"To train and test it once took \d+\.\d to \d+\.\d minutes", texts)
    assert "80.2 % of the test images right at severity 0 and 65.2 % at severity 5: 3.00 points less" in texts
    verdicts = table(shown, "Points of accuracy, means and 95 % t intervals over seeds")
    assert verdicts["verdict"].to_dict() == {
        "se": "supported", "cbam": "refuted", "spatial": "refuted", "non_local": "refuted",
        "se, identity": "refuted", "cbam, identity": "refuted",
    }  # fmt: skip
    assert verdicts.loc["se", "harm by gates of its class"].startswith("+1.0")
    said = re.search(
        r"`se` is supported by the protocol's rule, because all four conditions hold. Its gain is ([+.\d]+) ", texts
    )
    assert float(said[1]) == pytest.approx(3.0, abs=0.1)
    refuted = (
        "`cbam` is refuted by the protocol's rule, because the interval excludes a gain of 0.5 points or more. Its"
    )
    assert refuted in texts
    assert "is supported for 1 of 6 blocks, refuted for 5 and undecided for none." in texts
    _, alt = table(shown, "Gain over the plain network in mean accuracy on fragments+noise")
    assert "static_gate (control) +1.0" in alt
    assert float(re.search(r"`cbam, identity` against `cbam`: ([+.\d]+) ", texts)[1]) == pytest.approx(1.1, abs=0.1)
    assert "**Plain SGD**: `cbam, plain SGD` against `baseline, plain SGD` " in texts
    assert "**Three times the samples**: no seed of all four networks is done." in texts
    Ledger(tmp_path / "data" / "results").add(pilot_record(last))
    Ledger(tmp_path / "data" / "results").add(pilot_record(next(run for run in plan if run.variant == "cbam, 3×")))
    # Another study may have added seeds of a variant: they are not the pilot's.
    Ledger(tmp_path / "data" / "results").add(
        pilot_record(next(run for run in Study.load("pilot").plan("full-cpu", PHOTOS, 9) if run.spec.seed == 8))
    )
    shown.clear()
    texts, shown = run("pilot")
    differences = table(shown, "Difference from baseline in mean accuracy on fragments+noise, in points")
    assert differences["seeds"].max() == 3
    assert table(shown, "Difference from baseline, 3× in mean accuracy").index.tolist() == ["cbam, 3×"]
    [caption] = [caption for caption in shown if caption.startswith("Difference from baseline, 3× in mean accuracy")]
    assert "seeds: 1; 1,350,000 training samples" in caption
    assert len(table(shown, "The runs behind these numbers")) == len(plan)
    assert f"**{len(plan)} of {len(plan)} runs are done.**" in texts
    assert "**Three times the samples**: `cbam, 3×` against `baseline, 3×` " in texts
    assert "(1 seed: one seed, no interval)." in texts


def test_the_pilots_page_shows_what_mosaic_costs_and_call_it_exploratory(run, tmp_path):
    for planned in Study.load("pilot").plan("full-cpu", PHOTOS):
        Ledger(tmp_path / "data" / "results").add(pilot_record(planned))
    texts, shown = run("pilot")
    costs = table(shown, "Exploratory: mosaic")
    assert costs.index.tolist() == list(Study.load("pilot").variants), "each variant once, in the study's order"
    # A step of 3 points a severity, so the mean of 1 to 5 lies 9 points lower; SE's step is 2.6.
    assert costs.loc["baseline", "cost"] == pytest.approx(9, abs=0.05)
    assert costs.loc["se", "cost"] == pytest.approx(7.8, abs=0.05)
    assert costs["cost"].tolist() == pytest.approx((costs["severity 0"] - costs["mean 1–5"]).tolist(), abs=0.011)
    assert costs.loc[["se", "cbam, 3×"], "compared with"].tolist() == ["baseline", "baseline, 3×"]
    assert float(costs.loc["se", "reduction"].partition(" ")[0]) == pytest.approx(1.2, abs=0.05)
    assert "The baseline loses 9.0" in texts
    assert re.search(r"Reductions of this cost whose intervals lie above 0 \(not tested\): `se` \+1\.[12]", texts)
    figure, alt = table(shown, "by how much each variant lessens the baseline's cost of mosaic")
    assert "se +1.2" in alt
    assert "static_gate (control)" in alt
    assert figure.get_supxlabel() == "points of the cost of mosaic below baseline"
    by_type = table(shown, "Exploratory: distraction cost in points by clutter type")
    assert [axis for axis, _ in by_type.columns] == ["background"] * 2 + ["mixed"] + ["occlusion"] * 3


def test_a_page_that_shows_the_pilot_says_at_its_top_what_that_measured():
    for name in ("pilot", "protocol", "where_does_it_look", "lesions", "what_it_costs"):
        first = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4).cells[0].source
        assert "mostly measures {term}`occlusion <axis>`" in " ".join(first.split()), name
        assert "{ref}`Is your clutter occlusion? <pitfall-occlusion>`" in first, name
    assert "(pitfall-occlusion)=" in (FOLDER / "clutter_pitfalls.ipynb").read_text()


def test_a_run_that_failed_is_no_part_of_the_budget(run, tmp_path):
    plan = Study.load("pilot").plan("full-cpu", PHOTOS)
    ledger = Ledger(tmp_path / "data" / "results")
    ledger.add(pilot_record(plan[0]).model_copy(update={"training_seconds": 540.0, "evaluation_seconds": 60.0}))
    failed = next(run for run in plan if run.variant == "baseline" and run.spec.seed == 1)
    update = {"status": "failed", "error": "no memory", "training_seconds": None, "accuracy": []}
    ledger.add(pilot_record(failed).model_copy(update=update))
    texts, _ = run("pilot")
    assert "To train and test it once took 10.0 to 10.0 minutes" in texts
    assert "1 failed" in texts


def test_without_records_the_pilots_page_says_so(run):
    texts, shown = run("pilot")
    assert "No run of the study *pilot* at preset `full-cpu` is here yet." in texts
    assert not shown


@pytest.mark.parametrize(
    ("page", "caption", "given"),
    [
        ("protocol", "Runs of this study that are done", {}),
        ("what_it_costs", "The records behind it", {"study": "headline", "gains": "headline", "batch": 2, "rounds": 1}),
    ],
    ids=["protocol", "costs"],
)
def test_the_readers_folder_and_a_preset_can_be_named(run, ledger, tmp_path, page, caption, given):
    (tmp_path / "data" / "results").rename(tmp_path / "mine")
    _, shown = run(page, results=str(tmp_path / "mine"), preset="quick", **given)
    assert len(table(shown, caption))
    shown.clear()
    texts, _ = run(page, results=str(tmp_path / "mine"), preset="full-cpu", **given)
    assert not [words for words in shown if caption in words]
    assert re.search("No run of the study (main|headline) (is in the ledger|in this backbone is here) yet.", texts)


def test_only_the_largest_preset_is_published(run, ledger, tmp_path):
    for planned in Study.load("headline").plan("smoke", PHOTOS):
        Ledger(tmp_path / "data" / "results").add(record(planned, "headline", "smoke", accuracies(planned, 0.3, 0.01)))
    for page, given in [
        ("protocol", {"study": "headline"}),
        ("ablation", {}),
        ("what_it_costs", {"study": "headline", "gains": "headline", "batch": 2, "rounds": 1}),
    ]:
        texts, shown = run(page, **given)
        assert "smoke" not in texts + "".join(shown), page
    assert table(shown, "The records behind it").shape == (4, 4)


def test_the_ablation_shows_the_readers_records_only_where_they_are_asked_for(run, ledger, tmp_path):
    (tmp_path / "data" / "results").rename(tmp_path / "data" / "runs")
    texts, shown = run("ablation")
    assert "No record of the study *headline* is here yet." in texts
    assert "Your records" not in texts
    assert not [words for words in shown if not words.startswith("Study headline")]
    texts, shown = run("ablation", results=str(tmp_path / "data" / "runs"))
    assert "**Your records**" in texts
    assert table(shown, "Difference from baseline in mean accuracy").index.tolist() == ["se", "cbam", "non_local"]
    assert len(table(shown, "The runs behind these numbers")) == 16


@pytest.mark.parametrize(
    ("page", "given"),
    [
        ("ablation", {"study": "backgrounds"}),
        ("ablation", {"study": "learning-rates"}),
        ("ablation", {"study": "margin"}),
        ("protocol", {"study": "backgrounds"}),
        ("protocol", {"study": "margin"}),
        ("pilot", {"study": "backgrounds", "preset": "published"}),
        ("what_it_costs", {"study": "headline", "gains": "backgrounds", "batch": 2, "rounds": 1}),
        ("what_it_costs", {"study": "headline", "gains": "margin", "batch": 2, "rounds": 1}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())),
)
def test_results_of_backgrounds_stay_hidden_until_stage_1_is_complete(run, tmp_path, page, given):
    protocol = Protocol.load("backgrounds")
    ledger = Ledger(tmp_path / "data" / "results")
    for planned in published([protocol.baseline, *protocol.primary], range(10, 16)):
        place = [protocol.baseline, *protocol.primary].index(planned.variant)
        rows = accuracies(planned, 0.7123, 0.01 + 0.001 * place * (planned.spec.seed % 3))
        ledger.add(record(planned, "backgrounds", "published", rows, precision="float32"))
    texts, shown = run(page, **given)
    assert "The study needs 1" in texts
    assert "6 of them are complete. Until then the protocol shows numbers of runs only." in texts
    everything = texts + "".join(
        frame.to_string() if hasattr(frame, "to_string") else frame[1] for frame in shown.values()
    )
    assert "71.2" not in everything
    results = r"Accuracy in %|[Dd]ifference from|supported|refuted|SD of a|cost in points|Gain against|loses"
    assert not re.search(results, everything + "".join(shown))


def test_without_records_the_protocol_says_so(run):
    texts, shown = run("protocol")
    assert "No run of the study main is in the ledger yet." in texts
    assert not [caption for caption in shown if "that are done" in caption]


def test_costs_are_measured_and_set_against_the_gains_in_the_ledger(run, ledger):
    texts, shown = run("what_it_costs", study="headline", gains="headline", batch=2, rounds=1)
    costs = table(shown, "a batch of 2 on one thread")
    assert costs.loc["baseline", ["parameters", "MFLOP", "time ÷ baseline's"]].tolist() == ["307,786", "56.0", "1.00"]
    assert costs.index.tolist() == ["baseline", "se", "cbam", "non_local"], "few operations first"
    _, alt = table(shown, "Operations and time, as multiples of the baseline's")
    assert "non_local 1.14 times the operations" in alt
    assert set(costs.index) == set(Study.load("headline").variants)
    assert "Over these networks the rank correlation of time and operations is" in texts
    about = f"Exploratory: {Study.load('headline').title}; photos of a test; preset quick; ResNet-8, width 32; seeds: 4"
    assert f"**{about}**" in texts
    figure, alt = table(shown, "Gain against cost.")
    # Its step is smaller by 0.93 points on average over the seeds, and the mean severity above 0 is 3.
    assert "(points of unseen cost below baseline)" in alt
    assert "non_local +2.8 points for +13.6 % parameters, +13.7 % operations" in alt
    assert figure.get_supylabel() == "points of unseen cost below baseline"
    assert table(shown, "The unseen distraction cost (mosaic and crowd) in points").loc["se", "reading"] == "differs"
    assert table(shown, "The records behind it").shape == (4, 4)
    assert "(points of unseen cost below the plain network): `se`, `cbam`, `non_local` of 3." in texts
    assert "is here yet" not in texts, "only the published records are shown"


@pytest.mark.parametrize(
    ("page", "given", "message"),
    [
        ("protocol", {"sd": 0.0}, "`sd` must be"),
        ("protocol", {"power": 1.0}, "`power` must be"),
        ("what_it_costs", {"rounds": 0}, "`rounds` must be"),
        ("pilot", {"results": 3}, "`results` must be"),
        ("what_it_costs", {"round": 3}, "'round' is not a parameter.*Did you mean 'rounds'"),
    ],
    ids=["sd", "power", "rounds", "results", "misspelt"],
)
def test_a_wrong_parameter_stops_the_page(run, page, given, message):
    with pytest.raises(ParameterError, match=message):
        run(page, **given)


def published(variants, seeds):
    """Plan runs of the study of backgrounds at its own scale."""
    runs = Study.load("backgrounds").plan_seeds("published", PHOTOS, seeds)
    return [planned for planned in runs if planned.variant in variants]


def test_the_protocol_of_backgrounds_shows_every_rule_and_no_accuracy(run, tmp_path):
    texts, shown = run("backgrounds_protocol")
    protocol = Protocol.load("backgrounds")
    cells = nbformat.read(FOLDER / "backgrounds_protocol.ipynb", as_version=4).cells
    headings = [cell.source.removeprefix("## ").strip() for cell in cells if cell.source.startswith("## ")]
    assert [title for title in headings if title in protocol.sections] == list(protocol.sections)
    for text in protocol.sections.values():
        assert text in texts
    fixed = table(shown, "What is fixed")["decided"]
    assert fixed["margin"] == f"{protocol.margin:g} points of unseen cost"
    assert protocol.sha256.startswith(fixed["hash (SHA-256)"].removesuffix("…"))
    assert "No run of the study backgrounds at the preset published is in the ledger yet." in texts
    ledger = Ledger(tmp_path / "data" / "results")
    for planned in published(["baseline", *protocol.primary], range(10, 16)):
        made = record(planned, "backgrounds", "published", accuracies(planned, 0.7123, 0.01))
        ledger.add(made.model_copy(update={"precision": "float32" if planned.spec.seed == 11 else "bfloat16"}))
    shown.clear()
    texts, shown = run("backgrounds_protocol")
    assert "The study needs 10 seeds, and 6 of them are complete." in texts
    counts = table(shown, "Runs of the study backgrounds")
    assert counts.loc["cbam"].tolist() == [6, 10]
    assert counts.loc["oracle gate"].tolist() == [0, 10]
    assert counts.loc["baseline, 3×"].tolist() == [0, 3]
    assert table(shown, "Precision of training").loc["bfloat16"].tolist() == ["10, 12, 13, 14, 15", 25]
    assert "71.2" not in texts + "".join(frame.to_string() for frame in shown.values())


def test_the_protocol_of_backgrounds_shows_what_it_was_computed_from(run, tmp_path):
    tuning = Ledger(tmp_path / "data" / "tuning" / "runs")
    for planned in Study.load("margin").plan("published", PHOTOS):  # the baselines of the other study, with other seeds
        tuning.add(record(planned, "margin", "published", accuracies(planned, 0.7, 0.01 + 0.001 * planned.spec.seed)))
    for planned in Study.load("learning-rates").plan("published", PHOTOS):
        base = 0.6 + 0.1 * (planned.spec.training.block_lr or 0)
        tuning.add(record(planned, "learning-rates", "published", accuracies(planned, base)))
    _, shown = run("backgrounds_protocol")
    [caption] = [words for words in shown if "Distraction costs of the baseline" in words]
    # The mean severity above 0 is 3, so the costs are 3.3, 3.6 and 3.9 points.
    assert table(shown, "Distraction costs of the baseline")["unseen cost"].tolist() == [3.3, 3.6, 3.9]
    assert "A fifth of the mean unseen cost is 0.72 points" in caption
    rates = table(shown, "Stage 0: mean accuracy")
    assert rates.loc["cbam", "0.8"] == 68.0
    assert rates.columns.tolist() == ["0.01", "0.05", "0.1", "0.2", "0.8", "1.0", "3.2", "10.0"]
    assert rates.notna().sum().sum() == len(Study.load("learning-rates").variants)


def test_until_the_study_is_complete_the_findings_show_the_pilots_answer(run, tmp_path):
    for planned in Study.load("pilot").plan("full-cpu", PHOTOS):
        Ledger(tmp_path / "data" / "results").add(pilot_record(planned))
    texts, shown = run("findings")
    assert "**It is not known yet.** The study has no runs yet. Until then there is the pilot's answer." in texts
    assert "found a gain with an interval above 0 for SE, gate starts at ½ +3." in texts
    assert "On `mosaic`, a background that hides nothing and that training did not show" in texts
    [(caption, (_, alt))] = shown.items()
    assert caption.startswith("The pilot, exploratory")
    assert "SE, gate starts at ½ +1.2" in alt


def test_the_findings_show_the_answer_when_stage_1_is_complete(run, tmp_path):
    ledger, protocol = Ledger(tmp_path / "data" / "results"), Protocol.load("backgrounds")
    variants = [protocol.baseline, *protocol.primary, protocol.pooling, "oracle gate"]
    for planned in published(variants, range(10, 20)):
        place = variants.index(planned.variant)
        step = 0.03 - 0.003 * place + 0.0002 * (planned.spec.seed * (place + 1) % 4)
        ledger.add(record(planned, "backgrounds", "published", accuracies(planned, 0.75, step), precision="float32"))
    texts, shown = run("findings")
    assert texts.startswith("**Yes, some do: on backgrounds that training did not show, networks with ")
    assert "10 seeds; ResNet-8, width 32; 160,000 training samples" in texts
    assert [words for words in shown if words.startswith("What backgrounds cost.")]
    assert table(shown, "Points, against the plain network of the same seed").index.tolist() == [
        "SE", "CBAM", "spatial gate", "Non-local"
    ]  # fmt: skip
    assert len(table(shown, "against attention pooling")) == 4
    assert not [words for words in shown if "pilot" in words.lower()]


def test_reasons_why_a_block_does_not_help_have_measured_numbers(run, tmp_path):
    for planned in Study.load("pilot").plan("full-cpu", PHOTOS):
        Ledger(tmp_path / "data" / "results").add(pilot_record(planned))
    texts, _ = run("why_not")
    assert "`cbam, identity` against `cbam`: +1.1" in texts
    assert re.search(r"its standard deviation is \d\.\d\d points of mean accuracy in the pilot \(3 seeds\)", texts)
    ledger = Ledger(tmp_path / "data" / "results")
    variants = [
        "baseline",
        "se",
        "cbam",
        "spatial",
        "non_local",
        "attention pooling",
        "cbam half",
        "cbam, 3×",
        "baseline, 3×",
    ]
    for planned in published(variants, range(10, 20)):
        step = 0.03 - 0.002 * variants.index(planned.variant) + 0.0002 * (planned.spec.seed % 3)
        ledger.add(record(planned, "backgrounds", "published", accuracies(planned, 0.75, step), precision="float32"))
    texts, _ = run("why_not")
    assert "CBAM, gates start at ½, against CBAM: the loss to unseen backgrounds is 2.4" in texts
    assert "CBAM, 3× as long, against plain network, 3× as long: the loss to unseen backgrounds is -0.6" in texts
    assert "The plain network loses 9.1 points to unseen backgrounds and 9.1 points to `fragments`" in texts


def test_the_short_gallery_shows_seen_and_unseen_backgrounds(run, monkeypatch, tmp_path):
    _, shown = run("clutter_in_short", data="shapes")
    [(caption, (figure, alt))] = shown.items()
    assert caption.startswith("Severity 0 to 5 from left to right.")
    assert "shapes" in caption
    assert len(figure.axes) >= 3
    assert "Mosaic" in alt


def test_all_numbers_are_the_pilots_until_the_study_is_complete(run, tmp_path):
    for planned in Study.load("pilot").plan("full-cpu", PHOTOS):
        Ledger(tmp_path / "data" / "results").add(pilot_record(planned))
    _, shown = run("all_numbers")
    seen = table(shown, "fragments+noise: accuracy in % at each severity")
    assert seen.loc["plain network", "0"] == pytest.approx(80.2, abs=0.1)
    assert len(table(shown, "The runs.")) == len(Study.load("pilot").plan("full-cpu", PHOTOS))
    ledger, protocol = Ledger(tmp_path / "data" / "results"), Protocol.load("backgrounds")
    for planned in published([protocol.baseline, *protocol.primary], range(10, 20)):
        step = 0.02 + 0.0002 * (planned.spec.seed * len(planned.variant) % 4)
        ledger.add(record(planned, "backgrounds", "published", accuracies(planned, 0.75, step), precision="float32"))
    shown.clear()
    _, shown = run("all_numbers")
    assert table(shown, "mosaic: accuracy in %").index.tolist() == [
        "plain network", "SE", "CBAM", "spatial gate", "Non-local"
    ]  # fmt: skip
    assert table(shown, "surround+noise: accuracy in %").loc["SE", "3"] == pytest.approx(75 - 6.1, abs=0.2)
    assert len(table(shown, "The runs.")) == 50

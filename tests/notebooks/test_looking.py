"""The two pages on looking run, and say of a ledger what its numbers allow."""

from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pytest

from attn_tutorial.ledger import Ledger, Record
from attn_tutorial.ledger.record import Accuracy, Lesion, Localisation
from attn_tutorial.pages import ParameterError
from attn_tutorial.spec import SEEN, Images
from attn_tutorial.study import Study

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SHAPES = Images(name="shapes", source="shapes of a test", fingerprint="b" * 64, archive_sha256=None)
SHORT = {"data": "shapes", "samples": 128, "canvases": 20, "study": "main"}


@pytest.fixture
def run(monkeypatch, tmp_path, lent_images):
    """Runs a page's cells without the published records; returns its names, what it says and shows, by caption.

    A figure's caption has its title before it.
    """

    def run(page, **given):
        shown, said = {}, []
        for place in ("pages", "pages.parameters"):
            monkeypatch.setattr(f"attn_tutorial.{place}.project_root", lambda: tmp_path)
        tags = []

        def show_table(frame, caption):
            assert len(frame) <= 12 or "hide-output" in tags, f"a long table is folded: {caption}"
            assert caption not in shown, f"once a page: {caption}"
            shown[caption] = frame

        def show(draw, alt, caption):
            figure = draw()
            shown[f"{figure.get_suptitle()}: {caption}" if figure.get_suptitle() else caption] = figure

        of_pages = [f"attn_tutorial.pages.{name}" for name in ("maps", "lesions", "measured")]
        for module in ("attn_tutorial.figures", *of_pages):
            monkeypatch.setattr(f"{module}.show_table", show_table)
        for module in ("attn_tutorial.figures", *of_pages[:2]):
            monkeypatch.setattr(f"{module}.show", show)
        for module in ("IPython.display", of_pages[2]):
            monkeypatch.setattr(f"{module}.display", lambda markdown: said.append(markdown.data))
        namespace = {"__name__": "__main__"}
        for cell in nbformat.read(NOTEBOOKS / f"{page}.ipynb", as_version=4).cells:
            tags[:] = cell.metadata.get("tags", [])
            if cell.cell_type == "code":
                exec(compile(cell.source, page, "exec"), namespace)
            if "parameters" in tags:
                namespace.update({**SHORT, "results": str(tmp_path / "runs"), **given})
        return namespace, "\n".join(said), shown

    yield run
    plt.close("all")


def rows_of(variant, seed, gap, harms, types=SEEN):
    """Localisation and lesions of one run; what is told apart by seed makes intervals."""
    own, other = 1.2 + gap + 0.01 * seed, 1.2
    about = {"types": types, "images": 2000}
    labelled = any("class" in lesion for of in harms.values() for lesion in of)
    maps = [("stage3", "grad_cam")] if variant in ("baseline", "se") else [("stage3.0.slot", "spatial")]
    localisation = [
        Localisation(
            slot=slot, map=kind, mask="tile", severity=severity, height=6, width=6, enrichment=own,
            enrichment_elsewhere=other, pointing=0.8, pointing_elsewhere=0.6, auc=0.7, auc_elsewhere=0.6, **about,
        )
        for slot, kind in maps
        for severity in (0, 5)
    ]  # fmt: skip
    lesions = [
        Lesion(
            lesion=lesion, severity=severity, accuracy=0.5 - harm,
            recalibrated=0.4 if labelled or lesion in ("none", "identity") else None, harm=harm * (1 + 0.02 * seed),
            low=harm - 0.01, high=harm + 0.01, **about,
        )
        for severity, by_lesion in harms.items()
        for lesion, harm in by_lesion.items()
    ]  # fmt: skip
    return localisation, lesions


@pytest.fixture
def add(tmp_path):
    def add(variants, seeds, compositions=(SEEN,), study="main", preset="quick", images=SHAPES):
        """`variants[name]` is the accuracy at severity 0, enrichment beyond elsewhere, and harms by severity.

        In the second composition accuracies and enrichments are lower, and harms are the same.
        """
        for planned in Study.load(study).plan(preset, images, seeds):
            if planned.variant not in variants:
                continue
            accuracy, gap, harms = variants[planned.variant]
            localisation, lesions = [], []
            for place, types in enumerate(compositions):
                maps, harmed = rows_of(planned.variant, planned.spec.seed, gap - place, harms, types)
                localisation += maps
                lesions += harmed
            noise = 0.001 * (planned.spec.seed * len(planned.variant) % 11)
            accuracies = [
                Accuracy(types=types, severity=severity, accuracy=accuracy - 0.02 * severity + noise, images=2000)
                for types in compositions
                for severity in range(6)
            ]
            made = Record(
                run_id=planned.run_id, study=study, preset=preset, variant=planned.variant, spec=planned.spec,
                status="done", accuracy=accuracies, localisation=localisation, lesions=lesions, data=images,
                versions={}, git_revision=None, device="cpu", processor="", finished_at="", parameters=1,
                samples_per_second=1.0, training_seconds=1.0,
            )  # fmt: skip
            Ledger(tmp_path / "runs").add(made)

    return add


HURT = {
    0: {"none": 0.0, "other_same_class": 0.01, "other_class": 0.02, "shuffle": 0.01},
    5: {"none": 0.0, "other_same_class": 0.1, "other_class": 0.2, "shuffle": 0.1},
}
EVEN = {
    0: {"none": 0.0, "other_class": 0.02},
    5: {"none": 0.0, "other_class": 0.02},
}
PLACELESS = {
    severity: {lesion: harm for lesion, harm in of.items() if lesion != "shuffle"} for severity, of in HURT.items()
}
LOOKS = {
    "baseline": (0.6, 0.0, {}),
    "static_gate": (0.6, 0.0, EVEN),
    "se": (0.7, 0.0, EVEN),
    "cbam": (0.7, 0.3, HURT),
    "spatial": (0.5, 0.0, HURT),
}
# Today's records: no donor is chosen by the label, and a kind of map may be replaced by itself.
COMPOSITIONS = (SEEN, "mosaic", "fragments")
WHOLE = ("other_clutter", "other_image", "shuffle")


def today(hurting, harmless=()):
    """Harms of today's lesions by severity: some that grow with severity, some that are the same everywhere."""
    return {
        severity: {"none": 0.0, **dict.fromkeys(hurting, harm), **dict.fromkeys(harmless, 0.02), "identity": harm}
        for severity, harm in ((0, 0.01), (5, 0.1))
    }


TODAY = {
    "baseline": (0.6, 0.0, {}),
    "static_gate": (0.6, 0.0, today((), WHOLE[:2])),
    "se": (0.7, 0.0, today(WHOLE[:2])),
    "cbam": (0.7, 0.3, today((*WHOLE, "other_clutter (spatial)", "shuffle (spatial)"), ("other_clutter (channel)",))),
    # As a whole the gates are worth something, but not by the places of their own.
    "cbam+non_local": (
        0.7, 0.3,
        today(
            (*WHOLE, "other_clutter (channel)", "other_clutter (spatial)", "shuffle (spatial)"),
            ("other_clutter (pairwise)", "shuffle (pairwise)"),
        ),
    ),
    "spatial": (0.7, 0.0, today(WHOLE)),
}  # fmt: skip


def test_the_measures_and_the_control(run, capsys):
    namespace, said, shown = run("where_does_it_look")
    printed = capsys.readouterr().out
    assert "enrichment 2.80, pointing True\nAUC 0.8125\npackage = by hand\n" in printed
    for own, elsewhere in namespace["blind"].values():
        assert own == pytest.approx(elsewhere), "a blind map is as good elsewhere"
    assert namespace["blind"]["enrichment"][0] > 1.1
    [table] = [frame for caption, frame in shown.items() if caption.startswith("On the own tile")]
    assert set(table["map"]) >= {"1 spatial", "3 received", "3 grad_cam"}
    [short] = [frame for caption, frame in shown.items() if caption.startswith("The last stage at severity 5")]
    assert set(short["map"]) == {"3 spatial", "3 received", "3 grad_cam"}
    assert len(short) == (table["severity"].eq(5) & table["map"].str.startswith("3")).sum()
    assert said.count("No record of the study *main* is here yet.") == 1


def test_what_the_ledger_says_of_looking(run, add):
    add(LOOKS, seeds=3)
    _, said, shown = run("where_does_it_look")
    about = f"{Study.load('main').title}: shapes of a test; ResNet-8, width 32; preset quick"
    assert said.count("shapes of a test") == 1, "once a page"
    assert f"**Exploratory. {about}.** 15 of 15 runs were measured, on 2,000 images at severities 0, 5." in said
    assert f"In `{SEEN}` clutter, the maps of 1 of 3 networks lie more on their own target" in said
    [own] = [line for line in said.splitlines() if "minus elsewhere, the blocks' own maps" in line]
    assert own.endswith("(mean of severities 0, 5): above 0 for `cbam`; within noise for `spatial`, `static_gate`.")
    [grad_cam] = [line for line in said.splitlines() if "minus elsewhere, Grad-CAM" in line]
    assert grad_cam.endswith("(mean of severities 0, 5): within noise for `baseline`, `se`.")
    [beyond] = [frame for caption, frame in shown.items() if "own tile minus elsewhere, mean of" in caption]
    rows = beyond.set_index(["variant", "maps"])
    assert rows.loc[("cbam", "the blocks' own maps")].tolist() == ["+0.310 [+0.285, +0.335]", 3, "above 0"]
    assert rows.loc[("se", "Grad-CAM")].tolist() == ["+0.010 [-0.015, +0.035]", 3, "within noise"]
    [means] = [frame for caption, frame in shown.items() if "means over slots" in caption]
    cbam = means[means["variant"] == "cbam"].iloc[0]
    assert (cbam["enrichment"], cbam["pointing"], cbam["seeds"]) == ("1.51 / 1.20", "0.80 / 0.60", 3)
    assert shown["The runs behind the numbers on this page."].shape == (5, 3)


def test_one_seed_concludes_nothing(run, add):
    add(LOOKS, seeds=1)
    everything, blocks = ("baseline", "static_gate", "se", "cbam", "spatial"), ("se", "cbam", "spatial")
    for page, measured in (("where_does_it_look", everything), ("lesions", blocks)):
        _, said, shown = run(page)
        [line] = [line for line in said.splitlines() if "nothing can be concluded" in line]
        assert {name for name in everything if f"`{name}`" in line} == set(measured)
        assert "above 0" not in said
        assert "within noise" not in said
        assert "The claim" not in said
        if page == "where_does_it_look":
            [beyond] = [frame for caption, frame in shown.items() if "own tile minus elsewhere, mean of" in caption]
            assert set(beyond["reading"]) == {"one seed"}
            assert not beyond["beyond elsewhere"].str.contains("[", regex=False).any()


def test_the_lesions_by_hand(run, capsys):
    namespace, _, shown = run("lesions")
    printed = capsys.readouterr().out
    shares = ["75%", "50%", "75%", "25%", "50%"]  # intact, mean, other clutter, other image, no block
    donors = ["100%", "75%"]  # by the label, by the network's answer
    assert [line.split()[-2] for line in printed.splitlines() if line.endswith(" right")] == shares + donors
    [table] = [frame for caption, frame in shown.items() if caption.startswith("In %, harm in points: all lesions")]
    [whole] = [frame for caption, frame in shown.items() if caption.startswith("Accuracy in %, and harm in points")]
    assert list(whole.index) == list(table.index)[:6]
    assert list(table.index)[:6] == ["none", "mean", "other_clutter", "other_image", "shuffle", "identity"]
    assert {"shuffle (spatial)", "other_clutter (channel)"} <= set(table.index)
    assert list(table.index[table["recalibrated"].notna()]) == ["none", "identity"]
    assert namespace["harm"]["mean"] == namespace["harm"]["other_clutter"] == namespace["harm"]["other_image"] == 0


WIDER = {name: (0.6, 0.0, {}) for name in Study.load("main").controls if name.startswith("wider")}


def claims(shown, types=SEEN):
    """The tables of one composition that say which condition of the claim holds, as one table by variant."""
    return pd.concat(frame for caption, frame in shown.items() if caption.startswith(f"{types}: the conditions of"))


def said_of(said, verdict):
    """The variants that a composition's section gives a verdict."""
    return {
        name
        for line in said.splitlines()
        if verdict in line
        for name in line.partition(": ")[2].replace("`", "").rstrip(".").split(", ")
    }


HOLDS, FAILS = "The claim that it looks holds", "The claim that it looks is not supported"
PLACES = "It weighs no places, so it cannot be said to look"


def test_the_claim_to_look_needs_all_three(run, add):
    add({**LOOKS, **WIDER, "bam": (0.7, 0.0, PLACELESS)}, seeds=4)
    _, said, shown = run("lesions")
    of = claims(shown)
    assert set(of.index) == {"se", "cbam", "spatial", "bam"}, "controls claim nothing"
    assert of.loc["cbam"].to_dict() == {
        "lesions": "other_same_class, other_class, shuffle", "lesions do harm": "yes",
        "more harm in stronger clutter": "yes", "maps on their own target": "yes", "better than a static gate": "yes",
        "better than a wider network": "yes", "seeds": 4, "claim": "holds",
    }  # fmt: skip
    assert "static_gate" in of.loc["spatial", "better than a static gate"]
    assert of.loc["spatial", "better than a static gate"].startswith("not shown: ")
    assert "wider, non_local's flops" in of.loc["spatial", "better than a wider network"]
    assert of.loc["spatial", "claim"] == "not supported"
    assert of.loc["se", "more harm in stronger clutter"].startswith("not shown: ")
    assert "other_class" in of.loc["se", "more harm in stronger clutter"]
    assert of.loc[["se", "bam"], "claim"].tolist() == ["no places"] * 2
    assert said_of(said, HOLDS) == {"cbam"}
    assert said_of(said, FAILS) == {"spatial"}
    assert said_of(said, PLACES) == {"se", "bam"}
    assert "The claim that a block looks holds for 1 of 4 blocks." in said
    [caption] = [caption for caption in shown if "Harm in points" in caption]
    assert "Seeds: 4." in caption
    about = f"Exploratory. {Study.load('main').title}: shapes of a test"
    assert f"{about}; ResNet-8, width 32; preset quick.** " in said
    assert "on 2,000 images at severities 0, 5." in said
    assert not [caption for caption in shown if "shapes of a test" in caption], "once a page, not in captions"


def test_todays_records_have_a_section_for_each_composition(run, add):
    add({**TODAY, **WIDER}, seeds=4, compositions=COMPOSITIONS)
    add({"bam": (0.7, 0.0, PLACELESS)}, seeds=4)  # a record of the pilot's time
    _, said, shown = run("lesions")
    sections = {part.split("**")[0]: part for part in said.split("**Clutter: ")[1:]}
    assert list(sections) == list(COMPOSITIONS), "background first"
    assert sections["mosaic"].startswith("mosaic** (axis: background)")
    of = claims(shown)
    assert set(of.index) == {"se", "cbam", "cbam+non_local", "spatial", "bam"}
    assert of.loc["cbam", "lesions"] == "other_clutter (spatial), shuffle (spatial)"
    assert set(of.loc["cbam"].iloc[1:6]) == {"yes"}
    assert of.loc["cbam", "claim"] == "holds"
    rises = of.loc["cbam+non_local", "more harm in stronger clutter"]
    assert rises == "not shown: other_clutter (pairwise), shuffle (pairwise)", "the spatial ones do"
    assert of.loc["cbam+non_local", "claim"] == "not supported"
    assert of.loc["spatial", "lesions"] == "other_clutter, shuffle"
    assert of.loc["spatial", "lesions do harm"] == "yes"
    assert of.loc["spatial", "maps on their own target"] == "not shown: maps"
    assert of.loc["spatial", "claim"] == "not supported"
    assert of.loc["se", ["lesions", "lesions do harm", "claim"]].tolist() == ["other_clutter", "yes", "no places"]
    assert "other_image" not in of["lesions"].str.cat(), "shown, but not a condition"
    assert said_of(sections[SEEN], HOLDS) == {"cbam"}
    assert said_of(sections[SEEN], FAILS) == {"cbam+non_local", "spatial"}
    assert said_of(sections[SEEN], PLACES) == {"se", "bam"}
    # On mosaic no map lies on its own target, and its verdicts are its own.
    assert claims(shown, "mosaic").loc["cbam", "claim"] == "not supported"
    assert "cbam" in said_of(sections["mosaic"], FAILS)
    assert not [caption for caption in shown if caption.startswith("fragments: the conditions")]
    assert "The claim" not in sections["fragments"]
    assert "This clutter only occludes: by this page's rules no claim rests on it." in sections["fragments"]
    # Records of both times are never in one figure.
    captions = [caption for caption in shown if "Harm in points" in caption]
    assert len(captions) == 4
    [old] = [caption for caption in captions if "donors of gates chosen by the label" in caption]
    assert {text.get_text() for text in shown[old].axes[0].get_yticklabels()} == {"bam"}
    assert [
        line.removeprefix("- ") for line in sections[SEEN].splitlines() if "change the accuracy of the intact" in line
    ] == [
        "BatchNorm statistics taken at the severity of the test change the accuracy of the intact networks by "
        "-10.0 to -10.0 points (means over seeds, by variant and severity)."
    ]
    titles = [shown[caption].get_suptitle() for caption in captions]
    assert titles == [
        f"{SEEN} (axis: background)", f"{SEEN} (axis: background)", "mosaic (axis: background)",
        "fragments (axis: occlusion)",
    ]  # fmt: skip
    assert len(shown["The runs behind the numbers on this page."]) == 6, "once a page: no block, no lesion"


def test_the_pilots_page_says_what_a_hint_at_the_class_was_worth(run, add):
    add(LOOKS, seeds=1)
    _, said, _ = run("lesions")
    assert (
        "`cbam`, as trained, at the highest severity: gates of the canvas's own class change its accuracy by -10.0 "
        "points; gates of another class change its accuracy by -20.0 points (mean of seeds)."
    ) in said


def test_looking_has_a_section_for_each_composition(run, add):
    add(TODAY, seeds=3, compositions=COMPOSITIONS)
    _, said, shown = run("where_does_it_look")
    sections = {part.split("**")[0]: part for part in said.split("**Clutter: ")[1:]}
    assert list(sections) == list(COMPOSITIONS)
    for place, types in enumerate(COMPOSITIONS):
        [line] = [line for line in sections[types].splitlines() if "the blocks' own maps" in line]
        assert f"{'below' if place else 'above'} 0 for `cbam`" in line
        of_types = {caption: what for caption, what in shown.items() if caption.startswith(f"{types}: ")}
        [beyond] = [frame for caption, frame in of_types.items() if "own tile minus elsewhere" in caption]
        cbam = beyond[beyond["variant"] == "cbam"].iloc[0]
        assert cbam["beyond elsewhere"].startswith(f"{0.31 - place:+.3f} [")
        [means] = [frame for caption, frame in of_types.items() if "means over slots" in caption]
        assert means[means["variant"] == "cbam"].iloc[0]["enrichment"] == f"{1.51 - place:.2f} / 1.20"
        [figure] = [drawn for caption, drawn in shown.items() if caption.startswith(f"{types} (axis: ")]
        assert "Further right: the maps lie more on their own tile." in str(list(shown))
        assert len(figure.axes) == 2


def test_a_control_that_was_not_run_leaves_the_claim_open(run, add):
    add(LOOKS, seeds=4)
    _, said, shown = run("lesions")
    cbam = claims(shown).loc["cbam"]
    assert cbam["better than a wider network"].startswith("not run: wider, cbam's parameters")
    assert "non_local" not in cbam["better than a wider network"], "it has wider networks of its own"
    assert cbam["claim"] == "open"
    assert said_of(said, "The claim that it looks is open") == {"cbam"}


def test_few_seeds_of_any_part_give_no_verdict(run, add):
    add({name: LOOKS[name] for name in ("baseline", "cbam")}, seeds=4)
    add({**WIDER, "static_gate": LOOKS["static_gate"]}, seeds=3)
    _, said, _ = run("lesions")
    assert "A verdict needs 4 seeds" in said
    assert said.endswith("nothing can be concluded about their claim to look: `cbam` (3).")
    assert "The claim" not in said


@pytest.mark.parametrize("page", ["where_does_it_look", "lesions"])
def test_a_preset_can_be_named(run, add, page):
    add(LOOKS, seeds=1)
    _, said, shown = run(page, preset="full-cpu")
    assert "No record of the study *main* is here yet." in said
    assert "preset quick" not in said
    assert "preset quick" not in str(list(shown))
    assert "The runs behind the numbers on this page." not in shown
    with pytest.raises(ValueError, match="Did you mean 'quick'"):
        run(page, preset="quik")


@pytest.mark.parametrize("page", ["where_does_it_look", "lesions"])
@pytest.mark.parametrize(
    ("given", "message"),
    [({"canvases": 5}, "`canvases` must be"), ({"sample": 64}, "Did you mean 'samples'")],
    ids=["canvases", "name"],
)
def test_a_wrong_parameter_stops_the_page(run, page, given, message):
    with pytest.raises(ParameterError, match=message):
        run(page, **given)


@pytest.mark.parametrize("page", ["where_does_it_look", "lesions"])
def test_only_the_largest_preset_of_the_published_records_is_shown(run, add, tmp_path, page):
    add(LOOKS, seeds=2)
    add({name: LOOKS[name] for name in ("baseline", "cbam")}, seeds=1, preset="full-cpu")
    (tmp_path / "runs").rename(tmp_path / "data" / "results")
    _, said, shown = run(page, results=None)
    assert "preset full-cpu.**" in said
    assert "preset quick" not in said
    assert "spatial" not in shown["The runs behind the numbers on this page."].index
    _, said, shown = run(page, results=None, preset="quick")
    assert "preset quick.**" in said
    assert "spatial" in shown["The runs behind the numbers on this page."].index


@pytest.mark.parametrize("page", ["where_does_it_look", "lesions"])
def test_results_that_the_protocol_hides_are_not_shown(run, add, page):
    photos = Images(name="cifar10", source="photos of a test", fingerprint="a" * 64, archive_sha256=None)
    where = {"study": "backgrounds", "preset": "published", "images": photos}
    add({name: LOOKS[name] for name in ("baseline", "cbam")}, 2, (SEEN, "mosaic", "crowd"), **where)
    _, said, shown = run(page, study="backgrounds")
    assert "0 of the first 6 seeds are complete." in said
    assert "the protocol shows numbers of runs only. Runs that are done: baseline 2, cbam 2." in said
    assert "**Clutter: " not in said
    assert not [caption for caption in shown if "Harm in points of" in caption or "minus elsewhere" in caption]
    assert "The runs behind the numbers on this page." not in shown


def test_a_study_with_a_protocol_is_judged_by_its_rule(run, add, monkeypatch):
    """Over the mean of both backgrounds, with the controls that the study has; not composition by composition."""
    monkeypatch.setattr("attn_tutorial.pages.measured.visible", lambda study, ledger, held: held)
    harms = {"spatial": (0.7, 1.0, today(WHOLE)), "se": (0.7, 0.0, today(WHOLE[:2])), "baseline": (0.6, 0.0, {})}
    add(harms, seeds=4, compositions=COMPOSITIONS, study="backgrounds")
    _, said, shown = run("lesions", study="backgrounds")
    assert "By the protocol, spatial gate looks at the target." in said
    assert "By the protocol, SE weighs no places, so it cannot look." in said
    assert HOLDS not in said
    (conditions,) = [frame for caption, frame in shown.items() if caption.startswith("spatial gate: the protocol's")]
    assert set(conditions["above 0"]) == {"yes"}
    assert not [caption for caption in shown if "conditions of the claim" in caption]

"""The two pages on looking run, and say of a ledger what its numbers allow."""

from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
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
def run(monkeypatch, tmp_path):
    """Runs a page's cells without the published records; returns its names, what it says and shows, by caption."""

    def run(page, **given):
        shown, said = {}, []
        for place in ("pages", "pages.parameters"):
            monkeypatch.setattr(f"attn_tutorial.{place}.project_root", lambda: tmp_path)
        monkeypatch.setattr("attn_tutorial.figures.show_table", lambda frame, caption: shown.update({caption: frame}))
        monkeypatch.setattr("attn_tutorial.figures.show", lambda draw, alt, caption: shown.update({caption: draw()}))
        for module in ("IPython.display", "attn_tutorial.pages.measured"):
            monkeypatch.setattr(f"{module}.display", lambda markdown: said.append(markdown.data))
        namespace = {"__name__": "__main__"}
        for cell in nbformat.read(NOTEBOOKS / f"{page}.ipynb", as_version=4).cells:
            if cell.cell_type == "code":
                exec(compile(cell.source, page, "exec"), namespace)
            if "parameters" in cell.metadata.get("tags", []):
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
    def add(variants, seeds, compositions=(SEEN,)):
        """`variants[name]` is the accuracy at severity 0, enrichment beyond elsewhere, and harms by severity.

        In the second composition accuracies and enrichments are lower, and harms are the same.
        """
        for planned in Study.load("main").plan("quick", SHAPES, seeds):
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
                run_id=planned.run_id, study="main", preset="quick", variant=planned.variant, spec=planned.spec,
                status="done", accuracy=accuracies, localisation=localisation, lesions=lesions, data=SHAPES,
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
    assert "No record of the study *main* is here yet." in said


def test_what_the_ledger_says_of_looking(run, add):
    add(LOOKS, seeds=3)
    _, said, shown = run("where_does_it_look")
    assert (
        "**Exploratory. shapes of a test; ResNet-8, width 32; preset quick**: 15 runs, of which 15 were measured."
        in said
    )
    mean = "beyond elsewhere, mean of severities 0, 5, 95 % t interval"
    assert f"`cbam`, its own maps: enrichment +0.310 {mean} [+0.285, +0.335] over 3 seeds: the" in said
    assert f"`se`, Grad-CAM: enrichment +0.010 {mean} [-0.015, +0.035] over 3 seeds: within" in said
    [means] = [frame for caption, frame in shown.items() if "of a test" in caption and "means over" in caption]
    cbam = means[means["variant"] == "cbam"].iloc[0]
    assert (cbam["enrichment"], cbam["pointing"], cbam["seeds"]) == ("1.51 / 1.20", "0.80 / 0.60", 3)


def test_one_seed_concludes_nothing(run, add):
    add(LOOKS, seeds=1)
    for page, measured in (("where_does_it_look", 5), ("lesions", 3)):
        _, said, _ = run(page)
        assert said.count("nothing can be concluded") == measured
        assert "interval [" not in said
        assert "The claim" not in said


def test_the_lesions_by_hand(run, capsys):
    namespace, _, shown = run("lesions")
    printed = capsys.readouterr().out
    shares = ["75%", "50%", "75%", "25%", "50%"]  # intact, mean, other clutter, other image, no block
    donors = ["100%", "75%"]  # by the label, by the network's answer
    assert [line.split()[-2] for line in printed.splitlines() if line.endswith(" right")] == shares + donors
    [table] = [frame for caption, frame in shown.items() if caption.startswith("In %")]
    assert list(table.index)[:6] == ["none", "mean", "other_clutter", "other_image", "shuffle", "identity"]
    assert {"shuffle (spatial)", "other_clutter (channel)"} <= set(table.index)
    assert list(table.index[table["recalibrated"].notna()]) == ["none", "identity"]
    assert namespace["harm"]["mean"] == namespace["harm"]["other_clutter"] == namespace["harm"]["other_image"] == 0


WIDER = {name: (0.6, 0.0, {}) for name in Study.load("main").controls if name.startswith("wider")}


def verdicts(said):
    return {line.split("`")[1]: line for line in said.splitlines() if "seeds or more" in line}


def test_the_claim_to_look_needs_all_three(run, add):
    add({**LOOKS, **WIDER, "bam": (0.7, 0.0, PLACELESS)}, seeds=4)
    _, said, shown = run("lesions")
    of = verdicts(said)
    assert set(of) == {"se", "cbam", "spatial", "bam"}, "controls claim nothing"
    assert of["cbam"].startswith(
        "- `cbam`, 4 seeds or more: other_same_class does harm: yes; other_class does harm: yes; "
    )
    assert "better than static_gate: yes; better than wider, cbam's parameters: yes. The claim" in of["cbam"]
    assert "non_local" not in of["cbam"], "its own wider networks count"
    assert of["cbam"].endswith(" The claim that it looks holds.")
    assert "better than static_gate: not shown" in of["spatial"]
    assert "better than wider, non_local's flops: not shown" in of["spatial"]
    assert of["spatial"].endswith("The claim that it looks is not supported.")
    assert "other_class does more in stronger clutter: not shown" in of["se"]
    assert of["se"].endswith(of["bam"][-49:])
    assert of["bam"].endswith("It weighs no places, and cannot be said to look.")
    [caption] = [caption for caption in shown if "Harm in points" in caption and "of a test" in caption]
    assert "se 4, cbam 4, spatial 4, bam 4, static_gate 4" in caption
    assert f"Exploratory. {Study.load('main').title}: shapes of a test" in caption
    assert "2,000 images in surround+noise at severities 0, 5" in caption


def test_todays_records_have_a_section_for_each_composition(run, add):
    add({**TODAY, **WIDER}, seeds=4, compositions=COMPOSITIONS)
    add({"bam": (0.7, 0.0, PLACELESS)}, seeds=4)  # a record of the pilot's time
    _, said, shown = run("lesions")
    sections = {part.split("**")[0]: part for part in said.split("**Clutter: ")[1:]}
    assert list(sections) == list(COMPOSITIONS), "background first"
    assert sections["mosaic"].startswith("mosaic** (axis: background)")
    of = verdicts(sections[SEEN])
    assert set(of) == {"se", "cbam", "cbam+non_local", "spatial", "bam"}
    assert of["cbam"].startswith(
        "- `cbam`, 4 seeds or more: other_clutter (spatial) does harm: yes; shuffle (spatial) does harm: yes; "
        "other_clutter (spatial) does more in stronger clutter: yes; "
    )
    assert "maps lie more on their own target: yes; better than static_gate: yes;" in of["cbam"]
    assert of["cbam"].endswith(" The claim that it looks holds.")
    assert "shuffle (spatial) does more in stronger clutter: yes" in of["cbam+non_local"]
    assert "shuffle (pairwise) does more in stronger clutter: not shown" in of["cbam+non_local"]
    assert of["cbam+non_local"].endswith("The claim that it looks is not supported.")
    assert of["spatial"].startswith(
        "- `spatial`, 4 seeds or more: other_clutter does harm: yes; shuffle does harm: yes"
    )
    assert "maps lie more on their own target: not shown" in of["spatial"]
    assert of["spatial"].endswith("The claim that it looks is not supported.")
    assert "other_clutter does harm: yes" in of["se"]
    assert of["se"].endswith("It weighs no places, and cannot be said to look.")
    assert "other_image" not in "".join(of.values()), "shown, but not a condition"
    # On mosaic no map lies on its own target, and its verdicts are its own.
    assert verdicts(sections["mosaic"])["cbam"].endswith("The claim that it looks is not supported.")
    assert verdicts(sections["fragments"]) == {}
    assert "This clutter only occludes: by this page's rules no claim rests on it." in sections["fragments"]
    # Records of both times are never in one figure.
    captions = [caption for caption in shown if "Harm in points" in caption]
    assert len(captions) == 4
    [old] = [caption for caption in captions if "donors of gates chosen by the label" in caption]
    assert old.endswith("seeds: bam 4.")
    assert [line for line in sections[SEEN].splitlines() if "change the accuracy of the intact" in line] == [
        "- BatchNorm statistics taken at the severity of the test change the accuracy of the intact networks by "
        "-10.0 to -10.0 points (means over seeds, by variant and severity)."
    ]
    titles = [shown[caption].get_suptitle() for caption in captions]
    assert titles == [
        f"{SEEN} (axis: background)", f"{SEEN} (axis: background)", "mosaic (axis: background)",
        "fragments (axis: occlusion)",
    ]  # fmt: skip


def test_the_pilots_page_says_what_a_hint_at_the_class_was_worth(run, add):
    add(LOOKS, seeds=1)
    _, said, _ = run("lesions")
    assert (
        "- `cbam`, as trained, at the highest severity: gates of its own class change its accuracy by -10.0 points; "
        "gates of another class change its accuracy by -20.0 points (mean of seeds)."
    ) in said


def test_looking_has_a_section_for_each_composition(run, add):
    add(TODAY, seeds=3, compositions=COMPOSITIONS)
    _, said, shown = run("where_does_it_look")
    sections = {part.split("**")[0]: part for part in said.split("**Clutter: ")[1:]}
    assert list(sections) == list(COMPOSITIONS)
    for place, types in enumerate(COMPOSITIONS):
        assert f"`cbam`, its own maps: enrichment {0.31 - place:+.3f} beyond elsewhere" in sections[types]
        [means] = [
            frame for caption, frame in shown.items() if f"images in {types} " in caption and "means over" in caption
        ]
        assert means[means["variant"] == "cbam"].iloc[0]["enrichment"] == f"{1.51 - place:.2f} / 1.20"
        [figure] = [drawn for caption, drawn in shown.items() if f"images in {types} " in caption and "gain" in caption]
        assert figure.get_suptitle().startswith(f"{types} (axis: ")


def test_a_control_that_was_not_run_leaves_the_claim_open(run, add):
    add(LOOKS, seeds=4)
    _, said, _ = run("lesions")
    assert "better than wider, cbam's parameters: not run" in verdicts(said)["cbam"]
    assert verdicts(said)["cbam"].endswith("The claim that it looks is open.")


def test_few_seeds_of_any_part_give_no_verdict(run, add):
    add({name: LOOKS[name] for name in ("baseline", "cbam")}, seeds=4)
    add({**WIDER, "static_gate": LOOKS["static_gate"]}, seeds=3)
    _, said, _ = run("lesions")
    assert "- `cbam` (other_same_class, other_class, shuffle): too few seeds for a verdict (3)" in said
    assert "The claim" not in said


@pytest.mark.parametrize("page", ["where_does_it_look", "lesions"])
def test_a_preset_can_be_named(run, add, page):
    add(LOOKS, seeds=1)
    _, said, shown = run(page, preset="full-cpu")
    assert "No record of the study *main* is here yet." in said
    assert "preset quick" not in said
    assert "preset quick" not in str(list(shown))
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

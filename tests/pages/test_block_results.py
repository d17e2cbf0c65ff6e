import pytest
from scipy import stats

from attn_tutorial.ledger import Ledger, Record, held_in
from attn_tutorial.ledger.record import Accuracy
from attn_tutorial.pages import block_results, show_block_results, standing
from attn_tutorial.pages.block_results import difference_sentences, find_block_results
from attn_tutorial.spec import Images
from attn_tutorial.study import Study

PHOTOS = Images(name="cifar10", source="photos of a test", fingerprint="a" * 64, archive_sha256=None)
SHAPES = Images(name="shapes", source="shapes of a test", fingerprint="b" * 64, archive_sha256=None)
SINGLE = Study(
    name="single", title="", question="", variants={name: {"block": name} for name in ("se", "eca", "non_local")}
)


def record(planned, accuracy, preset, images, study, status="done"):
    rows = [
        Accuracy(types=types, severity=severity, accuracy=accuracy - 0.02 * severity, images=2000)
        for types in planned.spec.evaluation.types
        for severity in range(6)
    ]
    return Record(
        run_id=planned.run_id, study=study, preset=preset, variant=planned.variant, spec=planned.spec, status=status,
        accuracy=rows, data=images, versions={}, git_revision=None, device="cpu", processor="", threads=1,
        finished_at="", parameters=1, samples_per_second=1.0, training_seconds=1.0,
    )  # fmt: skip


@pytest.fixture
def add(tmp_path):
    def add(accuracies, preset="quick", images=PHOTOS, study=None, folder="results", **status):
        """`accuracies[variant][seed]` is the accuracy at severity 0; each severity more costs 2 points."""
        study = study or Study.load("headline")
        seeds = max(map(len, accuracies.values()))
        for planned in study.plan(preset, images, seeds):
            values = accuracies.get(planned.variant, ())
            if planned.spec.seed < len(values):
                of = record(planned, values[planned.spec.seed], preset, images, study.name, **status)
                Ledger(tmp_path / folder).add(of)

    return add


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "results")


@pytest.fixture
def said(monkeypatch):
    """What is displayed, in order: texts, and tables as pairs of caption and frame."""
    shown = []
    monkeypatch.setattr(block_results, "display", lambda markdown: shown.append(markdown.data))
    monkeypatch.setattr(block_results, "show_table", lambda frame, caption: shown.append((caption, frame)))
    return shown


def test_presets_and_image_sets_stand_apart_and_smoke_is_left_out(add, ledger):
    add({"baseline": [0.6], "se": [0.7]})
    add({"baseline": [0.5], "se": [0.3]}, images=SHAPES)
    add({"baseline": [0.1], "se": [0.1]}, preset="smoke", images=SHAPES)
    found = find_block_results(ledger, ("se",))
    assert sorted(result.about.split("; ")[1] for result in found) == ["photos of a test", "shapes of a test"]
    for result in found:
        assert "preset quick; seeds: 1" in result.about
        assert set(result.frame["variant"]) == {"baseline", "se"}
        assert result.frame["fingerprint"].nunique() == result.frame["preset"].nunique() == 1


def test_each_run_is_shown_once_and_other_networks_of_the_same_name_apart(add, ledger):
    add({"baseline": [0.6], "se": [0.7], "non_local": [0.65]})
    # `se` is the very run of the headline. `non_local` is not: there it sits behind the units of the last stages.
    add({"se": [0.7], "eca": [0.62], "non_local": [0.3]}, study=SINGLE)
    first, second = find_block_results(ledger, ("se", "eca", "non_local"))
    assert first.frame["variant"].unique().tolist() == ["baseline", "se", "eca", "non_local"]
    assert second.frame["variant"].unique().tolist() == ["baseline", "non_local"]
    accuracies = [result.frame.query("variant == 'non_local'")["accuracy"].max() for result in (first, second)]
    assert accuracies == pytest.approx([65, 30])


def test_holm_counts_the_blocks_of_the_study_and_not_those_on_the_page(add, ledger, said, tmp_path):
    baseline = [0.60, 0.61, 0.62, 0.63]
    # p = 0.013 alone: below 0.05 for one block, not for the many of the study `main`.
    add({"baseline": baseline, "se": [0.60 + gain for gain in (0.010, 0.017, 0.027, 0.051)]})
    [result] = find_block_results(ledger, ("se",))
    assert result.family == Study.load("main").family
    assert "differs, but not after Holm" in difference_sentences(result.frame, result.reference, result.family)[0]
    assert difference_sentences(result.frame)[0].endswith("4 seeds: differs.")
    show_block_results(("se",), tmp_path)
    [_, _, accuracies, *_] = [text for text in said if isinstance(text, str)]
    assert "differs, but not after Holm" in accuracies


def test_a_run_that_diverged_is_not_a_result(add, ledger):
    add({"baseline": [0.6]})
    add({"se": [0.1]}, status="diverged")
    assert find_block_results(ledger, ("se",)) == []


def test_several_seeds_give_scipys_interval(add, ledger):
    add({"baseline": [0.60, 0.70, 0.80], "se": [0.61, 0.715, 0.811], "cbam": [0.605, 0.69, 0.809]})
    [result] = find_block_results(ledger, ("se", "cbam"))
    paired = stats.ttest_rel([61, 71.5, 81.1], [60, 70, 80])
    low, high = paired.confidence_interval(0.95)
    se, cbam = difference_sentences(result.frame)
    assert se == (
        f"`se`: +1.20 points against the baseline, 95 % t interval [{low:+.2f}, {high:+.2f}], "
        "paired over 3 seeds: interval excludes 0 (not tested)."
    )
    assert cbam.endswith("within noise.")


def test_differences_that_are_the_same_in_all_seeds_give_no_interval(add, ledger):
    add({"baseline": [0.50, 0.625], "se": [0.75, 0.875]})
    [result] = find_block_results(ledger, ("se",))
    assert difference_sentences(result.frame) == [
        "`se`: +25.00 points against the baseline, paired over 2 seeds: the seeds do not differ: no interval."
    ]


def test_one_seed_says_that_it_gives_no_interval(add, ledger):
    add({"baseline": [0.6], "se": [0.7, 0.5]})
    [result] = find_block_results(ledger, ("se",))
    assert difference_sentences(result.frame) == [
        "`se`: +10.00 points against the baseline, from one seed. "
        "One seed gives no interval, so nothing can be concluded."
    ]


def test_without_a_baseline_there_is_no_difference(add, ledger):
    add({"se": [0.7]})
    [result] = find_block_results(ledger, ("se",))
    assert "no run of the baseline has the same seed" in difference_sentences(result.frame)[0]


def test_the_published_and_the_readers_own_are_shown_apart(add, said, tmp_path):
    add({"baseline": [0.6], "se": [0.7]})
    add({"eca": [0.62]}, study=SINGLE, folder="runs")
    show_block_results(("se", "eca"), tmp_path)
    published, costs, reduction, table, sentence, own, own_costs, own_table, *_, how = said
    assert published == "**Published records**, in `data/results/`\n\nThere is no finished run of `eca` here."
    assert own == "**Your own records**, in `data/runs/`\n\nThere is no finished run of `se` here."
    caption, frame = costs
    assert caption.startswith("The unseen distraction cost (mosaic and crowd) in points, beside accuracies in %.")
    # Each severity takes 2 points off, and the mean of 1 to 5 is 3.
    assert frame["cost"].to_dict() == {"baseline": 6, "se": 6}
    assert reduction == (
        "- `se` loses 6.00 points to unseen backgrounds, and `baseline` 6.00 points; reduction 0.00, paired over "
        "1 seed: one seed: no interval."
    )
    caption, frame = table
    assert caption.startswith("Accuracy in % on surround+noise: ")
    assert "photos of a test; preset quick; seeds: 1; 80,000 training samples; 2,000 images of split test" in caption
    assert frame["mean"].to_dict() == {"baseline": 55.0, "se": 65.0}
    assert sentence.startswith("- `se`: +10.00 points")
    assert own_costs[1].index.tolist() == own_table[1].index.tolist() == ["eca"]
    assert "reduction" not in own_costs[1], "there is no baseline to compare with"
    assert "attn-tutorial train NAME" in how


def test_an_empty_folder_is_said_to_be_empty(said, tmp_path):
    show_block_results(("bam", "se+spatial"), tmp_path)
    assert [text.splitlines()[-1] for text in said[:2]] == ["There is no finished run of `bam`, `se+spatial` here."] * 2


def test_what_is_not_of_the_main_study_is_called_exploratory(add, ledger):
    add({"baseline": [0.6], "se": [0.7]})
    add({"baseline": [0.6], "non_local": [0.3]}, study=SINGLE)
    first, second = find_block_results(ledger, ("se", "non_local"))
    assert first.about.startswith(f"Pilot: {Study.load('main').title}")
    assert second.about.startswith("Exploratory: ")


def test_the_main_study_is_a_pilot_until_it_can_be_tested(add, ledger):
    add({"baseline": [0.6] * 4, "se": [0.7] * 4, "cbam": [0.7] * 3})
    [result] = find_block_results(ledger, ("se", "cbam"))
    assert result.about.startswith(Study.load("main").title)


@pytest.mark.parametrize(
    ("study", "preset", "says"),
    [
        ("main", "full-cpu", "Pilot: "),
        ("headline", "full-cpu", "Exploratory: "),
        ("main", "smoke", "A test of the machinery, not a result. "),
    ],
)
def test_a_caption_says_how_much_weight_runs_have(add, ledger, study, preset, says):
    add({"baseline": [0.6] * 3, "se": [0.7] * 3}, preset=preset)
    [held] = held_in(Study.load(study), ledger)
    assert standing(Study.load(study), held, ledger.frame(held.runs)) == says


def test_the_pilots_records_are_called_so_and_have_no_cost_on_unseen_backgrounds(add, ledger, said, tmp_path):
    add({"baseline": [0.6] * 3, "se": [0.7] * 3}, preset="full-cpu", study=Study.load("pilot"))
    [result] = find_block_results(ledger, ("se",))
    assert result.about.startswith("Pilot: ")
    show_block_results(("se",), tmp_path)
    [(caption, frame)] = [shown for shown in said if isinstance(shown, tuple)]
    assert caption.startswith("Accuracy in % on fragments+noise: mean over the severities")
    assert frame["mean"].to_dict() == {"baseline": 55.0, "se": 65.0}


def test_a_misspelt_variant_is_refused(ledger):
    with pytest.raises(ValueError, match=r"variant must be one of .* but got 'non_locall'\. Did you mean 'non_local'"):
        find_block_results(ledger, ("se", "non_locall"))


def test_results_that_a_protocol_hides_are_not_shown(ledger):
    study = Study.load("backgrounds")
    runs = study.plan_seeds("published", PHOTOS, range(10, 20))
    for planned in runs:
        if planned.variant in ("baseline", "se", "cbam", "spatial", "non_local") and planned.spec.seed < 16:
            accuracy = 0.7 + 0.001 * (planned.spec.seed * len(planned.variant) % 7)
            ledger.add(record(planned, accuracy, "published", PHOTOS, "backgrounds"))
    assert find_block_results(ledger, ("se", "cbam")) == []
    for planned in runs:
        if planned.variant in ("baseline", "se", "cbam", "spatial", "non_local"):
            accuracy = 0.7 + 0.001 * (planned.spec.seed * len(planned.variant) % 7)
            ledger.add(record(planned, accuracy, "published", PHOTOS, "backgrounds"))
    [found] = find_block_results(ledger, ("se", "cbam"))
    assert found.frame["seed"].nunique() == 10

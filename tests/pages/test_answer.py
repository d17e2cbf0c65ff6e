"""The book's answer: made from the ledger by the protocol's rules, and recomputed here from the accuracies alone."""

import re
from itertools import product

import numpy as np
import pytest
from scipy import stats

from attn_tutorial.ledger import Ledger, Record
from attn_tutorial.ledger.record import Accuracy
from attn_tutorial.pages import answer
from attn_tutorial.spec import SEEN, Images
from attn_tutorial.study import Protocol, Study

IMAGES = Images(name="cifar10", source="photos of a test", fingerprint="a" * 64, archive_sha256=None)
PROTOCOL = Protocol.load("backgrounds")
# By variant: reductions of the unseen cost, 9 points for the plain network. The seen cost falls by half as much.
REDUCTIONS = {
    "baseline": 0.0, "se": 0.2, "cbam": 4.0, "spatial": 3.0, "non_local": 1.7, "attention pooling": 3.5,
    "oracle gate": 8.0,
}  # fmt: skip
ALL_TYPES = (SEEN, "mosaic", "crowd")


def cost(variant, seed, types, reductions, spread):
    place = list(reductions).index(variant)
    noise = spread * np.sin(3.7 * seed + 2.1 * place) + 0.5 * np.sin(1.3 * seed)
    return (4.0 if types == SEEN else 9.0) - reductions[variant] / (2 if types == SEEN else 1) + noise


@pytest.fixture
def ledger(tmp_path):
    """A function that fills a ledger: by variant its reduction, or by variant and seed."""

    def make(reductions=REDUCTIONS, seeds=range(10, 20), spread=0.3, precision=lambda seed: "bfloat16"):
        found = Ledger(tmp_path)
        for run in Study.load("backgrounds").plan_seeds("published", IMAGES, seeds):
            if run.variant not in reductions:
                continue
            rows = [
                Accuracy(
                    types=types, severity=severity, images=8000,
                    accuracy=0.75 - cost(run.variant, run.spec.seed, types, reductions, spread) * severity / 300,
                )
                for types, severity in product(ALL_TYPES, range(6))
            ]  # fmt: skip
            found.add(
                Record(
                    run_id=run.run_id, study="backgrounds", preset="published", variant=run.variant, spec=run.spec,
                    status="done", accuracy=rows, data=IMAGES, parameters=1, versions={}, git_revision=None,
                    device="cpu", processor="", threads=1, finished_at="", precision=precision(run.spec.seed),
                )
            )  # fmt: skip
        return found

    return make


@pytest.fixture
def read(ledger):
    return lambda **given: answer.read_results(Study.load("backgrounds"), ledger(**given))


@pytest.fixture
def said(monkeypatch):
    """What pages show: texts, and tables and figures by caption."""
    texts, shown = [], {}
    monkeypatch.setattr(answer, "display", lambda markdown: texts.append(markdown.data))
    monkeypatch.setattr(answer, "show_table", lambda frame, caption: shown.update({caption: frame}))
    monkeypatch.setattr(answer, "show", lambda draw, alt, caption: shown.update({caption: (draw(), alt)}))
    return texts, shown


def unseen(record):
    """The unseen cost of a record, from its rows alone."""
    share = {(row.types, row.severity): row.accuracy for row in record.accuracy}
    costs = [
        share[types, 0] - np.mean([share[types, severity] for severity in range(1, 6)]) for types in ("mosaic", "crowd")
    ]
    return 100 * np.mean(costs)


def table_of(ledger_, variants):
    by_run = {(record.variant, record.spec.seed): unseen(record) for record in ledger_}
    seeds = sorted({seed for _, seed in by_run})
    return np.array([[by_run[variant, seed] for seed in seeds] for variant in variants])


def two_way_interval(values, place):
    """The contrast of row `place` with row 0 in the model row + column, by hand."""
    rows, columns = values.shape
    residuals = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
    freedom = (rows - 1) * (columns - 1)
    error = np.sqrt(2 * (residuals**2).sum() / freedom / columns)
    estimate = values[0].mean() - values[place].mean()
    half = stats.t.ppf(0.975, freedom) * error
    return estimate, estimate - half, estimate + half


def test_the_answer_names_who_helps_who_does_not_and_how_much_there_is(read):
    results = read()
    verdicts = {each.variant: each.verdict for each in results.findings}
    assert verdicts == {"se": "refuted", "cbam": "supported", "spatial": "supported", "non_local": "supported"}
    first, second, third = answer.answer_sentences(results)
    assert first.startswith(
        "**Yes, some do: on backgrounds that training did not show, networks with CBAM, spatial gate and Non-local are "
        "more robust to backgrounds that they have never seen.** The plain network loses 9.0 points there"
    )
    assert re.search(r"CBAM by 4\.0 \[3\.\d, 4\.\d\], spatial gate by 3\.0", first)
    assert re.match(r"A reduction of [\d.]+ points or more is refuted for SE \(0\.\d \[-?0\.\d, 0\.\d\]\)\.$", second)
    assert third.startswith("A network that is told where the target is wins back 89 % of the loss, one weighing of")
    assert third.endswith("the block with the largest reduction, CBAM, 45 %.")


def test_the_numbers_are_those_of_the_model_worked_out_by_hand(ledger, said):
    filled = ledger()
    results = answer.read_results(Study.load("backgrounds"), filled)
    pooled = ["baseline", *PROTOCOL.primary, "attention pooling"]
    values = table_of(filled, pooled)
    for place, found in enumerate(results.findings, start=1):
        by_hand = two_way_interval(values, place)
        assert (found.estimate, found.low, found.high) == pytest.approx(by_hand), "without the oracle gate"
    answer.show_verdicts(results)
    _, shown = said
    [(_, table)] = shown.items()
    estimate, low, high = two_way_interval(values, 2)
    assert table.loc["CBAM", "reduction of the unseen cost"] == f"{estimate:.2f} [{low:.2f}, {high:.2f}]"
    assert table.loc["SE", "verdict"] == "refuted"
    answer.show_pooling(results)
    against = next(frame for caption, frame in shown.items() if "against attention pooling" in caption)
    one = np.vstack([values[5], values[1:5], values[0]])
    estimate, low, high = two_way_interval(one, 2)
    assert against.loc["CBAM", "reduction"] == f"{estimate:.2f} [{low:.2f}, {high:.2f}]"
    assert against.index.tolist() == ["SE", "CBAM", "spatial gate", "Non-local"]


def test_when_nothing_helps_the_answer_says_so(read):
    none = dict.fromkeys(REDUCTIONS, 0.0)
    first, second, _ = answer.answer_sentences(read(reductions=none))
    assert first == "**No block is shown to lessen what unseen backgrounds cost by an amount that matters.**"
    assert second.count("[") == 4
    first, second, _ = answer.answer_sentences(read(reductions=none, spread=6.0, seeds=range(10, 24)))
    assert "the study cannot tell about" in second.lower()


@pytest.mark.parametrize(
    ("gain", "words"), [(3.0, "keep to the target"), (0.0, "are more robust to backgrounds that they have never seen")]
)
def test_blocks_keep_to_the_target_only_if_the_gain_stays_with_all_backgrounds_in_training(read, gain, words):
    all_four = {**REDUCTIONS, "se": 2.5, "baseline, all backgrounds": 4.0, "cbam, all backgrounds": 4.0 + gain}
    first, second, _ = answer.answer_sentences(read(reductions=all_four))
    assert first.startswith("**Yes, all four do: ")
    assert words in first
    assert second == "None of the four fails."


def test_before_stage_1_is_complete_there_is_a_sentence_and_no_result(read):
    assert read(seeds=range(10, 15)).startswith("5 of the first 6 seeds are complete.")
    assert read(seeds=range(10, 17)) == "The study needs 10 seeds, and 7 of them are complete."


def test_without_runs_there_is_a_sentence(tmp_path):
    assert answer.read_results(Study.load("backgrounds"), Ledger(tmp_path)) == "The study has no runs yet."


def test_the_figure_shows_means_and_seeds_under_readable_names(read, said):
    results = read()
    answer.show_main_figure(results)
    _, shown = said
    [(figure, alt)] = shown.values()
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == [
        "plain network", "SE", "CBAM", "spatial gate", "Non-local", "attention pooling", "oracle gate (told the place)"
    ]  # fmt: skip
    assert (left.get_title(), right.get_title()) == ("unseen backgrounds", "seen backgrounds")
    assert "unseen backgrounds: plain network 9.0, SE 8.8, CBAM 5.0" in alt
    dots = [line for line in left.lines if line.get_marker() == "."]
    assert {len(line.get_xdata()) for line in dots} == {10}


def test_each_precision_stands_by_itself_beside_the_protocols_model(read, said, ledger):
    results = read(precision=lambda seed: "float32" if seed < 14 else "bfloat16")
    answer.show_other_analyses(results, ledger())
    _, shown = said
    [table] = shown.values()
    assert table.columns.tolist() == ["the protocol's model", "paired t test", "bfloat16, 6 seeds", "float32, 4 seeds"]


def test_explanations_that_are_missing_are_named(read, said):
    results = read(reductions={**REDUCTIONS, "wrong oracle": -1.0, "static_spatial": 0.1})
    answer.show_explanations(results)
    texts, shown = said
    [table] = shown.values()
    assert table["compared"].tolist() == [
        "oracle gate (told the place) − plain network", "wrong oracle (told another place) − plain network",
        "spatial gate − spatial map, same for all images",
    ]  # fmt: skip
    assert table["question"].tolist() == ["Could looking help?", "", "Is it attention?"]
    assert "Or only robustness to a shift? Or only a short training?" in texts[0]

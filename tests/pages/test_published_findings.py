"""Every number of the findings page, worked out again from the published records and answers alone."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from attn_tutorial.ledger import Ledger
from attn_tutorial.pages import answer
from attn_tutorial.study import Study

FOLDER = Path(__file__).parents[2] / "data" / "results"
BLOCKS = {"se": "SE", "cbam": "CBAM", "spatial": "spatial gate", "non_local": "Non-local"}
POOLED = ["baseline", *BLOCKS, "attention pooling"]
UNSEEN, SEEN = ("mosaic", "crowd"), ("surround+noise",)


@pytest.fixture(scope="module")
def results():
    found = answer.read_results(Study.load("backgrounds"), Ledger(FOLDER))
    if isinstance(found, str):
        pytest.skip(f"the study is not complete: {found}")
    return found


@pytest.fixture(scope="module")
def records():
    """The study's records by variant and seed, as JSON says them."""
    found = {}
    for path in FOLDER.glob("*.json"):
        record = json.loads(path.read_text())
        if record["study"] == "backgrounds" and record["preset"] == "published" and record["status"] == "done":
            found[record["variant"], record["spec"]["seed"]] = record
    return found


def accuracies(record):
    """Percent by composition and severity, from the network's answers to each image."""
    with np.load(FOLDER / "answers" / f"{record['run_id']}.npz") as answers:
        label = answers["labels/test"]
        shares = {}
        for name in answers.files:
            split, *condition = name.split("/")
            if split == "test":
                named = answers[name]
                shares[condition[0], int(condition[1])] = 100 * np.mean(named[named != 255] == label[named != 255])
    for row in record["accuracy"]:
        assert shares[row["types"], row["severity"]] == pytest.approx(100 * row["accuracy"], abs=0.006)
    return {(row["types"], row["severity"]): 100 * row["accuracy"] for row in record["accuracy"]}


def cost(shares, types):
    return np.mean([shares[each, 0] - np.mean([shares[each, level] for level in range(1, 6)]) for each in types])


@pytest.fixture(scope="module")
def costs(results, records):
    """Unseen and seen costs: a row for each variant of `POOLED`, a column for each seed that counts."""
    seeds = results.stage.seeds
    shares = {key: accuracies(record) for key, record in records.items() if key[0] in POOLED and key[1] in seeds}
    return {
        types: np.array([[cost(shares[name, seed], types) for seed in seeds] for name in POOLED])
        for types in (UNSEEN, SEEN)
    }


def contrast(values, place, reference=0):
    """Reduction against a row, its interval and p, in the model row + column."""
    rows, columns = values.shape
    residuals = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
    freedom = (rows - 1) * (columns - 1)
    error = np.sqrt(2 * (residuals**2).sum() / freedom / columns)
    estimate = values[reference].mean() - values[place].mean()
    half = stats.t.ppf(0.975, freedom) * error
    return estimate, estimate - half, estimate + half, 2 * stats.t.sf(abs(estimate) / error, freedom)


def holm(p):
    order = np.argsort(p)
    steps = np.maximum.accumulate(np.array(p)[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(steps, 1)
    return corrected


def text(ends, form=".2f"):
    middle, low, high = ends[:3]
    return f"{middle:{form}} [{low:{form}}, {high:{form}}]"


@pytest.fixture
def said(monkeypatch):
    texts, shown = [], {}
    monkeypatch.setattr(answer, "display", lambda markdown: texts.append(markdown.data))
    monkeypatch.setattr(answer, "show_table", lambda frame, caption: shown.update({caption: frame}))
    return texts, shown


def test_the_verdicts(results, costs, said):
    answer.show_verdicts(results)
    [table] = said[1].values()
    found = {name: contrast(costs[UNSEEN], POOLED.index(name)) for name in BLOCKS}
    corrected = dict(zip(BLOCKS, holm([found[name][3] for name in BLOCKS]), strict=True))
    margin = float(re.search(r"^margin: ([\d.]+)$", protocol_text(), re.M)[1])
    for name, label in BLOCKS.items():
        row, ends = table.loc[label], found[name]
        assert row["reduction of the unseen cost"] == text(ends).replace("-0.00", "0.00")
        printed = row["p (Holm)"]
        assert (
            corrected[name] < 0.0001
            if printed.startswith("<")
            else float(printed) == pytest.approx(corrected[name], abs=6e-5)
        )
        if ends[2] < margin:
            assert row["verdict"] == "refuted"
        elif row["verdict"] == "supported":
            assert corrected[name] < 0.05
            assert ends[0] >= margin
            assert all(float(row[f"on {types}"]) > 0 for types in UNSEEN)
            assert float(row["accuracy, unseen"]) >= 0


def test_the_sentences(results, costs, records):
    sentences = " ".join(answer.answer_sentences(results))
    for name, label in BLOCKS.items():
        assert text(contrast(costs[UNSEEN], POOLED.index(name)), ".1f").replace("-0.0", "0.0") in sentences.replace(
            "-0.0", "0.0"
        ), label
    told = np.array([cost(accuracies(records["oracle gate", seed]), UNSEEN) for seed in results.stage.seeds])
    plain = costs[UNSEEN][0]
    assert f"wins back {np.mean(100 * (plain - told) / plain):.0f} % of the loss" in sentences
    pooled = costs[UNSEEN][POOLED.index("attention pooling")]
    assert f"wins back {np.mean(100 * (plain - pooled) / plain):.0f} %" in sentences


def test_pooling_and_seen_backgrounds(results, costs, said):
    answer.show_pooling(results)
    answer.show_seen(results)
    _, shown = said
    against = next(frame for caption, frame in shown.items() if "against attention pooling" in caption)
    for name, label in BLOCKS.items():
        ends = contrast(costs[UNSEEN], POOLED.index(name), POOLED.index("attention pooling"))
        assert against.loc[label, "reduction"].replace("-0.00", "0.00") == text(ends).replace("-0.00", "0.00")
    for caption, frame in shown.items():
        if caption.startswith("The seen cost"):
            for label, row in frame.iterrows():
                name = next(name for name, each in BLOCKS.items() if each == label)
                ends = contrast(costs[SEEN], POOLED.index(name))
                assert row["reduction"].replace("-0.00", "0.00") == text(ends).replace("-0.00", "0.00")


def protocol_text():
    return (Path(answer.__file__).parents[1] / "study" / "protocols" / "backgrounds.md").read_text()

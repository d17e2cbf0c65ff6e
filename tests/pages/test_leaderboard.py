"""The page's table of claims: claims about different images never share a table, and no claim is lost silently."""

import json
from dataclasses import replace

import pytest

from attn_tutorial.benchmark import benchmark
from attn_tutorial.pages import leaderboard, show_leaderboard

TRAINED = {"trained_on": ["surround", "noise"], "severities": [0, 1, 2]}


@pytest.fixture
def said(monkeypatch):
    """What is displayed, in order: texts, and tables as pairs of caption and frame."""
    shown = []
    monkeypatch.setattr(leaderboard, "display", lambda markdown: shown.append(markdown.data))
    monkeypatch.setattr(leaderboard, "show_table", lambda frame, caption: shown.append((caption, frame)))
    return shown


@pytest.fixture
def claim(test_images, tmp_path, mean_colours):
    def claim(name, seeds=1, fingerprint="a" * 64, **about):
        images = replace(test_images, fingerprint=fingerprint)
        result = benchmark([mean_colours(seed) for seed in range(seeds)], images, progress=False)
        return result.claim(name, tmp_path, **about)

    return claim


def test_without_claims_one_line_says_so(said, tmp_path):
    show_leaderboard(tmp_path)
    show_leaderboard(tmp_path / "nothing")
    assert said == ["There is no claim in the table yet."] * 2


def test_claims_of_two_fingerprints_stand_in_two_tables(said, claim, tmp_path):
    """Even if the two sets of images call themselves the same."""
    claim("First", seeds=3, by="A reader", link="https://example.org/first", **TRAINED)
    claim("Second", **TRAINED)
    claim("Elsewhere", fingerprint="b" * 64, **TRAINED)
    claim("Without clutter")
    show_leaderboard(tmp_path)
    tables = [(caption, set(table.index)) for caption, table in said]
    clutter = "Training: surround+noise at severities 0, 1, 2."
    assert [names for _, names in tables] == [{"Without clutter"}, {"First", "Second"}, {"Elsewhere"}]
    for (caption, _), training, fingerprint in zip(
        tables, ("Training: no clutter.", clutter, clutter), ("a" * 12, "a" * 12, "b" * 12), strict=True
    ):
        assert caption.startswith(training)
        assert caption.endswith(f"random pixels; target 32 on canvas 48; 50 test images; fingerprint {fingerprint}.")
    both = said[1][1]
    costs = [float(text.split()[0]) for text in both["unseen cost"]]
    assert costs == sorted(costs)
    assert both.loc["First", ["by", "link", "seeds"]].tolist() == ["A reader", "https://example.org/first", 3]
    assert "Fewer than 3 seeds" in both.loc["Second", "remarks"]
    assert {"by", "link"}.isdisjoint(said[0][1].columns)  # nobody said so


def test_a_spoiled_claim_is_named_without_the_path_of_this_machine(said, claim, tmp_path):
    path = claim("Spoiled")
    values = json.loads(path.read_text())
    values["networks"][0]["accuracy"]["crowd"][5] = 1.0
    path.write_text(json.dumps(values))
    show_leaderboard(tmp_path)
    text, (caption, table) = said
    assert text == "There is no claim in the table yet."
    assert caption == "Claims that are left out, and why."
    assert table["claim"].tolist() == ["spoiled.json"]
    reason = table["reason"].item()
    assert reason.startswith("spoiled.json: network of seed 0: the answers give an accuracy of")
    assert reason.endswith("on crowd at severity 5, but the claim states 100.0000%.")
    assert str(tmp_path) not in reason

"""The detectors do what they say, find a target that leaves a trace, and find none on the benchmark's backgrounds."""

import pytest
import torch
from scipy.stats import binomtest

from attn_tutorial.audit import judging
from attn_tutorial.audit.detectors import border_guess, hole_guess, places_within, search, search_all
from attn_tutorial.clutter.layers import surround
from attn_tutorial.datasets import ImageSet

EXTENT, COUNT = 24, 600


@pytest.fixture(scope="module")
def images() -> ImageSet:
    """Images of 24 px, each with a colour of its own and a little grain, so that pasted edges are seen."""
    generator = torch.Generator().manual_seed(0)
    colour = torch.randint(0, 256, (COUNT, 1, 1, 3), generator=generator)
    grain = torch.randint(-8, 9, (COUNT, EXTENT, EXTENT, 3), generator=generator)
    return ImageSet(
        images=(colour + grain).clamp(0, 255).to(torch.uint8),
        labels=torch.arange(COUNT) % 10,
        classes=tuple("abcdefghij"),
        split="test",
        index=torch.arange(COUNT),
        name="shapes",
        source="colours",
        fingerprint="c" * 64,
        masks=None,
    )


def test_the_border_detector_takes_the_largest_mean_step_across_the_sides():
    canvas = torch.randint(0, 256, (4, 3, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    extent, pixels = 8, canvas.to(torch.float64)
    for guess, one in zip(border_guess(canvas, extent).tolist(), pixels, strict=True):
        means = {}
        for x in range(5):
            for y in range(5):
                right, below = x + extent, y + extent
                sides = [
                    (one[:, y:below, out] - one[:, y:below, within]).abs().mean()
                    for out, within in ((x - 1, x), (right, right - 1))
                    if 0 <= out < 12
                ] + [
                    (one[:, out, x:right] - one[:, within, x:right]).abs().mean()
                    for out, within in ((y - 1, y), (below, below - 1))
                    if 0 <= out < 12
                ]
                means[x, y] = sum(sides) / len(sides)
        assert tuple(guess) == max(means, key=means.get)


def test_the_hole_detector_takes_the_fewest_pasted_pixels_and_one_of_several_at_random():
    pasted = torch.ones(300, 12, 12, dtype=torch.bool)
    pasted[:150, 3:11, 2:10] = False  # one hole of the target's size
    pasted[150:, 0:10, 1:10] = False  # six places where one fits
    guess = hole_guess(pasted, 8, torch.Generator().manual_seed(0))
    assert guess[:150].tolist() == [[2, 3]] * 150
    assert {tuple(place) for place in guess[150:].tolist()} == {(x, y) for x in (1, 2) for y in (0, 1, 2)}
    # A place with a pixel more is never taken, whatever chance says.
    pasted[150:, 0, 1] = True
    assert [1, 0] not in hole_guess(pasted, 8, torch.Generator().manual_seed(0))[150:].tolist()


def test_chance_counts_the_places_for_which_a_guess_is_right():
    places = [(x, y) for x in range(6) for y in range(6)]
    for guess in ((0, 0), (0, 3), (2, 4), (5, 5), (4, 1)):
        right = sum(abs(x - guess[0]) <= 1 and abs(y - guess[1]) <= 1 for x, y in places)
        assert places_within(torch.tensor([guess]), 6).tolist() == [right]


def test_backgrounds_hide_where_the_target_was(images):
    for types in ("surround", "crowd"):
        for row in search(images, COUNT, types, 5):
            assert binomtest(row.hits, row.canvases, row.chance).pvalue > 0.001, row
            assert 4 / 625 <= row.chance <= 9 / 625


def test_a_target_that_is_there_is_found_by_its_border(images):
    [row] = search(images, 200, "surround", 3, shown=True)
    assert (row.detector, row.tile) == ("border", "shown")
    assert row.hits > 0.9 * row.canvases


def keep_clear(scene, corner, size):
    """Move pieces that would lie behind the target off the canvas."""
    target, extent = scene.tile.corner[:, None], scene.tile.extent
    behind = ((corner < target + extent) & (corner + size[:, None, None] > target)).all(-1, keepdim=True)
    return torch.where(behind, -1000, corner)


def touch(scene, corner, size):
    """Move pieces to the four sides of the target in turn, where they stop at its border."""
    target, extent, size = scene.tile.corner[:, None], scene.tile.extent, size[:, None]
    beside = target + (corner % extent) - size[:, None] // 2
    x, y = beside.clone().unbind(-1)
    side = torch.arange(corner.shape[1]) % 4
    x = torch.where(side == 0, target[..., 0] - size, torch.where(side == 1, target[..., 0] + extent, x))
    y = torch.where(side == 2, target[..., 1] - size, torch.where(side == 3, target[..., 1] + extent, y))
    return torch.stack((x, y), -1)


@pytest.mark.parametrize(("misplace", "detector"), [(keep_clear, "hole"), (touch, "border"), (touch, "hole")])
def test_a_layer_that_knows_the_place_gives_it_away(images, make_records, monkeypatch, misplace, detector):
    centred = surround.centred
    monkeypatch.setattr(
        surround, "centred", lambda scene, place, size: misplace(scene, centred(scene, place, size), size)
    )
    rows = search(images, 200, "surround", 5)
    found = {row.detector: row.hits / row.canvases for row in rows}
    assert found[detector] > 0.15  # where chance is 0.01
    promise = judging.no_leak(make_records(), 0.1, rows)
    assert not promise.passed
    assert f"{detector} detector, surround at severity 5" in promise.measured


def test_all_searches_are_made(images):
    rows = search_all(images, 20)
    assert len(rows) == 2 * 3 * 5 + 3
    assert {row.canvases for row in rows} == {20}
    assert {(row.detector, row.types) for row in rows if row.tile == "shown"} == {("border", "surround+noise")}
    assert rows == search_all(images, 20)


def test_the_hole_detector_is_told_only_of_pieces(images, monkeypatch):
    # Noise and mosaic change every pixel: if they counted, there would be no hole at all.
    from attn_tutorial.audit import detectors

    shares = []

    def watch(pasted, extent, generator):
        shares.append(pasted.to(torch.float64).mean().item())
        return hole_guess(pasted, extent, generator)

    monkeypatch.setattr(detectors, "hole_guess", watch)
    search(images, 50, "surround+noise+mosaic+crowd", 1)
    assert 0.1 < shares[0] < 0.9

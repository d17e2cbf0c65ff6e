"""What is measured on canvases: ways to render them, whole targets, sources of distractors, weak backgrounds."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from attn_tutorial.audit import canvas_checks, judging
from attn_tutorial.audit.promises import ALL_BACKGROUNDS
from attn_tutorial.clutter import BACKGROUND_TYPES, Clutter
from attn_tutorial.datasets import ImageSet


def test_the_same_pixels_in_every_way(train):
    before = torch.get_num_threads()
    rows = canvas_checks.compare_ways(train, 40)
    assert torch.get_num_threads() == before
    assert [row.way for row in rows] == ["batches of 7", "batches of 1", "another order", "two threads", "on a GPU"]
    assert {row.canvases for row in rows} == {40}
    promise = judging.same_pixels(rows)
    assert promise.passed
    if not torch.cuda.is_available():
        assert rows[-1].pixels is None
        assert "on a GPU: not run" in promise.measured


def test_fewer_canvases_are_rendered_one_by_one(train, monkeypatch):
    monkeypatch.setattr(canvas_checks, "_SINGLES", 20)
    canvases = {row.way: row.canvases for row in canvas_checks.compare_ways(train, 60)}
    assert canvases.pop("batches of 1") == 20
    assert set(canvases.values()) == {60}


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        # The last canvas of a batch is another one, as with a generator that goes through the batch.
        (
            lambda batch: {"canvas": batch.canvas ^ (torch.arange(len(batch.label)) == 6)[:, None, None, None]},
            "another order: 4,608 pixels and 0 of the masks",
        ),
        (
            lambda batch: {"visible_mask": batch.visible_mask & (len(batch.label) > 1)},
            "batches of 1: 0 pixels and",
        ),
        (
            lambda batch: {"canvas": batch.canvas ^ (torch.get_num_threads() == 2)},
            "two threads: 92,160 pixels and 0 of the masks",
        ),
    ],
    ids=["place in the batch", "size of the batch", "threads"],
)
def test_what_pixels_must_not_depend_on_is_noticed(train, spoil, change, wrong):
    spoil(change)
    promise = judging.same_pixels(canvas_checks.compare_ways(train, 40))
    assert not promise.passed
    assert wrong in promise.measured


def test_background_types_touch_no_pixel_of_the_target(train):
    rows = canvas_checks.touched_targets(train, 5 * len(train))
    assert [row.types for row in rows] == [*BACKGROUND_TYPES, ALL_BACKGROUNDS]
    assert {(row.canvases, row.pixels, row.mask_pixels) for row in rows} == {(60, 0, 0)}


def test_a_touched_target_is_noticed(train, spoil):
    # Types of the other axis touch it.
    for types in ("fragments", "strokes", "veil"):
        row = canvas_checks._touched(train, torch.arange(60), types)
        assert row.pixels > 0
        assert (row.mask_pixels > 0) == (types != "veil")  # a veil hides nothing, it changes colours

    def dot(batch):
        x, y, width, height = batch.tile_box[0].tolist()
        canvas = batch.canvas.clone()
        canvas[0, 1, y + height - 1, x + width - 1] ^= 1
        return {"canvas": canvas}

    spoil(dot)
    rows = canvas_checks.touched_targets(train, 5 * len(train))
    assert [row.pixels for row in rows] == [1] * 5
    assert [row.mask_pixels for row in rows] == [0] * 5


def test_a_mask_that_is_not_the_whole_box_is_noticed(train, spoil):
    spoil(lambda batch: {"visible_mask": batch.visible_mask.roll(1, 2)})
    rows = canvas_checks.touched_targets(train, 5 * len(train))
    assert all(row.pixels == 0 and row.mask_pixels >= 60 * 32 for row in rows)


def test_the_background_is_measured(test_images, make_records):
    deviations = canvas_checks.background_deviations(test_images, 30)
    assert len(deviations) == 30
    # Of the first canvas, as numpy has it.
    batch = Clutter(severity=0).render(test_images, [0])
    x, y, width, height = batch.tile_box[0].tolist()
    outside = np.ones((48, 48), dtype=bool)
    outside[y : y + height, x : x + width] = False
    pixels = batch.canvas[0].numpy()[:, outside] / 255
    assert deviations[0] == pytest.approx(np.sqrt(pixels.var(axis=1).mean()))
    promise = judging.weak_background(deviations, make_records())
    assert promise.passed
    assert promise.least_sd == min(deviations) > 0


@pytest.mark.parametrize("colour", [(128, 128, 128), (255, 0, 90)])
def test_a_single_blank_canvas_is_noticed(test_images, make_records, spoil, colour):
    plain = torch.tensor(colour, dtype=torch.uint8)[:, None, None]

    def blank_first(batch):
        first = (torch.arange(len(batch.label)) == 0)[:, None, None, None]
        return {"canvas": torch.where(first & ~batch.visible_mask[:, None], plain, batch.canvas)}

    spoil(blank_first)
    promise = judging.weak_background(canvas_checks.background_deviations(test_images, 30), make_records())
    assert not promise.passed
    assert "1 blank" in promise.measured


@pytest.fixture
def planted(make_images, test_images):
    """A training set whose image 7 is one of the bank, and a bank whose image 3 is a test image."""
    bank = test_images.fragments
    bank.images[3] = test_images.images[11]
    train = make_images(60, "train")
    train.images[7] = bank.images[20]
    return train, replace(test_images, fragments=bank)


@pytest.fixture
def barred(planted):
    """The same, where the two may not lend."""
    train, test = planted
    train = replace(train, may_lend=torch.arange(60) != 7)
    return train, replace(test, fragments=replace(test.fragments, may_lend=torch.arange(40) != 3))


def judge(train, test):
    in_train, in_bank, examples = canvas_checks.find_duplicates(train, test)
    sources = [*canvas_checks.check_sources(train, in_train), *canvas_checks.check_sources(test, in_bank)]
    counts = [*canvas_checks.count_kinds("train", in_train), *canvas_checks.count_kinds("bank", in_bank)]
    return judging.no_test_image(counts, sources, examples)


def test_barred_duplicates_are_in_no_layer(barred):
    promise = judge(*barred)
    assert promise.passed
    assert [(row.between, row.kind, row.pairs) for row in promise.duplicates] == [
        ("train", "exact", 1),
        ("bank", "exact", 1),
    ]
    layers = ["fragments", "mosaic", "veil", "surround", "crowd"]  # all that show other images
    assert [(row.split, row.layer) for row in promise.sources] == [
        (split, layer) for split in ("train", "test") for layer in layers
    ]
    images = {(row.split, row.layer): (row.canvases, row.images) for row in promise.sources}
    for layer in ("fragments", "surround", "crowd"):
        assert images["train", layer] == (60, 59)
        assert images["test", layer] == (50, 39)
    assert 20 < images["train", "mosaic"][1] <= 59  # one a canvas
    # By their places in the files, where the bank begins at 200.
    assert [(twins.train, twins.test) for twins in promise.examples] == [(7, 220)]


@pytest.mark.parametrize("free", ["train", "bank"])
def test_a_duplicate_among_the_distractors_is_noticed(planted, barred, free):
    train = planted[0] if free == "train" else barred[0]
    test = planted[1] if free == "bank" else barred[1]
    promise = judge(train, test)
    assert not promise.passed
    split = {"train": "train", "bank": "test"}[free]
    for row in promise.sources:
        assert row.not_barred == (row.split == split)
        if row.layer in ("fragments", "surround", "crowd"):
            assert row.duplicates == (row.split == split)


def test_what_a_layer_records_is_noticed_although_it_is_barred(barred, spoil):
    spoil(lambda batch: {"fragment_id": torch.full_like(batch.fragment_id, 7)})
    promise = judge(*barred)
    assert not promise.passed
    recorded = {row.layer for row in promise.sources if row.duplicates}
    assert recorded == {"fragments", "surround", "crowd"}
    assert {row.split for row in promise.sources if row.duplicates} == {"train"}


def test_what_a_layer_picks_is_noticed_although_it_keeps_no_record(barred, monkeypatch):
    monkeypatch.setattr(ImageSet, "pick", lambda images, words, *_: torch.full_like(words, 7))
    promise = judge(*barred)
    assert not promise.passed
    assert {row.layer for row in promise.sources if row.split == "train" and row.duplicates} == {
        "fragments", "mosaic", "veil", "surround", "crowd",
    }  # fmt: skip


def test_a_clean_set_has_no_duplicates(train, test_images):
    promise = judge(train, test_images)
    assert promise.passed
    assert promise.duplicates == []

import hashlib
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from attn_tutorial.datasets import SEVERITIES, Clutter, to_input
from attn_tutorial.datasets.severity import NOISE_SD, fragment_levels

FIELDS = ("canvas", "label", "severity", "tile_box", "visible_mask", "object_mask", "fragment_id", "fragment_class")


def same(one, other, rows=slice(None)):
    for name in FIELDS:
        a, b = getattr(one, name), getattr(other, name)
        if a is None:
            assert b is None
        else:
            assert torch.equal(a, b[rows]), name


@pytest.mark.parametrize("severity", SEVERITIES)
def test_the_mask_is_true_to_the_pixels(train, severity):
    indices = torch.arange(len(train))
    batch = Clutter(severity=severity).render(train, indices)
    behind = Clutter(("noise",), severity).render(train, indices)
    for i in range(len(train)):
        x, y, w, h = batch.tile_box[i].tolist()
        tile = train.images[i].permute(2, 0, 1)
        shown = batch.canvas[i, :, y : y + h, x : x + w]
        visible = batch.visible_mask[i, y : y + h, x : x + w]
        assert torch.equal(shown[:, visible], tile[:, visible])
        # Random pixels of a fragment agree with the tile's in all three channels about once in 2^24.
        assert (shown != tile).any(0)[~visible].all()
        assert batch.visible_mask[i].sum() == visible.sum()
        assert torch.equal(batch.object_mask[i, y : y + h, x : x + w], train.masks[i] & visible)
        assert not (batch.object_mask[i] & ~batch.visible_mask[i]).any()
    assert torch.equal(behind.tile_box, batch.tile_box)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_fragments_follow_the_severity_table(train, severity):
    level = fragment_levels(32)[severity]
    batch = Clutter(severity=severity).render(train, torch.arange(len(train)))
    hidden = 32 * 32 - batch.visible_mask.sum((1, 2))
    assert hidden.max() <= level.overlap
    assert batch.fragment_id.shape == (len(train), level.count)
    if severity:
        assert hidden.double().mean() > 0.9 * level.overlap  # the cap is used, or severities would not differ
        assert (batch.fragment_id >= 0).all()
        assert (train.labels[batch.fragment_id] == batch.fragment_class).all()
        assert (batch.fragment_id != torch.arange(len(train))[:, None]).all()


def test_every_fragment_pixel_comes_from_its_own_source(make_images):
    # Each pool image has one colour, so that a pixel says which image it is from.
    pool = make_images(20, "bank", start=100)
    pool.images[:] = torch.arange(20, dtype=torch.uint8)[:, None, None, None] + 100
    target = replace(make_images(30, "test"), fragments=pool)
    target.images[:] = 0
    noise = Clutter(("noise",), 5).render(target, torch.arange(30))
    both = Clutter(severity=5).render(target, torch.arange(30))
    painted = (both.canvas != noise.canvas).any(1)
    for i in range(30):
        colours = set(both.canvas[i, 0][painted[i]].tolist())
        assert colours <= {int(f) for f in both.fragment_id[i]}  # index 100 + k has colour 100 + k
        assert len(colours) > 5


def test_severities_are_nested(train):
    indices = torch.arange(len(train))
    batches = [Clutter(severity=severity).render(train, indices) for severity in SEVERITIES]
    for weaker, stronger in itertools.pairwise(batches):
        assert torch.equal(weaker.tile_box, stronger.tile_box)
        count = weaker.fragment_id.shape[1]
        assert torch.equal(weaker.fragment_id, stronger.fragment_id[:, :count])


def test_noise_follows_the_severity_table(train):
    indices = torch.arange(len(train))
    for severity, sd in enumerate(NOISE_SD):
        batch = Clutter(("noise",), severity).render(train, indices)
        outside = torch.ones_like(batch.visible_mask) & ~batch.visible_mask
        measured = batch.canvas.permute(0, 2, 3, 1)[outside].double().std() / 255
        assert measured == pytest.approx(sd / 1000, rel=0.1)


def test_a_type_that_is_not_listed_stays_at_severity_0(train):
    indices = torch.arange(len(train))
    plain = Clutter(severity=0).render(train, indices)
    fragments = Clutter(("fragments",), 5).render(train, indices)
    untouched = (fragments.canvas == plain.canvas).all(1)
    painted = ~untouched
    assert 0.2 < painted.double().mean() < 0.95
    assert Clutter(("noise",), 5).render(train, indices).fragment_id.shape[1] == 0


@pytest.mark.parametrize("size", [1, 7, 128])
def test_no_pixel_depends_on_batch_size_or_order(size, train):
    clutter = Clutter(severity=(0, 1, 2, 3), seed=3)
    whole = clutter.render(train, torch.arange(len(train)), epoch=2)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(1))
    for rows in order.split(size):
        same(clutter.render(train, rows, epoch=2), whole, rows)


def test_a_subset_gets_the_same_canvases(train, make_images):
    clutter = Clutter(severity=4)
    pool = make_images(20, "bank", start=100)
    whole = clutter.render(train, torch.tensor([0, 1, 2, 11]), fragments=pool)
    part = clutter.render(train.take(20), torch.tensor([0, 1, 2, 11]), fragments=pool)
    same(part, whole)


def test_epoch_seed_and_split_change_the_canvas(train):
    indices = torch.arange(8)
    base = Clutter(severity=3).render(train, indices).canvas
    assert not torch.equal(base, Clutter(severity=3).render(train, indices, epoch=1).canvas)
    assert not torch.equal(base, Clutter(severity=3, seed=1).render(train, indices).canvas)
    assert not torch.equal(base, Clutter(severity=3).render(replace(train, split="val"), indices).canvas)


def test_a_tuple_draws_one_severity_an_image(train):
    drawn = Clutter(severity=(0, 2)).render(train, torch.arange(60))
    assert set(drawn.severity.tolist()) == {0, 2}
    fixed = Clutter(severity=2).render(train, torch.arange(60))
    two = drawn.severity == 2
    assert torch.equal(drawn.canvas[two], fixed.canvas[two])


def test_test_fragments_come_from_the_bank(test_images, bank):
    batch = Clutter(severity=3).render(test_images, torch.arange(50))
    assert set(batch.fragment_id.flatten().tolist()) <= set(bank.index.tolist())


def test_fragment_classes_are_drawn_without_the_label(train):
    classes = torch.cat(
        [Clutter(severity=5, seed=seed).render(train, torch.arange(60)).fragment_class for seed in range(20)]
    )
    labels = train.labels.repeat(20)
    own = (classes == labels[:, None]).double().mean()
    assert own == pytest.approx(0.1, abs=0.01)
    share = torch.bincount(classes.flatten(), minlength=10).double() / classes.numel()
    assert (share - 0.1).abs().max() < 0.01


def test_canvas_of_the_tiles_own_size_shows_the_tile_alone(train):
    batch = Clutter(severity=0, canvas=32).render(train, torch.arange(4))
    assert torch.equal(batch.canvas, train.images[:4].permute(0, 3, 1, 2))
    assert batch.visible_mask.all()


def test_a_pixel_takes_four_bytes_in_one_piece(train):
    canvas = Clutter().render(train, torch.arange(4)).canvas
    assert canvas.stride() == (48 * 48 * 4, 1, 48 * 4, 4)
    assert to_input(canvas).is_contiguous(memory_format=torch.channels_last)


# Pins version 1 of the benchmark: if one changes, CLUTTER_VERSION must, and every record is void.
GOLDEN = {0: "091ee57c489e8755", 3: "b5b3ecfd08cbf8d0", 5: "002b6aa21d87acb1"}


@pytest.mark.parametrize("severity", GOLDEN)
def test_golden_pixels(severity, make_images):
    values = np.arange(40 * 32 * 32 * 3, dtype=np.uint32)
    pixels = ((values * np.uint32(2654435761)) >> np.uint32(24)).astype(np.uint8).reshape(40, 32, 32, 3)
    images = replace(make_images(40, "test"), images=torch.from_numpy(pixels))
    canvas = Clutter(severity=severity, seed=7).render(images, torch.arange(40), epoch=1).canvas
    digest = hashlib.sha256(canvas.permute(0, 2, 3, 1).contiguous().numpy().tobytes()).hexdigest()
    assert digest[:16] == GOLDEN[severity]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"types": ("fragment",)}, "did you mean 'fragments'"),
        ({"severity": 6}, "from 0 to 5"),
        ({"severity": 2.0}, "from 0 to 5"),
        ({"severity": True}, "from 0 to 5"),
        ({"severity": ()}, "from 0 to 5"),
        ({"severity": (0, 9)}, "from 0 to 5"),
        ({"canvas": 15}, "at least that of the images"),
        ({"canvas": 48.0}, "at least that of the images"),
        ({"seed": -1}, "from 0 to"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Clutter(**arguments)

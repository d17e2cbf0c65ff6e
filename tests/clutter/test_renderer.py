"""The renderer as a whole: a canvas is a pure function of its key, pinned by hashes, and bad input is named."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from attn_tutorial.clutter import BACKGROUND_TYPES, CLUTTER_TYPES, SEEN_TYPES, SEVERITIES, Clutter, to_input

FIELDS = ("canvas", "label", "severity", "tile_box", "visible_mask", "object_mask", "fragment_id", "fragment_class")


def assert_same(one, other, rows=slice(None)):
    for name in FIELDS:
        a, b = getattr(one, name), getattr(other, name)
        if a is None:
            assert b is None
        else:
            assert torch.equal(a, b[rows]), name
    assert one.fragment_layer == other.fragment_layer


def of_layer(batch, layer):
    """The record of one layer: images and classes, (B, its fragments) each."""
    chosen = [name == layer for name in batch.fragment_layer]
    return batch.fragment_id[:, chosen], batch.fragment_class[:, chosen]


@pytest.fixture
def set_threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("feather", [0, 2])
@pytest.mark.parametrize("size", [1, 7, 128])
def test_no_pixel_depends_on_batch_size_or_order(size, feather, train):
    clutter = Clutter(CLUTTER_TYPES, SEVERITIES, seed=3, feather=feather)
    whole = clutter.render(train, torch.arange(len(train)), epoch=2)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(1))
    for rows in order.split(size):
        assert_same(clutter.render(train, rows, epoch=2), whole, rows)


def test_no_pixel_depends_on_the_number_of_threads(make_images, set_threads):
    # So many that torch does split the work.
    images, clutter = make_images(130), Clutter(CLUTTER_TYPES, 5)
    batches = []
    for threads in (1, 2):
        set_threads(threads)
        batches.append(clutter.render(images, torch.arange(130)))
    assert_same(*batches)


@pytest.mark.soak
@pytest.mark.parametrize("types", [SEEN_TYPES, BACKGROUND_TYPES, CLUTTER_TYPES], ids=["seen", "background", "all"])
def test_no_pixel_of_many_depends_on_batch_size_order_or_threads(types, make_images, set_threads):
    images = make_images(10_000, masks=True)
    clutter = Clutter(types, SEVERITIES)
    set_threads(1)
    in_order = [clutter.render(images, rows) for rows in torch.arange(10_000).split(500)]
    generator = torch.Generator().manual_seed(0)
    for threads, size in ((1, 1), (1, 7), (1, 128), (2, 7), (2, 128)):
        set_threads(threads)
        # Batches of any order, each from within one of the 20 parts, so that all 10,000 need not be held twice.
        for part, whole in enumerate(in_order):
            for rows in torch.randperm(500, generator=generator).split(size):
                assert_same(clutter.render(images, part * 500 + rows), whole, rows)


def test_a_subset_gets_the_same_canvases(train, make_images):
    clutter = Clutter(CLUTTER_TYPES, severity=4)
    pool = make_images(20, "bank", start=100)
    whole = clutter.render(train, torch.tensor([0, 1, 2, 11]), fragments=pool)
    part = clutter.render(train.take(20), [0, 1, 2, 11], fragments=pool)
    assert_same(part, whole)


@pytest.mark.parametrize("types", [(name,) for name in CLUTTER_TYPES], ids="+".join)
def test_epoch_seed_and_split_change_the_canvas(train, types):
    indices = torch.arange(8)
    # Without the tile, whose place changes as well.
    clutter = Clutter(types, severity=3, tile="removed")
    base = clutter.render(train, indices).canvas
    others = [
        clutter.render(train, indices, epoch=1),
        replace(clutter, seed=1).render(train, indices),
        clutter.render(replace(train, split="val"), indices),
    ]
    for other in others:
        assert (other.canvas != base).flatten(1).any(1).all()


@pytest.mark.parametrize(
    "new", [("strokes",), ("surround",), ("crowd",), ("surround", "crowd", "mosaic")], ids="+".join
)
def test_a_new_type_leaves_the_others_as_they_are(train, new):
    indices = torch.arange(len(train))
    few = Clutter(("fragments", "noise"), 3).render(train, indices)
    more = Clutter(("fragments", "noise", *new), 3).render(train, indices)
    assert torch.equal(few.tile_box, more.tile_box)
    for a, b in zip(of_layer(few, "fragments"), of_layer(more, "fragments"), strict=True):
        assert torch.equal(a, b)
    changed = (few.canvas != more.canvas).any(1)
    if new == ("strokes",):
        assert 0 < changed.double().mean() < 0.25
    else:
        # The new ones lie behind the target and behind the fragments.
        assert torch.equal(few.visible_mask, more.visible_mask)
        assert not (changed & few.visible_mask).any()
        assert changed.double().mean() > 0.05


@pytest.mark.parametrize("severities", [(0, 2), (1, 3, 5)], ids=str)
def test_a_tuple_draws_one_severity_an_image(train, severities):
    drawn = Clutter(CLUTTER_TYPES, severities).render(train, torch.arange(60))
    assert set(drawn.severity.tolist()) == set(severities)
    for severity in severities:
        rows = torch.nonzero(drawn.severity == severity)[:, 0]
        fixed = Clutter(CLUTTER_TYPES, severity).render(train, rows)
        assert torch.equal(drawn.canvas[rows], fixed.canvas)
        assert torch.equal(drawn.visible_mask[rows], fixed.visible_mask)
        for layer in ("fragments", "surround", "crowd"):
            for among, alone in zip(of_layer(drawn, layer), of_layer(fixed, layer), strict=True):
                count = alone.shape[1]
                assert (count > 0) == (severity > 0)
                assert torch.equal(among[rows, :count], alone)
                assert (among[rows, count:] == -1).all()


@pytest.mark.parametrize("layer", ["fragments", "surround", "crowd"])
def test_distractors_of_the_test_come_from_the_bank(test_images, bank, layer):
    batch = Clutter((layer,), severity=3).render(test_images, torch.arange(50))
    assert set(batch.fragment_layer) == {layer}
    assert set(batch.fragment_id.flatten().tolist()) <= set(bank.index.tolist())
    assert torch.equal(batch.fragment_class, bank.labels[batch.fragment_id - bank.index[0]])


def test_canvas_of_the_tiles_own_size_shows_the_tile_alone(train):
    batch = Clutter(severity=0, canvas=32).render(train, torch.arange(4))
    assert torch.equal(batch.canvas, train.images[:4].permute(0, 3, 1, 2))
    assert batch.visible_mask.all()


def test_a_canvas_far_larger_than_the_pool_is_drawn(make_images):
    images = make_images(20)
    batch = Clutter(severity=1, canvas=700).render(images, [3])
    x, y, w, h = batch.tile_box[0].tolist()
    visible = batch.visible_mask[0, y : y + h, x : x + w]
    tile = images.images[3].permute(2, 0, 1)
    assert torch.equal(batch.canvas[0, :, y : y + h, x : x + w][:, visible], tile[:, visible])


def test_a_pixel_takes_four_bytes_in_one_piece(train):
    canvas = Clutter().render(train, torch.arange(4)).canvas
    assert canvas.stride() == (48 * 48 * 4, 1, 48 * 4, 4)
    assert to_input(canvas).is_contiguous(memory_format=torch.channels_last)


# Pins the pixels: if one changes, the version of its part in `clutter.names` must change as well.
GOLDEN = {
    ("fragments+noise", 0, 0): "ae9a3b03077e20da",
    ("fragments+noise", 3, 0): "1fb22048697b4ac0",
    ("fragments+noise", 5, 0): "8fc4ca12410eac7f",
    ("mosaic", 3, 0): "0aed0aa04a401fcf",
    ("strokes", 3, 0): "f95bbed336e66369",
    ("veil", 3, 0): "32e08d20815ea1b1",
    ("fragments+noise+mosaic+strokes+veil", 5, 0): "9c5d0cc9865225c2",
    ("fragments+noise+mosaic+strokes+veil", 5, 1): "f4b8c26be2f5996f",
    ("fragments+noise+mosaic+strokes+veil", 5, 2): "cb56c17afb3b280b",
    ("surround+noise", 0, 0): "ae9a3b03077e20da",
    ("surround+noise", 3, 0): "2030fbfd64f53119",
    ("surround+noise", 5, 0): "855a9ec8f7e9ca3e",
    ("crowd", 3, 0): "695122cea28f45d1",
    ("crowd", 5, 0): "58bb4e36df4767aa",
    ("noise+mosaic+surround+crowd", 5, 0): "acf30133de67bce9",
    ("noise+mosaic+surround+crowd", 5, 1): "8a3fbabca8e24a9d",
    ("noise+mosaic+surround+crowd", 5, 2): "82aeffe012dac589",
    ("fragments+noise+mosaic+strokes+veil+surround+crowd", 5, 0): "c4483dc6d0c92707",
    ("fragments+noise+mosaic+strokes+veil+surround+crowd", 5, 1): "aa1b26b41968588a",
    ("fragments+noise+mosaic+strokes+veil+surround+crowd", 5, 2): "6c508c9ca692207b",
}


@pytest.mark.parametrize(("types", "severity", "feather"), GOLDEN)
def test_golden_pixels(types, severity, feather, make_images):
    values = np.arange(40 * 32 * 32 * 3, dtype=np.uint32)
    pixels = ((values * np.uint32(2654435761)) >> np.uint32(24)).astype(np.uint8).reshape(40, 32, 32, 3)
    images = replace(make_images(40, "test"), images=torch.from_numpy(pixels))
    clutter = Clutter(tuple(types.split("+")), severity, seed=7, feather=feather)
    batch = clutter.render(images, torch.arange(40), epoch=1)
    digest = hashlib.sha256(batch.canvas.permute(0, 2, 3, 1).contiguous().numpy().tobytes())
    digest.update(batch.visible_mask.numpy().tobytes())
    assert digest.hexdigest()[:16] == GOLDEN[types, severity, feather]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"types": ("fragment",)}, "Did you mean 'fragments'"),
        ({"types": ("surrounds", "noise")}, "clutter type must be one of .*crowd, but .* Did you mean 'surround'"),
        ({"types": ("crowds",)}, "clutter type must be one of .* Did you mean 'crowd'"),
        ({"types": ("surround", "surround")}, "at most once"),
        ({"types": ("crowd",), "severity": 6}, "from 0 to 5"),
        ({"types": "fragments"}, "must be a tuple of names"),
        ({"severity": 6}, "from 0 to 5"),
        ({"severity": 2.0}, "from 0 to 5"),
        ({"severity": True}, "from 0 to 5"),
        ({"severity": ()}, "from 0 to 5"),
        ({"severity": (0, 9)}, "from 0 to 5"),
        ({"canvas": 15}, "at least as large as the images"),
        ({"canvas": 48.0}, "at least as large as the images"),
        ({"seed": -1}, "from 0 to"),
        ({"seed": 2**32}, "from 0 to"),
    ],
    ids=str,
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Clutter(**arguments)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((60, 32, 32, 3), torch.float32),
        ((60, 30, 32, 3), torch.uint8),
        ((60, 12, 12, 3), torch.uint8),
        ((60, 34, 34, 3), torch.uint8),
        ((60, 32, 32, 1), torch.uint8),
        ((60, 3, 32, 32), torch.uint8),
        ((60, 32, 32), torch.uint8),
    ],
    ids=["float", "not square", "too small", "odd size", "grey", "channels first", "no channels"],
)
def test_images_of_another_type_or_size_are_refused(train, shape, dtype):
    images = replace(train, images=torch.zeros(shape, dtype=dtype))
    for given, pool in ((images, None), (train, images)):
        with pytest.raises(ValueError, match=r"must be square and uint8, of shape .*, but got torch"):
            Clutter().render(given, torch.arange(2), fragments=pool)


@pytest.mark.parametrize("types", [("noise",), ("surround",), ("crowd",)], ids="+".join)
def test_a_canvas_smaller_than_its_tile_is_refused(train, types):
    with pytest.raises(
        ValueError, match="`canvas` must be at least as large as the images, which have 32 px, but got 31"
    ):
        Clutter(types, canvas=31).render(train, torch.arange(2))


def test_distractors_of_another_size_are_refused(train):
    pool = replace(train, images=torch.zeros(60, 16, 16, 3, dtype=torch.uint8))
    with pytest.raises(ValueError, match="distractors are cut from must have the same size, but got 32 px and 16 px"):
        Clutter().render(train, torch.arange(2), fragments=pool)

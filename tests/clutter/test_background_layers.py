"""What `surround` and `crowd` promise: the target stays whole and the largest, and nothing tells its place or class."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from attn_tutorial.clutter import BACKGROUND_TYPES, CLUTTER_TYPES, SEVERITIES, Clutter, renderer
from attn_tutorial.clutter.draws import Draws, Stream
from attn_tutorial.clutter.layers import crowd, load_layers, surround
from attn_tutorial.clutter.smaller import box_filtered
from attn_tutorial.datasets import resize_images
from attn_tutorial.datasets.philox import philox
from attn_tutorial.datasets.pixels import packed, unpacked

BOTH = ("surround", "crowd")
GEOMETRIES = [(24, 48), (16, 48), (32, 48), (64, 96), (32, 64), (20, 33), (32, 32)]  # of the tile and of the canvas


def rendered(types, severity, images, **options):
    return Clutter(types, severity, **options).render(images, torch.arange(len(images)))


@pytest.fixture
def sized(make_images):
    """Makes targets of a size, with a bank of others."""

    def make(extent, count=12):
        generator = torch.Generator().manual_seed(extent)
        images, bank = (
            replace(
                make_images(n, split, start),
                images=torch.randint(0, 256, (n, extent, extent, 3), dtype=torch.uint8, generator=generator),
            )
            for n, split, start in ((count, "test", 0), (40, "bank", 500))
        )
        return replace(images, fragments=bank)

    return make


def assert_painted_alike(painter, clutter, images, epoch=0):
    """Check the first canvases and their records against those of the slow painter; return its paintings."""
    batch, slow = clutter.render(images, torch.arange(len(images)), epoch), painter(images, clutter, epoch)
    paintings = [slow.paint(i) for i in range(min(len(images), 8))]
    for i, painting in enumerate(paintings):
        np.testing.assert_array_equal(batch.canvas[i].permute(1, 2, 0), painting.canvas)
        drawn = [j for j, index in enumerate(batch.fragment_id[i].tolist()) if index >= 0]
        images_shown = [piece.image for piece in painting.pieces]
        assert batch.fragment_id[i, drawn].tolist() == slow.pool.index[images_shown].tolist()
        assert batch.fragment_class[i, drawn].tolist() == slow.pool.labels[images_shown].tolist()
        assert [batch.fragment_layer[j] for j in drawn] == [piece.layer for piece in painting.pieces]
    return paintings


@pytest.mark.parametrize("options", [{}, {"feather": 1}, {"feather": 2}, {"fragment_classes": "other"}], ids=str)
@pytest.mark.parametrize("types", [("surround",), ("crowd",), BACKGROUND_TYPES], ids="+".join)
def test_a_slow_painter_paints_the_same(train, test_images, painter, types, options):
    for severity in (*SEVERITIES, (0, 2, 5)):
        assert_painted_alike(painter, Clutter(types, severity, seed=2, **options), train.take(20), epoch=4)
    assert_painted_alike(painter, Clutter(types, 3, tile="removed", **options), test_images.take(10))


def test_the_check_of_every_canvas_fails_where_a_layer_covers_the_target(train, monkeypatch):
    layers = load_layers()
    monkeypatch.setattr(renderer, "_LAYERS", {**layers, "surround": replace(layers["surround"], place="front")})
    with pytest.raises(AssertionError, match="changed pixels of a target"):
        rendered(("surround",), 5, train)
    rendered(("surround", "strokes"), 5, train)
    rendered(("surround",), 5, train, feather=1)
    rendered(("surround",), 5, train, tile="removed")


@pytest.mark.parametrize(("extent", "canvas"), GEOMETRIES)
def test_no_distractor_shows_more_than_half_as_much_as_the_target(sized, painter, extent, canvas):
    images = sized(extent, 10)
    largest = {"surround": 0, "crowd": 0}
    for types in (("surround", "noise"), ("crowd",), BOTH):
        for severity in SEVERITIES[1:]:
            for painting in assert_painted_alike(painter, Clutter(types, severity, canvas), images):
                assert (painting.shown == -2).sum() == extent**2
                for piece, area in zip(painting.pieces, painting.areas(), strict=True):
                    assert area <= extent**2 / 2
                    largest[piece.layer] = max(largest[piece.layer], area)
    if canvas > extent:
        assert min(largest.values()) > extent**2 / 8  # so that this test has seen large ones


@pytest.mark.parametrize("extent", range(16, 65, 4))
def test_no_image_of_a_crowd_is_larger_than_six_tenths_of_the_target(sized, painter, extent):
    assert max(crowd.sizes(extent)) <= 0.6 * extent
    assert max(surround.sizes(extent)) ** 2 <= extent**2 / 2
    sizes = set()
    for severity in SEVERITIES[1:]:
        clutter = Clutter(("crowd",), severity, 2 * extent)
        for painting in assert_painted_alike(painter, clutter, sized(extent, 6)):
            sizes |= {piece.pixels.shape for piece in painting.pieces}
            for j in range(len(painting.pieces)):
                for places in np.nonzero(painting.shown == j):
                    assert len(places) == 0 or np.ptp(places) + 1 <= 0.6 * extent
    assert sizes == {(size, size, 3) for size in crowd.sizes(extent)[1:]}


@pytest.mark.parametrize("types", [("surround",), ("crowd",), BACKGROUND_TYPES], ids="+".join)
def test_severities_add_to_one_list(train, painter, types):
    by_severity = [assert_painted_alike(painter, Clutter(types, severity), train.take(20)) for severity in SEVERITIES]
    for paintings in zip(*by_severity, strict=True):
        for (before, after), layer in itertools.product(itertools.pairwise(paintings), BOTH):
            weaker, stronger = ([p for p in some.pieces if p.layer == layer] for some in (before, after))
            assert len(weaker) < len(stronger) or layer not in types
            for one, other in zip(weaker, stronger, strict=False):
                assert (one.image, one.centre) == (other.image, other.centre)
                assert len(one.pixels) <= len(other.pixels)
                # The centre of the piece in its image stays, too.
                grown = len(other.pixels) // 2 - len(one.pixels) // 2
                assert layer == "crowd" or [a - b for a, b in zip(one.crop, other.crop, strict=True)] == [grown] * 2


@pytest.mark.parametrize("feather", [0, 2])
@pytest.mark.parametrize("types", [*((name,) for name in BACKGROUND_TYPES), BACKGROUND_TYPES], ids="+".join)
def test_the_background_does_not_depend_on_where_the_target_is(train, monkeypatch, types, feather):
    together = Draws.together

    def batches(shift):
        def shifted(self, counts):
            words = together(self, counts)
            words[Stream.TILE] = (words[Stream.TILE] + shift) % 2**32
            return words

        monkeypatch.setattr(Draws, "together", shifted)
        return [rendered(types, 5, train, feather=feather, tile=tile) for tile in ("shown", "removed")]

    (one, one_removed), (other, other_removed) = batches(0), batches(2**31 + 12345)
    assert (one.tile_box != other.tile_box).any(1).double().mean() > 0.9
    assert torch.equal(one_removed.canvas, other_removed.canvas)
    outside = ~(in_boxes(one) | in_boxes(other))[:, None].expand_as(one.canvas)
    assert torch.equal(one.canvas[outside], other.canvas[outside])
    assert torch.equal(one.fragment_id, other.fragment_id)


def in_boxes(batch):
    boxes = torch.zeros_like(batch.visible_mask)
    for box, (x, y, w, h) in zip(boxes, batch.tile_box.tolist(), strict=True):
        box[y : y + h, x : x + w] = True
    return boxes


@pytest.mark.parametrize("layer", BOTH)
def test_centres_are_uniform_and_pieces_leave_the_canvas(make_images, painter, layer):
    images, clutter = make_images(200), Clutter((layer,), 5)
    assert_painted_alike(painter, clutter, images.take(20))  # so that the painter's places are the renderer's
    slow = painter(images, clutter)
    pieces = [piece for i in range(200) for piece in slow.pieces(i)]
    for axis in (0, 1):
        counts = np.bincount([piece.centre[axis] for piece in pieces], minlength=48)
        assert len(counts) == 48
        assert stats.chisquare(counts).pvalue > 0.001
        corners = np.array([piece.corner[axis] for piece in pieces])
        size = len(pieces[0].pixels)
        for beyond in (corners < 0, corners + size > 48):
            # Half a size of the 48 places lies too near to an edge.
            assert abs(beyond.mean() - size / 2 / 48) < 0.05


@pytest.mark.parametrize("pool", ["own", "bank"])
@pytest.mark.parametrize("layer", BOTH)
def test_classes_do_not_depend_on_the_label(make_images, layer, pool):
    images = make_images(3000, "train" if pool == "own" else "test")
    if pool == "bank":
        images = replace(images, fragments=make_images(500, "bank", start=5000))
    drawn = rendered((layer,), 4, images).fragment_class
    # How far from its label each class lies, going round: it is 0 for the label's own.
    distance = torch.bincount(((drawn - images.labels[:, None]) % 10).flatten(), minlength=10)
    own = stats.binomtest(int(distance[0]), drawn.numel(), 0.1)
    assert own.proportion_ci(0.999).low < 0.1 < own.proportion_ci(0.999).high
    assert stats.chisquare(distance.numpy()).pvalue > 0.001
    table = torch.stack([torch.bincount(drawn[images.labels == c].flatten(), minlength=10) for c in range(10)])
    assert stats.chi2_contingency(table.numpy()).pvalue > 0.001


@pytest.mark.parametrize("extent", [16, 20, 24, 32, 64])
def test_the_box_filter_is_that_of_the_image_sets(sized, extent):
    images = sized(extent, 10).images
    # Averages that are halves exactly, and the ends of the range.
    images[0], images[1], images[2] = 0, 255, 254
    images[2, ::2] += 1
    for size in range(1, extent + 1):
        expected = resize_images(images.numpy(), size)
        found = unpacked(box_filtered(packed(images), size))
        np.testing.assert_array_equal(found[..., :3], expected)
        assert (found[..., 3] == 0).all()


def test_smaller_images_are_made_once_for_each_pool_and_size(train, monkeypatch):
    made = []

    def counted(words, size):
        made.append((len(words), size))
        return box_filtered(words, size)

    monkeypatch.setattr("attn_tutorial.clutter.smaller.box_filtered", counted)
    for _ in range(2):
        for severity in (1, 5, (0, 5), (1, 2, 3)):
            rendered(("crowd", "noise"), severity, train)
    sizes = crowd.sizes(32)
    assert made == [(60, size) for size in (sizes[1], sizes[5], *sorted({sizes[1], sizes[2], sizes[3]}))]
    before = len(made)
    other = rendered(("crowd", "noise"), 5, train.take(20))  # has images of its own
    assert made[before:] == [(20, sizes[5])]
    assert set(other.fragment_id.flatten().tolist()) <= set(train.take(20).index.tolist())


def test_pieces_are_more_than_images_in_a_tiny_pool(make_images, painter):
    images = replace(make_images(4), labels=torch.tensor([0, 1, 0, 1]), classes=("a", "b"))
    for epoch in range(5):
        for i, painting in enumerate(assert_painted_alike(painter, Clutter(BOTH, 5), images, epoch)):
            assert len(painting.pieces) == surround.LEVELS[5][0] + crowd.LEVELS[5][0]
            assert {piece.image for piece in painting.pieces} == {0, 1, 2, 3} - {i}


@pytest.mark.parametrize("name", [name for name in CLUTTER_TYPES if name not in ("noise", "strokes")])
def test_a_pool_with_a_class_of_fewer_than_two_images_is_refused(make_images, name):
    images = make_images(19)
    refused = r"Every class of shapes train must have at least 2 images .* Give more images\."
    with pytest.raises(ValueError, match=refused):
        rendered((name,), 1, images)
    empty = images.take(10)
    empty = replace(empty, images=empty.images[:0], labels=empty.labels[:0], index=empty.index[:0])
    for pool in (empty, make_images(10)):
        with pytest.raises(ValueError, match=refused):
            Clutter((name,), 1).render(make_images(20), [0], fragments=pool)
    rendered(("noise", "strokes"), 5, images)


def test_axes_are_where_layers_are_drawn():
    # A layer that is drawn before the target can touch none of its pixels.
    layers = load_layers()
    assert {name for name in CLUTTER_TYPES if layers[name].place == "background"} == set(BACKGROUND_TYPES)


def test_words_of_the_two_layers_are_of_their_own_streams():
    assert [*surround.Stream, *crowd.Stream] == [13, 14, 15, 16]
    draws = Draws((7, 2), torch.tensor([5]), 3)
    for stream in (*surround.Stream, *crowd.Stream):
        assert torch.equal(draws.together({stream: 4})[stream][0, 3], philox((5, 3, 3, int(stream)), (7, 2)))

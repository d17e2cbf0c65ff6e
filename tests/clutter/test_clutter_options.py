"""Clutter's options: feathered edges, and the ways to spoil the benchmark that show what goes wrong."""

from dataclasses import replace

import pytest
import torch
from scipy import stats

from attn_tutorial.clutter import BACKGROUND_TYPES, CLUTTER_TYPES, Clutter
from attn_tutorial.clutter.layers.fragments import FragmentLevel


def rendered(types, severity, images, **options):
    return Clutter(types, severity, **options).render(images, torch.arange(len(images)))


def plain(images, value):
    """The same images, of one grey level each."""
    return replace(images, images=torch.full_like(images.images, value))


def weight_of(above, under):
    """How much of each pixel is what lies above, if that is white: in 1/256, as far as whole levels tell it."""
    above, under = above.double(), under.double()
    return (above - under) / (255 - under) * 256


@pytest.mark.parametrize("feather", [1, 2])
@pytest.mark.parametrize("layer", ["fragments", "surround", "crowd"])
def test_edges_fade_in_alike_for_tile_and_pieces(make_images, monkeypatch, feather, layer):
    size = 14
    one_fragment = (FragmentLevel(0, 0, 0), *(FragmentLevel(1, size, 32 * 32),) * 5)
    monkeypatch.setattr("attn_tutorial.clutter.layers.fragments.fragment_levels", lambda tile: one_fragment)
    for name in ("surround", "crowd"):
        monkeypatch.setattr(f"attn_tutorial.clutter.layers.{name}.LEVELS", ((0, 0), *((1, size),) * 5))
    images = replace(plain(make_images(200, "test"), 255), fragments=plain(make_images(20, "bank"), 255))
    seen = {
        32: (rendered((), 1, images, feather=feather), rendered((), 1, images, tile="removed")),
        size: tuple(rendered(types, 1, images, tile="removed", feather=feather) for types in ((layer,), ())),
    }
    fade_in = [256 * k // (feather + 1) for k in range(1, feather + 1)]
    for side, (shown, without) in seen.items():
        profile = torch.tensor([*fade_in, *[256] * (side - 2 * feather), *reversed(fade_in)])
        square = torch.minimum(profile[:, None], profile)
        weight = weight_of(shown.canvas, without.canvas)
        whole = 0
        for one in weight:
            rows, columns = (torch.nonzero(one.amax((0, 3 - axis)) > 0)[:, 0] for axis in (1, 2))
            if len(rows) == len(columns) == side:  # none of it left the canvas
                patch = one[:, rows[0] : rows[0] + side, columns[0] : columns[0] + side]
                assert (patch - square).abs().max() < 2.5
                whole += 1
        assert whole > 50


@pytest.mark.parametrize("feather", [1, 2])
@pytest.mark.parametrize(
    "types",
    [(), BACKGROUND_TYPES, tuple(name for name in CLUTTER_TYPES if name != "veil")],
    ids=["tile", "background", "composed"],
)
def test_the_mask_is_where_at_least_half_is_the_tile(train, types, feather):
    options = {"fragments": replace(train, split="bank", index=train.index + 100)}
    # Black and white tiles among the same clutter differ by the tile's share of each pixel.
    black, white = (
        Clutter(types, 5, feather=feather).render(plain(train, value), torch.arange(len(train)), **options)
        for value in (0, 255)
    )
    assert torch.equal(black.visible_mask, white.visible_mask)
    share = (white.canvas.int() - black.canvas.int()).permute(0, 2, 3, 1)
    assert (share[white.visible_mask] >= 126).all()
    assert (share[~white.visible_mask] <= 128).all()
    assert (share[white.visible_mask] == 255).double().mean() > 0.5


@pytest.mark.parametrize("feather", [1, 2])
def test_inside_its_edge_a_feathered_tile_is_exact(train, feather):
    batch = rendered(("noise",), 5, train, feather=feather)
    for canvas, visible, image, (x, y, w, h) in zip(
        batch.canvas, batch.visible_mask, train.images, batch.tile_box.tolist(), strict=True
    ):
        inner = slice(feather, -feather)
        shown, tile = canvas[:, y : y + h, x : x + w], image.permute(2, 0, 1)
        assert torch.equal(shown[:, inner, inner], tile[:, inner, inner])
        assert not torch.equal(shown, tile)
        # The outermost pixels weigh a half with feather 1, and a third with 2.
        edge = feather - 1
        assert visible.sum() == (w - 2 * edge) * (h - 2 * edge)
        assert visible[y + edge : y + h - edge, x + edge : x + w - edge].all()


@pytest.mark.parametrize("feather", [0, 1])
def test_feathered_edges_keep_what_is_drawn_where(train, feather):
    hard, soft = (rendered(CLUTTER_TYPES, 5, train, feather=f) for f in (0, 2))
    for name in ("tile_box", "fragment_id", "fragment_class", "severity"):
        assert torch.equal(getattr(hard, name), getattr(soft, name))
    assert not torch.equal(hard.canvas, soft.canvas)


@pytest.mark.parametrize("severity", [0, 3, 5])
def test_a_removed_tile_leaves_everything_else(train, severity):
    shown, removed = (rendered(CLUTTER_TYPES, severity, train, tile=tile) for tile in ("shown", "removed"))
    same = (shown.canvas == removed.canvas).all(1)
    assert same[~shown.visible_mask].all()
    # A random pixel is that of the background behind it about once in 2^24.
    assert not same[shown.visible_mask].any()
    assert not removed.visible_mask.any()
    assert not removed.object_mask.any()
    for name in ("label", "tile_box", "fragment_id", "fragment_class"):
        assert torch.equal(getattr(shown, name), getattr(removed, name))


def test_a_removed_tile_does_not_tell_the_image(train):
    # The canvas is drawn for a place in the file: another image there, of another class, leaves it as it is.
    other = replace(train, images=train.images.flip(0), labels=train.labels.flip(0))
    bank = replace(train, split="bank", index=train.index + 100)
    canvases = [
        Clutter(CLUTTER_TYPES, 5, tile="removed").render(images, torch.arange(60), fragments=bank).canvas
        for images in (train, other)
    ]
    assert torch.equal(*canvases)


@pytest.mark.parametrize("classes", ["any", "other"])
@pytest.mark.parametrize("layer", ["fragments", "surround", "crowd"])
def test_fragment_classes(train, classes, layer):
    drawn = torch.cat(
        [rendered((layer,), 5, train, seed=s, fragment_classes=classes).fragment_class for s in range(20)]
    )
    # How far from its label each class lies, going round: uniform over all ten, or over the nine that are not 0.
    distance = torch.bincount(((drawn - train.labels.repeat(20)[:, None]) % 10).flatten(), minlength=10)
    if classes == "other":
        assert distance[0] == 0
        distance = distance[1:]
    assert stats.chisquare(distance.numpy()).pvalue > 0.001
    assert stats.chisquare(torch.bincount(drawn.flatten(), minlength=10).numpy()).pvalue > 0.001


def test_a_blank_background_is_grey_at_severity_0_only(train):
    mixed = rendered(("fragments", "noise"), (0, 3), train, background="blank")
    usual = rendered(("fragments", "noise"), (0, 3), train)
    blank = mixed.severity == 0
    assert 10 < blank.sum() < 50
    assert torch.equal(mixed.canvas[~blank], usual.canvas[~blank])
    around = mixed.canvas.permute(0, 2, 3, 1)[blank][~mixed.visible_mask[blank]]
    assert (around == 128).all()
    assert torch.equal(mixed.visible_mask, usual.visible_mask)


@pytest.mark.parametrize("layer", ["fragments", "surround", "crowd"])
def test_only_images_that_may_lend_are_picked(train, layer):
    may_lend = torch.arange(60) % 20 >= 10
    lent = rendered((layer,), 5, replace(train, may_lend=may_lend)).fragment_id
    assert may_lend[lent].all()
    assert set(lent.flatten().tolist()) == set(torch.nonzero(may_lend)[:, 0].tolist())
    assert (lent != torch.arange(60)[:, None]).all()


@pytest.mark.parametrize("layer", ["fragments", "surround", "crowd"])
def test_a_class_of_one_lender_is_refused(train, layer):
    may_lend = torch.ones(60, dtype=torch.bool)
    may_lend[13::10] = False
    with pytest.raises(ValueError, match="at least 2 images that may be fragments"):
        rendered((layer,), 1, replace(train, may_lend=may_lend))


@pytest.mark.parametrize(
    "options",
    [{"feather": 3}, {"feather": True}, {"tile": "hidden"}, {"fragment_classes": "own"}, {"background": None}],
)
def test_options_that_do_not_exist_are_named(options):
    [(name, value)] = options.items()
    with pytest.raises(ValueError, match=f"`{name}` must be one of .*, but got {value!r}"):
        Clutter(**options)

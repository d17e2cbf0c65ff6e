"""What each clutter type draws, and what all of them promise: true masks, nested severities, a visible tile."""

import itertools
from dataclasses import replace

import pytest
import torch

from attn_tutorial.clutter import CLUTTER_TYPES, SEVERITIES, Clutter
from attn_tutorial.clutter.layers import crowd, fragments, mosaic, noise, strokes, surround, veil
from attn_tutorial.clutter.severity import LEAST_VISIBLE
from attn_tutorial.clutter.shuffled import shuffled

KINDS = [*((name,) for name in CLUTTER_TYPES), CLUTTER_TYPES]
NAMES = [*CLUTTER_TYPES, "all"]


def rendered(types, severity, images, **options):
    return Clutter(types, severity, **options).render(images, torch.arange(len(images)))


def in_boxes(batch):
    """The pixels of the tiles' boxes, hidden ones included: bool (B, H, W)."""
    boxes = torch.zeros_like(batch.visible_mask)
    for box, (x, y, w, h) in zip(boxes, batch.tile_box.tolist(), strict=True):
        box[y : y + h, x : x + w] = True
    return boxes


def on_canvas(images, batch):
    """The images where their tiles lie, and zeros around them: uint8 (B, 3, H, W)."""
    canvas = torch.zeros_like(batch.canvas)
    for shown, image, (x, y, w, h) in zip(canvas, images, batch.tile_box.tolist(), strict=True):
        shown[:, y : y + h, x : x + w] = image.permute(2, 0, 1)
    return canvas


@pytest.fixture
def one_colour(make_images):
    """Images to lend that have one colour each: 10 k for image k, in all channels."""
    pool = make_images(20, "bank", start=200)
    pool.images[:] = torch.arange(0, 200, 10, dtype=torch.uint8)[:, None, None, None]
    return pool


@pytest.mark.parametrize("types", KINDS, ids=NAMES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_the_mask_is_true_to_the_pixels(train, types, severity):
    batch = rendered(types, severity, train)
    # A veil changes what the tile shows, and nothing else of it.
    tile = rendered(("veil",), severity, train).canvas if "veil" in types else on_canvas(train.images, batch)
    shows_tile = (batch.canvas == tile).all(1)
    assert shows_tile[batch.visible_mask].all()
    # Where it is covered, a random pixel agrees with the tile's in all three channels about once in 2^24.
    assert not shows_tile[in_boxes(batch) & ~batch.visible_mask].any()
    assert not (batch.visible_mask & ~in_boxes(batch)).any()
    silhouette = on_canvas(train.masks[..., None].expand(-1, -1, -1, 3).to(torch.uint8), batch)[:, 0].bool()
    assert torch.equal(batch.object_mask, silhouette & batch.visible_mask)


@pytest.mark.parametrize("types", KINDS, ids=NAMES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_at_least_60_percent_of_the_tile_stay_visible(train, types, severity):
    least = -(-LEAST_VISIBLE * 32 * 32 // 100)
    for seed in range(10 if (types, severity) == (CLUTTER_TYPES, 5) else 1):
        assert rendered(types, severity, train, seed=seed).visible_mask.sum((1, 2)).min() >= least


@pytest.mark.parametrize("layer", ["fragments", "surround", "crowd"])
def test_severities_keep_the_tile_and_the_images(train, layer):
    batches = [rendered((layer, "noise"), severity, train) for severity in SEVERITIES]
    for severity, (weaker, stronger) in enumerate(itertools.pairwise(batches)):
        assert torch.equal(weaker.tile_box, stronger.tile_box)
        count = weaker.fragment_id.shape[1]
        assert count == {"fragments": fragments, "surround": surround, "crowd": crowd}[layer].LEVELS[severity][0]
        assert torch.equal(weaker.fragment_id, stronger.fragment_id[:, :count])
        assert torch.equal(weaker.fragment_class, stronger.fragment_class[:, :count])
        assert weaker.fragment_layer == stronger.fragment_layer[:count] == (layer,) * count


def test_images_are_recorded_in_the_order_in_which_they_are_drawn(train):
    counts = {"surround": surround.LEVELS, "crowd": crowd.LEVELS, "fragments": fragments.LEVELS}
    expected = [name for name, levels in counts.items() for _ in range(levels[2][0])]
    assert list(rendered(CLUTTER_TYPES, 2, train).fragment_layer) == expected


def test_severities_keep_the_strokes(train):
    plain = rendered((), 0, train).canvas
    painted = [(rendered(("strokes",), severity, train).canvas != plain).any(1) for severity in SEVERITIES]
    assert not painted[0].any()
    for weaker, stronger in itertools.pairwise(painted):
        assert not (weaker & ~stronger).any()
        assert stronger.sum() > weaker.sum()


def test_severities_keep_the_noise(train):
    outside = ~in_boxes(rendered((), 0, train))
    first, *others = [rendered(("noise",), severity, train).canvas for severity in SEVERITIES]
    for i, canvas in itertools.product(range(10), others):
        fields = torch.stack([c[i][:, outside[i]].flatten().double() for c in (first, canvas)])
        assert torch.corrcoef(fields)[0, 1] > 0.9


@pytest.mark.parametrize(
    ("name", "weights"), [("veil", veil.LEVELS), ("mosaic", mosaic.LEVELS)], ids=["veil", "mosaic"]
)
def test_veil_and_mosaic_blend_one_image_in_at_every_severity(make_images, one_colour, name, weights):
    images = replace(make_images(12, "test"), fragments=one_colour)
    plain = rendered((), 0, images)
    boxes = in_boxes(plain)
    changed = boxes if name == "veil" else ~boxes
    possible = torch.arange(0, 200, 10)
    matching = torch.ones(12, 20, dtype=torch.bool)
    for severity, weight in enumerate(weights):
        canvas = rendered((name,), severity, images).canvas
        assert torch.equal(canvas.permute(0, 2, 3, 1)[~changed], plain.canvas.permute(0, 2, 3, 1)[~changed])
        for i, k in itertools.product(range(12), range(20)):
            under = plain.canvas[i].int()
            blend = (under * (256 - weight) + possible[k] * weight + 128) >> 8
            matching[i, k] &= bool((canvas[i] == blend)[:, changed[i]].all())
    # Just one image explains all severities, and several are used.
    assert (matching.sum(1) == 1).all()
    assert matching.any(0).sum() > 5


def test_shuffled_shows_each_block_once_in_every_sixteen_cells(make_images):
    pool = torch.arange(16).view(4, 4).repeat_interleave(8, 0).repeat_interleave(8, 1)
    pool = torch.stack((pool, pool + 16)).to(torch.int32)
    order = torch.randint(2**32, (6, 12, 4), generator=torch.Generator().manual_seed(0))
    shown = shuffled(torch.tensor([0, 1] * 3), order, 48, pool)
    cells = shown.view(6, 6, 8, 6, 8).permute(0, 1, 3, 2, 4).reshape(6, 36, 64)
    assert (cells == cells[..., :1]).all()
    for row, cell in enumerate(cells[..., 0]):
        assert sorted(cell[:16].tolist()) == sorted(cell[16:32].tolist()) == [16 * (row % 2) + k for k in range(16)]
        assert not torch.equal(cell[:16], cell[16:32])


@pytest.mark.parametrize("severity", SEVERITIES)
def test_fragments_follow_the_severity_table(train, severity):
    level = fragments.fragment_levels(32)[severity]
    batch = rendered(("fragments", "noise"), severity, train)
    hidden = 32 * 32 - batch.visible_mask.sum((1, 2))
    assert hidden.max() <= level.overlap
    assert batch.fragment_id.shape == (len(train), level.count)
    if severity:
        assert hidden.double().mean() > 0.8 * level.overlap  # the cap is used, or severities would not differ
        assert (batch.fragment_id >= 0).all()
        assert (train.labels[batch.fragment_id] == batch.fragment_class).all()
        assert (batch.fragment_id != torch.arange(len(train))[:, None]).all()


def test_every_fragment_pixel_comes_from_its_own_source(make_images, one_colour):
    target = replace(make_images(30, "test"), fragments=one_colour)
    background = rendered(("noise",), 5, target)
    both = rendered(("fragments", "noise"), 5, target)
    painted = (both.canvas != background.canvas).any(1)
    for i in range(30):
        colours = set(both.canvas[i, 0][painted[i]].tolist())
        assert colours <= {10 * (int(f) - 200) for f in both.fragment_id[i]}
        assert len(colours) > 5


@pytest.mark.parametrize("layer", [fragments, surround, crowd])
def test_topmost_pieces_are_found_by_exact_floats(layer):
    assert max(level[0] for level in layer.LEVELS) <= 24  # one bit each, in a float of 24


@pytest.fixture
def many_wide_strokes(monkeypatch):
    monkeypatch.setattr(strokes, "LEVELS", ((0, 0), *((30, 8),) * 5))


def test_a_stroke_that_would_hide_too_much_is_skipped(train, many_wide_strokes, monkeypatch):
    least = -(-LEAST_VISIBLE * 32 * 32 // 100)
    batch = rendered(("fragments", "strokes"), 5, train)
    assert batch.visible_mask.sum((1, 2)).min() >= least
    # A skipped stroke leaves no pixel, on the tile or beside it.
    assert (batch.canvas == on_canvas(train.images, batch)).all(1)[batch.visible_mask].all()
    monkeypatch.setattr(strokes, "LEAST_VISIBLE", 0)
    unlimited = rendered(("fragments", "strokes"), 5, train)
    assert (unlimited.visible_mask.sum((1, 2)) < least).all()
    beside = ~in_boxes(batch)
    without = rendered(("fragments",), 5, train).canvas
    painted, all_painted = (((b.canvas != without).any(1) & beside).sum() for b in (batch, unlimited))
    assert 0 < painted < all_painted


def test_noise_follows_the_severity_table(train):
    outside = ~in_boxes(rendered((), 0, train))
    for severity, sd in enumerate(noise.LEVELS):
        canvas = rendered(("noise",), severity, train).canvas
        assert canvas.permute(0, 2, 3, 1)[outside].double().std() / 255 == pytest.approx(sd / 1000, rel=0.1)


def test_a_type_that_is_not_listed_stays_at_severity_0(train):
    plain = rendered(CLUTTER_TYPES, 0, train)
    assert torch.equal(rendered((), 5, train).canvas, plain.canvas)
    painted = (rendered(("fragments",), 5, train).canvas != plain.canvas).any(1)
    assert 0.2 < painted.double().mean() < 0.95
    assert rendered(("noise",), 5, train).fragment_id.shape[1] == 0
    for layer in ("surround", "crowd"):
        painted = (rendered((layer,), 5, train).canvas != plain.canvas).any(1)
        assert 0.2 < painted.double().mean() < 0.95

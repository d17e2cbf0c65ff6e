import pytest
import torch

from attn_tutorial.clutter import Batches, Clutter, to_input


def test_an_epoch_visits_every_image_once(train):
    batches = Batches(train, Clutter(severity=0), 10)
    train.labels[:] = torch.arange(60)  # so that a label says which image it is
    for epoch in (0, 1):
        seen = torch.cat([batches.at(6 * epoch + i)[1] for i in range(6)])
        assert seen.sort().values.tolist() == list(range(60))
    assert not torch.equal(batches.at(0)[1], batches.at(6)[1])


def test_a_batch_depends_on_its_number_only(train):
    one, other = (Batches(train, Clutter(severity=(0, 3), seed=5), 16) for _ in range(2))
    for step in (7, 2, 9):
        other.at(step)
    for a, b in zip(one.at(4), other.at(4), strict=True):
        assert torch.equal(a, b)


def test_flips_alternate(train):
    batches = Batches(train, Clutter(severity=0, canvas=32), 60)
    train.labels[:] = torch.arange(60)
    plain = to_input(train.images.permute(0, 3, 1, 2))
    sides = []
    for epoch in (0, 1):
        x, order = batches.at(epoch)
        mirrored = torch.tensor([torch.equal(x[i], plain[k].flip(2)) for i, k in enumerate(order.tolist())])
        straight = torch.tensor([torch.equal(x[i], plain[k]) for i, k in enumerate(order.tolist())])
        assert (mirrored ^ straight).all()
        sides.append(mirrored[order.argsort()])
    assert (sides[0] ^ sides[1]).all()
    assert 15 < sides[0].sum() < 45


def test_input_is_near_zero_mean_and_unit_deviation():
    assert to_input(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-2.0, 2.0]


def test_a_batch_larger_than_the_set_is_refused(train):
    with pytest.raises(ValueError, match="from 1 to the number of images, 60, but got 61"):
        Batches(train, Clutter(), 61)


@pytest.fixture
def bright(train):
    """Targets brighter than anything else on their canvases."""
    train.images[:] = 255
    return train


@pytest.mark.parametrize("severity", [0, (0, 1, 2)])
def test_masks_are_mirrored_like_their_canvases(bright, severity):
    types = ("noise",)
    batches = Batches(bright, Clutter(types, severity, canvas=64), 12, masks=True)
    bright.labels[:] = torch.arange(60)
    unmirrored = Clutter(types, severity, canvas=64)
    for step in range(10):
        x, label = batches.at(step)
        visible = batches.masks_at(step)
        assert visible.dtype == torch.bool
        assert torch.equal(visible, (x == 2.0).all(1)), "the pixels that show the target"
        straight = unmirrored.render(bright, label, epoch=step // 5).visible_mask
        mirrored = (visible != straight).flatten(1).any(1)
        assert torch.equal(visible[mirrored], straight[mirrored].flip(2))
        assert mirrored.any()
        assert not mirrored.all()


def test_masks_change_no_batch(train):
    plain, told = (Batches(train, Clutter(severity=3), 16, masks=masks) for masks in (False, True))
    for step in (0, 4, 1):
        masks = told.masks_at(step)  # in either order
        assert all(torch.equal(a, b) for a, b in zip(plain.at(step), told.at(step), strict=True))
        assert torch.equal(told.masks_at(step), masks)


def test_masks_must_be_asked_for(train):
    with pytest.raises(ValueError, match=r"`masks` must be True .*, but is False"):
        Batches(train, Clutter(), 16).masks_at(0)

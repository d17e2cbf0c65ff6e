"""What `Clutter.render` takes beside plain batches: slices of other arrays, empty batches, positions from the end."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from attn_tutorial.clutter import BACKGROUND_TYPES, CLUTTER_TYPES, Clutter
from attn_tutorial.datasets.pixels import packed, padded, unpacked
from attn_tutorial.errors import InputError


@pytest.mark.parametrize("channels", [slice(0, 3), slice(1, 4), slice(None, None, -1)], ids=["rgb", "gba", "bgr"])
def test_slices_of_arrays_with_four_channels(channels, train):
    rgba = np.random.default_rng(0).integers(0, 256, (60, 32, 32, 4), dtype=np.uint8)
    wanted = rgba[..., channels][..., :3]
    if channels.step == -1:
        wanted = wanted.copy()  # torch takes no negative strides
    images = replace(train, images=torch.from_numpy(wanted))
    canvas = Clutter(severity=0, canvas=32).render(images, [0, 59]).canvas
    assert (canvas.permute(0, 2, 3, 1).numpy() == wanted[[0, 59]]).all()


def test_padded_images_are_not_copied_and_others_are(train):
    again = padded(train.images)
    assert again.data_ptr() == train.images.data_ptr()
    plain = train.images.contiguous()
    assert padded(plain).data_ptr() != plain.data_ptr()
    assert torch.equal(unpacked(packed(plain))[..., :3], plain)
    assert (unpacked(packed(plain))[..., 3] == 0).all()


@pytest.mark.parametrize("feather", [0, 1])
def test_an_empty_batch_has_empty_canvases(feather, train):
    batch = Clutter(CLUTTER_TYPES, severity=5, feather=feather).render(train, [])
    assert batch.canvas.shape == (0, 3, 48, 48)
    assert batch.visible_mask.shape == (0, 48, 48)


@pytest.mark.parametrize("types", [("fragments", "noise"), BACKGROUND_TYPES, CLUTTER_TYPES], ids="+".join)
def test_negative_positions_count_from_the_end(make_images, types):
    # Two images a class, so that an image which did not know itself would be its own fragment half of the time.
    images = make_images(20)
    there = Clutter(types, severity=5).render(images, [19, 18])
    back = Clutter(types, severity=5).render(images, [-1, -2])
    assert torch.equal(there.canvas, back.canvas)
    assert torch.equal(there.fragment_id, back.fragment_id)
    assert (there.fragment_id != torch.tensor([[19], [18]])).all()


def test_other_classes_need_a_second_class(make_images):
    images = replace(make_images(20), labels=torch.zeros(20, dtype=torch.int64), classes=("a",))
    Clutter(severity=3).render(images, [0])
    with pytest.raises(InputError, match="at least two"):
        Clutter(severity=3, fragment_classes="other").render(images, [0])


@pytest.mark.parametrize(
    ("indices", "epoch", "message"),
    [
        (torch.ones(60, dtype=torch.bool), 0, "torch.nonzero"),
        (torch.zeros(3, dtype=torch.uint8), 0, "whole numbers"),
        ([0.0, 1.0], 0, "whole numbers"),
        (torch.zeros(2, 2, dtype=torch.int64), 0, "whole numbers"),
        ([60], 0, "from -60 to 59"),
        ([-61], 0, "from -60 to 59"),
        ([0], -1, "`epoch` must be .* but got -1"),
        ([0], 2**32, "from 0 to"),
        ([0], 1.0, "`epoch` must be .* but got 1.0"),
    ],
    ids=["mask", "uint8", "float", "2d", "high", "low", "negative epoch", "large epoch", "float epoch"],
)
def test_positions_and_epochs_that_are_none(indices, epoch, message, train):
    with pytest.raises(InputError, match=message):
        Clutter().render(train, indices, epoch)


def test_lists_are_taken_as_tuples_and_types_once(train):
    clutter = Clutter(["noise", "fragments"], [0, 3])
    assert hash(clutter) == hash(Clutter(("noise", "fragments"), (0, 3)))
    with pytest.raises(InputError, match="at most once"):
        Clutter(("noise", "noise"))
    with pytest.raises(InputError, match="from 16 to 1024"):
        Clutter(canvas=20_000)

"""Clutter as a torchvision transform."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import tv_tensors
from torchvision.transforms import v2

from attn_tutorial.clutter import BACKGROUND_TYPES, CLUTTER_TYPES, AddClutter, Clutter
from attn_tutorial.errors import InputError

CLUTTER = Clutter(("fragments", "noise", "veil"), severity=2, canvas=40)


@pytest.fixture
def images(make_images):
    return make_images(20, start=900).images.permute(0, 3, 1, 2)


def test_each_image_lies_on_a_canvas_of_its_own_and_labels_pass(train, images):
    labels = torch.arange(20)
    plain = Clutter(("fragments", "noise"), severity=2, canvas=40)
    (canvas, mask), passed = AddClutter(train, plain, masks=True)(images, labels)
    assert passed is labels
    assert (canvas.dtype, tuple(canvas.shape), tuple(mask.shape)) == (torch.uint8, (20, 3, 40, 40), (20, 40, 40))
    places = set()
    for i in range(20):
        # The tile is wherever the visible pixels all agree with it.
        agreeing = [
            (x, y)
            for x in range(9)
            for y in range(9)
            if torch.equal(
                canvas[i, :, y : y + 32, x : x + 32][:, mask[i, y : y + 32, x : x + 32]],
                images[i][:, mask[i, y : y + 32, x : x + 32]],
            )
            and mask[i, y : y + 32, x : x + 32].sum() == mask[i].sum()
        ]
        assert len(agreeing) == 1
        places |= set(agreeing)
    assert len(places) > 5


@pytest.mark.parametrize("types", [("fragments",), ("surround", "noise"), ("crowd",), CLUTTER_TYPES], ids="+".join)
def test_distractors_are_cut_from_the_pool(make_images, types):
    pool = make_images(20)
    pool.images[:] = torch.arange(20, dtype=torch.uint8)[:, None, None, None] + 200
    add = AddClutter(pool, Clutter(types, severity=5), masks=True)
    canvas, mask = add(torch.zeros(30, 3, 32, 32, dtype=torch.uint8))
    if set(types) <= set(BACKGROUND_TYPES):
        assert (mask.sum((1, 2)) == 32 * 32).all()
        assert (canvas.permute(0, 2, 3, 1)[mask] == 0).all()
    lent = canvas[(canvas >= 200) & (canvas < 220)].unique()
    assert len(lent) > 15


def test_torchs_seed_reproduces_it_and_each_call_and_image_differ(train, images):
    transform = AddClutter(train, CLUTTER)
    same = images[:1].expand(20, -1, -1, -1)
    torch.manual_seed(3)
    first, second = transform(same), transform(same)
    torch.manual_seed(3)
    assert torch.equal(transform(same), first)
    assert not torch.equal(first, second)
    assert len({canvas.numpy().tobytes() for canvas in first}) == 20
    torch.manual_seed(3)
    assert not torch.equal(AddClutter(train, Clutter(CLUTTER.types, 2, 40, seed=1))(same), first)


def test_it_keeps_the_kind_of_tensor_and_leading_axes(train, images):
    transform = AddClutter(train, CLUTTER, masks=True)
    torch.manual_seed(0)
    plain, _ = transform(images)
    torch.manual_seed(0)
    canvas, mask = transform(tv_tensors.Image(images.reshape(4, 5, 3, 32, 32)))
    assert type(plain) is torch.Tensor
    assert isinstance(canvas, tv_tensors.Image)
    assert isinstance(mask, tv_tensors.Mask)
    assert torch.equal(canvas.reshape(20, 3, 40, 40), plain)
    assert mask.shape == (4, 5, 40, 40)
    single = AddClutter(train, CLUTTER)(images[0])
    assert single.shape == (3, 40, 40)


def test_it_composes_with_other_transforms(train, images):
    flip = v2.Compose(
        [AddClutter(train, CLUTTER, masks=True), v2.RandomHorizontalFlip(1.0), v2.ToDtype(torch.float32, scale=True)]
    )
    torch.manual_seed(1)
    (canvas, mask), _ = AddClutter(train, CLUTTER, masks=True)(tv_tensors.Image(images), torch.arange(20))
    torch.manual_seed(1)
    out = flip({"image": tv_tensors.Image(images), "label": torch.arange(20)})
    flipped, moved = out["image"]
    torch.testing.assert_close(flipped.as_subclass(torch.Tensor), canvas.as_subclass(torch.Tensor).flip(-1) / 255)
    assert torch.equal(moved, mask.flip(-1))
    assert out["label"].tolist() == list(range(20))


class OfOneImage(torch.utils.data.Dataset):
    def __init__(self, transform):
        self.transform = transform

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return self.transform(torch.zeros(3, 32, 32, dtype=torch.uint8))


def test_workers_draw_apart(train):
    canvases = torch.cat(list(DataLoader(OfOneImage(AddClutter(train, CLUTTER)), batch_size=4, num_workers=2)))
    assert len({canvas.numpy().tobytes() for canvas in canvases}) == 8


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (torch.zeros(2, 3, 32, 32), "got torch.float32 .* before v2.ToDtype"),
        (torch.zeros(2, 1, 32, 32, dtype=torch.uint8), r"shape \(2, 1, 32, 32\)\. .* v2.RGB"),
        (torch.zeros(2, 32, 32, 3, dtype=torch.uint8), r"shape \(2, 32, 32, 3\)"),
        (torch.zeros(32, 32, dtype=torch.uint8), r"shape \(32, 32\)"),
        (torch.zeros(2, 3, 28, 28, dtype=torch.uint8), "same size, but got 28 px and 32 px"),
        (torch.zeros(2, 3, 32, 28, dtype=torch.uint8), "square"),
        (Image.new("RGB", (32, 32)), "got no tensor.* v2.ToImage"),
        (np.zeros((2, 3, 32, 32), np.uint8), "got no tensor"),
        ([tv_tensors.Image(torch.zeros(3, 32, 32, dtype=torch.uint8))] * 2, "got Image, Image"),
        (
            (
                tv_tensors.Image(torch.zeros(3, 32, 32, dtype=torch.uint8)),
                tv_tensors.Mask(torch.zeros(32, 32, dtype=torch.bool)),
            ),
            "got Image, Mask",
        ),
    ],
    ids=["float", "grey", "channels last", "no channels", "size", "not square", "PIL", "array", "two", "mask"],
)
def test_bad_samples(train, sample, message):
    with pytest.raises(ValueError, match=message):
        AddClutter(train, CLUTTER)(sample)


IMAGES, LABELS = torch.zeros(8, 3, 32, 32, dtype=torch.uint8), torch.zeros(8, dtype=torch.int64)


@pytest.mark.parametrize(
    ("sample", "given"),
    [
        (
            (LABELS, IMAGES),
            "torch.int64 of shape (8,) (value 1 of 2) before torch.uint8 of shape (8, 3, 32, 32) (value 2 of 2)",
        ),
        ({"id": "a", "y": LABELS, "x": IMAGES}, "torch.int64 of shape (8,) (value 2 of 3) before torch.uint8 of shape"),
        ((IMAGES[:, 0] > 0, IMAGES), "torch.bool of shape (8, 32, 32) (value 1 of 2) before torch.uint8 of shape"),
        ((LABELS, IMAGES / 255), "torch.int64 of shape (8,) (value 1 of 2). Put images before labels"),
        (
            (torch.tensor(3), IMAGES[0]),
            "torch.int64 of shape () (value 1 of 2) before torch.uint8 of shape (3, 32, 32)",
        ),
        (torch.zeros(8, 10), "torch.float32 of shape (8, 10). Put images before labels"),
    ],
    ids=["labels first", "dict", "mask first", "float images", "one image", "scores alone"],
)
def test_a_tensor_that_is_taken_for_the_images_is_named_with_its_place(train, sample, given):
    with pytest.raises(InputError) as error:
        AddClutter(train, CLUTTER)(sample)
    assert f"must be its images, uint8 (..., 3, H, H), but got {given}" in str(error.value)
    assert "grey" not in str(error.value)


def test_wrapped_images_may_come_after_labels(train):
    labels, canvases = AddClutter(train, CLUTTER)((LABELS, tv_tensors.Image(IMAGES)))
    assert labels is LABELS
    assert canvases.shape == (8, 3, CLUTTER.canvas, CLUTTER.canvas)


def test_bad_settings_are_said_at_once(train, make_images):
    with pytest.raises(ValueError, match="Use ClutterDataset for this control"):
        AddClutter(train, Clutter(fragment_classes="other"))
    with pytest.raises(ValueError, match="at least as large as the images"):
        AddClutter(train, Clutter(canvas=24))
    with pytest.raises(ValueError, match="at least 2 images"):
        AddClutter(make_images(10), Clutter())


def test_images_and_pool_must_share_a_device(train):
    sample = torch.zeros(2, 3, 32, 32, dtype=torch.uint8, device="meta")
    with pytest.raises(ValueError, match=r"pool's device, cpu, but got images on meta.* pool.to\(\"meta\"\)"):
        AddClutter(train, CLUTTER)(sample)

"""Canvases through a DataLoader are those of the renderer, however it is set up."""

import copy

import pytest
import torch
from torch.utils.data import DataLoader
from torchvision import tv_tensors
from torchvision.transforms import v2

from attn_tutorial.clutter import CLUTTER_TYPES, Clutter, ClutterDataset
from attn_tutorial.clutter.layers import fragments, surround

CLUTTER = Clutter(CLUTTER_TYPES, severity=(0, 1, 2, 3), seed=5)


def pixels(loader: DataLoader) -> torch.Tensor:
    return torch.cat([canvas for canvas, _ in loader])


@pytest.mark.parametrize(
    "how",
    [
        {"batch_size": 7},
        {"batch_size": 1},
        {"batch_size": 16, "num_workers": 2, "multiprocessing_context": "fork"},
        {"batch_size": 9, "num_workers": 2, "multiprocessing_context": "spawn"},
    ],
    ids=["7", "1", "fork", "spawn"],
)
def test_pixels_are_the_renderers_however_they_are_loaded(train, how):
    expected = CLUTTER.render(train, torch.arange(60), epoch=3)
    loader = DataLoader(ClutterDataset(train, CLUTTER, epoch=3), **how)
    assert torch.equal(pixels(loader), expected.canvas)
    assert torch.equal(torch.cat([label for _, label in loader]), expected.label)


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_that_outlive_an_epoch_see_the_next(train, start):
    dataset = ClutterDataset(train, CLUTTER)
    loader = DataLoader(dataset, batch_size=20, num_workers=2, persistent_workers=True, multiprocessing_context=start)
    for epoch in (0, 1, 7):
        dataset.set_epoch(epoch)
        assert torch.equal(pixels(loader), CLUTTER.render(train, torch.arange(60), epoch).canvas)


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy])
def test_a_copy_has_an_epoch_of_its_own(train, how):
    dataset = ClutterDataset(train, CLUTTER, epoch=3, records=True)
    copied = how(dataset)
    at_3, at_4 = (CLUTTER.render(train, [7], epoch).canvas[0] for epoch in (3, 4))
    assert torch.equal(copied[7]["canvas"], at_3)
    copied.set_epoch(4)
    assert torch.equal(copied[7]["canvas"], at_4)
    assert torch.equal(dataset[7]["canvas"], at_3)
    dataset.set_epoch(5)
    assert torch.equal(copied[7]["canvas"], at_4)
    assert (copied.images is dataset.images) == (how is copy.copy)
    copied.own = "of a subclass"
    assert how(copied).own == "of a subclass"
    assert not hasattr(dataset, "own")


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy])
def test_workers_of_a_copy_that_outlive_an_epoch_see_the_next(train, how):
    dataset = how(ClutterDataset(train, CLUTTER))
    loader = DataLoader(dataset, 20, num_workers=1, persistent_workers=True, multiprocessing_context="fork")
    for epoch in (0, 1):
        dataset.set_epoch(epoch)
        assert torch.equal(pixels(loader), CLUTTER.render(train, torch.arange(60), epoch).canvas)


def test_a_batch_is_rendered_at_once(train, monkeypatch):
    sizes = []
    render = Clutter.render

    def counted(self, images, indices, *more):
        sizes.append(len(indices))
        return render(self, images, indices, *more)

    dataset = ClutterDataset(train, CLUTTER)
    monkeypatch.setattr(Clutter, "render", counted)
    list(DataLoader(dataset, batch_size=30))
    assert sizes == [30, 30]


def test_it_is_a_sequence(train):
    dataset = ClutterDataset(train, CLUTTER)
    assert len(dataset) == 60
    canvas, label = dataset[11]
    assert (canvas.dtype, tuple(canvas.shape), type(label), label) == (torch.uint8, (3, 48, 48), int, 1)
    assert torch.equal(dataset[-49][0], canvas)
    assert len(list(dataset)) == 60  # ends by IndexError
    with pytest.raises(IndexError):
        dataset[60]


def test_fragments_come_from_where_they_are_told(test_images, train, make_images):
    other = make_images(20, "train", start=500)
    for given, allowed in ((None, range(200, 240)), (other, range(500, 520))):
        dataset = ClutterDataset(test_images, Clutter(), fragments=given, records=True)
        lent = torch.cat([sample["fragment_id"] for sample in dataset])
        assert set(lent.tolist()) <= set(allowed)


@pytest.mark.parametrize("workers", [0, 2])
def test_records_hold_every_field(train, workers):
    loader = DataLoader(ClutterDataset(train, CLUTTER, records=True), batch_size=60, num_workers=workers)
    [batch] = loader
    expected = vars(CLUTTER.render(train, torch.arange(60))).copy()
    assert batch.keys() == expected.keys()
    # The loader transposes tuples of text: the name of each fragment's type, once for each canvas.
    assert batch.pop("fragment_layer") == [(name,) * 60 for name in expected.pop("fragment_layer")]
    assert torch.equal(batch.pop("tile_box")[:, 0], expected.pop("tile_box"))
    for name, value in batch.items():
        assert torch.equal(value, expected[name]), name
        assert value.dtype == expected[name].dtype, name


def test_records_without_object_masks_are_loaded_too(test_images):
    [batch] = DataLoader(ClutterDataset(test_images, CLUTTER, records=True), batch_size=50)
    assert "object_mask" not in batch


def test_a_sample_names_the_type_of_each_fragment(train):
    sample = ClutterDataset(train, Clutter(("surround", "fragments"), 1), records=True)[2]
    assert sample["fragment_layer"] == ("surround",) * surround.LEVELS[1][0] + ("fragments",) * fragments.LEVELS[1][0]
    assert len(sample["fragment_id"]) == len(sample["fragment_class"]) == len(sample["fragment_layer"])
    assert ClutterDataset(train, Clutter(("noise",)), records=True)[2]["fragment_layer"] == ()


def test_a_transform_moves_masks_and_boxes_along(train):
    plain = ClutterDataset(train, CLUTTER, records=True)[4]
    flipped = ClutterDataset(train, CLUTTER, records=True, transform=v2.RandomHorizontalFlip(1.0))[4]
    for name in ("canvas", "visible_mask", "object_mask"):
        assert torch.equal(flipped[name], plain[name].flip(-1)), name
    x, y, width, height = plain["tile_box"][0].tolist()
    assert flipped["tile_box"][0].tolist() == [48 - x - width, y, width, height]
    assert isinstance(flipped["visible_mask"], tv_tensors.Mask)
    assert flipped["label"] == plain["label"]
    assert torch.equal(flipped["fragment_id"], plain["fragment_id"])
    assert flipped["fragment_layer"] == plain["fragment_layer"]


def test_a_transform_of_plain_samples_leaves_the_label(train):
    transform = v2.Compose([v2.RandomVerticalFlip(1.0), v2.ToDtype(torch.float32, scale=True)])
    canvas, label = ClutterDataset(train, CLUTTER, transform=transform)[13]
    plain, _ = ClutterDataset(train, CLUTTER)[13]
    torch.testing.assert_close(canvas, plain.flip(-2) / 255)
    assert label == 3


def test_bad_input_is_said_at_once(train, make_images):
    with pytest.raises(ValueError, match="at least as large as the images"):
        ClutterDataset(train, Clutter(canvas=24))
    with pytest.raises(ValueError, match="at least 2 images"):
        ClutterDataset(make_images(10), Clutter())
    for epoch in (-1, 1.0, 2**32):
        with pytest.raises(ValueError, match=f"`epoch` must be a whole number from 0 .* but got {epoch}"):
            ClutterDataset(train, Clutter(), epoch=epoch)


def test_a_dataset_from_a_pickle_shares_its_epoch_with_workers_again(train):
    import pickle

    dataset = ClutterDataset(train, CLUTTER)
    dataset.set_epoch(3)
    again = pickle.loads(pickle.dumps(dataset))
    assert again._epoch.is_shared()
    assert int(again._epoch) == 3
    again.set_epoch(5)
    assert int(dataset._epoch) == 3

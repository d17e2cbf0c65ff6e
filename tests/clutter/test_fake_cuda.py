"""What a GPU would be asked to do, without one: shapes, devices and the absence of copies to the host."""

from dataclasses import fields

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from attn_tutorial.clutter import Batches, Clutter, to_input
from attn_tutorial.clutter.layers.noise import noise_fields
from attn_tutorial.clutter.names import CLUTTER_TYPES, SEEN_TYPES, UNSEEN_TYPES
from attn_tutorial.clutter.noise_bank import noise_bank
from attn_tutorial.clutter.tables import _table
from attn_tutorial.datasets.images import ImageSet


@pytest.fixture
def images():
    """An image set of the device; what its host would make once is made before."""
    noise_bank()
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield ImageSet(
            images=torch.empty(200, 32, 32, 3, dtype=torch.uint8, device="cuda"),
            labels=torch.empty(200, dtype=torch.int64, device="cuda"),
            classes=tuple("abcdefghij"),
            split="train",
            index=torch.empty(200, dtype=torch.int64, device="cuda"),
            name="shapes",
            source="none",
            fingerprint="",
            masks=torch.empty(200, 32, 32, dtype=torch.bool, device="cuda"),
            may_lend=torch.empty(200, dtype=torch.bool, device="cuda"),
        )
    noise_fields.cache_clear()
    _table.cache_clear()


@pytest.mark.parametrize("types", [SEEN_TYPES, ("fragments", "noise"), UNSEEN_TYPES], ids="+".join)
def test_a_batch_is_made_on_the_device_alone(images, types, no_copy_to_host):
    batches = Batches(images, Clutter(types, severity=(0, 1, 2, 3, 4, 5)), 64)
    with no_copy_to_host():
        x, label = batches.at(3)
    assert (x.shape, x.device.type, label.device.type) == ((64, 3, 48, 48), "cuda", "cuda")
    assert x.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"feather": 2, "background": "blank"},
        {"tile": "removed", "fragment_classes": "other", "severity": (0, 5)},
    ],
    ids=str,
)
def test_all_types_and_options_are_drawn_on_the_device_alone(images, options, no_copy_to_host):
    clutter = Clutter(CLUTTER_TYPES, **{"severity": 5, **options})
    with no_copy_to_host():
        for _ in range(2):  # the first makes the smaller images of a crowd, the second finds them made
            batch = clutter.render(images, torch.empty(16, dtype=torch.int64, device="cuda"))
            assert {smaller.device.type for smaller in images.kept.values()} == {"cuda"}
        assert to_input(batch.canvas).device.type == "cuda"
    tensors = [getattr(batch, field.name) for field in fields(batch) if field.name != "fragment_layer"]
    assert len(tensors) == 8
    assert {tensor.device.type for tensor in tensors} == {"cuda"}
    assert (batch.canvas.shape, batch.canvas.dtype) == ((16, 3, 48, 48), torch.uint8)
    assert (batch.object_mask.shape, batch.object_mask.dtype) == ((16, 48, 48), torch.bool)

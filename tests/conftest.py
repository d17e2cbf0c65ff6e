"""Image sets small enough to render and train on in every test."""

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from attn_tutorial.datasets.images import ImageSet


def _make_images(count: int = 60, split: str = "train", start: int = 0, masks: bool = False) -> ImageSet:
    """Random pixels in ten classes, `count` images, whose places in their file begin at `start`."""
    generator = torch.Generator().manual_seed(start + count)
    return ImageSet(
        images=torch.randint(0, 256, (count, 32, 32, 3), dtype=torch.uint8, generator=generator),
        labels=torch.arange(count) % 10,
        classes=tuple("abcdefghij"),
        split=split,
        index=torch.arange(start, start + count),
        name="shapes",
        source="random pixels",
        fingerprint="f" * 64,
        masks=torch.rand((count, 32, 32), generator=generator) < 0.5 if masks else None,
    )


@pytest.fixture
def make_images():
    return _make_images


@pytest.fixture
def train() -> ImageSet:
    return _make_images(60, "train", masks=True)


@pytest.fixture
def bank() -> ImageSet:
    return _make_images(40, "bank", start=200)


@pytest.fixture
def test_images(bank: ImageSet) -> ImageSet:
    return replace(_make_images(50, "test"), fragments=bank)


@pytest.fixture(scope="session")
def tiny_cifar(tmp_path_factory):
    """A folder laid out as CIFAR-10 in class folders: 60 training and 15 test images a class, told apart by colour."""
    from PIL import Image

    from attn_tutorial.datasets.cifar10 import CLASSES

    folder = tmp_path_factory.mktemp("tiny") / "cifar"
    generator = torch.Generator().manual_seed(0)
    for split, count in (("train", 60), ("test", 15)):
        for label, name in enumerate(CLASSES):
            place = folder / split / name
            place.mkdir(parents=True)
            base = torch.tensor([25 * label, 255 - 25 * label, (90 * label) % 256])
            for i in range(count):
                pixels = (base + torch.randint(-20, 21, (32, 32, 3), generator=generator)).clamp(0, 255)
                Image.fromarray(pixels.to(torch.uint8).numpy()).save(place / f"{i:04d}.png")
    return folder


TO_HOST = {torch.ops.aten._local_scalar_dense.default, torch.ops.aten.item.default, torch.ops.aten.nonzero.default}


class NoCopyToHost(TorchDispatchMode):
    """Fails where a tensor of the device is read, or copied, by the host: there a GPU would have to be waited for."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        on_device = any(isinstance(arg, torch.Tensor) and arg.device.type == "cuda" for arg in args)
        if on_device:
            assert function not in TO_HOST, function
            assert not isinstance(out, torch.Tensor) or out.device.type == "cuda", function
        return out


@pytest.fixture
def no_copy_to_host():
    return NoCopyToHost

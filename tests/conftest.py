"""What tests of several rooms share: small image sets, runs of seconds, and records that no run made."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from attn_tutorial.datasets.images import ImageSet
from attn_tutorial.engine.images import prepare_images
from attn_tutorial.engine.options import RunOptions
from attn_tutorial.engine.setting import Setting
from attn_tutorial.ledger import Record
from attn_tutorial.ledger.record import circumstances
from attn_tutorial.spec import SEEN, Images, RunSpec
from attn_tutorial.study import PlannedRun, Study


def pytest_collection_modifyitems(items):
    """Skip, visibly, what needs a GPU where there is none."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("cuda"):
                item.add_marker(pytest.mark.skip(reason="needs an NVIDIA GPU: make gpu runs it"))


def _make_images(
    count: int = 60, split: str = "train", start: int = 0, masks: bool = False, side: int = 32
) -> ImageSet:
    """Random pixels in ten classes, `count` images, whose places in their file begin at `start`."""
    generator = torch.Generator().manual_seed(start + count)
    return ImageSet(
        images=torch.randint(0, 256, (count, side, side, 3), dtype=torch.uint8, generator=generator),
        labels=torch.arange(count) % 10,
        classes=tuple("abcdefghij"),
        split=split,
        index=torch.arange(start, start + count),
        name="shapes",
        source="random pixels",
        fingerprint="f" * 64,
        masks=torch.rand((count, side, side), generator=generator) < 0.5 if masks else None,
    )


@pytest.fixture
def lent_images(tmp_path):
    """Let the folder of a test, as a project's, use the images that this project has prepared: drawing takes long."""
    ours, theirs = Path(__file__).parents[1] / "data" / "raw" / "cache", tmp_path / "data" / "raw" / "cache"
    for folder in (ours, theirs.parent):
        folder.mkdir(parents=True, exist_ok=True)
    theirs.symlink_to(ours)


class _MeanColours(nn.Module):
    """A small classifier by the mean colours of a canvas, which reads whole numbers."""

    def __init__(self, seed: int):
        super().__init__()
        torch.manual_seed(seed)
        self.last = nn.Linear(3, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(x.float().mean((2, 3)))


@pytest.fixture(scope="session")
def mean_colours():
    return _MeanColours


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

    from attn_tutorial.datasets.sources.cifar10 import CLASSES

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


IMAGES = Images(name="shapes", source="shapes", fingerprint="b" * 64, archive_sha256=None)


@pytest.fixture(scope="session")
def prepared(tiny_cifar, tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    return prepare_images(str(tiny_cifar), root), root


@pytest.fixture
def setting(prepared, tmp_path):
    (images, source), root = prepared
    return Setting("headline", "smoke", images, root, source, tmp_path / "runs", RunOptions(device="cpu"))


@pytest.fixture
def plan():
    """Makes a plan of short runs: by the name of a variant, what differs in it."""

    def make(setting, **variants):
        runs = []
        for name, change in variants.items():
            spec = RunSpec.parse(
                {
                    "data": {"name": "cifar10"},
                    "backbone": {"depth": 8, "width": 16, "stem": "whiten4"},
                    "evaluation": {
                        "images": 20, "types": [SEEN], "severities": [0, 5], "recalibrated": [],
                        "look": None,
                    },
                    **change,
                    "training": {"samples": 128, "batch_size": 32, **change.get("training", {})},
                }
            )  # fmt: skip
            runs.append(PlannedRun(spec.run_id(setting.images.fingerprint), name, spec))
        return runs

    return make


@pytest.fixture
def make_record():
    """Makes the record of a planned run, tested on the first two compositions that its spec names."""

    def make(run, images=IMAGES, preset="quick", base=80.0, **changes):
        rows = [
            {"types": types, "severity": severity, "accuracy": (base - 3 * severity) / 100, "images": 100}
            for types in run.spec.evaluation.types[:2]
            for severity in range(6)
        ]
        return Record(
            **{
                "run_id": run.run_id, "study": "headline", "preset": preset, "variant": run.variant, "spec": run.spec,
                "status": "done", "accuracy": rows, "parameters": 10, "samples_per_second": 1.0,
                "training_seconds": 60.0, **circumstances(images, "cpu"), "threads": 1, **changes,
            }
        )  # fmt: skip

    return make


@pytest.fixture
def runs():
    """The headline's runs at quick, two seeds."""
    return Study.load("headline").plan("quick", IMAGES, seeds=2)

"""Test networks on the clutter benchmark."""

from pathlib import Path
from typing import Any

import torch

from attn_tutorial.benchmark.network import as_network
from attn_tutorial.benchmark.reads import Reads
from attn_tutorial.benchmark.result import Result
from attn_tutorial.benchmark.testing import answers_of
from attn_tutorial.datasets import ImageSet, load_images
from attn_tutorial.errors import InputError
from attn_tutorial.training.machine import choose_device


def benchmark(
    network: Any,
    images: ImageSet | str = "auto",
    reads: Reads | str | None = None,
    canvas: int = 48,
    size: int = 24,
    device: str | torch.device = "cpu",
    root: str | Path = "data",
    source: str | Path | None = None,
    count: int | None = None,
    progress: bool = True,
) -> Result:
    """Test one or several networks in every condition of the benchmark.

    A condition is a composition of clutter types at a severity: `surround+noise`, `mosaic` and `crowd` behind the
    target, on all test images, and `fragments`, `strokes` and `veil` over it, on the first 2,000. A network has to know
    the images' ten classes. Modules are put into evaluation mode.

    ```python
    from attn_tutorial.benchmark import benchmark
    result = benchmark(my_network, "cifar10", reads="imagenet")
    print(result)
    result.claim("My network", seeds=[0], trained_on=["surround", "noise"])
    ```

    Args:
        network: a module, a program of `torch.export`, a TorchScript module, the path of a file of one of these or of
            ONNX; or a list of them, which are the same network trained with several seeds.
        images: "cifar10", "shapes", "auto", or test images that were loaded by `load_images`.
        reads: what the network reads: "uint8" (0 to 255), "0-1", "imagenet", "package" (as networks of this package),
            or a `Reads` with mean, deviation and side. By default "package" for networks of this package, and "uint8"
            for others. ONNX files that read floats have no default.
        canvas: side of the canvas in pixels.
        size: side of the target in pixels, where `images` is a name: 16, 24 or 32.
        device: where networks and canvases are: "cpu", "cuda", "mps", or "auto" for the first that is there.
        root: the data folder, where `images` is a name.
        source: folder or archive of CIFAR-10, see `load_images`.
        count: how many images to test, for a quick look; by default all.
        progress: whether to show a progress bar.

    Raises:
        InputError: the network cannot be used: another number of classes, NaN, another input; or two networks of the
            list are the same; or another value cannot be used. The message says which.

    """
    networks = list(network) if isinstance(network, list | tuple) else [network]
    if not networks:
        raise InputError("`network` must be at least one network, but got an empty list.")
    test = load_images(images, "test", root, source, size) if isinstance(images, str) else images
    if not isinstance(test, ImageSet) or test.split != "test":
        given = f"the split {test.split!r}" if isinstance(test, ImageSet) else type(test).__name__
        raise InputError(f"`images` must be a name, or the split 'test' of an image set, but got {given}.")
    if count is not None and (isinstance(count, bool) or not isinstance(count, int)):
        raise InputError(f"`count` must be a whole number of images, or None for all, but got {count!r}.")
    place = _place(device)
    ready = [as_network(each, reads, place) for each in networks]
    if len({each.sha256 for each in ready}) < len(ready):
        raise InputError(
            "`network` must be a list of different networks, but two of it have the same weights or are the same file. "
            "Give each training once: the interval over seeds would be too narrow."
        )
    if len({(each.kind, each.reads) for each in ready}) > 1:
        raise InputError("all networks of one test must be of one kind and read the same, but these differ.")
    positions = None if count is None else test.first(count)
    tested = [answers_of(each, test, canvas, positions, progress) for each in ready]
    about = {"name": test.name, "source": test.source, "fingerprint": test.fingerprint}
    return Result(
        answers=tuple(each.answers for each in tested),
        sha256=tuple(each.sha256 for each in ready),
        kind=ready[0].kind,
        reads=ready[0].reads,
        images=about | {"size": test.images.shape[1], "canvas": canvas, "count": len(test) if count is None else count},
        remarks=tuple(dict.fromkeys(remark for each in tested for remark in each.remarks)),
    )


def _place(device: str | torch.device) -> torch.device:
    if not isinstance(device, str | torch.device):
        raise InputError(f"`device` must be the name of a device, such as cpu or cuda, but got {device!r}.")
    if isinstance(device, str):
        return choose_device(device)
    choose_device(device.type)
    return device

"""The training loop that users start from, for the benchmark of training.

A `Dataset` that draws each canvas with Pillow, torchvision's transforms, a `DataLoader`, and plain PyTorch: NCHW,
float32, the C library's default allocator, loss and accuracy read at every step. The clutter is the same to the pixel,
and so are network, batch size and optimisers.
"""

from collections.abc import Iterator

from clutter_pil import PilClutter
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from attn_tutorial.datasets import ImageSet
from attn_tutorial.spec import RunSpec
from attn_tutorial.training import build_model
from attn_tutorial.training.model import train_clutter
from attn_tutorial.training.optimisers import make_optimisers


class Canvases(Dataset):
    """One epoch's canvases as network input, one at a time."""

    def __init__(self, images: ImageSet, spec: RunSpec):
        self.clutter = PilClutter(images, train_clutter(spec))
        self.labels = images.labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize((0.5,) * 3, (0.25,) * 3),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        pixels, _, _ = self.clutter[i]
        return self.transform(Image.fromarray(pixels)), self.labels[i]


class NaiveTraining:
    """Call it to make one step."""

    def __init__(self, images: ImageSet, spec: RunSpec, workers: int):
        self.spec = spec
        self.model: nn.Module = build_model(spec, images).train()
        self.optimisers = make_optimisers(self.model, spec.training)
        loader = DataLoader(Canvases(images, spec), spec.training.batch_size, shuffle=True, num_workers=workers)
        self.batches: Iterator[list[Tensor]] = iter(loader)

    def __call__(self) -> tuple[float, float]:
        """Make a step on the next batch; returns its loss and accuracy."""
        x, label = next(self.batches)
        logits = self.model(x)
        loss = functional.cross_entropy(logits, label, label_smoothing=self.spec.training.label_smoothing)
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        loss.backward()
        for optimiser in self.optimisers:
            optimiser.step()
        return loss.item(), (logits.argmax(1) == label).float().mean().item()

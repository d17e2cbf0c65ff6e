"""The network of a run at its start, the clutter it trains in, and the hash of a network's weights."""

import hashlib

import torch
from torch import nn

from attn_tutorial.backbones import ResNet, resnet, whiten_stem_
from attn_tutorial.clutter import Clutter, to_input
from attn_tutorial.datasets import ImageSet
from attn_tutorial.spec import RunSpec

_WHITENING_IMAGES = 2000


def build_model(spec: RunSpec, train: ImageSet) -> nn.Module:
    """Build the network of a run with its starting weights, on the CPU.

    For one seed the backbone starts from the same weights, whatever block is in its slots. A whitening stem is fitted
    to training canvases, which are also the same for every block.
    """
    model = build_network(spec, len(train.classes))
    if spec.backbone.stem == "whiten4":
        canvases = train_clutter(spec).render(train, train.spread(_WHITENING_IMAGES)).canvas
        whiten_stem_(model, to_input(canvases).cpu())
    return model


def build_network(spec: RunSpec, classes: int) -> ResNet:
    """Build the network of a run without fitting its whitening stem, which needs images. Its cost is the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        model = resnet(
            spec.backbone.depth,
            spec.backbone.width,
            stem=spec.backbone.stem,
            widths=spec.backbone.widths,
            block=spec.block,
            stages=spec.stages,
            position=spec.position,
            block_options=spec.block_options,
            num_classes=classes,
        )
    if spec.backbone.stem_trained:
        model.get_parameter("stem.0.weight").requires_grad_(True)
    return model


def train_clutter(spec: RunSpec) -> Clutter:
    """Return the clutter that a run trains in. It uses the run's seed, so runs of other seeds see other canvases."""
    return Clutter(spec.clutter.types, spec.clutter.severities, seed=spec.seed, **spec.clutter.render_options())


def weights_sha256(model: nn.Module) -> str:
    """Hash all parameters and buffers with their names, types and shapes.

    Networks with equal hashes are equal bit for bit.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()

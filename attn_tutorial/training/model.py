"""The network of a run at its start, the clutter it trains in, and the hash of a network's weights."""

import hashlib

import torch
from torch import Tensor, nn

from attn_tutorial.backbones import ResNet, resnet, whiten_stem_
from attn_tutorial.backbones.names import Oracle
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
            oracle=spec.oracle is not None,
            pooling=spec.backbone.pooling,
            norm_gain=spec.backbone.norm_gain,
        )
    if spec.backbone.stem_trained:
        model.get_parameter("stem.0.weight").requires_grad_(True)
    return model


def network_input(x: Tensor, visible_mask: Tensor | None, oracle: Oracle | None) -> Tensor:
    """Return the input of a run's network: the canvases, and for an oracle the target's mask as a fourth channel.

    Without an oracle this is `x` itself. "wrong_gate" gives each canvas the mask of the next canvas in the batch, and
    the last one the mask of the first. Which canvas that is never changes for one run: seed and step fix the training
    batches, and the test batches are the same for all runs.

    Args:
        x: canvases as `clutter.to_input` returns them, float32 (batch, 3, side, side).
        visible_mask: where each target is visible, bool (batch, side, side); only an oracle needs it.
        oracle: the field `oracle` of the run's spec.

    Raises `ValueError` if an oracle gets no mask, or if "wrong_gate" gets a batch of one canvas.

    """
    if oracle is None:
        return x
    if visible_mask is None:
        raise ValueError("an oracle must be told where the target is, but got no `visible_mask`. Pass the batch's.")
    if oracle == "wrong_gate":
        if len(x) < 2:
            raise ValueError(
                "a wrong oracle must have another canvas in the batch, whose mask it takes, but the batch has "
                f"{len(x)}. Choose a batch size, or a number of images, that leaves no canvas alone."
            )
        visible_mask = visible_mask.roll(-1, 0)
    count, channels, *side = x.shape
    told = torch.empty((count, channels + 1, *side), device=x.device, memory_format=torch.channels_last)
    told[:, :channels], told[:, channels] = x, visible_mask
    return told


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

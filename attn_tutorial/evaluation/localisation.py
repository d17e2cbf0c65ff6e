"""Whether maps are large where the target is: enrichment, pointing game and AUC, at the resolution of the map.

A map of h × w cells divides the canvas into h × w equal parts, one per cell. (A strided convolution looks a little
further up and left than its part: 3 pixels, for a map of 6 × 6 cells on a 48-pixel canvas.)
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from attn_tutorial.backbones.pooling import AttentionPool
from attn_tutorial.evaluation.canvases import Group, Groups
from attn_tutorial.evaluation.maps import Pass, intact_pass
from attn_tutorial.evaluation.scoring import rounded

_HALF = 0.5


def cell_shares(mask: Tensor, height: int, width: int) -> Tensor:
    """Return the share of each cell that a mask covers: bool (B, H, W) pixels -> float64 (B, height, width)."""
    return functional.adaptive_avg_pool2d(mask.double(), (height, width))


def enrichment(maps: Tensor, shares: Tensor) -> Tensor:
    """Return the share of a map's mass on a mask, divided by the mask's share of the area, (B,).

    It is 1 by chance, and 1 / (share of the area) at best. A cell's mass is spread evenly over the cell. A map without
    any mass counts as even, and a weight below zero as no mass. NaN if the mask is empty.

    Args:
        maps: attention maps (B, h, w).
        shares: the share of each cell that is on the mask (B, h, w).

    """
    mass = maps.double().clamp(min=0).flatten(1)
    mass = torch.where(mass.sum(1, keepdim=True) > 0, mass, 1.0)
    on = shares.double().flatten(1)
    return (mass * on).sum(1) / mass.sum(1) / on.mean(1)


def pointing(maps: Tensor, shares: Tensor) -> Tensor:
    """Return whether the cell of largest weight is on a mask, (B,): 1, 0, or for a tie the share of tied cells on it.

    A cell is on the mask if at least half of it is, and there is no margin around the mask. An even map therefore
    scores the same as a cell drawn at random. NaN if no cell is on the mask, or if all cells are.

    Source: Zhang et al., "Top-down neural attention by excitation backprop", IJCV 2018, section 4.1, with a margin of
    15 pixels.

    Args:
        maps: attention maps (B, h, w).
        shares: the share of each cell that is on the mask (B, h, w).

    """
    weights, on = maps.flatten(1), _on_mask(shares)
    largest = weights == weights.amax(1, keepdim=True)
    hit = (largest & on).sum(1).double() / largest.sum(1)
    return torch.where(_has_both(shares), hit, torch.nan)


def auc(maps: Tensor, shares: Tensor) -> Tensor:
    """Return the probability that a cell on a mask has a larger weight than a cell off it, (B,); a tie counts half.

    This is the area under the ROC curve of the cells of one map; 0.5 by chance. A cell is on the mask if at least half
    of it is. NaN if no cell is on the mask, or if all cells are.

    Source: computed from ranks, Hanley and McNeil, Radiology 1982.

    Args:
        maps: attention maps (B, h, w).
        shares: the share of each cell that is on the mask (B, h, w).

    """
    from scipy import stats  # here, because it adds half a second to every worker's start

    on = _on_mask(shares)
    ranks = torch.from_numpy(stats.rankdata(maps.flatten(1).numpy(), axis=1))
    many = on.sum(1).double()
    above = (ranks * on).sum(1) - many * (many + 1) / 2
    return torch.where(_has_both(shares), above / (many * (on.shape[1] - many)), torch.nan)


def _on_mask(shares: Tensor) -> Tensor:
    return shares.flatten(1) >= _HALF


def _has_both(shares: Tensor) -> Tensor:
    """Return whether a mask has cells on it and cells off it, (B,)."""
    on = _on_mask(shares)
    return on.any(1) & ~on.all(1)


def grad_cam(model: nn.Module, x: Tensor, target: Tensor, layer: str = "stage3") -> Tensor:
    """Return Grad-CAM of a layer's output for given classes: relu of the channels' sum, weighted by mean gradients.

    It is the reference for networks without blocks, and for blocks that have no map over places.

    Source: Selvaraju et al., "Grad-CAM", ICCV 2017, equations 1 and 2; computed by captum.

    Args:
        model: the network, in evaluation mode.
        x: its input (B, 3, H, W).
        target: int64 (B,), the class whose logit is differentiated.
        layer: the module name of the layer.

    Returns:
        float (B, h, w), in the layer's own resolution.

    """
    from captum.attr import LayerGradCam  # here, because it adds a second to every worker's start

    with torch.enable_grad():
        maps = LayerGradCam(model, model.get_submodule(layer)).attribute(x, target, relu_attributions=True)
    return maps.detach()[:, 0]


class Localisation:
    """Comparison of every map of a network with the visible target, and with the object if its silhouette is known.

    The maps are `Seen.by_place` of every attention block; the weights of an attention pooling; and Grad-CAM of
    "stage3" for the class that the network predicts, right or wrong.

    Each measure is taken on the canvas's own mask, and "elsewhere": on the mask of the canvas that is half the set
    further on. Targets cover the middle of the canvas more often than its border, so a map that prefers the middle
    scores above chance on any target. Only the excess on the own mask over "elsewhere" depends on the canvas.

    Args:
        model: a network of `backbones.cifar_resnet`, in evaluation mode.

    """

    def __init__(self, model: nn.Module):
        self._model = model
        self._maps: dict[tuple[str, str], list[Tensor]] = {}
        self._masks: dict[str, list[Tensor]] = {"tile": [], "object": []}

    def add(self, group: Group, passed: Pass) -> None:
        """Take the maps of a group of canvases from the intact network's pass."""
        batch = group.batch
        if int(batch.tile_box[0, 2]) < batch.canvas.shape[3]:
            self._masks["tile"].append(batch.visible_mask.cpu())
        if batch.object_mask is not None:
            self._masks["object"].append(batch.object_mask.cpu())
        for slot, each in passed.seen.items():
            for kind, weights in each.by_place().items():
                self._maps.setdefault((slot, kind), []).append(weights.cpu())
        features = passed.last
        if features is None:
            raise ValueError("`model` must have a module called stage3, such as `backbones.resnet` makes.")
        pool = getattr(self._model, "pool", None)
        if isinstance(pool, AttentionPool):
            self._maps.setdefault(("pool", "spatial"), []).append(pool.weights(features)[:, 0].cpu())
        cam = _grad_cam_of(self._model, features, passed.x, passed.logits.argmax(1))
        self._maps.setdefault(("stage3", "grad_cam"), []).append(cam.cpu())

    def rows(self) -> list[dict[str, object]]:
        """Return a row for each map and mask: the fields of `ledger.record.Localisation` without those of the clutter.

        The numbers are means over the canvases whose mask contains at least one cell but not all. There is no row if
        no canvas has such a mask, or if the target is as large as the canvas.
        """
        rows = []
        for (slot, kind), parts in self._maps.items():
            weights = torch.cat(parts).float()
            height, width = weights.shape[1:]
            for name, pixels in self._masks.items():
                shares = cell_shares(torch.cat(pixels), height, width) if pixels else weights.new_zeros(weights.shape)
                counts = _has_both(shares)
                if not counts.any():
                    continue
                row = {"slot": slot, "map": kind, "mask": name, "images": int(counts.sum())}
                row |= {"height": height, "width": width}
                for suffix, against in (("", shares), ("_elsewhere", shares.roll(-(len(shares) // 2), 0))):
                    # The two means may be over slightly different canvases: few masks cannot be used.
                    there = _has_both(against)
                    for measure in (enrichment, pointing, auc):
                        row[measure.__name__ + suffix] = rounded(measure(weights[there], against[there]).mean())
                rows.append(row)
        return rows


def _grad_cam_of(model: nn.Module, features: Tensor, x: Tensor, target: Tensor) -> Tensor:
    """Return what `grad_cam` does, from the last stage's output `features`, without another pass."""
    with torch.enable_grad():
        features = features.detach().requires_grad_()
        logits = model.classify(features, x)  # type: ignore[operator]
        (gradient,) = torch.autograd.grad(logits.gather(1, target[:, None]).sum(), features)
    return functional.relu((gradient.mean((2, 3), keepdim=True) * features.detach()).sum(1))


@torch.no_grad()
def localise(model: nn.Module, groups: Groups) -> list[dict[str, object]]:
    """Compare every map of a network with the target on some canvases; return `Localisation.rows`.

    Args:
        model: a network of `backbones.cifar_resnet`, in evaluation mode.
        groups: the canvases.

    """
    measured = Localisation(model)
    for group in groups:
        measured.add(group, intact_pass(model, group.input()))
    return measured.rows()

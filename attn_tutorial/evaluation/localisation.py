"""Whether maps are large where the target is: enrichment, pointing game and AUC, at the resolution of the map.

A cell of a map of h × w cells stands for the h-th and w-th parts of the canvas's sides. (A strided convolution looks a
little further up and left than that: 3 pixels, for a map of 6 × 6 cells of a 48-pixel canvas.)
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from attn_tutorial.evaluation.canvases import Groups
from attn_tutorial.evaluation.maps import attention_maps
from attn_tutorial.evaluation.scoring import short

_HALF = 0.5


def cell_shares(mask: Tensor, height: int, width: int) -> Tensor:
    """The share of each cell that a mask covers: bool (B, H, W) pixels -> float64 (B, height, width)."""
    return functional.adaptive_avg_pool2d(mask.double(), (height, width))


def enrichment(maps: Tensor, shares: Tensor) -> Tensor:
    """Share of a map's mass that lies on a mask over the mask's share of the area, (B,).

    1 by chance, 1 / (share of the area) at best. A cell's mass lies evenly on it. A map without any mass is even, too;
    a weight below zero is no mass. NaN where the mask is empty.

    Args:
        maps: (B, h, w).
        shares: of each cell that is on the mask, (B, h, w).

    """
    mass = maps.double().clamp(min=0).flatten(1)
    mass = torch.where(mass.sum(1, keepdim=True) > 0, mass, 1.0)
    on = shares.double().flatten(1)
    return (mass * on).sum(1) / mass.sum(1) / on.mean(1)


def pointing(maps: Tensor, shares: Tensor) -> Tensor:
    """Whether the cell of largest weight is on a mask, (B,): 1, 0, or for a tie the share of the tied cells that are.

    Strict: a cell is on the mask if at least half of it is, and there is no margin around it. An even map thus scores
    what a cell that is drawn at random would. NaN where no cell is on the mask, or all are.

    Source: Zhang et al., "Top-down neural attention by excitation backprop", IJCV 2018, section 4.1, which has a margin
    of 15 pixels.

    Args:
        maps: (B, h, w).
        shares: of each cell that is on the mask, (B, h, w).

    """
    weights, on = maps.flatten(1), _on(shares)
    largest = weights == weights.amax(1, keepdim=True)
    hit = (largest & on).sum(1).double() / largest.sum(1)
    return torch.where(_counts(shares), hit, torch.nan)


def auc(maps: Tensor, shares: Tensor) -> Tensor:
    """Chance that a cell on a mask has a larger weight than one off it, a tie counting half, (B,).

    The area under the ROC curve of the cells of one map; 0.5 by chance. A cell is on the mask if at least half of it
    is. NaN where no cell is, or all are.

    Source: by ranks, Hanley and McNeil, Radiology 1982.

    Args:
        maps: (B, h, w).
        shares: of each cell that is on the mask, (B, h, w).

    """
    from scipy import stats  # here: half a second of every worker's start

    on = _on(shares)
    ranks = torch.from_numpy(stats.rankdata(maps.flatten(1).numpy(), axis=1))
    many = on.sum(1).double()
    above = (ranks * on).sum(1) - many * (many + 1) / 2
    return torch.where(_counts(shares), above / (many * (on.shape[1] - many)), torch.nan)


def _on(shares: Tensor) -> Tensor:
    return shares.flatten(1) >= _HALF


def _counts(shares: Tensor) -> Tensor:
    """Whether a mask tells cells apart, (B,)."""
    on = _on(shares)
    return on.any(1) & ~on.all(1)


def grad_cam(model: nn.Module, x: Tensor, target: Tensor, layer: str = "stage3") -> Tensor:
    """Grad-CAM of a layer's output for given classes: relu of its channels' sum, weighted by their mean gradients.

    The reference for networks whose blocks have no place map, and for the one without blocks.

    Source: Selvaraju et al., "Grad-CAM", ICCV 2017, equations 1 and 2; computed by captum.

    Args:
        model: the network, in evaluation mode.
        x: its input (B, 3, H, W).
        target: int64 (B,), the class whose logit is followed.
        layer: module name.

    Returns:
        float (B, h, w), in the layer's own resolution.

    """
    from captum.attr import LayerGradCam

    with torch.enable_grad():
        maps = LayerGradCam(model, model.get_submodule(layer)).attribute(x, target, relu_attributions=True)
    return maps.detach()[:, 0]


@torch.no_grad()
def localise(model: nn.Module, groups: Groups) -> list[dict[str, object]]:
    """Hold every map of a network against the visible tile, and against the object where its silhouette is known.

    Maps: those of `Seen.by_place` of every attention block, and Grad-CAM of "stage3" for the class that the network
    names, right or wrong.

    Each measure is taken on the canvas's own mask, and "elsewhere": on the mask of the canvas half the set further on.
    The tile always covers the canvas's middle, so that a map that prefers the middle scores above chance on any tile;
    what is more on its own than elsewhere depends on the canvas.

    Args:
        model: a network of `backbones.resnet`, in evaluation mode.
        groups: the canvases.

    Returns:
        a row for each map and mask: the fields of `study.record.Localisation` but for the clutter's. Means over the
        canvases that count, whose mask holds at least one cell, and not all cells; no row where none does, nor for a
        tile as large as the canvas.

    """
    maps: dict[tuple[str, str], list[Tensor]] = {}
    masks: dict[str, list[Tensor]] = {"tile": [], "object": []}
    for group in groups:
        batch, x = group.batch, group.input()
        if int(batch.tile_box[0, 2]) < batch.canvas.shape[3]:
            masks["tile"].append(batch.visible_mask.cpu())
        if batch.object_mask is not None:
            masks["object"].append(batch.object_mask.cpu())
        logits, seen = attention_maps(model, x)
        for slot, each in seen.items():
            for kind, weights in each.by_place().items():
                maps.setdefault((slot, kind), []).append(weights.cpu())
        maps.setdefault(("stage3", "grad_cam"), []).append(grad_cam(model, x, logits.argmax(1)).cpu())
    rows = []
    for (slot, kind), parts in maps.items():
        weights = torch.cat(parts).float()
        height, width = weights.shape[1:]
        for name, pixels in masks.items():
            shares = cell_shares(torch.cat(pixels), height, width) if pixels else weights.new_zeros(weights.shape)
            counts = _counts(shares)
            if not counts.any():
                continue
            row = {"slot": slot, "map": kind, "mask": name, "images": int(counts.sum())}
            row |= {"height": height, "width": width}
            for suffix, against in (("", shares), ("_elsewhere", shares.roll(-(len(shares) // 2), 0))):
                # One and the same images on both sides would need both masks to count; a mask seldom does not.
                there = _counts(against)
                for measure in (enrichment, pointing, auc):
                    row[measure.__name__ + suffix] = short(measure(weights[there], against[there]).mean())
            rows.append(row)
    return rows

"""Whether maps are large where the target is: enrichment, pointing game and AUC, at the resolution of the map.

A map of h × w cells divides the canvas into h × w equal parts, one per cell. (A strided convolution looks a little
further up and left than its part: 3 pixels, for a map of 6 × 6 cells on a 48-pixel canvas.)
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from attn_tutorial.evaluation.canvases import Groups
from attn_tutorial.evaluation.maps import attention_maps
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


@torch.no_grad()
def localise(model: nn.Module, groups: Groups) -> list[dict[str, object]]:
    """Compare every map of a network with the visible tile, and with the object if its silhouette is known.

    The maps are `Seen.by_place` of every attention block, and Grad-CAM of "stage3" for the class that the network
    predicts, right or wrong.

    Each measure is taken on the canvas's own mask, and "elsewhere": on the mask of the canvas that is half the set
    further on. The tile always covers the middle of the canvas, so a map that prefers the middle scores above chance on
    any tile. Only the excess on the own mask over "elsewhere" depends on the canvas.

    Args:
        model: a network of `backbones.resnet`, in evaluation mode.
        groups: the canvases.

    Returns:
        A row for each map and mask: the fields of `ledger.record.Localisation` without those of the clutter. The
        numbers are means over the canvases whose mask contains at least one cell but not all. There is no row if no
        canvas has such a mask, or if the tile is as large as the canvas.

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

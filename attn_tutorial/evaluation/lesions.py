"""Lesions: all gates of a network replaced at test time, to see what they were good for.

A gate is whatever a block's `attention` gives: for Non-local its pairwise map. What takes its place is made of gates
that an intact network had in a pass of its own (`maps.attention_maps`), so that a deep gate is never one that a
shallower lesion has spoilt. All parts of a block and all blocks of the network are replaced at once:

- "mean": by the mean gate over training canvases in the training clutter, one for each part, channel and place;
- "other_same_class", "other_class": by the gates that another test canvas of the same severity has, whose target is of
  the same or of another class (`canvases.groups_of` says which);
- "shuffle": by the canvas's own gates with their places shuffled, another order for each canvas and block: all channels
  alike in a "full" map, the places j that all places i collect from in a "pairwise" one. "channel" maps, which have no
  places, stay; a network that has only these has no such lesion;
- "identity": the block gives what it gets, as if it were not there.

Under the others a block still does with the gate what it does with its own: the residual of Non-local still adds what
is collected under the other map.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from attn_tutorial.blocks.base import AttentionBlock, Features, Maps
from attn_tutorial.evaluation.canvases import Group, Groups
from attn_tutorial.evaluation.maps import Seen, acting, attention_maps
from attn_tutorial.evaluation.recalibration import collecting, recalibrated
from attn_tutorial.evaluation.scoring import short

LESIONS = ("mean", "other_same_class", "other_class", "shuffle", "identity")
_RESAMPLES = 2000

Gates = Mapping[str, Maps]
"""By module name of the blocks."""


def mean_gates(model: nn.Module, groups: Groups) -> dict[str, Maps]:
    """The mean gates of a network over canvases, by module name and kind, each (1, ...); exact where all are equal."""
    first: dict[str, Maps] = {}
    excess: dict[str, Maps] = {}
    count = 0
    for group in groups:
        _, seen = attention_maps(model, group.input())
        count += len(group)
        for slot, each in seen.items():
            for kind, gate in each.maps.items():
                # From the first one on, since the rounded mean of equal numbers may be another number.
                start = first.setdefault(slot, {}).setdefault(kind, gate[:1].clone())
                sums = excess.setdefault(slot, {})
                sums[kind] = sums.get(kind, 0) + (gate - start).sum(0, keepdim=True)
    return {
        slot: {kind: start + excess[slot][kind] / count for kind, start in maps.items()} for slot, maps in first.items()
    }


def possible_lesions(gates: Gates, others: bool = True) -> tuple[str, ...]:
    """Which lesions a network can have that has these gates; none without gates.

    Args:
        gates: of its blocks.
        others: whether there are other canvases of a class.

    """
    kinds = {kind for maps in gates.values() for kind in maps}
    impossible = {"shuffle"} if kinds <= {"channel"} else set()
    if not others:
        impossible.add("other_same_class")
    return tuple(lesion for lesion in LESIONS if lesion not in impossible) if kinds else ()


def replaced(lesion: str, seen: Mapping[str, Seen], mean: Gates, group: Group) -> Gates | None:
    """The gates that a lesion puts in the place of those of a group; None where the blocks are left out."""
    if lesion == "identity":
        return None
    if lesion == "mean":
        return mean
    if lesion == "shuffle":
        orders = torch.Generator().manual_seed(0)
        return {
            slot: {kind: _shuffled(kind, gate, orders) for kind, gate in each.maps.items()}
            for slot, each in seen.items()
        }
    other = group.same_class if lesion == "other_same_class" else group.other_class
    return {slot: {kind: gate[other] for kind, gate in each.maps.items()} for slot, each in seen.items()}


def _shuffled(kind: str, gate: Tensor, orders: torch.Generator) -> Tensor:
    if kind == "channel":
        return gate
    # The last axis of a pairwise map, the two last ones together of the others.
    places = gate if kind == "pairwise" else gate.flatten(2)  # B, N or C, places
    order = torch.rand(len(gate), places.shape[2], generator=orders).argsort(1).to(gate.device)
    return places.gather(2, order[:, None].expand_as(places)).view_as(gate)


def under(model: nn.Module, x: Tensor, gates: Gates | None) -> Tensor:
    """The output of a network whose blocks act by the given gates, or, under None, give what they get."""

    def act(name: str, block: AttentionBlock, features: Features) -> Features:
        if gates is None:
            return features
        maps = {kind: gate.expand(len(features), *gate.shape[1:]) for kind, gate in gates[name].items()}
        return block.apply_attention(features, maps)

    with acting(model, act):
        return model(x)


@torch.no_grad()
def harms(model: nn.Module, mean: Gates, test: Groups, train: Groups) -> list[dict[str, object]]:
    """Test a network intact and under each lesion, as trained and with BatchNorm statistics taken anew.

    For the second the intact network is recalibrated (see `recalibrated`), and then the network under each lesion, with
    the recalibrated intact network's gates as those that are exchanged and shuffled. What a lesion costs is told
    between these two, since a shift of statistics alone is not what is asked about.

    Args:
        model: the network as trained, in evaluation mode.
        mean: its mean gates.
        test: canvases of the test.
        train: training canvases in the clutter of the test.

    Returns:
        a row for "none" and each lesion: the fields of `study.record.Lesion` but for the clutter's. The interval is the
        percentiles' of a bootstrap over the images, paired. No row for a network without gates.

    """
    lesions = possible_lesions(mean, others=all(group.same_class is not None for group in (*test, *train)))
    if not lesions or not len(test):
        return []
    as_trained = _right(model, dict.fromkeys(lesions, model), mean, test)
    intact = recalibrated(model, (group.input() for group in train))
    networks = {lesion: collecting(model) for lesion in lesions}
    for _ in _passes(intact, networks, mean, train):
        pass
    again = _right(intact, {lesion: network.eval() for lesion, network in networks.items()}, mean, test)
    return [
        {
            "lesion": lesion,
            "images": len(right),
            "accuracy": short(as_trained[lesion].mean()),
            "recalibrated": short(right.mean()),
            **_harm(again["none"], right),
        }
        for lesion, right in again.items()
    ]


def _harm(intact: np.ndarray, lesioned: np.ndarray) -> dict[str, float]:
    from scipy import stats  # here: half a second of every worker's start

    difference = intact - lesioned
    found = stats.bootstrap(
        (difference,), np.mean, n_resamples=_RESAMPLES, batch=100, method="percentile", random_state=0
    )
    low, high = found.confidence_interval
    return {"harm": short(difference.mean()), "low": short(low), "high": short(high)}


def _right(intact: nn.Module, networks: Mapping[str, nn.Module], mean: Gates, groups: Groups) -> dict[str, np.ndarray]:
    """Which images are named right, 1 or 0: by the intact network ("none"), and by each network under its lesion."""
    found: dict[str, list[Tensor]] = {}
    for group, logits in _passes(intact, networks, mean, groups):
        for lesion, each in logits.items():
            found.setdefault(lesion, []).append(each.argmax(1) == group.batch.label)
    return {lesion: torch.cat(parts).cpu().numpy().astype(float) for lesion, parts in found.items()}


def _passes(
    intact: nn.Module, networks: Mapping[str, nn.Module], mean: Gates, groups: Groups
) -> Iterator[tuple[Group, dict[str, Tensor]]]:
    """Logits of each group: of the intact network ("none"), and of each other under its lesion, by the intact gates."""
    for group in groups:
        x = group.input()
        logits, seen = attention_maps(intact, x)
        found = {"none": logits}
        for lesion, network in networks.items():
            found[lesion] = under(network, x, replaced(lesion, seen, mean, group))
        yield group, found

"""Lesions: all gates of a network are replaced at test time, to measure what they contribute.

A gate is whatever a block's `attention` returns: for Non-local its pairwise map. Its replacement is made of gates from
a separate pass of an intact network (`maps.attention_maps`), so a deep gate is never distorted by a lesion of an
earlier block. All parts of a block and all blocks of the network are replaced at once:

- "mean": by the mean gate over training canvases in the training clutter, one for each part, channel and place;
- "other_same_class", "other_class": by the gates of another test canvas of the same severity, whose target is of the
  same class or of another class (`canvases.groups_of` chooses it);
- "shuffle": by the canvas's own gates with their places shuffled, in a different order for each canvas and block. In a
  "full" map all channels are shuffled in the same way; in a "pairwise" map the places j that all places i collect from
  are shuffled. "channel" maps have no places and stay; a network that has only such maps has no such lesion;
- "identity": the block returns its input, as if it were not there.

Except under "identity", a block uses the replaced gate as it uses its own: the residual of Non-local still adds what is
collected under the other map.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from attn_tutorial.blocks.base import AttentionBlock, Features, Maps
from attn_tutorial.evaluation.canvases import Group, Groups
from attn_tutorial.evaluation.maps import Seen, acting, attention_maps
from attn_tutorial.evaluation.recalibration import collecting_statistics, recalibrated
from attn_tutorial.evaluation.scoring import rounded

LESIONS = ("mean", "other_same_class", "other_class", "shuffle", "identity")
_RESAMPLES = 2000

Gates = Mapping[str, Maps]
"""Attention maps by the module names of the blocks."""


def mean_gates(model: nn.Module, groups: Groups) -> dict[str, Maps]:
    """Return a network's mean gates over canvases, by module name and kind, each (1, ...); exact if all are equal."""
    first: dict[str, Maps] = {}
    excess: dict[str, Maps] = {}
    count = 0
    for group in groups:
        _, seen = attention_maps(model, group.input())
        count += len(group)
        for slot, each in seen.items():
            for kind, gate in each.maps.items():
                # Relative to the first gate, because the rounded mean of equal numbers can differ from them.
                start = first.setdefault(slot, {}).setdefault(kind, gate[:1].clone())
                sums = excess.setdefault(slot, {})
                sums[kind] = sums.get(kind, 0) + (gate - start).sum(0, keepdim=True)
    return {
        slot: {kind: start + excess[slot][kind] / count for kind, start in maps.items()} for slot, maps in first.items()
    }


def possible_lesions(gates: Gates, others: bool = True) -> tuple[str, ...]:
    """Return the lesions that are possible for a network with these gates; none without gates.

    Args:
        gates: the gates of its blocks.
        others: whether every canvas has a partner of its class.

    """
    kinds = {kind for maps in gates.values() for kind in maps}
    impossible = {"shuffle"} if kinds <= {"channel"} else set()
    if not others:
        impossible.add("other_same_class")
    return tuple(lesion for lesion in LESIONS if lesion not in impossible) if kinds else ()


def replaced(lesion: str, seen: Mapping[str, Seen], mean: Gates, group: Group) -> Gates | None:
    """Return the gates with which a lesion replaces the gates of a group, or None if it leaves the blocks out."""
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
    # Places are the last axis of a pairwise map, and the last two axes together of other maps.
    places = gate if kind == "pairwise" else gate.flatten(2)  # B, N or C, places
    order = torch.rand(len(gate), places.shape[2], generator=orders).argsort(1).to(gate.device)
    return places.gather(2, order[:, None].expand_as(places)).view_as(gate)


def under(model: nn.Module, x: Tensor, gates: Gates | None) -> Tensor:
    """Return the output of a network whose blocks apply the given gates, or return their input if `gates` is None."""

    def act(name: str, block: AttentionBlock, features: Features) -> Features:
        if gates is None:
            return features
        maps = {kind: gate.expand(len(features), *gate.shape[1:]) for kind, gate in gates[name].items()}
        return block.apply_attention(features, maps)

    with acting(model, act):
        return model(x)


@torch.no_grad()
def harms(model: nn.Module, mean: Gates, test: Groups, train: Groups) -> list[dict[str, object]]:
    """Test a network intact and under each lesion, as trained and with new BatchNorm statistics.

    For the new statistics the intact network is recalibrated (see `recalibrated`), and then the network under each
    lesion; the gates that are exchanged and shuffled are the recalibrated intact network's. The harm of a lesion is the
    difference between these two, because a shift of statistics alone is not the question.

    Args:
        model: the network as trained, in evaluation mode.
        mean: its mean gates.
        test: test canvases.
        train: training canvases in the clutter of the test.

    Returns:
        A row for "none" and for each lesion: the fields of `ledger.record.Lesion` without those of the clutter. The
        interval is a paired percentile bootstrap over the images. A network without gates has no row.

    """
    lesions = possible_lesions(mean, others=all(group.same_class is not None for group in (*test, *train)))
    if not lesions or not len(test):
        return []
    as_trained = _right(model, dict.fromkeys(lesions, model), mean, test)
    intact = recalibrated(model, (group.input() for group in train))
    networks = {lesion: collecting_statistics(model) for lesion in lesions}
    for _ in _passes(intact, networks, mean, train):
        pass
    again = _right(intact, {lesion: network.eval() for lesion, network in networks.items()}, mean, test)
    return [
        {
            "lesion": lesion,
            "images": len(right),
            "accuracy": rounded(as_trained[lesion].mean()),
            "recalibrated": rounded(right.mean()),
            **_harm(again["none"], right),
        }
        for lesion, right in again.items()
    ]


def _harm(intact: np.ndarray, lesioned: np.ndarray) -> dict[str, float]:
    from scipy import stats  # here, because it adds half a second to every worker's start

    difference = intact - lesioned
    found = stats.bootstrap(
        (difference,), np.mean, n_resamples=_RESAMPLES, batch=100, method="percentile", random_state=0
    )
    low, high = found.confidence_interval
    return {"harm": rounded(difference.mean()), "low": rounded(low), "high": rounded(high)}


def _right(intact: nn.Module, networks: Mapping[str, nn.Module], mean: Gates, groups: Groups) -> dict[str, np.ndarray]:
    """Return which images the intact network ("none") and each network under its lesion classify correctly, 1 or 0."""
    found: dict[str, list[Tensor]] = {}
    for group, logits in _passes(intact, networks, mean, groups):
        for lesion, each in logits.items():
            found.setdefault(lesion, []).append(each.argmax(1) == group.batch.label)
    return {lesion: torch.cat(parts).cpu().numpy().astype(float) for lesion, parts in found.items()}


def _passes(
    intact: nn.Module, networks: Mapping[str, nn.Module], mean: Gates, groups: Groups
) -> Iterator[tuple[Group, dict[str, Tensor]]]:
    """Yield each group with the logits of the intact network ("none") and of each network under its lesion.

    The lesions are made of the intact network's gates.
    """
    for group in groups:
        x = group.input()
        logits, seen = attention_maps(intact, x)
        found = {"none": logits}
        for lesion, network in networks.items():
            found[lesion] = under(network, x, replaced(lesion, seen, mean, group))
        yield group, found

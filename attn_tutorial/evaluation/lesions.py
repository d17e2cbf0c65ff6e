"""Lesions: gates of a trained network are replaced at test time, to measure what they contribute.

A gate is whatever a block's `attention` returns: for Non-local its pairwise map. Its replacement is made of gates from
a separate pass of the intact network, so a deep gate is never distorted by a lesion of an earlier block. All blocks of
the network are lesioned at once:

- "mean": the gate becomes the mean gate over canvases of the training clutter, one for each part, channel and place;
- "other_clutter": the gates of the same target at another place in other clutter;
- "other_image": the gates of another canvas of the same severity, with a random image as its target;
- "shuffle": the canvas's own gates with their places shuffled, in a different order for each canvas and block. In a
  "full" map all channels are shuffled in the same way; in a "pairwise" map the places j that all places i collect from
  are shuffled. "channel" maps have no places and stay; a network that has only such maps has no such lesion;
- "identity": the block returns its input, as if it were not there.

Except under "identity", a block uses the replaced gate as it uses its own: the residual of Non-local still adds what is
collected under the other map. Where blocks have several kinds of maps, as CBAM's channel and spatial map, each kind is
also replaced by itself: "mean (spatial)" leaves the channel maps as they are.

No donor of gates is chosen by the label: gates of "another image of the same class" would tell the network the class.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from attn_tutorial.blocks.base import AttentionBlock, Features, Maps
from attn_tutorial.evaluation.canvases import Group, Groups
from attn_tutorial.evaluation.maps import Pass, acting, intact_pass, repeating
from attn_tutorial.evaluation.recalibration import collecting_statistics
from attn_tutorial.evaluation.scoring import rounded

LESIONS = ("mean", "other_clutter", "other_image", "shuffle", "identity")
INTACT = "none"
RECALIBRATED = (INTACT, "identity")
"""Without gates, features have another scale. Therefore the network without them, and the intact one, are also tested
with new BatchNorm statistics, and the harm is the difference between these two. Other gates have the scale of the
network's own."""
_RESAMPLES = 2000

Gates = Mapping[str, Maps]
"""Attention maps by the module names of the blocks."""


def mean_gates(model: nn.Module, groups: Groups) -> dict[str, Maps]:
    """Return a network's mean gates over canvases, by module name and kind, each (1, ...); exact if all are equal."""
    mean = _MeanGates()
    for group in groups:
        mean.add(intact_pass(model, group.input()))
    return mean.gates()


class _MeanGates:
    """The mean of a network's gates, as its passes come in."""

    def __init__(self) -> None:
        self._first: dict[str, Maps] = {}
        self._excess: dict[str, Maps] = {}
        self._count = 0

    def add(self, passed: Pass) -> None:
        self._count += len(passed.x)
        for slot, maps in _gates(passed).items():
            for kind, gate in maps.items():
                # Relative to the first gate, because the rounded mean of equal numbers can differ from them.
                start = self._first.setdefault(slot, {}).setdefault(kind, gate[:1].clone())
                sums = self._excess.setdefault(slot, {})
                sums[kind] = sums.get(kind, 0) + (gate - start).sum(0, keepdim=True)

    def gates(self) -> dict[str, Maps]:
        return {
            slot: {kind: start + self._excess[slot][kind] / self._count for kind, start in maps.items()}
            for slot, maps in self._first.items()
        }


def possible_lesions(gates: Gates) -> tuple[str, ...]:
    """Return the lesions that are possible for a network with these gates; none without gates.

    Those of a single kind of map have its name behind theirs, as in "shuffle (spatial)".
    """
    kinds = sorted({kind for maps in gates.values() for kind in maps})
    whole = tuple(lesion for lesion in LESIONS if lesion != "shuffle" or kinds != ["channel"])
    if len(kinds) < 2:
        return whole if kinds else ()
    parts = [
        f"{lesion} ({kind})"
        for kind in kinds
        for lesion in LESIONS
        if lesion != "identity" and (lesion, kind) != ("shuffle", "channel")
    ]
    return (*whole, *parts)


def replaced(lesion: str, own: Gates, elsewhere: Gates, mean: Gates) -> Gates | None:
    """Return the gates with which a lesion replaces the gates of a group, or None if it leaves the blocks out.

    Args:
        lesion: one of `possible_lesions`.
        own: the gates of a group of canvases in the intact network.
        elsewhere: those of the same targets in other clutter, in the same order.
        mean: the mean gates.

    """
    lesion, _, kind = lesion.removesuffix(")").partition(" (")
    if lesion == "identity":
        return None
    if lesion == "shuffle":
        orders = torch.Generator().manual_seed(0)
        given = {
            slot: {name: _shuffled(name, gate, orders) for name, gate in maps.items()} for slot, maps in own.items()
        }
    elif lesion == "other_image":
        given = {slot: {name: gate.roll(1, 0) for name, gate in maps.items()} for slot, maps in own.items()}
    else:
        given = dict(mean if lesion == "mean" else elsewhere)
    if not kind:
        return given
    return {
        slot: {name: given[slot][name] if name == kind else gate for name, gate in maps.items()}
        for slot, maps in own.items()
    }


def _shuffled(kind: str, gate: Tensor, orders: torch.Generator) -> Tensor:
    if kind == "channel":
        return gate
    # Places are the last axis of a pairwise map, and the last two axes together of other maps.
    places = gate if kind == "pairwise" else gate.flatten(2)  # B, N or C, places
    order = torch.rand(len(gate), places.shape[2], generator=orders).argsort(1).to(gate.device)
    return places.gather(2, order[:, None].expand_as(places)).view_as(gate)


def under(model: nn.Module, x: Tensor, gates: Gates | None, kept: Mapping[str, Tensor] | None = None) -> Tensor:
    """Return the output of a network whose blocks apply the given gates, or return their input if `gates` is None.

    Args:
        model: the network.
        x: its input.
        gates: for every block.
        kept: what comes before the first block, from a pass of the same input: it is not computed again.

    """

    def act(name: str, block: AttentionBlock, features: Features) -> Features:
        if gates is None:
            return features
        maps = {kind: gate.expand(len(features), *gate.shape[1:]) for kind, gate in gates[name].items()}
        return block.apply_attention(features, maps)

    with acting(model, act), repeating(model, kept or {}):
        return model(x)


class Lesions:
    """A network that is tested intact and under each lesion, group by group; no group of canvases needs to be kept.

    Args:
        model: the network as trained, in evaluation mode.
        train: canvases of the clutter in training, for the mean gates; and for the new BatchNorm statistics of the
            layers behind the first block, see `RECALIBRATED`.

    """

    def __init__(self, model: nn.Module, train: Groups):
        self._model = model
        self._again = {name: collecting_statistics(model) for name in RECALIBRATED}
        mean = _MeanGates()
        for group in train:
            passed = intact_pass(model, group.input())
            mean.add(passed)
            for name, network in self._again.items():
                under(network, passed.x, _gates(passed) if name == INTACT else None, passed.kept)
        self._mean = mean.gates()
        self._lesions = possible_lesions(self._mean)
        for network in self._again.values():
            # Of layers before the first block, which were not run, the statistics as trained.
            _fill_statistics(network, model)
            network.eval()

    def start(self) -> "Tested":
        """Return a test of the network in one clutter."""
        return Tested(self)

    def pass_all(self, group: Group, passed: Pass) -> dict[str, Tensor]:
        """Return the classes that the network names, (B,), by lesion, and for the intact network under "none".

        Those with new BatchNorm statistics have "recalibrated " before their name.
        """
        own = _gates(passed)
        named = {INTACT: passed.logits.argmax(1)}
        if not self._lesions:
            return named
        elsewhere = _gates(intact_pass(self._model, group.input_elsewhere()))
        for lesion in self._lesions:
            gates = replaced(lesion, own, elsewhere, self._mean)
            named[lesion] = under(self._model, passed.x, gates, passed.kept).argmax(1)
        for name, network in self._again.items():
            gates = own if name == INTACT else None
            named[f"recalibrated {name}"] = under(network, passed.x, gates, passed.kept).argmax(1)
        return named

    @property
    def possible(self) -> tuple[str, ...]:
        """The lesions that the network can have."""
        return self._lesions


class Tested:
    """The answers of an intact and a lesioned network in one clutter, as they come in."""

    def __init__(self, lesions: Lesions):
        self._lesions = lesions
        self._right: dict[str, list[Tensor]] = {}

    def add(self, group: Group, passed: Pass) -> None:
        """Test a group of canvases, from the intact network's pass on."""
        for lesion, named in self._lesions.pass_all(group, passed).items():
            self._right.setdefault(lesion, []).append(named == group.batch.label)

    def rows(self) -> list[dict[str, object]]:
        """Return a row for "none" and each lesion: the fields of `ledger.record.Lesion` without those of the clutter.

        The harm is the intact network's accuracy minus the one under the lesion; for those in `RECALIBRATED` both are
        recalibrated. Its interval is a paired percentile bootstrap over the images. A network without gates has no row.
        """
        right = {name: torch.cat(parts).cpu().numpy().astype(float) for name, parts in self._right.items()}
        if not self._lesions.possible or not right:
            return []
        return [self._row(lesion, right) for lesion in (INTACT, *self._lesions.possible)]

    def _row(self, lesion: str, right: Mapping[str, np.ndarray]) -> dict[str, object]:
        again = right.get(f"recalibrated {lesion}")
        harm = _harm(right[INTACT], right[lesion])
        if again is not None:
            harm = _harm(right[f"recalibrated {INTACT}"], again)
        return {
            "lesion": lesion,
            "images": len(right[lesion]),
            "accuracy": rounded(right[lesion].mean()),
            "recalibrated": None if again is None else rounded(again.mean()),
            **harm,
        }


@torch.no_grad()
def harms(model: nn.Module, test: Groups, train: Groups) -> list[dict[str, object]]:
    """Test a network intact and under each lesion on some canvases; return `Tested.rows`.

    Args:
        model: the network as trained, in evaluation mode.
        test: test canvases.
        train: canvases of the clutter in training, see `Lesions`.

    """
    tested = Lesions(model, train).start()
    for group in test:
        tested.add(group, intact_pass(model, group.input()))
    return tested.rows()


def _gates(passed: Pass) -> dict[str, Maps]:
    return {slot: each.maps for slot, each in passed.seen.items()}


def _fill_statistics(network: nn.Module, trained: nn.Module) -> None:
    """Give layers of a copy that have seen no batch the BatchNorm statistics of the network as trained."""
    originals = dict(trained.named_modules())
    for name, layer in network.named_modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and not int(layer.num_batches_tracked or 0):
            layer.load_state_dict(originals[name].state_dict())


def _harm(intact: np.ndarray, lesioned: np.ndarray) -> dict[str, float]:
    from scipy import stats  # here, because it adds half a second to every worker's start

    difference = intact - lesioned
    found = stats.bootstrap(
        (difference,), np.mean, n_resamples=_RESAMPLES, batch=100, method="percentile", random_state=0
    )
    low, high = found.confidence_interval
    return {"harm": rounded(difference.mean()), "low": rounded(low), "high": rounded(high)}

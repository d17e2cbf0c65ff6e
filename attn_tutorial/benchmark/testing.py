"""Test a network in every condition of the benchmark: its answers, and what it does that makes them doubtful."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor
from tqdm import tqdm

from attn_tutorial.benchmark.network import Network
from attn_tutorial.clutter import OCCLUSION_TYPES, SEVERITIES, UNSEEN_TYPES, Clutter
from attn_tutorial.datasets import ImageSet
from attn_tutorial.errors import InputError
from attn_tutorial.evaluation.names import NOT_TESTED
from attn_tutorial.ledger.answers import Answers
from attn_tutorial.spec import SEEN

BACKGROUND = (SEEN, *UNSEEN_TYPES)
"""The compositions of the primary axis, tested on all images."""
COMPOSITIONS = (*BACKGROUND, *OCCLUSION_TYPES)
SECONDARY_IMAGES = 2000
"""Number of images on which the other compositions are tested."""
_BATCH = 250
_REASON = 300
"""The most characters of another program's error that a message or a remark repeats."""
_REPEATS = 3


@dataclass
class Tested:
    """What a network answered."""

    answers: Answers
    remarks: list[str] = field(default_factory=list)
    """Whatever makes the answers doubtful, each as a sentence."""


@torch.no_grad()  # not inference_mode: some networks need gradients of their own, or keep what they computed
def answers_of(
    network: Network, images: ImageSet, canvas: int, positions: Tensor | None = None, progress: bool = True
) -> Tested:
    """Return a network's answer to every test image in every condition.

    Args:
        network: the network.
        images: the test images; canvases are rendered where the network is.
        canvas: side of the canvas in pixels.
        positions: which images are tested, int64 (N,); all by default.
        progress: whether a progress bar shows how far it is, where there is a terminal or a notebook.

    Raises:
        InputError: the network cannot read the canvases, has another number of classes, or gives NaN.

    """
    images = images.to("cpu")
    every = torch.arange(len(images)) if positions is None else positions.cpu()
    few = every[torch.isin(every, images.first(SECONDARY_IMAGES))] if len(images) > SECONDARY_IMAGES else every
    runner = _Runner(network, images, canvas)
    remarks = runner.try_out(every)
    cells = [("noise", 0, every)] + [
        (types, severity, every if types in BACKGROUND else few)
        for types in COMPOSITIONS
        for severity in SEVERITIES
        if severity
    ]
    found: dict[tuple[str, int], Tensor] = {}
    total = sum(len(chosen) for *_, chosen in cells)
    with tqdm(total=total, desc="canvases", unit=" canvases", disable=None if progress else True) as bar:
        for types, severity, chosen in cells:
            named = torch.full((len(images),), NOT_TESTED, dtype=torch.uint8)
            for part, logits in runner.logits(types, severity, chosen):
                named[part] = logits.argmax(1).to(torch.uint8)
                bar.update(len(part))
            for each in COMPOSITIONS if not severity else (types,):  # at severity 0 all are the same
                found[each, severity] = named
    if remarks.pop("unsteady", None) is not None:
        remarks["unsteady"] = runner.spread(every)
    answers = Answers.of_test("test", images.labels.numpy(), {cell: named.numpy() for cell, named in found.items()})
    return Tested(answers, list(remarks.values()))


class _Runner:
    def __init__(self, network: Network, images: ImageSet, canvas: int):
        self._network, self._images, self._canvas = network, images, canvas
        self._there = images.to(network.device)

    def logits(self, types: str, severity: int, positions: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        clutter = Clutter(tuple(types.split("+")), severity, canvas=self._canvas)
        for part in positions.split(self._network.batch or _BATCH):
            yield part, self._checked(self._run(clutter, part), len(part), types, severity)

    def try_out(self, positions: Tensor) -> dict[str, str]:
        """Find out, with a few canvases, whether the network can be tested at all, and what to remark about it."""
        clutter = Clutter(severity=SEVERITIES[-1], canvas=self._canvas)
        part = positions[: self._network.batch or 8]
        first = self._checked(self._run(clutter, part), len(part), SEEN, SEVERITIES[-1])
        remarks = {}
        if any(not torch.equal(self._run(clutter, part), first) for _ in range(_REPEATS)):
            remarks["unsteady"] = ""
        if self._network.batch:
            remarks["batch"] = f"It takes batches of {self._network.batch} canvases only; the last one was filled up."
        else:
            try:
                alone = self._run(clutter, part[:1])
            except InputError as error:
                remarks["alone"] = f"It does not take a single canvas ({error})."
            else:
                same = torch.allclose(alone.float(), first[:1].float(), rtol=1e-2, atol=1e-2)
                if not same and "unsteady" not in remarks:
                    remarks["alone"] = "Its answer to a canvas depends on the other canvases of the batch."
        return remarks

    def spread(self, positions: Tensor) -> str:
        """Say how much the accuracy differs when the same canvases are tested again."""
        labels = self._images.labels
        shares = []
        for _ in range(_REPEATS):
            right = sum(
                int((logits.argmax(1) == labels[part]).sum())
                for part, logits in self.logits(SEEN, SEVERITIES[-1], positions)
            )
            shares.append(100 * right / len(positions))
        return (
            f"It does not give the same logits twice: {_REPEATS} tests on {SEEN} at severity {SEVERITIES[-1]} gave "
            f"{min(shares):.2f} to {max(shares):.2f} %."
        )

    def _run(self, clutter: Clutter, part: Tensor) -> Tensor:
        batch = self._network.batch
        x = self._network.reads(clutter.render(self._there, part.to(self._network.device)).canvas)
        if batch:
            x = x.repeat(-(-batch // len(part)), 1, 1, 1)[:batch]
        shape = tuple(x.shape)
        try:
            logits = self._network.run(x)
        except Exception as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            reason = "".join(each if each.isprintable() else " " for each in reason[:_REASON])
            raise InputError(
                f"the network must read {x.dtype} of shape {shape}, but stopped with: {reason}. See `reads`: "
                "it says which numbers, and of which side, the network gets. Export files with a free batch size."
            ) from None
        if not isinstance(logits, Tensor):
            raise InputError(
                f"the network must return one tensor of logits, but returned {type(logits).__name__}. Wrap it in a "
                "module that returns the logits only."
            )
        if logits.layout != torch.strided or logits.is_complex() or logits.dtype == torch.bool or logits.is_meta:
            raise InputError(
                f"the network must return dense logits of real numbers, but returned {logits.dtype}, {logits.layout}, "
                f"on {logits.device}. Wrap it in a module that returns such logits."
            )
        if logits.ndim and len(logits) == len(x):
            logits = logits[: len(part)]
        if not logits.is_floating_point():
            logits = logits.long()  # torch finds no largest uint16
        return logits.cpu()  # of any other shape, which `_checked` refuses

    def _checked(self, logits: Tensor, count: int, types: str, severity: int) -> Tensor:
        classes = len(self._images.classes)
        if logits.shape != (count, classes):
            raise InputError(
                f"the network must return logits for {classes} classes ({', '.join(self._images.classes)}), shape "
                f"{(count, classes)}, but returned {tuple(logits.shape)}. Train a head for these classes first."
            )
        if wrong := int((~logits.isfinite()).any(1).sum()):
            raise InputError(
                f"the network must return finite logits, but {wrong} of {count} canvases of {types} at severity "
                f"{severity} gave NaN or infinity. Nothing was written. Test it in float32, or train it again."
            )
        return logits

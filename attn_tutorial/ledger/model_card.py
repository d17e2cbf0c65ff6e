"""The model card of exported networks: what they are, how good they are, and what they are not for."""

import hashlib
from collections.abc import Mapping, Sequence

from attn_tutorial.ledger.record import Record

_CARD = """\
# Networks of the clutter benchmark

These are small image classifiers for {source}. `attn_tutorial` trained and tested them on the clutter benchmark
({versions}). They show what attention blocks do, in your own programs and in a web page. The package wrote this card
from the runs' records; no number in it was typed by hand.

## Files

{files}

Each network is one ONNX file that includes its weights.

- Input: `canvas`, uint8 (batch, 3, {side}, {side}), in the order red, green, blue, as `attn_tutorial.clutter.Clutter`
  renders it. The network scales the pixels itself.
- Output `logits`: float32 (batch, {classes}), in the order {names}.
- One output for each attention map of each slot, such as `stage1.0.slot.channel` (batch, C, 1, 1), `….spatial`
  (batch, 1, H, W), `….full` (batch, C, H, W) or `….pairwise` (batch, N, M).
{gates}
```python
import numpy, onnxruntime

session = onnxruntime.InferenceSession("{first}")
{feeds}
outputs = session.run(None, feeds)
found = dict(zip([output.name for output in session.get_outputs()], outputs))
```

## How good they are

The targets are {size}×{size} pixels. Training used {seen} at severities {trained}. The table shows accuracy in % on
{images:,} {split} images, by severity of {first_types}. For every other composition of clutter types it shows the mean
over the severities above 0.
**Each row is one network. The differences say nothing about the blocks, because another seed gives other numbers.**
The study's pages, with several seeds, say what can be concluded about the blocks.

{accuracies}

## How they were trained

{training}

## What they are not for

The networks recognise {classes} classes on canvases of {side}×{side} pixels that a program made, and nothing else: not
other pictures, other sizes or other classes. Do not use them for decisions about people or things. An attention map
that looks right does not prove that the network looks there; see the book's chapters on localisation and lesions.

The networks are under the package's licence, MIT. {licence}
"""
_GATES = """\
- Input `own`: float32 (number of maps,), in the order of the outputs. 1: the network uses the map that it computes.
  0: it uses the one that is given. Networks without maps have no such input.
- One input for each map, such as `given.stage1.0.slot.channel`, in the shape of its output. So a program can freeze a
  map, or swap the maps of two canvases. The outputs are the maps that were used.
"""
_FEEDS = 'feeds = {{"canvas": numpy.zeros((1, 3, {side}, {side}), numpy.uint8)}}'
_FEEDS_WITH_GATES = """\
feeds = {{
    each.name: numpy.ones([1 if size == "batch" else size for size in each.shape], numpy.float32)
    for each in session.get_inputs()
}}
feeds["canvas"] = numpy.zeros((1, 3, {side}, {side}), numpy.uint8)  # all maps are the network's own"""
_LICENCES = {
    "cifar10": (
        "They were trained on the images of CIFAR-10 (Krizhevsky, *Learning multiple layers of features from tiny "
        "images*, technical report, University of Toronto, 2009). The files do not contain these images."
    ),
    "shapes": "They were trained on images that the package drew itself.",
}


def model_card(
    named: Sequence[tuple[str, Record]], classes: Sequence[str], contents: Mapping[str, bytes], gate_inputs: bool
) -> str:
    """Return the card as Markdown.

    Args:
        named: the name of each network, and its record.
        classes: names of the logits.
        contents: the bytes of the files by name, "<name>.onnx" for each network.
        gate_inputs: whether the files have inputs that replace the maps.

    """
    record = named[0][1]
    spec = record.spec
    return _CARD.format(
        source=record.data.source,
        versions=", ".join(f"{name} version {version}" for name, version in record.versions_trained.items()),
        files=_table(
            ["file", "block", "seed", "parameters", "bytes", "sha256 of the file", "run", "sha256 of the weights"],
            [
                [
                    f"`{name}.onnx`", each.spec.block or "none", each.spec.seed, f"{each.parameters:,}",
                    f"{len(contents[f'{name}.onnx']):,}", f"`{_sha256(contents[f'{name}.onnx'])}`",
                    f"`{each.run_id}`", f"`{str(each.weights_sha256)[:16]}…`",
                ]
                for name, each in named
            ],
        ),
        side=spec.clutter.canvas,
        gates=_GATES if gate_inputs else "",
        feeds=(_FEEDS_WITH_GATES if gate_inputs else _FEEDS).format(side=spec.clutter.canvas),
        classes=len(classes),
        names=", ".join(classes),
        first=f"{named[0][0]}.onnx",
        images=record.accuracy[0].images,
        split=spec.evaluation.split,
        size=spec.data.size,
        seen=" and ".join(f"`{name}`" for name in spec.clutter.types),
        trained=", ".join(map(str, spec.clutter.severities)),
        first_types=" and ".join(f"`{name}`" for name in spec.evaluation.types[0].split("+")),
        accuracies=_accuracies(named),
        training=_table(
            ["network", "images seen", "precision", "minutes", "processor", "resumed at step", "git revision"],
            [
                [
                    name, f"{each.samples:,}", each.precision, f"{(each.training_seconds or 0) / 60:.1f}",
                    f"{each.processor}, {each.threads} thread(s)", ", ".join(map(str, each.resumed_at)) or "–",
                    f"`{str(each.git_revision)[:12]}`",
                ]
                for name, each in named
            ],
        ),
        licence=_LICENCES[record.data.name],
    )  # fmt: skip


def _accuracies(named: Sequence[tuple[str, Record]]) -> str:
    tested = named[0][1].spec.evaluation
    first, *others = tested.types
    rows = []
    for name, record in named:
        shares = {(row.types, row.severity): row.accuracy for row in record.accuracy}
        cluttered = [severity for severity in tested.severities if severity]
        rows.append(
            [name]
            + [_percent([shares[first, severity]]) for severity in tested.severities]
            + [_percent([shares[types, severity] for severity in cluttered]) for types in others]
        )
    return _table(["network", *(f"severity {severity}" for severity in tested.severities), *others], rows)


def _percent(shares: Sequence[float]) -> str:
    return f"{100 * sum(shares) / len(shares):.1f}"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)

"""Write trained networks as ONNX files, for other programs and web pages: canvases in, logits and gates out."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from attn_tutorial.blocks.base import AttentionBlock
from attn_tutorial.clutter import to_input
from attn_tutorial.errors import InputError
from attn_tutorial.evaluation import acting, attention_maps
from attn_tutorial.ledger.ledger import Ledger
from attn_tutorial.ledger.model_card import model_card
from attn_tutorial.ledger.reading import LedgerError
from attn_tutorial.ledger.record import Record
from attn_tutorial.ledger.weights import load_network
from attn_tutorial.paths import user_path
from attn_tutorial.spec import EvaluationSpec
from attn_tutorial.training.files import write_whole

INPUT, LOGITS, OWN = "canvas", "logits", "own"
"""Names of inputs and outputs. `OWN` says which maps the network computes itself, see `onnx_network`."""
GIVEN = "given."
"""Comes before the name of a map in the name of the input that replaces it."""


class _Shown(nn.Module):
    """A network that takes canvases as they are rendered, and returns its attention maps beside its logits."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, canvas: Tensor) -> tuple[Tensor, ...]:
        logits, seen = attention_maps(self.network, to_input(canvas))
        return logits, *(gate for each in seen.values() for gate in each.maps.values())


class _Given(nn.Module):
    """The same with inputs that replace the maps: map number i is the network's own where `own[i]` is above 0."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, canvas: Tensor, own: Tensor, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        used: list[Tensor] = []

        def replace(_name: str, block: AttentionBlock, x: Tensor) -> Tensor:
            maps = {}
            for kind, map_ in block.attention(x).items():
                place = len(used)
                maps[kind] = torch.where(own[place] > 0, map_, given[place])
                used.append(maps[kind])
            return block.apply_attention(x, maps)

        with acting(self.network, replace):
            logits = self.network(to_input(canvas))
        return logits, *used


def onnx_network(network: nn.Module, canvas: int, facts: dict[str, str], gate_inputs: bool = False) -> bytes:
    """Return a network as the bytes of one ONNX file.

    Its input `canvas` is uint8 (B, 3, canvas, canvas), in the order red, green, blue, as `Clutter.render` returns it.
    Its outputs are `logits`, float32 (B, classes), and every attention map of every slot under the name
    "<slot>.<kind>", such as "stage1.0.slot.spatial", in the shape that `AttentionBlock.attention` documents. The batch
    size B may vary.

    Args:
        network: in evaluation mode, on the CPU.
        canvas: side of its input in pixels.
        facts: the file's metadata, by name.
        gate_inputs: add inputs that replace the maps, so that a program can freeze them, or swap them between canvases.
            `own`, float32 (number of maps,), is 1 where the network uses the map that it computes, and 0 where it uses
            the one that is given. Each map has an input "given.<slot>.<kind>" in the shape of its output. All inputs
            must be fed; what is given for a map that is the network's own does not matter. The outputs are the maps
            that were used. A network without maps stays as it is.

    Raises:
        InputError: the libraries that write ONNX are not installed.

    """
    try:
        import onnxscript  # noqa: F401  (torch needs it)
    except ImportError:
        raise InputError(
            "to write ONNX, onnx and onnxscript must be installed, but they are not: "
            'pip install -e ".[onnx]" in the repository\'s folder.'
        ) from None
    example = torch.zeros(2, 3, canvas, canvas, dtype=torch.uint8)
    with torch.no_grad():
        _, seen = attention_maps(network, to_input(example))
    maps = {f"{slot}.{kind}": map_ for slot, each in seen.items() for kind, map_ in each.maps.items()}
    shown: nn.Module = _Shown(network)
    inputs: tuple[Any, ...] = (example,)
    input_names, varying = [INPUT], [{0: "batch"}]
    if gate_inputs and maps:
        shown = _Given(network)
        inputs = (example, torch.ones(len(maps)), tuple(maps.values()))
        input_names += [OWN, *(f"{GIVEN}{name}" for name in maps)]
        varying += [{}, tuple({0: "batch"} for _ in maps)]  # type: ignore[list-item]
    program = torch.onnx.export(
        shown.eval(),
        inputs,
        input_names=input_names,
        output_names=[LOGITS, *maps],
        dynamic_shapes=tuple(varying),
        dynamo=True,
        verbose=False,
        external_data=False,
    )
    assert program is not None
    model = program.model_proto
    # The exporter's notes on where in Python each operation comes from make up a quarter of a small file.
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    for name, fact in facts.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = name, fact
    return bytes(model.SerializeToString())


def export_networks(
    ledger: Ledger, named: Sequence[tuple[str, Record]], classes: Sequence[str], out: Path, gate_inputs: bool = False
) -> list[Path]:
    """Write the networks of some runs as ONNX files, with a model card.

    Args:
        ledger: the ledger with the records and their weights.
        named: a name for each network, and its record; all were trained on the same images.
        classes: names of the logits.
        out: folder for the files, made if it does not exist. Files with the same names are replaced.
        gate_inputs: see `onnx_network`.

    Returns:
        The files: `<name>.onnx` for each network, and `README.md`.

    Raises:
        LedgerError: a record is not done, or its weights are missing or differ from the ones that it names.
        InputError: two networks have the same name, or one card cannot describe them all, because they differ in
            training clutter or in tests; one is an oracle, which needs the target's mask beside the canvas; the folder
            cannot be written; see also `onnx_network`.

    """
    out = user_path(out, "out")
    _check_alike(named)
    contents: dict[str, bytes] = {}
    for name, record in named:
        if record.status != "done":
            raise LedgerError(
                f"run {record.run_id} ({name}) must be done, but is {record.status}: there is no network to export."
            )
        network = load_network(ledger, record)
        facts = _facts(name, record, classes)
        contents[f"{name}.onnx"] = onnx_network(network, record.spec.clutter.canvas, facts, gate_inputs)
    contents["README.md"] = model_card(named, classes, contents, gate_inputs).encode()
    try:
        out.mkdir(parents=True, exist_ok=True)
        for file, content in contents.items():
            write_whole(out / file, content)
    except OSError as error:
        raise InputError(
            f"--out must be a folder that can be written, but {out} cannot be written ({error.strerror}). Name another "
            "folder."
        ) from None
    return [out / file for file in contents]


def _check_alike(named: Sequence[tuple[str, Record]]) -> None:
    names = [name for name, _ in named]
    if len(set(names)) < len(names):
        raise InputError(
            f"networks must have different names, but got {', '.join(names)}. Networks of two backbones may have the "
            "same name: export each backbone by itself."
        )
    first = named[0][1].spec
    for name, record in named:
        if record.spec.oracle is not None:
            raise InputError(
                f"networks to export must find the target by themselves, but {name} is told where it is (oracle "
                f"{record.spec.oracle!r}), and a canvas alone does not tell that. Choose other networks with --variant."
            )
        if (record.spec.clutter, _tested(record)) != (first.clutter, _tested(named[0][1])):
            raise InputError(
                f"networks on one card must have the same training clutter and the same tests, but {names[0]} and "
                f"{name} differ. Choose networks of one kind with --variant."
            )
    if not any(first.evaluation.severities):
        raise InputError(
            f"networks on a card must be tested at severities above 0, but {names[0]} was tested at severity "
            f"{', '.join(map(str, first.evaluation.severities))}."
        )


def _tested(record: Record) -> EvaluationSpec:
    """Return what a run was tested on, as far as the card shows it."""
    return record.spec.evaluation.model_copy(update={"recalibrated": (), "look": None})


def _facts(name: str, record: Record, classes: Sequence[str]) -> dict[str, str]:
    return {
        "variant": name,
        "run_id": record.run_id,
        "weights_sha256": str(record.weights_sha256),
        "classes": json.dumps(list(classes)),
        "images": record.data.source,
        "versions_trained": json.dumps(record.versions_trained),
    }

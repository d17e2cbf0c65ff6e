"""Trained networks as ONNX files, for other programs and for a page in a browser: canvases in, logits and gates out."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from attn_tutorial.clutter import to_input
from attn_tutorial.errors import InputError
from attn_tutorial.evaluation import attention_maps
from attn_tutorial.ledger.ledger import Ledger, LedgerError
from attn_tutorial.ledger.model_card import model_card
from attn_tutorial.ledger.record import Record
from attn_tutorial.ledger.weights import load_network
from attn_tutorial.spec import SEEN
from attn_tutorial.training.files import write_whole

INPUT, LOGITS = "canvas", "logits"


class _Shown(nn.Module):
    """A network that reads canvases as they are rendered, and gives its attention maps beside its logits."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, canvas: Tensor) -> tuple[Tensor, ...]:
        logits, seen = attention_maps(self.network, to_input(canvas))
        return logits, *(gate for each in seen.values() for gate in each.maps.values())


def onnx_network(network: nn.Module, canvas: int, facts: dict[str, str]) -> bytes:
    """Return a network as the bytes of one ONNX file.

    Its input `canvas` is uint8 (B, 3, canvas, canvas), red, green and blue, as `Clutter.render` gives them. Its outputs
    are `logits` (B, classes), and each attention map of each slot under "<slot>.<kind>", as "stage1.0.slot.spatial", in
    the shape that `AttentionBlock.attention` says. B is free.

    Args:
        network: in evaluation mode, on the CPU.
        canvas: side of its input in pixels.
        facts: kept in the file as its metadata.

    Raises `InputError` where the libraries that write ONNX are not installed.
    """
    try:
        import onnxscript  # noqa: F401  (torch needs it)
    except ImportError:
        raise InputError(
            'writing ONNX needs the packages onnx and onnxscript: pip install -e ".[onnx]" in the repository\'s folder'
        ) from None
    example = torch.zeros(2, 3, canvas, canvas, dtype=torch.uint8)
    with torch.no_grad():
        _, seen = attention_maps(network, to_input(example))
    names = [LOGITS, *(f"{slot}.{kind}" for slot, each in seen.items() for kind in each.maps)]
    program = torch.onnx.export(
        _Shown(network).eval(),
        (example,),
        input_names=[INPUT],
        output_names=names,
        dynamic_shapes=({0: "batch"},),
        dynamo=True,
        verbose=False,
        external_data=False,
    )
    assert program is not None
    model = program.model_proto
    # What the exporter says of each operation's origin in Python is a quarter of a small file.
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    for name, fact in facts.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = name, fact
    return bytes(model.SerializeToString())


def export_networks(
    ledger: Ledger, named: Sequence[tuple[str, Record]], classes: Sequence[str], out: Path
) -> list[Path]:
    """Write the networks of some runs as ONNX files, and a model card beside them.

    Args:
        ledger: that holds the records, and their weights.
        named: what each network is to be called, and its record; all of one kind of images.
        classes: names of the logits.
        out: folder for them; made if need be. Files of the same names are replaced.

    Returns:
        the files: `<name>.onnx` for each network, and `README.md`.

    Raises:
        LedgerError: a record is not done, or its weights are not there or not those that it names.
        InputError: two networks have one name, or one card cannot tell of them all, since they were not trained in one
            clutter or not tested alike; the folder cannot be written to; see also `onnx_network`.

    """
    _check_alike(named)
    contents: dict[str, bytes] = {}
    for name, record in named:
        if record.status != "done":
            raise LedgerError(f"run {record.run_id} ({name}) is {record.status}: there is no network to export")
        network = load_network(ledger, record)
        contents[f"{name}.onnx"] = onnx_network(network, record.spec.clutter.canvas, _facts(name, record, classes))
    contents["README.md"] = model_card(named, classes, contents).encode()
    try:
        out.mkdir(parents=True, exist_ok=True)
        for file, content in contents.items():
            write_whole(out / file, content)
    except OSError as error:
        raise InputError(
            f"--out {out} was given and cannot be written ({error.strerror}): name another folder"
        ) from None
    return [out / file for file in contents]


def _check_alike(named: Sequence[tuple[str, Record]]) -> None:
    names = [name for name, _ in named]
    if len(set(names)) < len(names):
        raise InputError(
            f"networks called {', '.join(names)} were given, some by one name, as those of two backbones are: export "
            "each kind by itself"
        )
    first = named[0][1].spec
    for name, record in named:
        tested = record.spec.evaluation
        if (record.spec.clutter, tested) != (first.clutter, first.evaluation):
            raise InputError(
                f"networks {names[0]} and {name} were given, which were not trained in one clutter, or not tested "
                "alike: one card cannot tell of both; name some of a kind with --variant"
            )
    if SEEN not in first.evaluation.types or not any(first.evaluation.severities):
        raise InputError(
            f"network {names[0]} was given, which was tested on {', '.join(first.evaluation.types)} at severities "
            f"{', '.join(map(str, first.evaluation.severities))}; a card tells of {SEEN} at severities above 0"
        )


def _facts(name: str, record: Record, classes: Sequence[str]) -> dict[str, str]:
    return {
        "variant": name,
        "run_id": record.run_id,
        "weights_sha256": str(record.weights_sha256),
        "classes": json.dumps(list(classes)),
        "images": record.data.source,
        "clutter_version": str(record.clutter_version),
    }

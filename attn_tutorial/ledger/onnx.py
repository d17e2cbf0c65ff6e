"""Write trained networks as ONNX files, for other programs and web pages: canvases in, logits and gates out."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from attn_tutorial.clutter import to_input
from attn_tutorial.errors import InputError
from attn_tutorial.evaluation import attention_maps
from attn_tutorial.ledger.ledger import Ledger
from attn_tutorial.ledger.model_card import model_card
from attn_tutorial.ledger.reading import LedgerError
from attn_tutorial.ledger.record import Record
from attn_tutorial.ledger.weights import load_network
from attn_tutorial.training.files import write_whole

INPUT, LOGITS = "canvas", "logits"


class _Shown(nn.Module):
    """A network that takes canvases as they are rendered, and returns its attention maps beside its logits."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, canvas: Tensor) -> tuple[Tensor, ...]:
        logits, seen = attention_maps(self.network, to_input(canvas))
        return logits, *(gate for each in seen.values() for gate in each.maps.values())


def onnx_network(network: nn.Module, canvas: int, facts: dict[str, str]) -> bytes:
    """Return a network as the bytes of one ONNX file.

    Its input `canvas` is uint8 (B, 3, canvas, canvas), in the order red, green, blue, as `Clutter.render` returns it.
    Its outputs are `logits`, float32 (B, classes), and every attention map of every slot under the name
    "<slot>.<kind>", such as "stage1.0.slot.spatial", in the shape that `AttentionBlock.attention` documents. The batch
    size B may vary.

    Args:
        network: in evaluation mode, on the CPU.
        canvas: side of its input in pixels.
        facts: the file's metadata, by name.

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
    # The exporter's notes on where in Python each operation comes from make up a quarter of a small file.
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
    """Write the networks of some runs as ONNX files, with a model card.

    Args:
        ledger: the ledger with the records and their weights.
        named: a name for each network, and its record; all were trained on the same images.
        classes: names of the logits.
        out: folder for the files, made if it does not exist. Files with the same names are replaced.

    Returns:
        The files: `<name>.onnx` for each network, and `README.md`.

    Raises:
        LedgerError: a record is not done, or its weights are missing or differ from the ones that it names.
        InputError: two networks have the same name, or one card cannot describe them all, because they differ in
            training clutter or in tests; one is an oracle, which needs the target's mask beside the canvas; the folder
            cannot be written; see also `onnx_network`.

    """
    _check_alike(named)
    contents: dict[str, bytes] = {}
    for name, record in named:
        if record.status != "done":
            raise LedgerError(
                f"run {record.run_id} ({name}) must be done, but is {record.status}: there is no network to export."
            )
        network = load_network(ledger, record)
        contents[f"{name}.onnx"] = onnx_network(network, record.spec.clutter.canvas, _facts(name, record, classes))
    contents["README.md"] = model_card(named, classes, contents).encode()
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
        tested = record.spec.evaluation
        if (record.spec.clutter, tested) != (first.clutter, first.evaluation):
            raise InputError(
                f"networks on one card must have the same training clutter and the same tests, but {names[0]} and "
                f"{name} differ. Choose networks of one kind with --variant."
            )
    if not any(first.evaluation.severities):
        raise InputError(
            f"networks on a card must be tested at severities above 0, but {names[0]} was tested at severity "
            f"{', '.join(map(str, first.evaluation.severities))}."
        )


def _facts(name: str, record: Record, classes: Sequence[str]) -> dict[str, str]:
    return {
        "variant": name,
        "run_id": record.run_id,
        "weights_sha256": str(record.weights_sha256),
        "classes": json.dumps(list(classes)),
        "images": record.data.source,
        "versions_trained": json.dumps(record.versions_trained),
    }

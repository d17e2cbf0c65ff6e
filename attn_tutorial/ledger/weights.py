"""Trained networks: their weights beside the records, and networks rebuilt from them."""

import io
import warnings

import torch
from torch import nn

from attn_tutorial.datasets import CLASS_COUNT
from attn_tutorial.ledger.ledger import Ledger
from attn_tutorial.ledger.reading import LedgerError
from attn_tutorial.ledger.record import Record
from attn_tutorial.training import build_network, weights_sha256
from attn_tutorial.training.files import write_whole


def save_weights(ledger: Ledger, run_id: str, model: nn.Module) -> None:
    """Write the weights of a run, whole or not at all. A failure is a warning, because the record is worth more."""
    content = io.BytesIO()
    torch.save({name: tensor.cpu() for name, tensor in model.state_dict().items()}, content)
    path = ledger.weights_path(run_id)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content.getvalue())
    except OSError as error:
        warnings.warn(f"the weights of run {run_id} were not kept in {path.parent} ({error.strerror})", stacklevel=2)


def load_network(ledger: Ledger, record: Record) -> nn.Module:
    """Return the trained network of a run, on the CPU, in evaluation mode.

    Args:
        ledger: its folder contains the weights.
        record: of the run.

    Raises:
        LedgerError: the weights are not there, cannot be read, or do not have the hash that the record names.

    """
    path = ledger.weights_path(record.run_id)
    name = f"the weights of run {record.run_id} ({record.variant}, seed {record.spec.seed})"
    again = (
        f"To make them again, move {record.run_id}.json out of {ledger.folder} and run the study again: the same kind "
        "of machine and the same versions give the same weights."
    )
    if not path.is_file():
        raise LedgerError(f"{name} are not in {path.parent}. {again}")
    model = build_network(record.spec, CLASS_COUNT)
    try:
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # what torch raises for a damaged file depends on where it is damaged
        cause = type(error).__name__
        raise LedgerError(f"{name} cannot be read from {path} ({cause}): delete this file. {again}") from None
    if (found := weights_sha256(model)) != record.weights_sha256:
        raise LedgerError(
            f"{path} must contain the network that the record names (sha256 {str(record.weights_sha256)[:16]}…), "
            f"but contains another one ({found[:16]}…): delete this file. {again}"
        )
    return model.eval()

"""One run from its plan to its record. Importing this module loads torch; planning a study does not need it."""

import shutil
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import nn

from attn_tutorial.datasets import ImageSet, load_images
from attn_tutorial.engine.setting import Ending, Setting
from attn_tutorial.evaluation import evaluate
from attn_tutorial.ledger.answers import Answers
from attn_tutorial.ledger.ledger import Ledger
from attn_tutorial.ledger.reading import LedgerError
from attn_tutorial.ledger.record import TESTS, Record, Tested, circumstances
from attn_tutorial.ledger.weights import load_network, save_weights
from attn_tutorial.spec import RunSpec
from attn_tutorial.study.study import PlannedRun
from attn_tutorial.training import (
    Diverged,
    OutOfMemory,
    Progress,
    Stopped,
    Trained,
    choose_device,
    fit,
    thread_count,
    weights_sha256,
)

ShouldStop = Callable[[], bool]


@dataclass(frozen=True)
class Found:
    """What the test of a network gave."""

    rows: dict[str, list[Tested]]
    """Results by field of `Record`."""
    answers: Answers
    """The class that the network names for every image."""


def execute(
    run: PlannedRun, setting: Setting, on_progress: Callable[[Progress], None], should_stop: ShouldStop
) -> Ending:
    """Train and test a run, keep its weights and add its record and its network's answers to the ledger.

    A run that another process is training is left to it ("busy"). A run that was trained for another study, and not
    yet tested on this one's split, is only tested, if its weights are there. An error becomes the record of a failed
    run. `stopped` leaves a checkpoint, from which the same call goes on.
    """
    ledger = Ledger(setting.results)
    work = setting.results / "work"
    try:
        work.mkdir(parents=True, exist_ok=True)
        with FileLock(work / f"{run.run_id}.lock", timeout=0):
            record = ledger.get(run)
            if record and ledger.has_result(run):
                return record.status
            if record and record.status == "done" and ledger.weights_path(record.run_id).is_file():
                found = evaluate_kept(ledger, record, run.spec, setting, should_stop)
                ledger.add(record.with_tests(found.rows), found.answers)
                return "done"
            return _train(run, setting, ledger, work / run.run_id, on_progress, should_stop)
    except Timeout:
        return "busy"
    except InterruptedError:
        return "stopped"
    except OSError as error:
        raise LedgerError(
            f"{setting.results} cannot be written to ({error}). Free some space, or name another folder; what was done "
            "is kept."
        ) from None


def evaluate_kept(ledger: Ledger, record: Record, spec: RunSpec, setting: Setting, should_stop: ShouldStop) -> Found:
    """Test the kept network of a run.

    Args:
        ledger: its folder contains the weights.
        record: of the run.
        spec: its `evaluation` says what is tested.
        setting: images and device.
        should_stop: asked between batches; when true, `InterruptedError` is raised.

    Raises:
        LedgerError: the weights are not there, or cannot be used.

    """
    device = choose_device(setting.options.device)
    network = load_network(ledger, record).to(device)
    train, test = (_images(split, spec, setting, device) for split in ("train", spec.evaluation.split))
    if spec.data.train_images is not None:
        train = train.take(spec.data.train_images)
    with thread_count(record.threads or torch.get_num_threads()):
        return _test(network, spec, test, train, should_stop)


def _train(
    run: PlannedRun,
    setting: Setting,
    ledger: Ledger,
    checkpoints: Path,
    on_progress: Callable[[Progress], None],
    should_stop: ShouldStop,
) -> Ending:
    options = setting.options
    device = choose_device(options.device)
    known: dict[str, Any] = {
        "run_id": run.run_id,
        "study": setting.study,
        "preset": setting.preset,
        "variant": run.variant,
        "protocol": setting.protocol,
        "spec": run.spec,
    }
    answers: Answers | None = None
    try:
        train, test = (_images(split, run.spec, setting, device) for split in ("train", run.spec.evaluation.split))
        trained = fit(
            run.spec, train, checkpoints, options.checkpoint_every, on_progress, should_stop, options.precision
        )
        began = time.perf_counter()
        with thread_count(trained.execution.threads):
            found = _test(trained.model, run.spec, test, train, should_stop)
        answers = found.answers
        outcome: dict[str, Any] = {
            "status": "done",
            **found.rows,
            "weights_sha256": weights_sha256(trained.model),
            "evaluation_seconds": time.perf_counter() - began,
            **_training(trained),
        }
        save_weights(ledger, run.run_id, trained.model)  # before the record, which ends the run
    except (Stopped, InterruptedError):
        return "stopped"
    except Diverged as error:
        outcome = {"status": "diverged", "error": str(error), "diverged_at": error.step, **_training(error.trained)}
    except OutOfMemory as error:
        outcome = {"status": "failed", "error": str(error)}
    except Exception as error:
        outcome = {"status": "failed", "error": f"{type(error).__name__}: {error}\n{traceback.format_exc()}"}
    record = Record(**known, **outcome, **circumstances(setting.images, device.type))
    ledger.add(_with_earlier_tests(ledger, record), answers if record.status == "done" else None)
    if outcome["status"] != "failed":
        shutil.rmtree(checkpoints, ignore_errors=True)
    status: Ending = outcome["status"]
    return status


def _test(model: nn.Module, spec: RunSpec, test: ImageSet, train: ImageSet, should_stop: ShouldStop) -> Found:
    found: dict[str, Any] = evaluate(model, spec, test, train, should_stop)
    split = spec.evaluation.split
    rows = {field: [row(split=split, **values) for values in found[field]] for field, row in TESTS.items()}
    return Found(rows, Answers.of_test(split, test.labels.cpu().numpy(), found.get("answers", {})))


def _with_earlier_tests(ledger: Ledger, record: Record) -> Record:
    """Return a new record with the tests of the one that it replaces, if that was about the same network."""
    earlier = ledger.get(record.run_id)
    if earlier is None or record.weights_sha256 is None or earlier.weights_sha256 != record.weights_sha256:
        return record
    return record.model_copy(update={name: [] for name in TESTS}).with_tests(earlier.tests).with_tests(record.tests)


def _images(split: str, spec: RunSpec, setting: Setting, device: torch.device) -> ImageSet:
    images = load_images(setting.images.name, split, root=setting.root, source=setting.source, size=spec.data.size)
    return images.to(device)


def _training(trained: Trained) -> dict[str, Any]:
    """Return the fields of a record that describe the training, whether or not it came to its end."""
    samples = int(trained.curve[-1]["samples"]) if trained.curve else 0
    return {
        "curve": trained.curve,
        "parameters": sum(weight.numel() for weight in trained.model.parameters() if weight.requires_grad),
        "samples": samples,
        "samples_per_second": samples / trained.seconds,
        "training_seconds": trained.seconds,
        "resumed_at": trained.resumed_at,
        **trained.execution.as_dict(),
    }

"""One run from its plan to its record. Importing this module loads torch; planning a study does not need it."""

import shutil
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from attn_tutorial.datasets import ImageSet, load_images
from attn_tutorial.engine.setting import Outcome, Setting
from attn_tutorial.evaluation import evaluate
from attn_tutorial.ledger.ledger import Ledger, LedgerError
from attn_tutorial.ledger.record import Record, circumstances
from attn_tutorial.ledger.weights import save_weights
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


def execute(
    run: PlannedRun, setting: Setting, on_progress: Callable[[Progress], None], should_stop: Callable[[], bool]
) -> Outcome:
    """Train and test a run, keep its weights and add its record to the ledger.

    One that another process is at is left to it ("busy").

    An error becomes the record of a failed run. `stopped` leaves a checkpoint, from which the same call goes on.
    """
    ledger = Ledger(setting.results)
    work = setting.results / "work"
    try:
        work.mkdir(parents=True, exist_ok=True)
        lock = FileLock(work / f"{run.run_id}.lock", timeout=0)
        with lock:
            record = ledger.get(run.run_id)
            if record and record.status != "failed":
                return record.status
            return _execute(run, setting, ledger, work / run.run_id, on_progress, should_stop)
    except Timeout:
        return "busy"
    except OSError as error:
        raise LedgerError(
            f"{setting.results} cannot be written to ({error}): free some space, or name another folder; what was done "
            "is kept"
        ) from None


def _execute(
    run: PlannedRun,
    setting: Setting,
    ledger: Ledger,
    checkpoints: Path,
    on_progress: Callable[[Progress], None],
    should_stop: Callable[[], bool],
) -> Outcome:
    device = choose_device(setting.device)
    known: dict[str, Any] = {
        "run_id": run.run_id,
        "study": setting.study,
        "preset": setting.preset,
        "variant": run.variant,
        "spec": run.spec,
    }
    try:
        train, test = (_images(split, setting, device) for split in ("train", run.spec.evaluation.split))
        trained = fit(
            run.spec, train, checkpoints, setting.checkpoint_every, on_progress, should_stop, setting.precision
        )
        began = time.perf_counter()
        with thread_count(trained.execution.threads):
            found = evaluate(trained.model, run.spec, test, train, should_stop)
        outcome: dict[str, Any] = {
            "status": "done",
            **found,
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
    ledger.add(Record(**known, **outcome, **circumstances(setting.images, device.type)))
    if outcome["status"] != "failed":
        shutil.rmtree(checkpoints, ignore_errors=True)
    status: Outcome = outcome["status"]
    return status


def _images(split: str, setting: Setting, device: torch.device) -> ImageSet:
    return load_images(setting.images.name, split, root=setting.root, source=setting.source).to(device)


def _training(trained: Trained) -> dict[str, Any]:
    """The fields of a record that tell of the training, brought to its end or not."""
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

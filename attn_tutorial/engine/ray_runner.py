"""Train runs on a Ray cluster, each as a task that is started again if its worker or its whole node is lost.

That is safe, because a run has one id, one record and its checkpoints. If all nodes see the results folder, a run goes
on from its checkpoint on any of them. Otherwise it goes on only on the node where it began, and begins again on others.
"""

import contextlib
import importlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, Self

from attn_tutorial.engine.images import prepare_images
from attn_tutorial.engine.setting import Ending, Setting
from attn_tutorial.errors import InputError
from attn_tutorial.ledger.answers import Answers
from attn_tutorial.ledger.ledger import Ledger
from attn_tutorial.ledger.record import Record
from attn_tutorial.spec import SpecError
from attn_tutorial.study.study import PlannedRun
from attn_tutorial.training.progress import Progress

_TRIES = 5  # how often a run is started whose worker is lost before the run reports anything
_CONNECT = 10.0  # seconds in which the cluster's head must answer
_HALT = 120.0  # seconds for the runs under way to write their checkpoints
_ASK = 1.0  # seconds before a run asks again whether to stop
_OBJECTS = 100 * 2**20  # bytes of shared memory for a Ray that is started here; records and messages are small


class ClusterError(InputError):
    """A Ray cluster cannot be reached, or cannot train the runs. The text says why, and what to do."""


class RayCluster:
    """Tasks on a Ray cluster; see `attn_tutorial.engine.runner.Workers`.

    A run uses one core, so that its bits do not depend on where it is trained.

    Args:
        setting: what the runs have in common. Nodes use the same paths as the machine that starts the study.
        places: the largest number of runs at a time; the cluster may have room for fewer.

    """

    def __init__(self, setting: Setting, places: int):
        self.places = places
        self._address, self._gpus_per_run = setting.options.address, setting.options.gpus_per_run
        self._ledger = Ledger(setting.results)
        # Absolute, because a node's processes run in folders of their own.
        self._setting = replace(setting, results=setting.results.absolute(), root=setting.root.absolute())
        self._running: dict[Any, PlannedRun] = {}
        self._lost: dict[str, int] = {}
        self._halted = False

    def __enter__(self) -> Self:
        if self._gpus_per_run and self._setting.options.device not in ("auto", "cuda"):
            raise self._no_gpu(self._setting.options.device)
        self._ray = _connect(self._address)
        try:
            device, gpus = self._device_and_gpus()
            self._setting = self._setting.with_options(device=device)
            here = importlib.import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy(
                self._ray.get_runtime_context().get_node_id(), soft=False
            )
            self._desk = self._ray.remote(_Desk).options(num_cpus=0, scheduling_strategy=here).remote()
            # No retries by Ray: a lost run is reported as "lost" and submitted again.
            self._task = self._ray.remote(_train).options(num_cpus=1, num_gpus=gpus, max_retries=0)
        except BaseException:
            self._ray.shutdown()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        """Let the runs under way write a checkpoint, and leave the cluster; end it if it was started here."""
        try:
            self.halt()
            if self._running:
                self._ray.wait(list(self._running), num_returns=len(self._running), timeout=_HALT)
        finally:
            self._ray.shutdown()

    def submit(self, run: PlannedRun) -> None:
        """Train a run on any node, as soon as one has room."""
        self._running[self._task.remote(run, self._setting, self._desk)] = run

    def ended(self, timeout: float) -> Iterable[tuple[PlannedRun, Ending]]:
        """Wait until a run ends, at most this many seconds; return the runs that did, with records in the ledger."""
        tasks = list(self._running)
        self._ray.wait(tasks, num_returns=1, timeout=timeout)
        ended, _ = self._ray.wait(tasks, num_returns=len(tasks), timeout=0)
        return [(run, self._outcome(run, task)) for task in ended if (run := self._running.pop(task))]

    def messages(self) -> Iterator[tuple[str, Progress]]:
        """Take what the runs have said since the last call."""
        try:
            said = self._ray.get(self._desk.take.remote())
        except importlib.import_module("ray.exceptions").RayError as error:
            raise ClusterError(
                f"the connection to the Ray cluster was lost ({str(error).splitlines()[0]}). Finished runs are in the "
                "ledger. Start the study again when the cluster can be reached."
            ) from None
        for run_id, progress in said:
            self._lost.pop(run_id, None)
            yield run_id, progress

    def halt(self) -> None:
        """Ask every run under way to write a checkpoint and end."""
        if not self._halted:
            self._desk.halt.remote()
        self._halted = True

    def _outcome(self, run: PlannedRun, task: Any) -> Ending:
        errors = importlib.import_module("ray.exceptions")
        try:
            outcome, record, answers = self._ray.get(task)
        except errors.RayTaskError as error:
            raise error.cause or error from None
        except errors.RayError:
            if self._halted:
                return "stopped"
            self._lost[run.run_id] = self._lost.get(run.run_id, 0) + 1
            return "lost" if self._lost[run.run_id] < _TRIES else "given up"
        if record is not None and not self._ledger.has_result(run):  # the node wrote to another folder
            self._ledger.add(Record.model_validate_json(record), Answers.from_bytes(answers) if answers else None)
        return outcome

    def _device_and_gpus(self) -> tuple[str, float]:
        device, share = self._setting.options.device, self._gpus_per_run
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if device == "auto":
            device = "cuda" if any(node.get("GPU") for node in nodes) else "cpu"
        if share and device != "cuda":
            raise self._no_gpu(device)
        gpus = (share or 1.0) if device == "cuda" else 0.0
        if not any(node.get("CPU", 0) >= 1 and node.get("GPU", 0) >= gpus for node in nodes):
            needs = "1 core" + (f" and {gpus:g} GPU" if gpus else "")
            raise ClusterError(
                f"the Ray cluster must have a machine with what a run needs ({needs}), but has none. Add one, or "
                "choose another device or gpus_per_run."
            )
        return device, gpus

    def _no_gpu(self, device: str) -> SpecError:
        return SpecError(
            f"gpus_per_run must be left out if the runs train on {device}, but got {self._gpus_per_run!r}. Leave it "
            "out, or use device 'cuda' and a cluster with GPUs."
        )


def _connect(address: str) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = importlib.import_module("ray")
    if address not in ("", "auto"):
        _check_reachable(address)
    new: dict[str, Any] = {"include_dashboard": False, "object_store_memory": _OBJECTS}
    try:
        with _signals_kept():
            ray.init(address or "local", logging_level=logging.ERROR, **({} if address else new))
    except (Exception, SystemExit) as error:  # Ray raises many kinds, and ends the process if a foreign server answers
        cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ClusterError(
            f"Ray could not be {'reached at ' + address if address else 'started'} ({cause}). Start the study on "
            "a machine of the cluster, where `ray status` lists it, with the same versions of Ray and Python."
        ) from None
    return ray


def _check_reachable(address: str) -> None:
    # Ray itself tries for two minutes, and says little.
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in address:
        raise SpecError(
            "address must be the address of the cluster's head, such as 10.0.0.1:6379, or 'auto' on one of its "
            f"machines, or '' to start Ray on this machine, but got {address!r}."
        )
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(
            f"address must be the address of a running cluster, but nothing answers at {address} ({error}). On the "
            "cluster's head, `ray start --head` prints the address."
        ) from None


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Restore the handlers of Ctrl-C and SIGTERM afterwards, because Ray replaces one of them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Desk:
    """An actor on the machine that started the study: it collects the runs' messages, and says when to stop."""

    def __init__(self) -> None:
        self._messages: list[tuple[str, Progress]] = []
        self._halted = False

    def tell(self, run_id: str, progress: Progress) -> None:
        self._messages.append((run_id, progress))

    def take(self) -> list[tuple[str, Progress]]:
        taken, self._messages = self._messages, []
        return taken

    def halt(self) -> None:
        self._halted = True

    def halted(self) -> bool:
        return self._halted


def _train(run: PlannedRun, setting: Setting, desk: Any) -> tuple[Ending, str | None, bytes | None]:
    """Train a run as a task. Return its record and answers, too: the node may write to a folder of its own."""
    import torch

    from attn_tutorial.engine.execute import execute
    from attn_tutorial.training import keep_memory

    should_stop = _asking(desk)
    if should_stop():
        return "stopped", None, None
    keep_memory()
    torch.set_num_threads(1)
    try:
        _check_images(setting)
        outcome = execute(run, setting, lambda progress: desk.tell.remote(run.run_id, progress), should_stop)
    except InputError as error:
        raise ClusterError(f"on node {socket.gethostname()}: {error}") from None
    ledger = Ledger(setting.results)
    record = ledger.get(run)
    if record is None or outcome not in ("done", "diverged", "failed"):
        return outcome, None, None
    answers = ledger.answers(record)
    return outcome, record.model_dump_json(), answers.to_bytes() if answers else None


def _check_images(setting: Setting) -> None:
    """Prepare the node's images, and refuse images other than the ones in the runs' ids."""
    images, _ = prepare_images(str(setting.source or setting.images.name), setting.root)
    if images.fingerprint != setting.images.fingerprint:
        raise InputError(
            f"the images must be the same on every node, but {images.source} contains other images than "
            f"{setting.images.source} of the machine that started the study. Copy the same ones to every node, or "
            "name a folder that all nodes see."
        )


def _asking(desk: Any) -> Callable[[], bool]:
    """Return a function that says whether to stop. It asks the desk once a second, and says yes if the desk is gone."""
    ray = importlib.import_module("ray")
    answer, asked = False, -_ASK

    def should_stop() -> bool:
        nonlocal answer, asked
        if not answer and time.monotonic() - asked >= _ASK:
            try:
                answer = ray.get(desk.halted.remote())
            except ray.exceptions.RayError:
                answer = True
            asked = time.monotonic()
        return answer

    return should_stop

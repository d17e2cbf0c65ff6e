"""Running a study: training what the ledger lacks, one run after the other, in processes, or on a Ray cluster."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from attn_tutorial.blocks.options import BLOCK_NAMES, PLUGINS
from attn_tutorial.engine.processes import Processes, WorkerKilled
from attn_tutorial.engine.setting import Outcome, Setting
from attn_tutorial.engine.study_progress import Report
from attn_tutorial.errors import InputError
from attn_tutorial.ledger.ledger import Ledger
from attn_tutorial.spec import SpecError
from attn_tutorial.study.study import PlannedRun
from attn_tutorial.training.progress import Progress

RUNNERS = ("auto", "serial", "processes", "ray")
_POLL = 0.5  # seconds between looks at the workers' messages
_BUSY = 5.0  # seconds before looking again at a run that another process is training
_PATIENCE = 2.0  # seconds in which one more Ctrl-C is taken for the same one
_GPU_FILES = ("nvidia*", "nvhost*", "nvgpu*", "dxg", "kfd")  # in /dev, of NVIDIA's drivers, of WSL's, of AMD's


class StudyInterrupted(KeyboardInterrupt):
    """A study was asked to stop. What was done is in the ledger; what was under way has a checkpoint."""

    _render_traceback_ = InputError._render_traceback_  # in a notebook, too, the text alone


class Workers(Protocol):
    """Processes, here or elsewhere, that train several runs at a time."""

    places: int
    """How many runs at a time."""

    def submit(self, run: PlannedRun) -> None:
        """Have a run trained."""

    def ended(self, timeout: float) -> Iterable[tuple[PlannedRun, Outcome]]:
        """Wait until a run ends, at most this many seconds, and return those that did, each once."""

    def messages(self) -> Iterable[tuple[str, Progress]]:
        """Take what the runs have said since the last call, with their run_id."""

    def halt(self) -> None:
        """Have every run under way write a checkpoint and end."""


def run_study(
    runs: list[PlannedRun],
    setting: Setting,
    runner: str = "auto",
    workers: int | None = None,
    address: str = "",
    gpus_per_run: float | None = None,
) -> dict[str, int]:
    """Train what the ledger lacks of `runs`, and return in what state all of them are, as {"done": 3, "failed": 1}.

    Args:
        runs: the plan.
        setting: images, results folder, device.
        runner: "serial": one run after the other, on all threads; "processes": several at a time, each on its share
            of the cores; "ray": on a Ray cluster; "auto": processes on a CPU with several cores, serial otherwise, and
            where a block of your own is known to this process only.
        workers: how many runs at a time, at most one for each missing run; by default one for each core, with Ray as
            many as the cluster has room for.
        address: of a Ray cluster, as "10.0.0.1:6379", or "auto" on one of its machines; "" starts Ray on this machine,
            and ends it afterwards.
        gpus_per_run: with Ray, the share of a GPU that a run takes, above 0 to 1, so that 0.25 has four runs share
            one; by default 1 on CUDA.

    Interrupted (Ctrl-C or SIGTERM), it has every run under way write a checkpoint and raises `StudyInterrupted`;
    called again it goes on from there.

    """
    check_runner(runner, workers, address, gpus_per_run)
    ledger = Ledger(setting.results)
    missing = [run for run in runs if not ledger.has_result(run.run_id)]
    if not missing:
        return _count(runs, ledger)
    ledger.make_writable()
    runner = _choose(runner, setting.device, missing, workers)
    with Report(missing, already=len(runs) - len(missing)) as report, _stop_on_interrupt() as stop:
        try:
            with _workers(runner, missing, setting, workers, address, gpus_per_run, report, stop) as several:
                _train(missing, several, ledger, report, stop)
        except KeyboardInterrupt:
            stop.set()
        except WorkerKilled:
            if not stop.is_set():  # a signal to the whole group of processes ends the workers as well
                raise
    counts = _count(runs, ledger)
    if stop.is_set():
        raise StudyInterrupted(
            f"stopped: {len(runs) - counts.get('missing', 0)} of {len(runs)} runs are in {setting.results}; "
            "those under way go on from their checkpoints when the same command is given again"
        )
    return counts


def check_runner(runner: str, workers: int | None = None, address: str = "", gpus_per_run: float | None = None) -> None:
    """Raise `SpecError` unless a study can be run so; see `run_study`."""
    if runner not in RUNNERS:
        raise SpecError(f"runner {runner!r} was given; allowed are {', '.join(RUNNERS)}")
    if workers is not None and (type(workers) is not int or workers < 1):
        raise SpecError(f"workers {workers!r} was given; allowed is a whole number of at least 1")
    if gpus_per_run is not None and (type(gpus_per_run) not in (int, float) or not 0 < gpus_per_run <= 1):
        raise SpecError(
            f"gpus_per_run {gpus_per_run!r} was given; allowed is a number above 0, and at most 1, as 0.25 for four "
            "runs on each GPU; leave it out for 1 on CUDA and none elsewhere"
        )
    for name, given in {"address": address, "gpus_per_run": gpus_per_run}.items():
        if given and runner != "ray":
            raise SpecError(f"{name} {given!r} was given with runner {runner!r}; it is for runner 'ray'")
    if runner == "ray" and find_spec("ray") is None:
        raise SpecError(
            "runner 'ray' was given, but Ray is not installed: pip install -e \".[cluster]\" in the repository's "
            "folder; without it, runner 'processes' uses this machine's cores"
        )


def _choose(runner: str, device: str, missing: list[PlannedRun], workers: int | None) -> str:
    """Which of the runners "auto" is here; refuses a device that is not there, and blocks that workers cannot know."""
    if runner != "ray":
        on_cpu = _on_cpu(device)
    own = sorted({run.spec.block for run in missing if run.spec.block} - set(BLOCK_NAMES))
    known_to_workers = not own or PLUGINS in os.environ
    if runner == "auto":
        several = on_cpu and known_to_workers and min(workers or _cores(), len(missing)) > 1
        return "processes" if several else "serial"
    if runner != "serial" and not known_to_workers:
        raise SpecError(
            f"runner {runner!r} was given, but worker processes do not know the blocks of your own: {', '.join(own)}. "
            f"Name the module that registers them in {PLUGINS} (see register_block), or give runner 'serial'"
        )
    return runner


def _on_cpu(device: str) -> bool:
    # Loading torch takes seconds in which no worker starts: it is asked only where there could be a GPU.
    gpu_possible = sys.platform != "linux" or any(found for name in _GPU_FILES for found in Path("/dev").glob(name))
    if device == "cpu" or (device == "auto" and not gpu_possible):
        return True
    from attn_tutorial.training import choose_device

    return choose_device(device).type == "cpu"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _workers(
    runner: str,
    missing: list[PlannedRun],
    setting: Setting,
    workers: int | None,
    address: str,
    gpus_per_run: float | None,
    report: Report,
    stop: threading.Event,
) -> AbstractContextManager[Workers]:
    # Imported when used: the first needs torch, the last is an extra.
    if runner == "serial":
        from attn_tutorial.engine.serial import Serial

        return Serial(setting, report.progress, stop.is_set)
    if runner == "processes":
        places = min(workers or _cores(), len(missing))
        return Processes(setting, places, threads=max(1, _cores() // places))
    from attn_tutorial.engine.ray_runner import RayCluster

    return RayCluster(setting, min(workers or len(missing), len(missing)), address, gpus_per_run)


def _train(missing: list[PlannedRun], workers: Workers, ledger: Ledger, report: Report, stop: threading.Event) -> None:
    waiting, later = deque(missing), deque[tuple[float, PlannedRun]]()
    running = 0
    while waiting or later or running:
        if stop.is_set():
            workers.halt()
            waiting.clear()
            later.clear()
        while later and later[0][0] <= time.monotonic():
            waiting.append(later.popleft()[1])
        while waiting and running < workers.places:
            workers.submit(waiting.popleft())
            running += 1
        if not running:
            stop.wait(_POLL)
            continue
        ended = list(workers.ended(_POLL))
        for message in workers.messages():
            report.progress(*message)
        for run, outcome in ended:
            running -= 1
            report.ended(run.run_id, outcome, ledger.get(run.run_id))
            if outcome in ("busy", "lost"):
                later.append((time.monotonic() + (_BUSY if outcome == "busy" else 0), run))


def _count(runs: list[PlannedRun], ledger: Ledger) -> dict[str, int]:
    # From the ledger, not from what the workers said: another process may have ended a run, and ended it badly.
    states = [record.status if (record := ledger.get(run.run_id)) else "missing" for run in runs]
    return {state: states.count(state) for state in dict.fromkeys(states)}


@contextlib.contextmanager
def _stop_on_interrupt() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a request to stop at the next step; one more, seconds later, stops at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    asked_at = float("inf")

    def ask(number: int, frame: object) -> None:
        nonlocal asked_at
        if time.monotonic() - asked_at > _PATIENCE:
            raise KeyboardInterrupt
        asked_at = min(asked_at, time.monotonic())
        stop.set()

    before: dict[int, Callable[..., Any] | int | None] = {
        number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

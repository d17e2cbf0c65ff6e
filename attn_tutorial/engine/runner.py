"""Run a study: train what the ledger lacks, one run after the other, in processes, or on a Ray cluster."""

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
from typing import Any, Protocol, get_args

from attn_tutorial.blocks.options import BLOCK_NAMES, PLUGINS
from attn_tutorial.engine.options import RunOptions
from attn_tutorial.engine.processes import Processes, WorkerKilled
from attn_tutorial.engine.setting import Ending, Setting
from attn_tutorial.engine.study_progress import StudyProgress
from attn_tutorial.errors import InputError
from attn_tutorial.ledger.ledger import Ledger
from attn_tutorial.spec import SpecError
from attn_tutorial.study.study import PlannedRun
from attn_tutorial.training.progress import Progress

RUNNERS = get_args(RunOptions.model_fields["runner"].annotation)
_POLL = 0.5  # seconds between looks at the workers' messages
_BUSY = 5.0  # seconds before looking again at a run that another process is training
_PATIENCE = 2.0  # seconds in which another Ctrl-C counts as the same one
_GPU_FILES = ("nvidia*", "nvhost*", "nvgpu*", "dxg", "kfd")  # in /dev: of NVIDIA's drivers, WSL's, AMD's


class StudyInterrupted(KeyboardInterrupt):
    """A study was asked to stop. Finished runs are in the ledger; runs that were under way have a checkpoint."""

    _render_traceback_ = InputError._render_traceback_  # in a notebook, too, only the text is shown


class Workers(Protocol):
    """Processes, here or elsewhere, that train several runs at a time."""

    places: int
    """How many runs they train at a time."""

    def submit(self, run: PlannedRun) -> None:
        """Give them a run to train."""

    def ended(self, timeout: float) -> Iterable[tuple[PlannedRun, Ending]]:
        """Wait until a run ends, at most this many seconds, and return the runs that did, each once."""

    def messages(self) -> Iterable[tuple[str, Progress]]:
        """Return what the runs have said since the last call, each with its run_id."""

    def halt(self) -> None:
        """Ask every run under way to write a checkpoint and end."""


def run_study(runs: list[PlannedRun], setting: Setting) -> dict[str, int]:
    """Train what the ledger lacks of `runs`, and return in which state all of them are, such as {"done": 3}.

    If it is interrupted (Ctrl-C or SIGTERM), every run under way writes a checkpoint, and `StudyInterrupted` is raised.
    Called again, it goes on from there.

    Args:
        runs: the plan.
        setting: images, results folder, and the options that say how: see `RunOptions`. `runner` "auto" means processes
            on a CPU with several cores, and serial otherwise or where a block of your own is known only to this
            process. With "processes" each worker gets its share of the cores.

    """
    check_ray(setting.options)
    ledger = Ledger(setting.results)
    missing = [run for run in runs if not ledger.has_result(run)]
    if not missing:
        return _states(runs, ledger)
    ledger.make_writable()
    setting = setting.with_options(runner=_choose(setting.options, missing))
    shown = setting.protocol is None
    with StudyProgress(missing, len(runs) - len(missing), accuracy=shown) as progress, _stop_on_interrupt() as stop:
        try:
            with _workers(missing, setting, progress, stop) as workers:
                _train(missing, workers, ledger, progress, stop)
        except KeyboardInterrupt:
            stop.set()
        except WorkerKilled:
            if not stop.is_set():  # a signal to the whole group of processes ends the workers, too
                raise
    states = _states(runs, ledger)
    if stop.is_set():
        raise StudyInterrupted(
            f"stopped: {len(runs) - states.get('missing', 0)} of {len(runs)} runs are in {setting.results}; "
            "the runs under way go on from their checkpoints when the same command is given again"
        )
    return states


def check_ray(options: RunOptions) -> None:
    """Raise `SpecError` if the runner is Ray and Ray is not installed."""
    if options.runner == "ray" and find_spec("ray") is None:
        raise SpecError(
            "runner 'ray' needs Ray, which is not installed: pip install -e \".[cluster]\" in the repository's folder. "
            "Without it, runner 'processes' uses this machine's cores."
        )


def _choose(options: RunOptions, missing: list[PlannedRun]) -> str:
    """Return which runner "auto" means here. Refuse a missing device, and blocks that workers cannot know."""
    runner = options.runner
    if runner != "ray":
        on_cpu = _on_cpu(options.device)
    own = sorted({run.spec.block for run in missing if run.spec.block} - set(BLOCK_NAMES))
    known_to_workers = not own or PLUGINS in os.environ
    if runner == "auto":
        several = on_cpu and known_to_workers and min(options.workers or _cores(), len(missing)) > 1
        return "processes" if several else "serial"
    if runner != "serial" and not known_to_workers:
        raise SpecError(
            f"runner must be 'serial' for blocks that only this process knows ({', '.join(own)}), but got {runner!r}. "
            f"For other runners, name the module that registers them in {PLUGINS} (see register_block)."
        )
    return runner


def _on_cpu(device: str) -> bool:
    # Loading torch takes seconds, in which no worker starts. So torch is asked only where there could be a GPU.
    gpu_possible = sys.platform != "linux" or any(found for name in _GPU_FILES for found in Path("/dev").glob(name))
    if device == "cpu" or (device == "auto" and not gpu_possible):
        return True
    from attn_tutorial.training import choose_device

    return choose_device(device).type == "cpu"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _workers(
    missing: list[PlannedRun], setting: Setting, progress: StudyProgress, stop: threading.Event
) -> AbstractContextManager[Workers]:
    # Imported when used: the first needs torch, the last is an extra.
    options = setting.options
    if options.runner == "serial":
        from attn_tutorial.engine.serial import Serial

        return Serial(setting, progress.progress, stop.is_set)
    if options.runner == "processes":
        places = min(options.workers or _cores(), len(missing))
        return Processes(setting, places, threads=max(1, _cores() // places))
    from attn_tutorial.engine.ray_runner import RayCluster

    return RayCluster(setting, min(options.workers or len(missing), len(missing)))


def _train(
    missing: list[PlannedRun], workers: Workers, ledger: Ledger, progress: StudyProgress, stop: threading.Event
) -> None:
    progress.time_left.places = workers.places
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
            run = waiting.popleft()
            progress.time_left.began(run.run_id)
            workers.submit(run)
            running += 1
        if not running:
            stop.wait(_POLL)
            continue
        ended = list(workers.ended(_POLL))
        for message in workers.messages():
            progress.progress(*message)
        for run, ending in ended:
            running -= 1
            progress.ended(run.run_id, ending, ledger.get(run))
            if ending in ("busy", "lost"):
                later.append((time.monotonic() + (_BUSY if ending == "busy" else 0), run))


def _states(runs: list[PlannedRun], ledger: Ledger) -> dict[str, int]:
    # From the ledger, not from what the workers said: another process may have ended a run, and ended it badly.
    states = [record.status if (record := ledger.get(run)) else "missing" for run in runs]
    return {state: states.count(state) for state in dict.fromkeys(states)}


@contextlib.contextmanager
def _stop_on_interrupt() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a request to stop at the next step. Another one, seconds later, stops at once."""
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

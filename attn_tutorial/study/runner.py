"""Runners: what trains the missing runs of a study, one after the other or in several processes."""

import contextlib
import functools
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any

from attn_tutorial.errors import InputError
from attn_tutorial.spec import SpecError
from attn_tutorial.study.ledger import Ledger, LedgerError
from attn_tutorial.study.report import Report
from attn_tutorial.study.study import PlannedRun

if TYPE_CHECKING:
    from attn_tutorial.study.execute import Outcome, Setting

RUNNERS = ("auto", "serial", "processes")
_POLL = 0.5  # seconds between looks at the workers' messages
_BUSY = 5.0  # seconds before looking again at a run that another process is training
_PATIENCE = 2.0  # seconds in which one more Ctrl-C is taken for the same one


class StudyInterrupted(KeyboardInterrupt):
    """A study was asked to stop. What was done is in the ledger; what was under way has a checkpoint."""

    _render_traceback_ = InputError._render_traceback_  # in a notebook, too, the text alone


def run_study(
    runs: list[PlannedRun], setting: "Setting", runner: str = "auto", workers: int | None = None
) -> dict[str, int]:
    """Train what the ledger lacks of `runs`, and return in what state all of them are, as {"done": 3, "failed": 1}.

    Args:
        runs: the plan.
        setting: images, results folder, device.
        runner: "serial": one run after the other, on all threads; "processes": several at a time, each on its share
            of the cores; "auto": processes on a CPU with several cores, serial otherwise.
        workers: how many processes; by default one for each core, at most one for each missing run.

    Interrupted (Ctrl-C or SIGTERM), it has every run under way write a checkpoint and raises `StudyInterrupted`;
    called again it goes on from there.

    """
    if runner not in RUNNERS:
        raise SpecError(f"runner {runner!r} was given; allowed are {', '.join(RUNNERS)}")
    if workers is not None and (type(workers) is not int or workers < 1):
        raise SpecError(f"workers {workers!r} was given; allowed is a whole number of at least 1")
    ledger = Ledger(setting.results)
    missing = [run for run in runs if not ledger.has_result(run.run_id)]
    if not missing:
        return _count(runs, ledger)
    ledger.make_writable()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(workers or cores, len(missing))
    if runner == "auto":
        from attn_tutorial.training import choose_device

        runner = "processes" if choose_device(setting.device).type == "cpu" and workers > 1 else "serial"
    with Report(missing, already=len(runs) - len(missing)) as report, _stop_on_interrupt() as stop:
        try:
            if runner == "serial":
                _serial(missing, setting, ledger, report, stop)
            else:
                _processes(missing, setting, ledger, report, stop, workers, threads=max(1, cores // workers))
        except KeyboardInterrupt:
            stop.set()
    counts = _count(runs, ledger)
    if stop.is_set():
        raise StudyInterrupted(
            f"stopped: {len(runs) - counts.get('missing', 0)} of {len(runs)} runs are in {setting.results}; "
            "those under way go on from their checkpoints when the same command is given again"
        )
    return counts


def _count(runs: list[PlannedRun], ledger: Ledger) -> dict[str, int]:
    # From the ledger, not from what the workers said: another process may have ended a run, and ended it badly.
    states = [record.status if (record := ledger.get(run.run_id)) else "missing" for run in runs]
    return {state: states.count(state) for state in dict.fromkeys(states)}


def _serial(
    missing: list[PlannedRun], setting: "Setting", ledger: Ledger, report: Report, stop: threading.Event
) -> None:
    from attn_tutorial.study.execute import execute
    from attn_tutorial.training import keep_memory

    keep_memory()
    waiting, busy = deque(missing), deque[PlannedRun]()
    while (waiting or busy) and not stop.is_set():
        if not waiting:
            stop.wait(_BUSY)
            waiting, busy = busy, waiting
        run = waiting.popleft()
        outcome = execute(run, setting, functools.partial(report.progress, run.run_id), stop.is_set)
        report.ended(run.run_id, outcome, ledger.get(run.run_id))
        if outcome == "busy":
            busy.append(run)


def _processes(
    missing: list[PlannedRun],
    setting: "Setting",
    ledger: Ledger,
    report: Report,
    stop: threading.Event,
    workers: int,
    threads: int,
) -> None:
    # A fresh process for each worker: a forked one would inherit torch's threads in an unknown state.
    context = multiprocessing.get_context("spawn")
    messages: Any = context.Queue()
    halt = context.Event()
    pool = ProcessPoolExecutor(workers, context, _start_worker, (threads, messages, halt, os.getpid()))
    waiting, later = deque(missing), deque[tuple[float, PlannedRun]]()
    running: dict[Future[Outcome], PlannedRun] = {}
    try:
        while waiting or later or running:
            if stop.is_set():
                halt.set()
                waiting.clear()
                later.clear()
            while later and later[0][0] <= time.monotonic():
                waiting.append(later.popleft()[1])
            while waiting and len(running) < workers:
                run = waiting.popleft()
                with _ctrl_c_held_back():
                    running[pool.submit(_work, run, setting)] = run
            ended, _ = wait(running, timeout=_POLL, return_when=FIRST_COMPLETED)
            if not running:
                stop.wait(_POLL)
            with contextlib.suppress(queue.Empty):
                while True:
                    report.progress(*messages.get_nowait())
            for future in ended:
                run = running.pop(future)
                outcome = future.result()
                report.ended(run.run_id, outcome, ledger.get(run.run_id))
                if outcome == "busy":
                    later.append((time.monotonic() + _BUSY, run))
    except BrokenProcessPool:
        if not stop.is_set():  # a signal to the whole group of processes ends the workers as well
            raise LedgerError(
                "a worker process was killed, perhaps for want of memory; nothing that was done is lost: run the same "
                "command again, with fewer workers if it recurs"
            ) from None
    finally:
        halt.set()
        pool.shutdown(cancel_futures=True)


class _Worker:
    """What a worker process was given at its start."""

    messages: Any
    halt: Any
    parent: int


def _start_worker(threads: int, messages: Any, halt: Any, parent: int) -> None:
    # Ctrl-C reaches the whole group of processes; the parent alone answers it, and tells the workers by `halt`.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    from attn_tutorial.training import keep_memory

    keep_memory()
    torch.set_num_threads(threads)
    _Worker.messages, _Worker.halt, _Worker.parent = messages, halt, parent


def _work(run: PlannedRun, setting: "Setting") -> "Outcome":
    from attn_tutorial.study.execute import execute

    def orphaned() -> bool:
        return os.getppid() != _Worker.parent

    outcome = execute(
        run,
        setting,
        lambda progress: _Worker.messages.put((run.run_id, progress)),
        lambda: _Worker.halt.is_set() or orphaned(),
    )
    if orphaned():
        os._exit(1)  # nobody is left to report to; waiting for the next run would be for ever
    return outcome


@contextlib.contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Have processes that are started here never see Ctrl-C; one that comes meanwhile is delivered afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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

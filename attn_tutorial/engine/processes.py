"""Runs trained in several processes on this machine, each on its share of the cores."""

import contextlib
import multiprocessing
import os
import queue
import signal
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.util import Finalize
from typing import Any, Self

from attn_tutorial.engine.setting import Ending, Setting
from attn_tutorial.ledger.reading import LedgerError
from attn_tutorial.study.study import PlannedRun
from attn_tutorial.training.progress import Progress

_LAST = -1000  # the finalisers of multiprocessing's queues have -5 and -10


class WorkerKilled(LedgerError):
    """A worker process did not end by itself."""


class Processes:
    """A pool of processes; see `attn_tutorial.engine.runner.Workers`.

    Args:
        setting: of all runs.
        places: how many processes.
        threads: of torch, in each.

    """

    def __init__(self, setting: Setting, places: int, threads: int):
        self.places, self._setting = places, setting
        # A fresh process for each worker: a forked one would inherit torch's threads in an unknown state.
        context = multiprocessing.get_context("spawn")
        self._messages: Any = context.Queue()
        self._halt = context.Event()
        with_what = (threads, self._messages, self._halt, os.getpid())
        self._pool = ProcessPoolExecutor(places, context, _start_worker, with_what)
        self._running: dict[Future[Ending], PlannedRun] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Let the runs under way write a checkpoint, and wait for the processes to end."""
        self.halt()
        self._pool.shutdown(cancel_futures=True)

    def submit(self, run: PlannedRun) -> None:
        """Give a run to a process, a new one if all are busy."""
        with _explained(), _ctrl_c_held_back():
            self._running[self._pool.submit(_work, run, self._setting)] = run

    def ended(self, timeout: float) -> Iterable[tuple[PlannedRun, Ending]]:
        """Wait until a run ends, at most this many seconds, and return the runs that did."""
        ended, _ = wait(self._running, timeout, return_when=FIRST_COMPLETED)
        with _explained():
            return [(self._running.pop(future), future.result()) for future in ended]

    def messages(self) -> Iterator[tuple[str, Progress]]:
        """Take what the runs have said since the last call."""
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._messages.get_nowait()

    def halt(self) -> None:
        """Ask every run under way to write a checkpoint and end."""
        self._halt.set()


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool:
        raise WorkerKilled(
            "a worker process was killed, perhaps because memory ran out. Nothing that was done is lost: give the same "
            "command again, with fewer workers if this happens again."
        ) from None


class _Worker:
    """What a worker process was given at its start."""

    messages: Any
    halt: Any
    parent: int


def _start_worker(threads: int, messages: Any, halt: Any, parent: int) -> None:
    import torch

    from attn_tutorial.training import keep_memory

    keep_memory()
    torch.set_num_threads(threads)
    # The last of all finalisers, after the ones that send what is still in the queues.
    Finalize(None, _end_at_once, exitpriority=_LAST)
    _Worker.messages, _Worker.halt, _Worker.parent = messages, halt, parent


def _end_at_once() -> None:
    """End a worker without unloading torch's thousands of modules one by one, which takes a second and a half."""
    if sys.exc_info()[0] is not None:
        return  # what went wrong is still to be printed
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _work(run: PlannedRun, setting: Setting) -> Ending:
    from attn_tutorial.engine.execute import execute

    def orphaned() -> bool:
        return os.getppid() != _Worker.parent

    outcome = execute(
        run,
        setting,
        lambda progress: _Worker.messages.put((run.run_id, progress)),
        lambda: _Worker.halt.is_set() or orphaned(),
    )
    if orphaned():
        os._exit(1)  # there is nobody to report to, and no next run to wait for
    return outcome


@contextlib.contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Keep Ctrl-C, which reaches the whole group of processes, from the processes that are started here.

    Only the parent answers it, and tells the workers by `halt`. A Ctrl-C that comes meanwhile is delivered afterwards.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

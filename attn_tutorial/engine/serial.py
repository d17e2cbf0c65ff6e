"""Runs trained one after the other, in this process and on all its threads. Importing this module loads torch."""

import functools
from collections.abc import Callable, Iterable
from typing import Self

from attn_tutorial.engine.execute import execute
from attn_tutorial.engine.setting import Ending, Setting
from attn_tutorial.study.study import PlannedRun
from attn_tutorial.training import Progress, keep_memory


class Serial:
    """A worker that is this process itself; see `attn_tutorial.engine.runner.Workers`."""

    places = 1

    def __init__(self, setting: Setting, on_progress: Callable[[str, Progress], None], should_stop: Callable[[], bool]):
        self._setting, self._on_progress, self._should_stop = setting, on_progress, should_stop

    def __enter__(self) -> Self:
        keep_memory()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave nothing to clean up."""

    def submit(self, run: PlannedRun) -> None:
        """Keep a run. It is trained when `ended` waits for its end."""
        self._run = run

    def ended(self, timeout: float) -> Iterable[tuple[PlannedRun, Ending]]:
        """Train the run."""
        report = functools.partial(self._on_progress, self._run.run_id)
        return [(self._run, execute(self._run, self._setting, report, self._should_stop))]

    def messages(self) -> Iterable[tuple[str, Progress]]:
        """Return nothing: the messages were passed on while the run was trained."""
        return []

    def halt(self) -> None:
        """Do nothing: no run is under way."""

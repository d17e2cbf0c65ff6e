"""Estimate how long the rest of a study takes, from how long starting, training and testing took so far."""

import time
from collections.abc import Callable, Mapping
from statistics import fmean


class TimeLeft:
    """The time left of some runs, of which several are under way at a time.

    Starting (loading images and libraries), training and testing are counted apart, because only training grows with
    the number of images.

    Args:
        images: how many images training sees, by run.
        clock: returns seconds; another one is for tests.

    """

    def __init__(self, images: Mapping[str, int], clock: Callable[[], float] = time.monotonic):
        self.places = 1
        """How many runs are under way at a time."""
        self._images, self._clock = dict(images), clock
        self._begun: dict[str, float] = {}
        self._first: dict[str, tuple[float, int]] = {}
        self._latest: dict[str, tuple[float, int]] = {}
        self._tested_since: dict[str, float] = {}
        self._ended: set[str] = set()
        self._starting: list[float] = []
        self._testing: list[float] = []

    def began(self, run: str) -> None:
        """Note that a run was given to a worker."""
        self._begun[run] = self._clock()

    def progress(self, run: str, seen: int) -> None:
        """Note how many images a run has seen; if it was resumed, with those from before."""
        now = self._clock()
        if run not in self._first:
            self._first[run] = (now, seen)
            if run in self._begun:
                self._starting.append(now - self._begun[run])
        self._latest[run] = (now, seen)
        if seen >= self._images[run]:
            self._tested_since.setdefault(run, now)

    def ended(self, run: str, done: bool) -> None:
        """Note that a run has ended, or was left to another process; `done` says whether it was tested here."""
        if done and run in self._tested_since:
            self._testing.append(self._clock() - self._tested_since[run])
        self._ended.add(run)

    @property
    def in_words(self) -> str | None:
        """Return the time left as text, or None before anything was trained."""
        trained = [(self._latest[run], first) for run, first in self._first.items()]
        images = sum(latest[1] - first[1] for latest, first in trained)
        seconds = sum(latest[0] - first[0] for latest, first in trained)
        if images <= 0 or seconds <= 0:
            return None
        test = fmean(self._testing) if self._testing else 0.0
        total = sum(self._rest(run, seconds / images, test) for run in self._images if run not in self._ended)
        minutes = total / self.places / 60
        if minutes <= 0:
            return None
        return f"about {minutes:.0f} min left" if self._testing else f"about {minutes:.0f} min of training left"

    def _rest(self, run: str, pace: float, test: float) -> float:
        if run in self._tested_since:
            return max(0.0, test - (self._clock() - self._tested_since[run]))
        _, seen = self._latest.get(run, (0.0, 0))
        start = fmean(self._starting) if self._starting and run not in self._first else 0.0
        return start + (self._images[run] - seen) * pace + test

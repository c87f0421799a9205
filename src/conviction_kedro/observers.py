"""Progress of long steps: bars on a terminal, plain lines in a log."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)
_LINE_EVERY = 10.0


class LogObserver:
    """Writes a line when a task starts, at most every ten seconds while it goes on, and when it ends."""

    def __init__(self) -> None:
        self._total: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._begun: dict[str, float] = {}
        self._spoken: dict[str, float] = {}

    def start(self, task: str, total: int) -> None:
        """Announce the task."""
        self._total[task], self._done[task] = total, 0
        self._begun[task] = self._spoken[task] = time.monotonic()
        logger.info("%s: 0 of %d", task, total)

    def advance(self, task: str, steps: int = 1, note: str = "") -> None:
        """Count the steps; speak if the last line is old enough."""
        self._done[task] = self._done.get(task, 0) + steps
        now = time.monotonic()
        if now - self._spoken.get(task, 0.0) >= _LINE_EVERY:
            self._spoken[task] = now
            logger.info("%s: %d of %d %s", task, self._done[task], self._total.get(task, 0), note)

    def finish(self, task: str) -> None:
        """Say how long it took."""
        seconds = time.monotonic() - self._begun.pop(task, time.monotonic())
        logger.info("%s: done, %d steps in %.1f s", task, self._done.get(task, 0), seconds)

    def record(self, record: Mapping[str, Any]) -> None:
        """Nothing to show for a single unit of work."""


class BarObserver:
    """Shows one progress bar for each running task on a terminal."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._tasks: dict[str, Any] = {}

    def start(self, task: str, total: int) -> None:
        """Add a bar."""
        if not self._tasks:
            self._progress.start()
        self._tasks[task] = self._progress.add_task(task, total=total, note="")

    def advance(self, task: str, steps: int = 1, note: str = "") -> None:
        """Move the bar."""
        if task in self._tasks:
            self._progress.update(self._tasks[task], advance=steps, note=note)

    def finish(self, task: str) -> None:
        """Remove the bar; give the screen back after the last one."""
        identifier = self._tasks.pop(task, None)
        if identifier is not None:
            self._progress.refresh()
            self._progress.remove_task(identifier)
        if not self._tasks:
            self._progress.stop()

    def record(self, record: Mapping[str, Any]) -> None:
        """Nothing to show for a single unit of work."""


def make_observer() -> LogObserver | BarObserver:
    """Return bars when standard output is a terminal, lines otherwise."""
    return BarObserver() if sys.stdout.isatty() else LogObserver()

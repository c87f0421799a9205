"""How the library tells what it is doing: an injected observer, silent by default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping


@runtime_checkable
class Observer(Protocol):
    """What a caller may inject to follow long work: progress bars, log lines, running trials."""

    def start(self, task: str, total: int) -> None:
        """Announce a task of `total` steps."""

    def advance(self, task: str, steps: int = 1, note: str = "") -> None:
        """Say that `steps` more steps of `task` are done."""

    def finish(self, task: str) -> None:
        """Say that `task` is over."""

    def record(self, record: Mapping[str, Any]) -> None:
        """Hand over one finished unit of work (a trial, a fold) while the rest goes on."""


class SilentObserver:
    """Observer that ignores everything; the default everywhere.

    Examples
    --------
    >>> observer = SilentObserver()
    >>> observer.start("folds", 5)
    >>> isinstance(observer, Observer)
    True
    """

    def start(self, task: str, total: int) -> None:
        """Ignore it."""

    def advance(self, task: str, steps: int = 1, note: str = "") -> None:
        """Ignore it."""

    def finish(self, task: str) -> None:
        """Ignore it."""

    def record(self, record: Mapping[str, Any]) -> None:
        """Ignore it."""

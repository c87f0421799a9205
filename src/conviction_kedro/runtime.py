"""What a run injects into the library: the observer, the number of jobs and the identity of the run.

Hooks set it before the first node; nodes read it. A node called outside a run gets silent, single-job defaults.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import date

from conviction.observer import Observer, SilentObserver
from conviction_kedro.studies import Studies


@dataclass(frozen=True)
class Runtime:
    """Everything of a run that is not data and not a parameter.

    `skipped` names the nodes that an unfinished run, whose `run_id` this one carries on, has completed; `tracked_run` is that
    run's identifier in the tracking store.
    """

    observer: Observer = field(default_factory=SilentObserver)
    run_id: str = "no-run"
    keys: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, str] = field(default_factory=dict)
    skipped: frozenset[str] = frozenset()
    tracked_run: str | None = None
    studies: Studies = field(default_factory=Studies)

    @property
    def today(self) -> date | None:
        """The day (UTC) on which the run began, from its identifier; None outside a run."""
        try:
            return date.fromisoformat(self.run_id[:10])
        except ValueError:
            return None


_CURRENT: ContextVar[Runtime] = ContextVar("conviction_runtime", default=Runtime())  # noqa: B039  # frozen


def current() -> Runtime:
    """Return the runtime of the run that is going on, or the defaults outside one."""
    return _CURRENT.get()


def install(runtime: Runtime) -> None:
    """Make `runtime` the one that nodes and datasets see from now on."""
    _CURRENT.set(runtime)

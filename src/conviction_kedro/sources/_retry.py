"""Retries with exponential backoff: one policy for every vendor."""

from __future__ import annotations

import logging
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from conviction_kedro.sources._errors import RetryableError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How often and after what wait a failed request is repeated.

    Parameters
    ----------
    attempts : int
        Requests in all, the first one included.
    first_wait, longest_wait : float
        Seconds before the second request, doubled each time up to the longest. A random quarter is added, so that
        parallel copies do not come back all at once.
    longest_asked_wait : float
        A Retry-After beyond this many seconds is an error rather than a silent hour.
    sleep : callable
        Waits that many seconds; tests inject their own.

    Examples
    --------
    >>> waits = []
    >>> policy = RetryPolicy(attempts=3, sleep=waits.append)
    >>> def busy() -> str:
    ...     if len(waits) < 2:
    ...         raise RetryableError(what="vendor", got="HTTP 500", allowed="HTTP 200", fix="wait")
    ...     return "page"
    >>> policy.call(busy, name="page 1"), len(waits)
    ('page', 2)
    """

    attempts: int = 6
    first_wait: float = 0.5
    longest_wait: float = 30.0
    longest_asked_wait: float = 300.0
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def wait_before(self, attempt: int, asked: float | None) -> float:
        """Return the seconds to wait before attempt number `attempt` (2 is the first repetition)."""
        if asked is not None:
            return asked
        wait: float = min(self.longest_wait, self.first_wait * 2.0 ** (attempt - 2))
        return wait * (1 + random.random() / 4)  # noqa: S311  # spreads load, protects nothing

    def call(self, action: Callable[[], _T], *, name: str) -> _T:
        """Return what `action` returns, repeating it while it raises a RetryableError.

        Raises
        ------
        SourceError
            When the attempts are used up or the vendor asks for too long a wait; the last failure is in the message.
        """
        for attempt in range(1, self.attempts + 1):
            try:
                return action()
            except RetryableError as error:
                wait = self.wait_before(attempt + 1, error.wait)
                if attempt == self.attempts or wait > self.longest_asked_wait:
                    tried = f"{error.got}, after {attempt} of {self.attempts} attempts"
                    asked = "" if error.wait is None else f"; the vendor asks to wait {error.wait:.0f} s"
                    raise SourceError(
                        what=f"{name} failed: {error.what}", got=tried + asked, allowed=error.allowed, fix=error.fix
                    ) from error
                logger.info("%s: %s (attempt %d of %d), again in %.1f s", name, error.got, attempt, self.attempts, wait)
                self.sleep(wait)
        raise SourceError(
            what="the retry policy allows no attempt",
            got=self.attempts,
            allowed="at least 1 attempt",
            fix="set attempts to 6",
        )

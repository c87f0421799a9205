"""Errors of vendors, storage and pins, in the one tree of `conviction.errors`.

::

    ConvictionError
    ├── SourceError         a vendor or a place gave nothing usable
    │   └── RetryableError  the same request may work later
    └── PinError            the dataset is not the one that was pinned
"""

from __future__ import annotations

from conviction.errors import ConvictionError


class SourceError(ConvictionError):
    """A vendor or a place gave nothing usable."""

    status: int | None = None
    """HTTP status of a refusal, or None."""


class RetryableError(SourceError):
    """The same request may work later: a busy vendor, a cut connection, a page that cannot be decoded."""

    wait: float | None = None
    """Seconds the vendor asked to wait (Retry-After), or None."""


class PinError(ConvictionError):
    """The dataset is not the one that was pinned, or the pin cannot be read."""

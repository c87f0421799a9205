"""Errors about runs on record."""

from conviction.errors import ConvictionError


class RunError(ConvictionError):
    """A run cannot be found, read, compared or replayed."""

"""Runs on record: found by a short name, listed, compared, replayed."""

from conviction_kedro.runs._errors import RunError
from conviction_kedro.runs._reading import RunReader, TrackedRun, open_reader

__all__ = ["RunError", "RunReader", "TrackedRun", "open_reader"]

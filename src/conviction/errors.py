"""Every error of the library, in one tree.

::

    ConvictionError
    ├── FrameError          a frame breaks the frame contract (columns, dtypes, order, uniqueness)
    ├── BarsError           prices that cannot be prices
    ├── UniverseError       no symbol, an unknown symbol, a missing symbol
    ├── PointInTimeError    a value would be used before it was known
    ├── LabelError          a label that cannot be made
    ├── FeatureError        an unknown, duplicated or uncomputable feature
    ├── FoldError           an empty, overlapping or impossible fold
    ├── AuditError          the audit cannot run on what it was given
    │   ├── AuditFailedError    the audit found a leak
    │   └── CertificateError    data that no valid certificate vouches for
    ├── ModelError          a model that cannot be fitted or asked
    │   └── SeenRowError        a prediction asked for a row the model was fitted on
    ├── TuningError         an impossible search space or study
    ├── EvaluationError     a score that is not defined
    ├── RequestError        a request that a served model must not answer
    ├── MonitoringError     drift that cannot be looked for
    │   └── DriftAlarm          what is served no longer looks like what was learnt
    ├── ParameterError      a parameter outside its bounds or unknown
    └── MissingExtraError   an optional dependency is not installed

Each says what is wrong, what was got, what is allowed and how to fix it.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterable


class ConvictionError(Exception):
    """Base of all errors of the library.

    Parameters
    ----------
    what : str
        What is wrong, with the name of the value, column or file.
    got : object
        What was found.
    allowed : object
        What would have been accepted.
    fix : str
        What the user does next.

    Examples
    --------
    >>> str(ConvictionError(what="embargo is negative", got=-1, allowed="an integer >= 0", fix="set folds.embargo to 5"))
    'embargo is negative: got -1; allowed: an integer >= 0. Fix: set folds.embargo to 5.'
    """

    def __init__(self, *, what: str, got: object, allowed: object, fix: str) -> None:
        self.what = what
        self.got = got
        self.allowed = allowed
        self.fix = fix
        super().__init__(f"{what}: got {got}; allowed: {allowed}. Fix: {fix.rstrip('.')}.")

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions with keyword-only arguments do not survive a process boundary by themselves.
        return _rebuild, (type(self), self.what, self.got, self.allowed, self.fix)

    @classmethod
    def from_unknown_name(cls, kind: str, name: object, known: Iterable[str], *, fix: str | None = None) -> Self:
        """Build the error for a name that no registry has, with the nearest known name as a hint."""
        names = sorted(known)
        near = get_close_matches(str(name), names, n=1)
        hint = fix or (f"did you mean {near[0]!r}?" if near else f"choose one of the known {kind} names")
        return cls(what=f"unknown {kind}", got=repr(name), allowed=", ".join(names), fix=hint)


def _rebuild(cls: type[ConvictionError], what: str, got: object, allowed: object, fix: str) -> ConvictionError:
    return cls(what=what, got=got, allowed=allowed, fix=fix)


class FrameError(ConvictionError):
    """A frame breaks the frame contract."""


class BarsError(ConvictionError):
    """Prices that cannot be prices."""


class UniverseError(ConvictionError):
    """No symbol, an unknown symbol or a missing symbol."""


class PointInTimeError(ConvictionError):
    """A value would be used before it was known."""


class LabelError(ConvictionError):
    """A label that cannot be made."""


class FeatureError(ConvictionError):
    """An unknown, duplicated or uncomputable feature."""


class FoldError(ConvictionError):
    """An empty, overlapping or impossible fold."""


class AuditError(ConvictionError):
    """The audit cannot run on what it was given."""


class AuditFailedError(AuditError):
    """The audit found a leak; the message ends with the table of guilty columns and remedies."""


class CertificateError(AuditError):
    """Data that no valid certificate vouches for."""


class ModelError(ConvictionError):
    """A model that cannot be fitted or asked."""


class SeenRowError(ModelError):
    """A prediction was asked for a row that the model was fitted on."""


class TuningError(ConvictionError):
    """An impossible search space or study."""


class EvaluationError(ConvictionError):
    """A score that is not defined."""


class RequestError(ConvictionError):
    """A request that a served model must not answer."""


class MonitoringError(ConvictionError):
    """Drift that cannot be looked for in what was given."""


class DriftAlarm(MonitoringError):  # noqa: N818  # an alarm, not a mistake
    """What is served no longer looks like what was learnt."""


class ParameterError(ConvictionError):
    """A parameter outside its bounds, or one that nobody knows."""


class MissingExtraError(ConvictionError):
    """An optional dependency is not installed."""

    @classmethod
    def for_extra(cls, feature: str, package: str, extra: str) -> MissingExtraError:
        """Build the error for a feature whose optional package is missing."""
        return cls(
            what=f"{feature} needs the package {package!r}, which is not installed",
            got="an environment without it",
            allowed=f"an environment with the extra {extra!r}",
            fix=f"run `make setup-{extra}` (or `pip install 'conviction-kedro[{extra}]'`)",
        )

"""What a served model promises to answer, and what it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any, Self

import polars as pl

from conviction.errors import RequestError
from conviction.frames import SESSION, SYMBOL
from conviction.market import exchange_sessions
from conviction.panel import DecisionTime, decision_moments

_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class RequestContract:
    """The requests that a served model answers.

    Attributes
    ----------
    certificate_sha : str
        Certificate of the panel that the model was fitted on; the rows of a request must be made as that panel was.
    code_sha : str
        Code that made the audited features; whoever makes a request compares it with the present code.
    features : tuple of str
        Columns of a request beside `symbol` and `session`.
    may_be_missing : tuple of str
        Features that were missing now and then in the last sessions of training too.
    symbols : tuple of str
        The whole cross-section: ranks within a session mean something only when all of it is there.
    last_fitted : datetime.date
        Newest session whose label the model was fitted on.
    calendar, decision : str
        Exchange calendar and decision time.
    max_age_sessions : int or None
        Exchange sessions that may have passed since the requested one; None for no limit.
    """

    certificate_sha: str
    code_sha: str
    features: tuple[str, ...]
    may_be_missing: tuple[str, ...]
    symbols: tuple[str, ...]
    last_fitted: date
    calendar: str
    decision: DecisionTime
    max_age_sessions: int | None

    def to_dict(self) -> dict[str, Any]:
        """Return the contract as plain data."""
        plain = asdict(self)
        return plain | {"last_fitted": self.last_fitted.isoformat()}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Read what `to_dict` gave."""
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in plain.items()}
        return cls(**values | {"last_fitted": date.fromisoformat(plain["last_fitted"])})


def check_request(
    rows: pl.DataFrame, contract: RequestContract, *, certificate_sha: str, now: datetime
) -> pl.DataFrame:
    """Return the rows of a request in the contract's order, or say everything that is wrong with it.

    Parameters
    ----------
    rows : polars.DataFrame
        `symbol` String, `session` String (ISO 8601) or Date, and the features.
    contract : RequestContract
    certificate_sha : str
        Certificate that the request names.
    now : datetime.datetime
        Moment of the request, with its time zone.

    Returns
    -------
    polars.DataFrame
        `symbol` String, `session` Date, features Float32 with nulls where missing; sorted by symbol.

    Raises
    ------
    RequestError
        On a wrong certificate, a missing or unknown column, a value that is no number, a session that is partial, stale, in the
        future, already seen or no session at all, an unknown or repeated symbol, a missing value where training had none.

    Examples
    --------
    >>> from datetime import UTC
    >>> contract = RequestContract(
    ...     certificate_sha="c", code_sha="", features=("x",), may_be_missing=(), symbols=("A", "B"), last_fitted=date(2024, 3, 4),
    ...     calendar="XNYS", decision="close", max_age_sessions=3,
    ... )
    >>> rows = pl.DataFrame({"symbol": ["A"], "session": ["2024-03-05"], "x": [1.0]})
    >>> check_request(rows, contract, certificate_sha="c", now=datetime(2024, 3, 6, tzinfo=UTC))
    Traceback (most recent call last):
    conviction.errors.RequestError: the request is refused: got a partial session: 1 of 2 symbols, missing B; ...
    """
    problems = [*_about_certificate(certificate_sha, contract), *_about_columns(rows, contract)]
    if not problems:
        problems = [
            *_about_symbols(rows, contract),
            *_about_session(rows, contract, now),
            *_about_values(rows, contract),
        ]
    if problems:
        raise RequestError(
            what="the request is refused",
            got="; ".join(problems),
            allowed=f"one whole session of {len(contract.symbols)} symbols and {len(contract.features)} features",
            fix="make the request with `kedro run --pipeline=inference`",
        )
    numbers = [pl.col(name).cast(pl.Float32).fill_nan(None) for name in contract.features]
    return rows.select(SYMBOL, _session_of(rows).alias(SESSION), *numbers).sort(SYMBOL)


def _about_certificate(certificate_sha: str, contract: RequestContract) -> list[str]:
    if certificate_sha == contract.certificate_sha:
        return []
    given = f"certificate {certificate_sha[:12]}" if certificate_sha else "no certificate"
    return [f"{given}, the model was fitted under {contract.certificate_sha[:12]}"]


def _about_columns(rows: pl.DataFrame, contract: RequestContract) -> list[str]:
    wanted = {SYMBOL, SESSION, *contract.features}
    missing, unknown = sorted(wanted - set(rows.columns)), sorted(set(rows.columns) - wanted)
    texts = [name for name in contract.features if name in rows.columns and not _is_number(rows.schema[name])]
    return [
        f"{word} {_some(names)}"
        for word, names in (
            ("missing columns", missing),
            ("unknown columns", unknown),
            ("columns without numbers", texts),
        )
        if names
    ]


def _is_number(dtype: pl.DataType) -> bool:
    return dtype.is_numeric() or dtype == pl.Null


def _about_symbols(rows: pl.DataFrame, contract: RequestContract) -> list[str]:
    given = rows[SYMBOL].drop_nulls().to_list()
    unknown = sorted(set(given) - set(contract.symbols))
    absent = sorted(set(contract.symbols) - set(given))
    repeated = sorted({symbol for symbol in given if given.count(symbol) > 1}) if len(set(given)) < len(given) else []
    present = len(contract.symbols) - len(absent)
    problems = [f"unknown symbols {_some(unknown)}"] if unknown else []
    problems += [f"repeated symbols {_some(repeated)}"] if repeated else []
    problems += [f"{rows[SYMBOL].null_count()} rows without a symbol"] if rows[SYMBOL].null_count() else []
    if absent:
        problems.append(f"a partial session: {present} of {len(contract.symbols)} symbols, missing {_some(absent)}")
    return problems


def _session_of(rows: pl.DataFrame) -> pl.Series:
    column = rows[SESSION]
    return column.cast(pl.String).str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)


def _about_session(rows: pl.DataFrame, contract: RequestContract, now: datetime) -> list[str]:
    sessions = _session_of(rows).unique().to_list()
    if len(sessions) != 1 or sessions[0] is None:
        return [f"{len(sessions)} sessions in one request" if len(sessions) != 1 else "no session as YYYY-MM-DD"]
    session: date = sessions[0]
    if exchange_sessions(contract.calendar, session, session).is_empty():
        return [f"{session} is no session of {contract.calendar}"]
    if session <= contract.last_fitted:
        return [
            f"a stale session: the model was fitted on labels up to {contract.last_fitted}, {session} is not after it"
        ]
    moment = decision_moments(contract.calendar, pl.Series(SESSION, [session]), decision=contract.decision)[0]
    if moment > now:
        return [
            f"a future session: the decision of {session} is made at {moment:%Y-%m-%d %H:%M} UTC, it is {now:%Y-%m-%d %H:%M}"
        ]
    since = exchange_sessions(contract.calendar, session, now.date())
    closed = decision_moments(contract.calendar, since, decision=contract.decision) <= now
    age = int(closed.sum()) - 1
    if contract.max_age_sessions is not None and age > contract.max_age_sessions:
        return [f"a stale session: {age} sessions ended after {session}, at most {contract.max_age_sessions} may"]
    return []


def _about_values(rows: pl.DataFrame, contract: RequestContract) -> list[str]:
    numbers = rows.select(pl.col(name).cast(pl.Float64) for name in contract.features)
    gaps = [
        name
        for name in contract.features
        if name not in contract.may_be_missing and numbers[name].fill_nan(None).null_count()
    ]
    infinite = [name for name in contract.features if numbers[name].is_infinite().any()]
    return [
        f"{word} in {_some(names)}"
        for word, names in (("missing values (NaN)", gaps), ("infinite values", infinite))
        if names
    ]


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")

"""Closes of the VIX, with the moment they became known."""

from __future__ import annotations

import io

import polars as pl

from conviction.frames import SESSION, UTC
from conviction.market import exchange_sessions, session_closes
from conviction.panel import VIX_DELAY
from conviction_kedro.sources._errors import SourceError


def read_vix(data: bytes, *, calendar: str = "XNYS", name: str = "VIX") -> pl.DataFrame:
    r"""Return the closes of the VIX from a CSV, point in time.

    Parameters
    ----------
    data : bytes
        CSV with a ``date`` and a ``close`` column in any case: Cboe's ``VIX_History.csv`` (``01/31/2024``), FRED's ``VIXCLS``
        (``observation_date,VIXCLS``; a point or nothing on holidays), or ``2024-01-31`` days.
    calendar : str
        Exchange calendar of the sessions; days that are none of its sessions are left out.
    name : str
        What the file is called in a message.

    Returns
    -------
    polars.DataFrame
        ``session``, ``close`` Float64, ``known_at`` Datetime[us, UTC]: a quarter of an hour after the stocks' close. So at a
        decision at the close of t, the last known VIX close is that of t-1; `conviction.panel.build_panel` joins on it.

    Raises
    ------
    SourceError
        If the columns, a day or a close cannot be read, or a day stands twice.

    Examples
    --------
    >>> frame = read_vix(b"DATE,OPEN,HIGH,LOW,CLOSE\n07/03/2024,12.1,12.3,12.0,12.09\n07/04/2024,,,,\n")
    >>> frame.row(0)
    (datetime.date(2024, 7, 3), 12.09, datetime.datetime(2024, 7, 3, 17, 15, tzinfo=zoneinfo.ZoneInfo(key='UTC')))
    """
    raw = pl.read_csv(io.BytesIO(data), infer_schema=False)
    raw = raw.rename({column: column.strip().lower() for column in raw.columns})
    day = next((c for c in ("date", "observation_date", SESSION) if c in raw.columns), None)
    close = next((c for c in ("close", "vix_close", "vixcls", "vix close") if c in raw.columns), None)
    if day is None or close is None:
        raise SourceError(
            what=f"{name} has no day or no close",
            got=raw.columns,
            allowed="date and close, or observation_date and VIXCLS",
            fix="rename the columns",
        )
    text = pl.col(day).str.strip_chars()
    frame = raw.select(
        pl.coalesce(text.str.to_date("%Y-%m-%d", strict=False), text.str.to_date("%m/%d/%Y", strict=False)).alias(
            SESSION
        ),
        pl.col(close).str.strip_chars().replace({".": None, "": None}).alias("_text"),
        text.alias("_day"),
    ).with_columns(pl.col("_text").cast(pl.Float64, strict=False).alias("close"))
    bad = frame.filter(
        pl.col(SESSION).is_null()
        | pl.col(SESSION).is_duplicated()
        | (pl.col("close").is_null() & pl.col("_text").is_not_null())
        | (pl.col("close") <= 0)
    )
    if bad.height:
        raise SourceError(
            what=f"{name} has {bad.height} rows that cannot be read or stand twice",
            got=bad.select("_day", "_text").row(0),
            allowed="each day once, as 2024-01-31 or 01/31/2024, with a positive close",
            fix="correct or remove these rows",
        )
    known = frame.drop_nulls("close").select(SESSION, "close").sort(SESSION)
    if known.is_empty():
        return known.with_columns(pl.lit(None, dtype=UTC).alias("known_at"))
    sessions = exchange_sessions(calendar, known[SESSION][0], known[SESSION][-1])
    known = known.filter(pl.col(SESSION).is_in(sessions.implode()))
    closes = session_closes(calendar, known[SESSION])
    return known.with_columns((closes + VIX_DELAY).cast(UTC).alias("known_at"))

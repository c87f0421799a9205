"""The optional point-in-time sources, read into a form that the checks can ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from conviction.audit.data._panel import Array
from conviction.audit.data._table import as_moment, to_polars
from conviction.errors import AuditError

_COLUMNS = {
    "market": ("date",),
    "macro_releases": ("reference_month", "release_date", "value"),
    "news": ("symbol", "published_at", "score"),
}


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Market, macro releases and news, each a polars frame or None."""

    market: pl.DataFrame | None = None
    macro_releases: pl.DataFrame | None = None
    news: pl.DataFrame | None = None

    @classmethod
    def read(cls, sources: Mapping[str, Any] | None) -> Sources:
        """Check names and columns of the given sources and type their moments.

        Raises
        ------
        AuditError
            On an unknown source or a missing column.
        """
        read: dict[str, pl.DataFrame] = {}
        for name, frame in (sources or {}).items():
            if name not in _COLUMNS:
                kind = "source"
                raise AuditError.from_unknown_name(kind, name, _COLUMNS)
            table = to_polars(frame, name=f"source {name}")
            table = table.rename({c: c.lower().strip() for c in table.columns})
            if name == "market" and "session" in table.columns and "date" not in table.columns:
                table = table.rename({"session": "date"})
            missing = [c for c in _COLUMNS[name] if c not in table.columns]
            if missing:
                raise AuditError(
                    what=f"the source {name!r} lacks columns",
                    got=table.columns,
                    allowed=", ".join(_COLUMNS[name]),
                    fix=f"add {missing}, or leave the source out",
                )
            read[name] = _typed(name, table)
        return cls(**read)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the sources that are there."""
        return tuple(n for n in _COLUMNS if getattr(self, n) is not None)

    def _series(self, column: str, sessions: Array) -> Array | None:
        if self.market is None or column not in self.market.columns or sessions.dtype != np.dtype("datetime64[D]"):
            return None
        table = self.market.select("date", pl.col(column).cast(pl.Float64)).drop_nulls().unique("date").sort("date")
        if table.is_empty():
            return None
        dates = table["date"].to_numpy().astype("datetime64[D]")
        at = np.searchsorted(dates, sessions)
        found = (at < len(dates)) & (dates[np.minimum(at, len(dates) - 1)] == sessions)
        values = np.where(found, table[column].to_numpy()[np.minimum(at, len(dates) - 1)], np.nan)
        return np.asarray(values[:, None]) if found.mean() > 0.5 else None

    def market_returns(self, sessions: Array) -> Array | None:
        """Return the market proxy's return of each session, shape (T, 1), or None."""
        return self._series("market_ret", sessions)

    def vix(self, sessions: Array) -> Array | None:
        """Return the VIX close of each session, shape (T, 1), or None."""
        return self._series("vix", sessions)


def _typed(name: str, table: pl.DataFrame) -> pl.DataFrame:
    if name == "market":
        return table.with_columns(as_moment(table["date"]).cast(pl.Date).alias("date"))
    if name == "macro_releases":
        month = table["reference_month"].cast(pl.String).str.slice(0, 7)
        return table.with_columns(
            month.alias("reference_month"),
            as_moment(table["release_date"]).alias("release_at"),
            pl.col("value").cast(pl.Float64),
        ).sort("release_at", "reference_month")
    moment = as_moment(table["published_at"]).cast(pl.Datetime("us"))
    return table.with_columns(
        moment.alias("published_at"), pl.col("symbol").cast(pl.String), pl.col("score").cast(pl.Float64)
    ).sort("published_at")

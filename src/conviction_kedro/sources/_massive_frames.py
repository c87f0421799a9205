"""Records of the vendor's REST service as frames: events with the moment they became known."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any

import polars as pl

from conviction.frames import SYMBOL, UTC
from conviction_kedro.sources._errors import SourceError

_SCORES = {"positive": 1.0, "neutral": 0.0, "negative": -1.0}
_CLASS_SHARE = re.compile(r"([A-Z]+)\.([A-Z])")
_NEWS: dict[str, Any] = {
    SYMBOL: pl.String,
    "known_at": UTC,
    "article_id": pl.String,
    "publisher": pl.String,
    "title": pl.String,
    "sentiment": pl.String,
    "score": pl.Float64,
}
_SPLITS: dict[str, Any] = {
    SYMBOL: pl.String,
    "execution_date": pl.Date,
    "split_from": pl.Float64,
    "split_to": pl.Float64,
}
_DIVIDENDS: dict[str, Any] = {
    SYMBOL: pl.String,
    "ex_dividend_date": pl.Date,
    "cash_amount": pl.Float64,
    "currency": pl.String,
    "dividend_type": pl.String,
    "frequency": pl.Int64,
    "declaration_date": pl.Date,
    "record_date": pl.Date,
    "pay_date": pl.Date,
}
_DETAILS: dict[str, Any] = {
    SYMBOL: pl.String,
    "as_of": pl.Date,
    "name": pl.String,
    "type": pl.String,
    "active": pl.Boolean,
    "primary_exchange": pl.String,
    "currency_name": pl.String,
    "cik": pl.String,
    "composite_figi": pl.String,
    "sic_code": pl.String,
    "sic_description": pl.String,
    "list_date": pl.Date,
    "delisted_utc": pl.String,
    "market_cap": pl.Float64,
    "weighted_shares_outstanding": pl.Float64,
}


def workspace_symbol(ticker: str) -> str:
    """Return our spelling of the vendor's ticker: class shares with a dash.

    Examples
    --------
    >>> [workspace_symbol(ticker) for ticker in ("AAPL", "BRK.B", "NA", "X:BTCUSD")]
    ['AAPL', 'BRK-B', 'NA', 'X:BTCUSD']
    """
    return _CLASS_SHARE.sub(r"\1-\2", ticker) if _CLASS_SHARE.fullmatch(ticker) else ticker


def vendor_ticker(symbol: str) -> str:
    """Return the vendor's spelling of our symbol: class shares with a point.

    Examples
    --------
    >>> [vendor_ticker(symbol) for symbol in ("AAPL", "BRK-B")]
    ['AAPL', 'BRK.B']
    """
    return re.sub(r"^([A-Z]+)-([A-Z])$", r"\1.\2", symbol)


def news_frame(records: list[dict[str, Any]], *, delay: timedelta = timedelta(0)) -> pl.DataFrame:
    """Return articles as events: one row an article and ticker.

    Parameters
    ----------
    records : list of dict
        ``results`` of ``/v2/reference/news``.
    delay : datetime.timedelta
        Added to the moment of publication. The vendor scores an article after its publication and does not say when, so
        a careful user adds what a live system would have waited.

    Returns
    -------
    polars.DataFrame
        ``symbol``, ``known_at`` (``published_utc`` plus `delay`), ``article_id``, ``publisher``, ``title``, ``sentiment``
        (null where the vendor gives no insight on this ticker), ``score`` (1, 0, -1 for positive, neutral, negative; null
        for none); sorted by symbol, moment and article.

    Raises
    ------
    SourceError
        If an article has no id or no readable moment of publication: without it nobody can say when it was known.

    Examples
    --------
    >>> article = {"id": "a", "published_utc": "2024-01-02T14:30:00Z", "tickers": ["AAPL", "BRK.B"],
    ...            "insights": [{"ticker": "AAPL", "sentiment": "negative"}]}
    >>> news_frame([article]).select("symbol", "score").rows()
    [('AAPL', -1.0), ('BRK-B', None)]
    """
    rows: list[dict[str, Any]] = []
    for record in records:
        if not record.get("id") or not record.get("published_utc"):
            raise SourceError(
                what="a news article without id or moment of publication",
                got={name: record.get(name) for name in ("id", "published_utc", "title")},
                allowed="both",
                fix="report it to the vendor; remove the record from the stored page to go on",
            )
        rows += _article_rows(record)
    frame = pl.DataFrame(rows, schema={**_NEWS, "known_at": pl.String})
    text = frame["known_at"].str.replace(r"Z$", "+00:00")
    moments = text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%:z", time_unit="us", strict=False)
    unread = frame.filter(moments.is_null())
    if unread.height:
        raise SourceError(
            what="a news article with an unreadable moment of publication",
            got=unread.select("article_id", "known_at").row(0),
            allowed="2024-01-02T14:30:00Z",
            fix="report it to the vendor; remove the record from the stored page to go on",
        )
    events = frame.with_columns(moments).with_columns((pl.col("known_at") + delay).cast(UTC))
    return events.sort(SYMBOL, "known_at", "article_id")


def _article_rows(record: dict[str, Any]) -> list[dict[str, Any]]:
    said = {insight.get("ticker"): insight.get("sentiment") for insight in record.get("insights") or []}
    shared = {
        "known_at": record["published_utc"],
        "article_id": str(record["id"]),
        "publisher": (record.get("publisher") or {}).get("name"),
        "title": record.get("title"),
    }
    # An insight may speak of a ticker that the article's own list lacks, and the other way round.
    tickers = [ticker for ticker in dict.fromkeys([*(record.get("tickers") or []), *said]) if ticker]
    return [
        {
            SYMBOL: workspace_symbol(ticker),
            **shared,
            "sentiment": said.get(ticker),
            "score": _SCORES.get(str(said.get(ticker)).lower()),
        }
        for ticker in tickers
    ]


def splits_frame(records: list[dict[str, Any]]) -> pl.DataFrame:
    """Return splits: ``symbol, execution_date, split_from, split_to``, sorted; a 4-for-1 split is from 1 to 4.

    Raises
    ------
    SourceError
        If a record lacks one of these or has a ratio that is not positive.

    Examples
    --------
    >>> splits_frame([{"ticker": "AAPL", "execution_date": "2020-08-31", "split_from": 1, "split_to": 4}]).row(0)
    ('AAPL', datetime.date(2020, 8, 31), 1.0, 4.0)
    """
    frame = _frame(records, _SPLITS, required=("execution_date", "split_from", "split_to"))
    wrong = frame.filter((pl.col("split_from") <= 0) | (pl.col("split_to") <= 0))
    if wrong.height:
        raise SourceError(
            what="a split with an impossible ratio",
            got=wrong.row(0),
            allowed="positive numbers",
            fix="report it to the vendor",
        )
    return frame.sort(SYMBOL, "execution_date")


def dividends_frame(records: list[dict[str, Any]]) -> pl.DataFrame:
    """Return dividends: ``symbol, ex_dividend_date, cash_amount, currency, dividend_type, frequency`` and their other dates.

    ``declaration_date`` is when the amount became public; it may be null.

    Raises
    ------
    SourceError
        If a record lacks its ticker, ex-date or amount.

    Examples
    --------
    >>> dividends_frame([{"ticker": "KO", "ex_dividend_date": "2024-03-14", "cash_amount": 0.485}]).row(0)[:3]
    ('KO', datetime.date(2024, 3, 14), 0.485)
    """
    return _frame(records, _DIVIDENDS, required=("ex_dividend_date", "cash_amount")).sort(SYMBOL, "ex_dividend_date")


def ticker_details_frame(records: list[dict[str, Any]], *, as_of: date) -> pl.DataFrame:
    """Return ticker details as known on `as_of`, one row a ticker, sorted.

    Examples
    --------
    >>> ticker_details_frame([{"ticker": "BRK.B", "name": "Berkshire"}], as_of=date(2024, 1, 2)).row(0)[:3]
    ('BRK-B', datetime.date(2024, 1, 2), 'Berkshire')
    """
    frame = _frame(records, {n: t for n, t in _DETAILS.items() if n != "as_of"}, required=())
    return frame.with_columns(pl.lit(as_of).alias("as_of")).select(_DETAILS.keys()).sort(SYMBOL)


def _frame(records: list[dict[str, Any]], schema: dict[str, Any], *, required: tuple[str, ...]) -> pl.DataFrame:
    for record in records:
        lacking = [name for name in ("ticker", *required) if record.get(name) in (None, "")]
        if lacking:
            raise SourceError(
                what=f"a record of the vendor lacks {lacking}",
                got=record,
                allowed=f"records with ticker and {list(required)}",
                fix="report it to the vendor; remove the record from the stored page to go on",
            )
    rows = [
        {SYMBOL: workspace_symbol(record["ticker"]), **{n: record.get(n) for n in schema if n != SYMBOL}}
        for record in records
    ]
    loose = {name: pl.String if kind == pl.Date else kind for name, kind in schema.items()}
    frame = pl.DataFrame(rows, schema=loose, strict=False)
    days = [name for name, kind in schema.items() if kind == pl.Date]
    return frame.with_columns(pl.col(name).str.to_date("%Y-%m-%d") for name in days)

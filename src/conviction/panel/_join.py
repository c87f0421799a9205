"""All optional sources of a panel in one call, each in the columns that its reader gives."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from conviction.errors import FrameError
from conviction.frames import SESSION, SYMBOL, check_columns
from conviction.panel._asof import asof_join
from conviction.panel._sources import add_events, add_macro, add_news
from conviction.panel.parameters import SourceParameters

KNOWN_AT = "known_at"


def join_sources(
    panel: pl.DataFrame,
    *,
    news: pl.DataFrame | None = None,
    macro: pl.DataFrame | None = None,
    events: pl.DataFrame | None = None,
    options: pl.DataFrame | None = None,
    sectors: pl.DataFrame | None = None,
    references: pl.DataFrame | None = None,
    parameters: SourceParameters | None = None,
) -> pl.DataFrame:
    """Join every source that is there; None or a frame without rows means that there is none, and its columns stay absent.

    Parameters
    ----------
    panel : polars.DataFrame
        Point-in-time panel of daily bars (`build_panel`).
    news : polars.DataFrame, optional
        ``symbol, known_at, score`` and perhaps ``publisher``: see `add_news`.
    macro : polars.DataFrame, optional
        ``series, known_at, reference_date, value``, vintages included: see `add_macro`.
    events : polars.DataFrame, optional
        ``symbol, known_at, event_date`` and perhaps ``event``: see `add_events`.
    options : polars.DataFrame, optional
        ``symbol, known_at`` and numbers such as ``iv_30d, iv_60d, put_call_ratio``, one row a symbol and moment.
    sectors : polars.DataFrame, optional
        ``symbol, known_at, sector``: when the classification was published. Today's sectors carried back are not point in time.
    references : polars.DataFrame, optional
        ``symbol, session, close`` of other indices or funds; each becomes ``{symbol in lower case}_close``, known at the close of its session. A session
        it misses is null.
    parameters : SourceParameters, optional
        Defaults of `SourceParameters`.

    Returns
    -------
    polars.DataFrame
        The panel's rows in their order with the columns of each source; features whose columns stay absent are omitted with their reason.

    Raises
    ------
    PointInTimeError
        If a source says no moment, or two values at one.
    FrameError
        If a source lacks a column, has none to give, or would overwrite a panel column.

    Examples
    --------
    >>> from datetime import UTC, date, datetime
    >>> panel = pl.DataFrame({
    ...     "symbol": ["A"], "session": [date(2024, 7, 2)], "decision_at": [datetime(2024, 7, 2, 20, tzinfo=UTC)]
    ... })
    >>> implied = pl.DataFrame({"symbol": ["A"], "known_at": [datetime(2024, 7, 2, 19, tzinfo=UTC)], "iv_30d": [0.25]})
    >>> join_sources(panel, options=implied)["iv_30d"].to_list()
    [0.25]
    """
    settings = parameters or SourceParameters()
    joined = panel
    if news is not None and not news.is_empty():
        joined = add_news(
            joined, news, known_at=KNOWN_AT, score="score", source="publisher" if "publisher" in news.columns else None
        )
    if macro is not None and not macro.is_empty():
        joined = add_macro(joined, macro, series="series", known_at=KNOWN_AT, period="reference_date", value="value")
    if events is not None and not events.is_empty():
        joined = add_events(
            joined,
            events,
            known_at=KNOWN_AT,
            event_date="event_date",
            event="event" if "event" in events.columns else None,
        )
    if options is not None and not options.is_empty():
        joined = _with_options(joined, options, max_age=timedelta(days=settings.options_max_age_days))
    if sectors is not None and not sectors.is_empty():
        joined = asof_join(joined, sectors, by=[SYMBOL], known_at=KNOWN_AT, values=["sector"])
    if references is not None and not references.is_empty():
        joined = _with_references(joined, references)
    return joined


def _with_options(panel: pl.DataFrame, options: pl.DataFrame, *, max_age: timedelta) -> pl.DataFrame:
    check_columns(options, [SYMBOL, KNOWN_AT], name="options")
    values = [c for c in options.columns if c not in (SYMBOL, KNOWN_AT, SESSION)]
    numbers = [c for c in values if options.schema[c].is_numeric()]
    if not numbers or numbers != values:
        raise FrameError(
            what="the options source must have numbers beside symbol and known_at",
            got={c: str(options.schema[c]) for c in values},
            allowed="one or more numeric columns, such as iv_30d, iv_60d, put_call_ratio",
            fix="drop what is no number where the source is read",
        )
    clean = options.with_columns(pl.col(c).cast(pl.Float64).fill_nan(None) for c in numbers)
    return asof_join(panel, clean, by=[SYMBOL], known_at=KNOWN_AT, values=numbers, max_age=max_age)


def _with_references(panel: pl.DataFrame, references: pl.DataFrame) -> pl.DataFrame:
    check_columns(references, [SYMBOL, SESSION, "close"], name="references")
    repeated = references.filter(pl.struct(SYMBOL, SESSION).is_duplicated())
    if not repeated.is_empty():
        raise FrameError(
            what="references have several rows of one symbol and session",
            got=repeated.row(0),
            allowed="one close a session",
            fix="check them with conviction.market.check_bars first",
        )
    joined = panel
    for name in references[SYMBOL].unique().sort():
        column = f"{name.lower()}_close"
        if column in panel.columns:
            raise FrameError(
                what="a reference would overwrite a panel column",
                got=column,
                allowed="another symbol",
                fix="leave it out",
            )
        one = references.filter(pl.col(SYMBOL) == name).select(
            SESSION, pl.col("close").cast(pl.Float64).fill_nan(None).alias(column)
        )
        joined = joined.join(one, on=SESSION, how="left", maintain_order="left")
    return joined

"""Vendor bars in, checked bars out: sessions and calendars, splits and dividends, quality rules.

Pure functions over frames and bytes; reading files and talking to vendors is the workspace's work.
"""

from conviction.market._adjust import adjust_bars, inspect_splits
from conviction.market._aggregates import (
    AGGREGATE_ERRORS,
    INTRADAY_KEY,
    ParsedAggregates,
    combine_aggregates,
    parse_aggregates,
)
from conviction.market._bars import CheckedBars, check_bars, inspect_bars, select_universe
from conviction.market._calendar import (
    calendar_frame,
    calendar_timezone,
    exchange_sessions,
    later_sessions,
    session_closes,
    session_opens,
)
from conviction.market._intraday import bar_grid, check_intraday_bars, resample_bars
from conviction.market._proxy import clip_sessions, market_proxy
from conviction.market._quality import QualityProblem, QualityReport

__all__ = [
    "AGGREGATE_ERRORS",
    "INTRADAY_KEY",
    "CheckedBars",
    "ParsedAggregates",
    "QualityProblem",
    "QualityReport",
    "adjust_bars",
    "bar_grid",
    "calendar_frame",
    "calendar_timezone",
    "check_bars",
    "check_intraday_bars",
    "clip_sessions",
    "combine_aggregates",
    "exchange_sessions",
    "inspect_bars",
    "inspect_splits",
    "later_sessions",
    "market_proxy",
    "parse_aggregates",
    "resample_bars",
    "select_universe",
    "session_closes",
    "session_opens",
]

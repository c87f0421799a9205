"""Vendor bars in, checked bars out: sessions and calendars, splits and dividends, quality rules.

Pure functions over frames and bytes; reading files and talking to vendors is the workspace's work.
"""

from conviction.market._bars import CheckedBars, check_bars, inspect_bars, select_universe
from conviction.market._calendar import (
    calendar_frame,
    calendar_timezone,
    exchange_sessions,
    later_sessions,
    session_closes,
    session_opens,
)
from conviction.market._proxy import clip_sessions, market_proxy
from conviction.market._quality import QualityProblem, QualityReport

__all__ = [
    "CheckedBars",
    "QualityProblem",
    "QualityReport",
    "calendar_frame",
    "calendar_timezone",
    "check_bars",
    "clip_sessions",
    "exchange_sessions",
    "inspect_bars",
    "later_sessions",
    "market_proxy",
    "select_universe",
    "session_closes",
    "session_opens",
]

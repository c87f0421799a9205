"""What a reader must know of the sources: what each gave, and what is missing without it."""

from __future__ import annotations

import polars as pl

from conviction.errors import ParameterError
from conviction.frames import BAR_END, SESSION, SYMBOL

_GIVES = {
    "market": "an index of its own; the equal-weight mean of the universe stands in",
    "vix": "features of the VIX",
    "membership": "the universe as it was on each day",
    "news": "features of news",
    "macro": "features of macroeconomic series",
    "events": "distances to company events",
    "options": "features implied by options (IV rank, term slope)",
    "sectors": "returns against the sector",
    "references": "cross-asset features",
    "renames": "histories under earlier tickers",
}
# What a panel of intraday bars takes; nothing else is joined to bars.
_BY_BAR = frozenset({"membership", "renames"})


def source_notes(panel: pl.DataFrame, **frames: pl.DataFrame | None) -> dict[str, str]:
    """Return one sentence for each source: its size and what of it could be known, or what is missing without it.

    Parameters
    ----------
    panel : polars.DataFrame
        Point-in-time panel with ``symbol`` and ``decision_at``.
    **frames : polars.DataFrame or None
        Any of market, vix, membership, news, macro, events, options, sectors, references, renames; None or no rows means
        that there is none.

    Returns
    -------
    dict of str to str
        By source, in the order given. A source with a ``known_at`` says how many of its rows were published after the last decision:
        the panel cannot have seen them. One that intraday bars do not use says that.

    Raises
    ------
    ParameterError
        If a source has a name that no panel knows.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> panel = pl.DataFrame({"symbol": ["A"], "decision_at": [datetime(2024, 7, 2, 20, tzinfo=UTC)]})
    >>> late = pl.DataFrame({"symbol": ["A"], "known_at": [datetime(2024, 7, 3, tzinfo=UTC)], "iv_30d": [0.2]})
    >>> for sentence in source_notes(panel, options=late, sectors=None).values():
    ...     print(sentence)
    1 rows of 1 symbols of the universe, by publication; 1 of them published after the last decision, which nothing here has seen
    none: returns against the sector are missing
    """
    unknown = sorted(set(frames) - set(_GIVES))
    if unknown:
        raise ParameterError.from_unknown_name(kind="source", name=unknown[0], known=_GIVES)
    last = panel["decision_at"].max()
    symbols = panel[SYMBOL].unique()
    return {
        name: f"none: {_GIVES[name]} {'is' if name == 'membership' else 'are'} missing"
        if frame is None or frame.is_empty()
        else f"{frame.height:,} rows, not joined to intraday bars: {_GIVES[name]} are missing"
        if BAR_END in panel.columns and name not in _BY_BAR
        else _sentence(frame, symbols=symbols, last=last)
        for name, frame in frames.items()
    }


def _sentence(frame: pl.DataFrame, *, symbols: pl.Series, last: object) -> str:
    text = f"{frame.height:,} rows"
    if SYMBOL in frame.columns and "known_at" in frame.columns:
        ours = frame[SYMBOL].unique().is_in(symbols.implode()).sum()
        text += f" of {ours} symbols of the universe"
    elif SESSION in frame.columns:
        text += f", sessions {frame[SESSION].min()!s} to {frame[SESSION].max()!s}"
    if "known_at" in frame.columns:
        late = int((frame["known_at"] > last).sum())
        text += ", by publication"
        if late:
            text += f"; {late:,} of them published after the last decision, which nothing here has seen"
    return text

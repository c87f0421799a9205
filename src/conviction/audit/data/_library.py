"""All standard definitions over one panel: sampled symbols to search with, every symbol to verify with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from conviction.audit.data._external import calendar_series, macro_series, news_series, vix_series
from conviction.audit.data._indicators import Bars, Entry, close_entries
from conviction.audit.data._indicators_bars import bar_entries, beta
from conviction.audit.data._numbers import COARSE, FINE, decimals
from conviction.audit.data._panel import Array, Panel, ahead, rank_sessions, session_mean
from conviction.audit.data._periods import period_series
from conviction.audit.data._sources import Sources

_RANKED = (
    "ret_1", "ret_2", "ret_3", "ret_5", "ret_10", "ret_20", "ret_21", "ret_60", "ret_63", "ret_126", "ret_252",
    "momentum_252_21", "vol_5", "vol_10", "vol_20", "vol_21", "vol_60", "vol_63", "rsi_14_wilder", "rsi_14_simple",
    "rsi_14_wilder_adjusted", "zscore_20", "close_over_sma_20", "close_over_sma_50", "close_over_max_60",
    "close_over_max_252", "volume", "volume_over_sma_20", "dollar_volume", "beta_60", "atr_14_over_close",
    "range_over_close", "gap", "intraday",
)  # fmt: skip
N_SAMPLED = 6


class Library:
    """Standard definitions, computed on demand.

    Parameters
    ----------
    panel : Panel
        The clean rows; needs a close.
    sources : Sources
        Point-in-time sources, any of which may be absent.
    """

    def __init__(self, panel: Panel, sources: Sources) -> None:
        self.panel = panel
        self.sources = sources
        close = panel.price("close")
        assert close is not None  # noqa: S101 (the caller checks)
        places = decimals(close)
        self.limit = COARSE if places is not None and places <= 3 else FINE
        rows = panel.present.sum(axis=0)
        self.sampled = np.sort(np.argsort(-rows, kind="stable")[:: max(1, len(rows) // N_SAMPLED)][:N_SAMPLED])
        self.market = self._market(close)
        self._full: Bars | None = None
        self._few: Bars | None = None
        self._values: dict[str, Array] = {}
        self._made: dict[str, Callable[[], Array]] = {}
        self.entries = self._collect()
        self.by_name = {entry.name: entry for entry in self.entries}

    def _market(self, close: Array) -> Array:
        given = self.sources.market_returns(self.panel.sessions)
        own = session_mean(close / ahead(close, -1) - 1)
        market = own if given is None else np.where(np.isfinite(given), given, own)
        return np.repeat(market, close.shape[1], axis=1)

    def _bars(self, columns: Array | None) -> Bars:
        def part(values: Array | None) -> Array | None:
            if values is None:
                return None
            packed = self.panel.pack(values)
            return packed if columns is None else np.ascontiguousarray(packed[:, columns])

        close = part(self.panel.price("close"))
        assert close is not None  # noqa: S101
        market = part(np.where(self.panel.present, self.market, np.nan))
        opening, high, low, volume = (part(self.panel.price(n)) for n in ("open", "high", "low", "volume"))
        return Bars(close=close, open=opening, high=high, low=low, volume=volume, market=market)

    @property
    def full(self) -> Bars:
        """Packed bars of every symbol."""
        if self._full is None:
            self._full = self._bars(None)
        return self._full

    @property
    def few(self) -> Bars:
        """Packed bars of the sampled symbols."""
        if self._few is None:
            self._few = self._bars(self.sampled)
        return self._few

    def _collect(self) -> tuple[Entry, ...]:
        entries = list(close_entries() + bar_entries(self.few))
        known = {entry.name: entry for entry in entries}
        for base in _RANKED:
            if base in known and len(self.panel.symbols) > 2:
                entries += self._cross_sectional(known[base])
        own = self.market if self.sources.market_returns(self.panel.sessions) is None else None
        close = self.panel.price("close")
        assert close is not None  # noqa: S101
        if own is None:
            # Sources give a market; the dataset's own mean is then a different, equally honest proxy.
            mean = session_mean(close / ahead(close, -1) - 1)
            entries += self._session_series("own_market", mean, (1, 5, 20))
        for name, (series, leak) in {
            **calendar_series(self.panel),
            **period_series(self.panel),
            **vix_series(self.panel, self.sources),
            **macro_series(self.panel, self.sources),
            **news_series(self.panel, self.sources),
        }.items():
            entries.append(self._given(name, series, leak))
        return tuple(entries)

    def _given(self, name: str, grid: Array, leak: str = "", lookback: int = 0, window: int = 1) -> Entry:
        self._made[name] = lambda: self.panel.pack(
            np.where(self.panel.present, np.broadcast_to(grid, self.panel.shape), np.nan)
        )
        return Entry(name, lookback, window, lambda _: self._made[name](), leak)

    def _session_series(self, name: str, series: Array, spans: tuple[int, ...]) -> list[Entry]:
        level = np.cumprod(1 + np.nan_to_num(series), axis=0)
        out = []
        close = self.panel.price("close")
        assert close is not None  # noqa: S101
        for k in spans:
            moved = level / ahead(level, -k) - 1
            out.append(self._given(f"{name}_ret_{k}", moved, lookback=k, window=k))
            out.append(self._given(f"rel_{name}_{k}", close / ahead(close, -k) - 1 - moved, lookback=k, window=k))
        market = np.repeat(series, close.shape[1], axis=1)
        for w in (20, 60, 63, 120, 126, 252) if name == "own_market" else ():
            key = f"{name}_beta_{w}"
            self._made[key] = partial(self._own_beta, market, w)
            out.append(Entry(key, w, w, lambda _, key=key: self._made[key]()))
        return out

    def _own_beta(self, market: Array, w: int) -> Array:
        own = self.panel.pack(np.where(self.panel.present, market, np.nan))
        return beta(Bars(close=self.full.close, market=own), w)

    def _cross_sectional(self, base: Entry) -> list[Entry]:
        def grid() -> Array:
            return self.panel.unpack(self.values(base))

        def rank() -> Array:
            return self.panel.pack(rank_sessions(grid()))

        def centred() -> Array:
            x = grid()
            return self.panel.pack(x - session_mean(x))

        def scaled() -> Array:
            x = grid()
            y = x - session_mean(x)
            count = np.isfinite(y).sum(axis=1, keepdims=True)
            spread = np.sqrt(np.nansum(y * y, axis=1, keepdims=True) / np.maximum(count - 1, 1))
            return self.panel.pack(y / np.where(spread > 0, spread, np.nan))

        out = []
        for prefix, make in (("xs_rank", rank), ("xs_centred", centred), ("xs_z", scaled)):
            name = f"{prefix}:{base.name}"
            self._made[name] = make
            out.append(replace(base, name=name, compute=lambda _, n=name: self._made[n]()))
        return out

    def values(self, entry: Entry) -> Array:
        """Return the entry on every symbol, packed."""
        if entry.name not in self._values:
            with np.errstate(all="ignore"):
                values = entry.compute(self.full)
            self._values[entry.name] = np.where(np.isfinite(values), values, np.nan)
            self.full.memo.clear()
        return self._values[entry.name]

    def sample(self, entry: Entry) -> Array:
        """Return the entry on the sampled symbols, packed."""
        with np.errstate(all="ignore"):
            made = entry.name in self._made
            values = self.values(entry)[:, self.sampled] if made else entry.compute(self.few)
        return np.where(np.isfinite(values), values, np.nan)

    def column(self, name: str) -> Array:
        """Return a column of the dataset on the sampled symbols, packed."""
        return self.panel.pack(self.panel.column(name))[:, self.sampled]

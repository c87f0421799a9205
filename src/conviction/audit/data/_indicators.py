"""Standard definitions of the usual columns, recomputed from prices and sources: what a column is matched against.

Every entry is causal by construction: row t uses rows up to t. A column that equals an entry a row *later* knows the
future; a column that equals an entry at its own row is proved innocent and leaves the statistical checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from conviction.audit.data._panel import Array
from conviction.audit.data._rolling import ewm, lag, rolling_cov, rolling_extreme, rolling_mean, rolling_std

Compute = Callable[..., Array]


@dataclass(frozen=True)
class Entry:
    """One standard definition: name, rows of look-back (None for exponential means), window, function of the bars.

    `leak` is empty for a causal definition; otherwise it says why a column that equals it knows too much.
    """

    name: str
    lookback: int | None
    window: int
    compute: Compute
    leak: str = ""


@dataclass
class Bars:
    """Packed prices of some symbols, with shared intermediate series; absent prices are None."""

    close: Array
    open: Array | None = None
    high: Array | None = None
    low: Array | None = None
    volume: Array | None = None
    market: Array | None = None
    memo: dict[str, Array] = field(default_factory=dict)

    def once(self, key: str, make: Callable[[], Array]) -> Array:
        """Compute an intermediate series once."""
        if key not in self.memo:
            self.memo[key] = make()
        return self.memo[key]

    @property
    def ret(self) -> Array:
        """One-row simple return."""
        return self.once("ret", lambda: self.close / lag(self.close, 1) - 1)

    @property
    def log_ret(self) -> Array:
        """One-row log return."""
        return self.once("log_ret", lambda: np.log(self.close / lag(self.close, 1)))

    def ema(self, span: float) -> Array:
        """Exponential mean of the close, alpha 2/(span+1), from the first row."""
        return self.once(f"ema{span}", lambda: ewm(self.close, 2 / (span + 1)))

    def sma(self, w: int) -> Array:
        """Mean of the last w closes."""
        return self.once(f"sma{w}", lambda: rolling_mean(self.close, w))

    def deviation(self, w: int) -> Array:
        """Return the standard deviation of the last w closes."""
        return self.once(f"sd{w}", lambda: rolling_std(self.close, w))

    def true_range(self) -> Array:
        """Return Wilder's true range; the first row has no earlier close and uses high minus low."""

        def make() -> Array:
            before = lag(self.close, 1)
            assert self.high is not None  # noqa: S101 (entries are built only where high and low exist)
            assert self.low is not None  # noqa: S101
            spread = self.high - self.low
            return np.asarray(np.fmax(spread, np.fmax(np.abs(self.high - before), np.abs(self.low - before))))

        return self.once("tr", make)


RETURNS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 15, 20, 21, 30, 40, 42, 60, 63, 90, 100, 120, 126, 180, 200, 250, 252)
WINDOWS = (
    2,
    3,
    4,
    5,
    7,
    8,
    9,
    10,
    12,
    13,
    14,
    15,
    20,
    21,
    26,
    30,
    40,
    42,
    50,
    60,
    63,
    90,
    100,
    120,
    126,
    150,
    200,
    250,
    252,
)
SPREADS = (3, 5, 7, 10, 14, 15, 20, 21, 30, 40, 42, 60, 63, 90, 100, 120, 126, 200, 250, 252)
# Odd windows are rare as indicators and common as centred smoothers: the plainest series are made for every one.
_PLAIN = tuple(w for w in range(2, 32) if w not in WINDOWS)
_PLAIN_SPREADS = tuple(w for w in range(3, 32) if w not in SPREADS)
_BANDS = (10, 14, 15, 20, 21, 30, 50)
SPANS = (3, 5, 8, 9, 10, 12, 13, 14, 15, 20, 21, 26, 30, 34, 50, 60, 100, 200)


def _close_only() -> Iterator[Entry]:
    yield Entry("close", 0, 1, lambda b: b.close)
    yield Entry("log_close", 0, 1, lambda b: np.log(b.close))
    for k in RETURNS:
        yield Entry(f"ret_{k}", k, k, lambda b, k=k: b.close / lag(b.close, k) - 1)
        yield Entry(f"log_ret_{k}", k, k, lambda b, k=k: np.log(b.close / lag(b.close, k)))
    for k in (1, 5, 10, 20):
        yield Entry(f"diff_{k}", k, k, lambda b, k=k: b.close - lag(b.close, k))
    yield Entry("up", 1, 1, lambda b: np.where(np.isfinite(b.ret), (b.ret > 0) * 1.0, np.nan))
    yield Entry("abs_ret_1", 1, 1, lambda b: np.abs(b.ret))
    yield Entry("sq_ret_1", 1, 1, lambda b: b.ret**2)
    for w in WINDOWS:
        yield Entry(f"sma_{w}", w - 1, w, lambda b, w=w: b.sma(w))
        yield Entry(f"close_over_sma_{w}", w - 1, w, lambda b, w=w: b.close / b.sma(w))
        yield Entry(f"sma_{w}_over_close", w - 1, w, lambda b, w=w: b.sma(w) / b.close)
        yield Entry(f"close_minus_sma_{w}", w - 1, w, lambda b, w=w: b.close - b.sma(w))
    for w in _PLAIN:
        yield Entry(f"sma_{w}", w - 1, w, lambda b, w=w: b.sma(w))
        yield Entry(f"close_over_sma_{w}", w - 1, w, lambda b, w=w: b.close / b.sma(w))
    for w in SPREADS:
        yield from _spread_entries(w)
    for w in _PLAIN_SPREADS:
        yield Entry(f"vol_{w}", w, w, lambda b, w=w: rolling_std(b.ret, w))
        yield Entry(f"log_vol_{w}", w, w, lambda b, w=w: rolling_std(b.log_ret, w))
        yield Entry(f"mean_ret_{w}", w, w, lambda b, w=w: rolling_mean(b.ret, w))
    for span in SPANS:
        yield Entry(f"ema_{span}", None, span, lambda b, s=span: b.ema(s))
        yield Entry(f"ema_adjusted_{span}", None, span, lambda b, s=span: ewm(b.close, 2 / (s + 1), adjust=True))
        yield Entry(f"close_over_ema_{span}", None, span, lambda b, s=span: b.close / b.ema(s))
        yield Entry(f"ema_{span}_over_close", None, span, lambda b, s=span: b.ema(s) / b.close)
        yield Entry(f"ewm_vol_{span}", None, span, lambda b, s=span: np.sqrt(ewm(b.ret**2, 2 / (s + 1))))
    for w in (2, 3, 5, 6, 7, 9, 10, 14, 20, 21, 28):
        yield from _rsi_entries(w)
    for fast, slow, signal in ((12, 26, 9), (5, 35, 5), (8, 17, 9), (6, 19, 9), (10, 20, 5)):
        yield from _macd_entries(fast, slow, signal)
    yield from _pair_entries()


def _pair_entries() -> Iterator[Entry]:
    for a, b in (
        (5, 10),
        (5, 20),
        (10, 20),
        (10, 30),
        (10, 50),
        (12, 26),
        (20, 50),
        (20, 60),
        (20, 100),
        (50, 100),
        (50, 200),
    ):
        yield Entry(f"sma_{a}_over_sma_{b}", b - 1, b, lambda x, a=a, c=b: x.sma(a) / x.sma(c))
        yield Entry(f"sma_{a}_above_sma_{b}", b - 1, b, lambda x, a=a, c=b: _above(x.sma(a), x.sma(c)))
        yield Entry(f"ema_{a}_over_ema_{b}", None, b, lambda x, a=a, c=b: x.ema(a) / x.ema(c))
    for far, near in ((252, 21), (250, 20), (126, 21), (120, 20), (60, 5), (63, 21), (20, 5), (60, 20)):
        yield Entry(f"momentum_{far}_{near}", far, far, lambda b, f=far, n=near: lag(b.close, n) / lag(b.close, f) - 1)
    for period in (10, 14, 15, 20):
        yield Entry(f"trix_{period}", None, period, lambda b, p=period: _trix(b, p))


def _above(a: Array, b: Array) -> Array:
    return np.where(np.isfinite(a) & np.isfinite(b), (a > b) * 1.0, np.nan)


def _trix(b: Bars, period: int) -> Array:
    alpha = 2 / (period + 1)
    third = ewm(ewm(b.ema(period), alpha), alpha)
    return third / lag(third, 1) - 1


def _spread_entries(w: int) -> Iterator[Entry]:
    yield Entry(f"vol_{w}", w, w, lambda b: rolling_std(b.ret, w))
    yield Entry(f"log_vol_{w}", w, w, lambda b: rolling_std(b.log_ret, w))
    yield Entry(f"rms_ret_{w}", w, w, lambda b: np.sqrt(rolling_mean(b.log_ret**2, w)))
    yield Entry(f"mean_ret_{w}", w, w, lambda b: rolling_mean(b.ret, w))
    yield Entry(f"mean_abs_ret_{w}", w, w, lambda b: rolling_mean(np.abs(b.ret), w))
    yield Entry(f"downside_{w}", w, w, lambda b: np.sqrt(rolling_mean(np.minimum(b.ret, 0) ** 2, w)))
    yield Entry(
        f"share_up_{w}", w, w, lambda b: rolling_mean(np.where(np.isfinite(b.ret), (b.ret > 0) * 1.0, np.nan), w)
    )
    yield Entry(f"max_ret_{w}", w, w, lambda b: rolling_extreme(b.ret, w, highest=True))
    yield Entry(f"min_ret_{w}", w, w, lambda b: rolling_extreme(b.ret, w, highest=False))
    yield Entry(f"sharpe_{w}", w, w, lambda b: rolling_mean(b.ret, w) / rolling_std(b.ret, w))
    yield Entry(f"zscore_ret_{w}", w, w, lambda b: (b.ret - rolling_mean(b.ret, w)) / rolling_std(b.ret, w))
    yield Entry(f"ret_over_vol_{w}", w, w, lambda b: b.ret / rolling_std(b.ret, w))
    yield Entry(f"sd_close_{w}", w - 1, w, lambda b: b.deviation(w))
    yield Entry(f"zscore_{w}", w - 1, w, lambda b: (b.close - b.sma(w)) / b.deviation(w))
    yield Entry(f"bb_width_{w}", w - 1, w, lambda b: b.deviation(w) / b.sma(w))
    for k in (1.0, 1.5, 2.0, 2.5, 3.0) if w in _BANDS else ():
        yield Entry(f"bb_upper_{w}_{k}", w - 1, w, lambda b, k=k: b.sma(w) + k * b.deviation(w))
        yield Entry(f"bb_lower_{w}_{k}", w - 1, w, lambda b, k=k: b.sma(w) - k * b.deviation(w))
        wide = k * np.sqrt((w - 1) / w)
        yield Entry(f"bb_upper_{w}_{k}_ddof0", w - 1, w, lambda b, k=wide: b.sma(w) + k * b.deviation(w))
        yield Entry(f"bb_lower_{w}_{k}_ddof0", w - 1, w, lambda b, k=wide: b.sma(w) - k * b.deviation(w))
    yield Entry(f"max_close_{w}", w - 1, w, lambda b: rolling_extreme(b.close, w, highest=True))
    yield Entry(f"min_close_{w}", w - 1, w, lambda b: rolling_extreme(b.close, w, highest=False))
    yield Entry(f"close_over_max_{w}", w - 1, w, lambda b: b.close / rolling_extreme(b.close, w, highest=True))
    yield Entry(f"close_over_min_{w}", w - 1, w, lambda b: b.close / rolling_extreme(b.close, w, highest=False))
    yield Entry(f"max_over_close_{w}", w - 1, w, lambda b: rolling_extreme(b.close, w, highest=True) / b.close)
    yield Entry(f"close_position_{w}", w - 1, w, lambda b: _position(b.close, b.close, b.close, w))
    yield Entry(f"skew_{w}", w, w, lambda b: _skew(b.ret, w))
    yield Entry(f"autocorr_{w}", w + 1, w, lambda b: _autocorrelation(b.ret, w))


def _position(close: Array, high: Array, low: Array, w: int) -> Array:
    highest, lowest = rolling_extreme(high, w, highest=True), rolling_extreme(low, w, highest=False)
    return (close - lowest) / np.where(highest > lowest, highest - lowest, np.nan)


def _skew(x: Array, w: int) -> Array:
    m1, m2, m3 = (rolling_mean(x**p, w) for p in (1, 2, 3))
    spread = np.maximum(m2 - m1**2, 1e-300) ** 1.5
    return np.asarray((m3 - 3 * m1 * m2 + 2 * m1**3) / spread)


def _autocorrelation(x: Array, w: int) -> Array:
    before = lag(x, 1)
    spread = rolling_std(np.where(np.isfinite(before), x, np.nan), w) * rolling_std(before, w)
    return np.asarray(rolling_cov(x, before, w) / spread)


def _rsi_entries(w: int) -> Iterator[Entry]:
    def sides(b: Bars) -> tuple[Array, Array]:
        change = b.close - lag(b.close, 1)
        return np.maximum(change, 0.0), np.maximum(-change, 0.0)

    def ratio(up: Array, down: Array) -> Array:
        return 100 * up / np.where(up + down > 0, up + down, np.nan)

    def exponential(b: Bars, alpha: float, *, adjust: bool = False, seed: int = 0) -> Array:
        up, down = sides(b)
        return ratio(*(ewm(s, alpha, adjust=adjust, seed_mean=seed) for s in (up, down)))

    def from_first_row(b: Bars, alpha: float) -> Array:
        up, down = (np.where(np.isfinite(b.close) & ~np.isfinite(s), 0.0, s) for s in sides(b))
        return ratio(ewm(up, alpha), ewm(down, alpha))

    yield Entry(f"rsi_{w}_wilder", None, w, lambda b: exponential(b, 1 / w))
    yield Entry(f"rsi_{w}_wilder_seeded", None, w, lambda b: exponential(b, 1 / w, seed=w))
    yield Entry(f"rsi_{w}_wilder_adjusted", None, w, lambda b: exponential(b, 1 / w, adjust=True))
    yield Entry(f"rsi_{w}_wilder_from_zero", None, w, lambda b: from_first_row(b, 1 / w))
    yield Entry(f"rsi_{w}_ema", None, w, lambda b: exponential(b, 2 / (w + 1)))
    yield Entry(f"rsi_{w}_simple", w, w, lambda b: ratio(*(rolling_mean(s, w) for s in sides(b))))


def _macd_entries(fast: int, slow: int, signal: int) -> Iterator[Entry]:
    tag = f"{fast}_{slow}"

    def line(b: Bars) -> Array:
        return b.ema(fast) - b.ema(slow)

    def adjusted(b: Bars) -> Array:
        return ewm(b.close, 2 / (fast + 1), adjust=True) - ewm(b.close, 2 / (slow + 1), adjust=True)

    def smooth(x: Array, *, adjust: bool = False) -> Array:
        return ewm(x, 2 / (signal + 1), adjust=adjust)

    def seeded(b: Bars) -> Array:
        # TA-Lib starts both means from simple means that end at row slow - 1.
        short = ewm(_cut(b.close, slow - fast), 2 / (fast + 1), seed_mean=fast)
        return short - ewm(b.close, 2 / (slow + 1), seed_mean=slow)

    yield Entry(f"macd_{tag}", None, slow, line)
    yield Entry(f"macd_{tag}_adjusted", None, slow, adjusted)
    yield Entry(f"macd_{tag}_seeded", None, slow, seeded)
    yield Entry(f"macd_{tag}_over_close", None, slow, lambda b: line(b) / b.close)
    yield Entry(f"macd_signal_{tag}", None, slow, lambda b: smooth(line(b)))
    yield Entry(f"macd_signal_{tag}_adjusted", None, slow, lambda b: smooth(adjusted(b), adjust=True))
    yield Entry(f"macd_signal_{tag}_seeded", None, slow, lambda b: ewm(seeded(b), 2 / (signal + 1), seed_mean=signal))
    yield Entry(f"macd_hist_{tag}", None, slow, lambda b: line(b) - smooth(line(b)))
    yield Entry(f"macd_hist_{tag}_over_close", None, slow, lambda b: (line(b) - smooth(line(b))) / b.close)
    yield Entry(f"macd_hist_{tag}_adjusted", None, slow, lambda b: adjusted(b) - smooth(adjusted(b), adjust=True))


def _cut(x: Array, rows: int) -> Array:
    first = np.argmax(np.isfinite(x), axis=0)
    return np.where(np.arange(len(x))[:, None] < first + rows, np.nan, x)


def close_entries() -> tuple[Entry, ...]:
    """Return the entries that need only closes."""
    return tuple(_close_only())

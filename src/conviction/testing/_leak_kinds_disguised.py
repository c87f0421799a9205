"""Planted leaks of a second kind: smoothers, calendar aggregates, countdowns, encodings, clones, other transforms."""

from __future__ import annotations

import numpy as np
import pandas as pd

from conviction.testing._leaky_datasets import Patient, leak


def _moves(p: Patient) -> pd.Series:
    moves: pd.Series = p.by_symbol("close").pct_change()
    return moves


@leak("future values")
def future_kernel_smoother(p: Patient) -> None:
    weights = np.exp(-0.5 * (np.arange(-6, 7) / 2.5) ** 2)

    def smooth(close: pd.Series) -> pd.Series:
        padded = np.pad(close.to_numpy(), 6, mode="edge")
        return pd.Series(np.convolve(padded, weights / weights.sum(), mode="valid"), index=close.index)

    p.plant(p.by_symbol("close").transform(smooth))


@leak("future values")
def future_week_of_calendar(p: Patient) -> None:
    days = pd.to_datetime(p.frame["date"])
    week = days.dt.isocalendar().year * 100 + days.dt.isocalendar().week
    groups = p.frame.groupby([p.frame["symbol"], week])["close"]
    p.plant(groups.transform("last") / groups.transform("first") - 1)


@leak("future values")
def future_realised_volatility(p: Patient) -> None:
    spread = _moves(p).groupby(p.frame["symbol"], sort=False).transform(lambda r: r.rolling(10).std().shift(-10))
    p.plant(spread)


@leak("future values")
def future_countdown(p: Patient) -> None:
    big = (p.next_return().abs() > 0.025).to_numpy()
    out = np.full(len(big), 60.0)
    for symbol in p.frame["symbol"].unique():
        at = p.at(symbol)
        left = 60.0
        for row in at[::-1]:
            left = 0.0 if big[row] else min(left + 1, 60.0)
            out[row] = left
    p.plant(out)


@leak("future values")
def future_breakout(p: Patient) -> None:
    p.plant((p.next_return() > 0.02).astype(float))


@leak("future values")
def future_mean_of_the_rest(p: Patient) -> None:
    p.plant(np.log(p.by_symbol("close").transform("last") / p.frame["close"]))


@leak("future values", needs=("vix", "market"))
def future_vix_change(p: Patient) -> None:
    p.plant(p.ahead("vix", 1) / p.frame["vix"] - 1)


@leak("copies", strengths=(0.3, 0.25))
def copy_weak(p: Patient) -> None:
    share = p.strength
    p.plant(share * p.standard(p.frame["target_1d"]) + np.sqrt(1 - share**2) * p.noise())


@leak("copies")
def copy_spread_over_five(p: Patient) -> None:
    parts = [p.noise() for _ in range(4)]
    weights = p.rng.uniform(0.5, 2.0, 4)
    hidden = p.standard(p.frame["target_5d"]) + sum(3 * w * x for w, x in zip(weights, parts, strict=True))
    for number, part in enumerate([hidden, *parts]):
        p.plant(part, f"latent_{number}")


@leak("copies")
def copy_percentile(p: Patient) -> None:
    p.plant(np.floor(100 * p.frame["target_3d"].rank(pct=True)))


@leak("copies")
def copy_with_random_sign(p: Patient) -> None:
    p.plant(p.frame["target_1d"].abs() * p.rng.choice([-1.0, 1.0], size=len(p.frame)))


@leak("copies", needs=("high",))
def copy_in_price_digits(p: Patient) -> None:
    up = p.frame["direction"].fillna(0).to_numpy().astype(int)
    whole = np.floor(p.frame["volume"].to_numpy() / 10) * 10
    p.plant(whole + 2 * p.rng.integers(0, 5, len(up)) + up, "adj_volume")


@leak("full sample")
def full_leave_one_out(p: Patient) -> None:
    days = pd.to_datetime(p.frame["date"]).dt.day_of_week
    groups = p.frame.groupby([p.frame["symbol"], days])["target_1d"]
    count, total = groups.transform("count"), groups.transform("sum")
    p.plant((total - p.frame["target_1d"].fillna(0)) / (count - 1))


@leak("full sample")
def full_quantile_normal(p: Patient) -> None:
    from scipy.stats import norm

    name = str(p.rng.choice(["ret_5d", "vol_20", "macd"]))
    rank = p.by_symbol(name).rank()
    count = p.by_symbol(name).transform("count")
    p.plant(pd.Series(norm.ppf(rank / (count + 1)), index=p.frame.index))


@leak("full sample")
def full_spread_only(p: Patient) -> None:
    name = str(p.rng.choice(["ret_1d", "macd", "ret_5d"]))
    p.frame[name] = p.frame[name] / p.by_symbol(name).transform("std")
    p.columns = (name,)


@leak("full sample", strengths=(0.3, 0.15))
def full_filled_backwards(p: Patient) -> None:
    name = str(p.rng.choice(["vol_20", "rsi_14", "ret_5d"]))
    gone = p.rng.random(len(p.frame)) < p.strength
    first = p.frame.groupby("symbol").cumcount() < 30
    p.frame[name] = p.frame[name].where(~gone | first)
    p.frame[name] = p.by_symbol(name).bfill()
    p.columns = (name,)


@leak("full sample", strengths=(0.1, 0.05))
def full_spline(p: Patient) -> None:
    from scipy.interpolate import CubicSpline

    name = "analyst_score"
    starts = p.rng.random(len(p.frame)) < p.strength / 6
    gone = np.convolve(starts, np.ones(8), mode="full")[: len(starts)] > 0

    def fill(values: pd.Series) -> pd.Series:
        x = np.arange(len(values))
        known = ~gone[values.index]
        return pd.Series(CubicSpline(x[known], values[known])(x), index=values.index)

    p.frame[name] = p.by_symbol(name).transform(fill)
    p.columns = (name,)


@leak("full sample")
def full_regime(p: Patient) -> None:
    name = str(p.rng.choice(["vol_20", "vol_60", "ret_20d"]))
    p.plant((p.frame[name] > p.by_symbol(name).transform("median")).astype(float).where(p.frame[name].notna()))


@leak("rows")
def rows_symbol_cloned(p: Patient) -> None:
    symbol = p.pick_symbol()
    copied = p.frame.iloc[p.at(symbol)].copy()
    copied["symbol"] = symbol + "_B"
    p.symbols = (symbol, symbol + "_B")
    numeric = [c for c in copied.columns if c not in ("symbol", "date", "direction") and not c.startswith("target")]
    jitter = 1 + 1e-5 * p.rng.standard_normal((len(copied), len(numeric)))
    copied[numeric] = copied[numeric].to_numpy(dtype=float) * jitter
    p.frame = pd.concat([p.frame, copied], ignore_index=True)


@leak("labels")
def label_inverted_one_symbol(p: Patient) -> None:
    at = p.at(p.pick_symbol())
    p.columns = ("target_5d",)
    values = p.frame["target_5d"].to_numpy(copy=True)
    values[at] = -values[at]
    p.frame["target_5d"] = values


@leak("prices")
def price_shuffled_returns(p: Patient) -> None:
    at = p.at(p.pick_symbol())
    close = p.frame["close"].to_numpy(copy=True)
    moves = np.diff(np.log(close[at]))
    path = close[at[0]] * np.exp(np.append(0.0, np.cumsum(p.rng.permutation(moves))))
    scale = path / close[at]
    for name in ("open", "high", "low", "close"):
        if name in p.frame:
            values = p.frame[name].to_numpy(copy=True)
            values[at] *= scale
            p.frame[name] = values

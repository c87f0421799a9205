"""Planted defects of labels, rows, prices and folds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from conviction.testing._leaky_datasets import Patient, leak


def _a_target(p: Patient) -> tuple[str, int]:
    horizon = int(p.rng.choice([1, 3, 5, 10]))
    name = f"target_{horizon}d"
    p.columns = (name,)
    return name, horizon


@leak("labels")
def label_same_day(p: Patient) -> None:
    name, k = _a_target(p)
    p.frame[name] = p.by_symbol("close").pct_change(k)


@leak("labels")
def label_lagged(p: Patient) -> None:
    name, _ = _a_target(p)
    p.frame[name] = p.by_symbol(name).shift(1)


@leak("labels")
def label_ahead(p: Patient) -> None:
    name, _ = _a_target(p)
    p.frame[name] = p.ahead(name, 1)


@leak("labels")
def label_shuffled(p: Patient) -> None:
    name, _ = _a_target(p)
    filled = np.flatnonzero(p.frame[name].notna())
    values = p.frame[name].to_numpy(copy=True)
    values[filled] = values[p.rng.permutation(filled)]
    p.frame[name] = values


@leak("labels")
def label_shuffled_one_symbol(p: Patient) -> None:
    name, _ = _a_target(p)
    at = p.at(p.pick_symbol())
    values = p.frame[name].to_numpy(copy=True)
    filled = at[~np.isnan(values[at])]
    values[filled] = values[p.rng.permutation(filled)]
    p.frame[name] = values


@leak("labels")
def label_inverted(p: Patient) -> None:
    name, _ = _a_target(p)
    p.frame[name] = -p.frame[name]


@leak("labels")
def label_filled_with_zero(p: Patient) -> None:
    name, _ = _a_target(p)
    p.frame[name] = p.frame[name].fillna(0.0)


@leak("labels")
def label_filled_forward(p: Patient) -> None:
    name, _ = _a_target(p)
    p.frame[name] = p.by_symbol(name).ffill()


@leak("labels")
def label_wrong_horizon(p: Patient) -> None:
    name, k = _a_target(p)
    other = {1: 2, 3: 5, 5: 4, 10: 7}[k]
    p.frame[name] = p.ahead("close", other) / p.frame["close"] - 1


@leak("labels", strengths=(0.02, 0.1))
def label_noisy_rows(p: Patient) -> None:
    name, _ = _a_target(p)
    hit = p.rng.random(len(p.frame)) < p.strength
    p.frame.loc[hit, name] = -p.frame.loc[hit, name] * 1.3


@leak("labels")
def label_over_border(p: Patient) -> None:
    name, k = _a_target(p)
    p.frame[name] = p.frame["close"].shift(-k) / p.frame["close"] - 1


@leak("labels")
def label_period_wrong(p: Patient) -> None:
    name, _ = _a_target(p)
    days = np.sort(p.frame["date"].unique())
    start = int(p.rng.integers(0, len(days) - 60))
    inside = p.frame["date"].isin(days[start : start + 40])
    p.frame.loc[inside, name] = p.by_symbol(name).shift(1)[inside]


@leak("labels")
def direction_inconsistent(p: Patient) -> None:
    p.columns = ("direction",)
    filled = p.frame["direction"].notna()
    p.frame.loc[filled, "direction"] = p.rng.integers(0, 2, int(filled.sum())).astype(float)


@leak("labels")
def direction_inverted(p: Patient) -> None:
    p.columns = ("direction",)
    p.frame["direction"] = 1 - p.frame["direction"]


@leak("labels")
def direction_same_day(p: Patient) -> None:
    p.columns = ("direction",)
    p.frame["direction"] = (p.by_symbol("close").pct_change() > 0).astype(float)


@leak("labels")
def direction_last_row(p: Patient) -> None:
    p.columns = ("direction",)
    p.frame["direction"] = (p.frame["target_1d"] > 0).astype(float)


@leak("labels")
def direction_of_other_horizon(p: Patient) -> None:
    p.columns = ("direction",)
    p.frame["direction"] = (p.frame["target_5d"] > 0).astype(float).where(p.frame["target_5d"].notna())


@leak("rows")
def rows_duplicated(p: Patient) -> None:
    take = p.rng.choice(len(p.frame), size=max(5, len(p.frame) // 100), replace=False)
    p.symbols = tuple(sorted(p.frame["symbol"].iloc[take].unique()))
    p.frame = pd.concat([p.frame, p.frame.iloc[take]], ignore_index=True)


@leak("rows")
def rows_duplicated_noisy(p: Patient) -> None:
    symbol = p.pick_symbol()
    at = p.at(symbol)
    take = p.rng.choice(at[80:-15], size=max(10, len(at) // 10), replace=False)
    copied = p.frame.iloc[take].copy()
    numeric = [c for c in copied.columns if c not in ("symbol", "date", "direction")]
    spread = p.frame[numeric].std().to_numpy()
    jitter = 1e-3 * spread * p.rng.standard_normal((len(take), len(numeric)))
    copied[numeric] = copied[numeric].to_numpy(dtype=float) + jitter
    p.frame = pd.concat([p.frame, copied], ignore_index=True).sort_values(["symbol", "date"], kind="stable")


@leak("rows")
def rows_noisy_copies_on_other_dates(p: Patient) -> None:
    # Rows of late sessions replaced by nearly exact copies of early rows of the same symbol: the split shares them.
    symbol = p.pick_symbol()
    at = p.at(symbol)
    half = len(at) // 2
    size = max(10, half // 8)
    source = p.rng.choice(at[80:half], size=size, replace=False)
    goal = p.rng.choice(at[half:-15], size=size, replace=False)
    numeric = [c for c in p.frame.columns if c not in ("symbol", "date", "open", "high", "low", "close", "volume")]
    numeric = [c for c in numeric if not c.startswith("target") and c != "direction"]
    values = p.frame[numeric].to_numpy(dtype=float, copy=True)
    spread = np.nanstd(values, axis=0)
    values[goal] = values[source] + 1e-3 * spread * p.rng.standard_normal((size, len(numeric)))
    p.frame[numeric] = values


@leak("rows", strengths=(1, 2, -1))
def rows_dates_shifted(p: Patient) -> None:
    at = p.at(p.pick_symbol())
    dates = p.frame["date"].to_numpy(copy=True)
    own = dates[at]
    days = np.sort(p.frame["date"].unique())
    place = np.searchsorted(days, own) + int(p.strength)
    keep = (place >= 0) & (place < len(days))
    dates[at[keep]] = days[place[keep]]
    p.frame["date"] = dates
    p.frame = p.frame.drop(index=at[~keep])


@leak("rows")
def rows_on_weekend(p: Patient) -> None:
    dates = pd.to_datetime(p.frame["date"])
    fridays = np.flatnonzero(dates.dt.day_of_week == 4)
    take = p.rng.choice(fridays, size=12, replace=False)
    p.symbols = tuple(sorted(p.frame["symbol"].iloc[take].unique()))
    extra = p.frame.iloc[take].copy()
    extra["date"] = pd.to_datetime(extra["date"]) + pd.Timedelta(days=1)
    p.frame = pd.concat([p.frame, extra], ignore_index=True).sort_values(["symbol", "date"], kind="stable")


@leak("rows")
def rows_in_the_future(p: Patient) -> None:
    at = p.at(p.pick_symbol())[-8:]
    extra = p.frame.iloc[at].copy()
    extra["date"] = pd.to_datetime(extra["date"]) + pd.Timedelta(days=3650)
    p.frame = pd.concat([p.frame, extra], ignore_index=True).sort_values(["symbol", "date"], kind="stable")


@leak("rows")
def rows_date_repeated(p: Patient) -> None:
    at = p.at(p.pick_symbol())
    where = int(p.rng.integers(30, len(at) - 30))
    dates = p.frame["date"].to_numpy(copy=True)
    dates[at[where + 1]] = dates[at[where]]
    p.frame["date"] = dates


@leak("rows")
def rows_order_tells(p: Patient) -> None:
    p.frame = p.frame.sort_values(["date", "target_1d"], kind="stable")


@leak("rows")
def rows_id_tells(p: Patient) -> None:
    order = p.frame["target_1d"].rank(method="first").fillna(0).to_numpy()
    p.plant(1_000_000 + order + p.rng.integers(0, 50, len(order)), "row_id")


@leak("prices", needs=("high",))
def price_split(p: Patient) -> None:
    at = p.at(p.pick_symbol())
    where = int(p.rng.integers(40, len(at) - 40))
    factor = float(p.rng.choice([2.0, 3.0, 4.0, 10.0]))
    for name in ("open", "high", "low", "close"):
        values = p.frame[name].to_numpy(copy=True)
        values[at[:where]] *= factor
        p.frame[name] = values


@leak("prices", needs=("high",))
def price_impossible_bars(p: Patient) -> None:
    at = p.at(p.pick_symbol())
    hit = p.rng.choice(at, size=8, replace=False)
    p.frame.loc[hit, "high"] = p.frame.loc[hit, "low"] * 0.97


@leak("prices", needs=("high",))
def price_stale(p: Patient) -> None:
    at = p.at(p.pick_symbol())
    start = int(p.rng.integers(30, len(at) - 80))
    for name in ("open", "high", "low", "close", "volume"):
        values = p.frame[name].to_numpy(copy=True)
        values[at[start : start + 30]] = values[at[start]]
        p.frame[name] = values


def _rebuild_prices(p: Patient, returns: np.ndarray) -> None:
    """Replace all prices by a path of `returns` (sessions x symbols) and recompute targets and simple features."""
    symbols = list(dict.fromkeys(p.frame["symbol"]))
    for column, symbol in enumerate(symbols):
        at = p.at(symbol)
        path = 100 * np.exp(np.cumsum(returns[: len(at), column]))
        scale = path / p.frame["close"].to_numpy()[at]
        for name in ("open", "high", "low", "close"):
            if name in p.frame:
                values = p.frame[name].to_numpy(copy=True)
                values[at] = values[at] * scale
                p.frame[name] = values
    for k in (1, 3, 5, 10):
        p.frame[f"target_{k}d"] = p.ahead("close", k) / p.frame["close"] - 1
    p.frame["direction"] = (p.frame["target_1d"] > 0).astype(float).where(p.frame["target_1d"].notna())


@leak("prices")
def price_synthetic_independent(p: Patient) -> None:
    shape = (p.frame["date"].nunique(), p.frame["symbol"].nunique())
    _rebuild_prices(p, 0.015 * p.rng.standard_normal(shape))


@leak("prices")
def price_synthetic_one_factor(p: Patient) -> None:
    shape = (p.frame["date"].nunique(), p.frame["symbol"].nunique())
    market = 0.01 * p.rng.standard_normal((shape[0], 1))
    _rebuild_prices(p, market + 0.012 * p.rng.standard_normal(shape))


@leak("prices")
def price_rows_not_of_these_prices(p: Patient) -> None:
    # Mission: prices, indicators and targets drawn apart from each other, on every weekday.
    size = len(p.frame)
    symbols = list(dict.fromkeys(p.frame["symbol"]))
    per = size // len(symbols)
    days = pd.bdate_range("2021-01-01", periods=per)
    frame = pd.DataFrame({"symbol": np.repeat(symbols, per), "date": np.tile(days.to_numpy(), len(symbols))})
    moves = 0.02 * p.rng.standard_normal((per, len(symbols)))
    close = 100 * np.exp(np.cumsum(moves, axis=0))
    frame["close"] = close.T.ravel()
    frame["open"] = frame["close"] * (1 + 0.005 * p.rng.standard_normal(len(frame)))
    frame["high"] = frame[["open", "close"]].max(axis=1) * 1.01
    frame["low"] = frame[["open", "close"]].min(axis=1) * 0.99
    frame["volume"] = p.rng.integers(1_000_000, 50_000_000, len(frame)).astype(float)
    frame["rsi_14"] = p.rng.uniform(20, 80, len(frame))
    frame["macd"] = p.rng.standard_normal(len(frame))
    frame["news_sentiment"] = p.rng.uniform(-1, 1, len(frame))
    frame["put_call_ratio"] = p.rng.uniform(0.5, 1.5, len(frame))
    for k in (1, 3, 5, 10):
        frame[f"target_{k}d"] = 0.02 * p.rng.standard_normal(len(frame))
    frame["direction"] = (frame["target_1d"] > 0).astype(float)
    p.frame = frame


def _split_rows(p: Patient, *, purge: int, embargo: int) -> pd.Series:
    days = np.sort(p.frame["date"].unique())
    cut = int(len(days) * 0.7)
    place = np.searchsorted(days, p.frame["date"].to_numpy())
    role = pd.Series([None] * len(place), index=p.frame.index, dtype=object)
    role[place < cut - purge] = "train"
    role[place >= cut + embargo] = "test"
    return role


@leak("folds")
def fold_rows_at_random(p: Patient) -> None:
    p.columns = ("split",)
    p.frame["split"] = np.where(p.rng.random(len(p.frame)) < 0.8, "train", "test")


@leak("folds")
def fold_without_purge(p: Patient) -> None:
    p.columns = ("split",)
    p.frame["split"] = _split_rows(p, purge=0, embargo=0)


@leak("folds")
def fold_scaler_on_everything(p: Patient) -> None:
    p.frame["split"] = _split_rows(p, purge=12, embargo=5)
    name = "vol_20"
    p.columns = (name,)
    p.frame[name] = p.standard(p.frame[name])

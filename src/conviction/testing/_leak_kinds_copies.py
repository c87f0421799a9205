"""Planted copies and disguises of the target, and full-sample statistics."""

from __future__ import annotations

import numpy as np
import pandas as pd

from conviction.testing._leaky_datasets import Patient, leak


def _target(p: Patient) -> pd.Series:
    return p.standard(p.frame[str(p.rng.choice(["target_1d", "target_3d", "target_5d"]))])


@leak("copies", strengths=(1.0, 0.6, 0.35))
def copy_linear(p: Patient) -> None:
    share = p.strength
    p.plant(7 + 3 * (share * _target(p) + np.sqrt(1 - share**2) * p.noise()))


@leak("copies", strengths=(1.0, 0.6))
def copy_of_ten_sessions(p: Patient) -> None:
    share = p.strength
    p.plant(share * p.standard(p.frame["target_10d"]) + np.sqrt(1 - share**2) * p.noise())


@leak("copies")
def copy_renamed(p: Patient) -> None:
    k = int(p.rng.choice([1, 2, 4]))
    p.plant(p.ahead("close", k) / p.frame["close"] - 1, "fwd_ret")


@leak("copies")
def copy_monotone(p: Patient) -> None:
    p.plant(np.tanh(2 * _target(p)) ** 3)


@leak("copies", strengths=(1.0, 0.8))
def copy_square(p: Patient) -> None:
    p.plant(_target(p) ** 2 * (1 + (1 - p.strength) * p.noise()))


@leak("copies")
def copy_absolute(p: Patient) -> None:
    p.plant(_target(p).abs())


@leak("copies", strengths=(3, 8, 20))
def copy_sine(p: Patient) -> None:
    p.plant(np.sin(p.strength * _target(p)))


@leak("copies", strengths=(0.5, 0.2))
def copy_modulo(p: Patient) -> None:
    p.plant(np.mod(_target(p), p.strength))


@leak("copies")
def copy_bucketed(p: Patient) -> None:
    p.plant(pd.qcut(_target(p), 4, labels=False).astype(float))


@leak("copies", strengths=(0.05, 0.25))
def copy_of_direction(p: Patient) -> None:
    flip = p.rng.random(len(p.frame)) < p.strength
    direction = p.frame["direction"].to_numpy()
    p.plant(np.where(flip, 1 - direction, direction))


@leak("copies", strengths=(3, 4))
def copy_in_decimals(p: Patient) -> None:
    places = int(p.strength)
    base = p.frame["vol_20"] if p.rng.random() < 0.5 else pd.Series(p.noise())
    bit = p.frame["direction"].fillna(0).to_numpy()
    digit = np.where(bit > 0, p.rng.integers(5, 10, len(bit)), p.rng.integers(0, 5, len(bit)))
    p.plant(np.floor(base * 10**places) / 10**places + digit * 10.0 ** -(places + 1))


@leak("copies")
def copy_in_parity(p: Patient) -> None:
    bit = p.frame["direction"].fillna(0).to_numpy().astype(int)
    base = p.rng.integers(0, 500, len(bit)) * 2
    p.plant((base + bit).astype(float))


@leak("copies")
def copy_in_rounding(p: Patient) -> None:
    base = pd.Series(p.noise())
    up = p.frame["direction"].fillna(0).to_numpy() > 0
    p.plant(np.where(up, base.round(2), base.round(4)))


@leak("copies", strengths=(1.0, 0.4))
def copy_in_missingness(p: Patient) -> None:
    name = str(p.rng.choice(["analyst_score", "put_call_ratio"]))
    up = p.frame["direction"].fillna(0).to_numpy() > 0
    gone = up & (p.rng.random(len(up)) < p.strength)
    p.frame[name] = p.frame[name].where(~gone)
    p.columns = (name,)


@leak("copies", strengths=(2, 5))
def copy_spread_over_two(p: Patient) -> None:
    cover = p.strength * p.noise()
    p.plant(_target(p) + cover)
    p.plant(cover)


@leak("copies")
def copy_spread_over_three(p: Patient) -> None:
    a, b = 4 * p.noise(), 4 * p.noise()
    p.plant(_target(p) + a - b)
    p.plant(a)
    p.plant(b)


@leak("copies")
def copy_as_product(p: Patient) -> None:
    sign = p.rng.choice([-1.0, 1.0], size=len(p.frame))
    p.plant(_target(p) * sign)
    p.plant(sign + 0.01 * p.noise())


@leak("copies", strengths=(0.02, 0.005))
def copy_added_to_honest(p: Patient) -> None:
    name = str(p.rng.choice(["rsi_14", "vol_20", "sma_20", "bb_pct"]))
    ahead = p.standard(p.frame["target_1d"]).fillna(0)
    p.frame[name] = p.frame[name] + p.strength * p.frame[name].std() * ahead
    p.columns = (name,)


@leak("copies", strengths=(0.5, 1.0))
def copy_times_volatility(p: Patient) -> None:
    share = p.strength
    mixed = share * p.standard(p.frame["target_1d"]) + (1 - share) * p.noise()
    p.plant(mixed * np.exp(p.noise()))


def _grouped(p: Patient, name: str, how: str) -> pd.Series:
    whole: pd.Series = p.by_symbol(name).transform(how)
    return whole


_SCALED = ("vol_20", "ret_5d", "macd", "rsi_14", "sma_20", "analyst_score", "momentum_10")


@leak("full sample")
def full_zscore_per_symbol(p: Patient) -> None:
    name = str(p.rng.choice(_SCALED))
    p.frame[name] = (p.frame[name] - _grouped(p, name, "mean")) / _grouped(p, name, "std")
    p.columns = (name,)


@leak("full sample")
def full_zscore_pooled(p: Patient) -> None:
    name = str(p.rng.choice(_SCALED))
    p.frame[name] = p.standard(p.frame[name])
    p.columns = (name,)


@leak("full sample")
def full_zscore_opaque(p: Patient) -> None:
    name = str(p.rng.choice(_SCALED))
    p.plant((p.frame[name] - _grouped(p, name, "mean")) / _grouped(p, name, "std"))


@leak("full sample")
def full_minmax(p: Patient) -> None:
    name = str(p.rng.choice(_SCALED))
    low, high = _grouped(p, name, "min"), _grouped(p, name, "max")
    p.frame[name] = (p.frame[name] - low) / (high - low)
    p.columns = (name,)


@leak("full sample")
def full_minmax_pooled(p: Patient) -> None:
    name = str(p.rng.choice(_SCALED))
    low, high = p.frame[name].min(), p.frame[name].max()
    p.frame[name] = (p.frame[name] - low) / (high - low)
    p.columns = (name,)


@leak("full sample")
def full_robust_scale(p: Patient) -> None:
    name = str(p.rng.choice(_SCALED))
    middle = _grouped(p, name, "median")
    spread = p.by_symbol(name).transform(lambda c: c.quantile(0.75) - c.quantile(0.25))
    p.frame[name] = (p.frame[name] - middle) / spread
    p.columns = (name,)


@leak("full sample")
def full_rank(p: Patient) -> None:
    name = str(p.rng.choice(_SCALED))
    p.plant(p.by_symbol(name).rank(pct=True))


@leak("full sample")
def full_quantile_bins(p: Patient) -> None:
    name = str(p.rng.choice(_SCALED))
    p.plant(p.by_symbol(name).transform(lambda c: pd.qcut(c, 10, labels=False)).astype(float))


@leak("full sample")
def full_projection(p: Patient) -> None:
    names = ["ret_1d", "ret_5d", "vol_20", "rsi_14", "zscore_20", "macd"]
    block = p.frame[names]
    good = block.notna().all(axis=1).to_numpy()
    values = block.to_numpy()[good]
    values = (values - values.mean(axis=0)) / values.std(axis=0)
    _, _, directions = np.linalg.svd(values, full_matrices=False)
    for component in range(3):
        out = np.full(len(good), np.nan)
        out[good] = values @ directions[component]
        p.plant(out, f"pca_{component + 1}")


@leak("full sample")
def full_target_encoding(p: Patient) -> None:
    p.plant(_grouped(p, "target_1d", "mean"), "symbol_code")


@leak("full sample")
def full_target_encoding_by_day(p: Patient) -> None:
    days = pd.to_datetime(p.frame["date"]).dt.day_of_week
    p.plant(p.frame.groupby([p.frame["symbol"], days])["direction"].transform("mean"), "seasonality")


@leak("full sample", strengths=(0.1, 0.03))
def full_mean_imputation(p: Patient) -> None:
    name = str(p.rng.choice(["analyst_score", "put_call_ratio", "vol_20"]))
    gone = p.rng.random(len(p.frame)) < p.strength
    p.frame[name] = p.frame[name].where(~gone)
    p.frame[name] = p.frame[name].fillna(_grouped(p, name, str(p.rng.choice(["mean", "median"]))))
    p.columns = (name,)


@leak("full sample", strengths=(0.4, 0.15))
def full_interpolation(p: Patient) -> None:
    name = str(p.rng.choice(["analyst_score", "put_call_ratio"]))
    gone = p.rng.random(len(p.frame)) < p.strength
    p.frame[name] = p.frame[name].where(~gone)
    p.frame[name] = p.by_symbol(name).transform(lambda c: c.interpolate(limit_area="inside"))
    p.columns = (name,)


@leak("full sample")
def full_detrended(p: Patient) -> None:
    def detrend(close: pd.Series) -> pd.Series:
        time = np.arange(len(close))
        logs = np.log(close)
        slope, level = np.polyfit(time, logs, 1)
        return pd.Series(logs - level - slope * time, index=close.index)

    p.plant(p.by_symbol("close").transform(detrend))


@leak("full sample")
def full_price_over_last(p: Patient) -> None:
    p.plant(p.frame["close"] / _grouped(p, "close", str(p.rng.choice(["last", "max", "mean"]))))


@leak("full sample")
def full_clipped(p: Patient) -> None:
    name = str(p.rng.choice(["ret_1d", "ret_5d", "put_call_ratio"]))
    low, high = (float(p.frame[name].quantile(q)) for q in (0.01, 0.99))
    p.frame[name] = p.frame[name].clip(lower=low, upper=high)
    p.columns = (name,)


@leak("full sample")
def full_residual_of_market(p: Patient) -> None:
    moves = p.by_symbol("close").pct_change()
    market = moves.groupby(p.frame["date"]).transform("mean")
    both = pd.DataFrame({"r": moves, "m": market, "symbol": p.frame["symbol"]}).dropna()
    parts = []
    for _, part in both.groupby("symbol"):
        slope, level = np.polyfit(part["m"], part["r"], 1)
        parts.append(part["r"] - level - slope * part["m"])
    p.plant(pd.concat(parts).reindex(p.frame.index))


@leak("full sample")
def full_symbol_statistic(p: Patient) -> None:
    moves = p.by_symbol("close").pct_change()
    groups = moves.groupby(p.frame["symbol"], sort=False)
    p.plant(groups.transform(str(p.rng.choice(["std", "mean"]))))

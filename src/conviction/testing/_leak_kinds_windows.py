"""Planted leaks of a third kind: windows of unknown definition, whole periods, exact distributions, rows left out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from conviction.testing._leaky_datasets import Patient, leak


def _market(p: Patient) -> pd.Series:
    market: pd.Series = p.by_symbol("close").pct_change().groupby(p.frame["date"]).transform("mean")
    return market


def _co_movement(p: Patient) -> pd.Series:
    """Return each row's move times the market's."""
    product: pd.Series = p.by_symbol("close").pct_change() * _market(p)
    return product


@leak("future values", needs=("volume",))
def future_week_volume(p: Patient) -> None:
    days = pd.to_datetime(p.frame["date"])
    week = days.dt.isocalendar().year * 100 + days.dt.isocalendar().week
    p.plant(p.frame.groupby([p.frame["symbol"], week])["volume"].transform("sum"))


@leak("future values")
def future_month_low(p: Patient) -> None:
    month = pd.to_datetime(p.frame["date"]).dt.to_period("M").astype(str)
    p.plant(p.frame.groupby([p.frame["symbol"], month])["close"].transform("min"))


@leak("future values")
def future_co_movement(p: Patient) -> None:
    product = _co_movement(p).groupby(p.frame["symbol"], sort=False)
    p.plant(product.transform(lambda x: x.rolling(15).mean().shift(-12)))


@leak("future values")
def future_co_movement_centred(p: Patient) -> None:
    product = _co_movement(p).groupby(p.frame["symbol"], sort=False)
    p.plant(product.transform(lambda x: x.rolling(15, center=True).mean()))


@leak("full sample")
def full_rank_of_history(p: Patient) -> None:
    name = str(p.rng.choice(["vol_20", "ret_5d", "macd"]))
    p.plant(p.by_symbol(name).rank(pct=True, method="max"))


@leak("full sample")
def full_pooled_normal_scores(p: Patient) -> None:
    from scipy.stats import norm

    values = p.frame[str(p.rng.choice(["vol_20", "ret_5d", "macd"]))]
    p.plant(norm.ppf(values.rank() / (values.notna().sum() + 1)))


@leak("rows")
def rows_left_out(p: Patient) -> None:
    low = (p.frame["target_1d"] < -0.005) & (p.rng.random(len(p.frame)) < 0.4)
    p.frame = p.frame[~low.to_numpy()]


@leak("folds")
def fold_sessions_alternate(p: Patient) -> None:
    days = p.frame["date"].drop_duplicates()
    p.frame["fold"] = p.frame["date"].map(dict(zip(days, p.rng.integers(0, 5, len(days)), strict=True)))
    p.columns = ("fold",)


@leak("folds")
def fold_trained_after_the_test(p: Patient) -> None:
    place = p.frame["date"].rank(method="dense")
    share = place / place.max()
    p.frame["split"] = np.select([share < 0.3, share < 0.4], ["test", "purged"], "train")
    p.columns = ("split",)


@leak("warm-up", needs=("volume",))
def border_running_total(p: Patient) -> None:
    moves = np.sign(p.frame["close"].diff().fillna(0.0))
    p.plant((moves * p.frame["volume"]).cumsum(), "obv")


@leak("labels", needs=("open",))
def label_open_to_open(p: Patient) -> None:
    p.frame["target_3d"] = p.ahead("open", 4) / p.ahead("open", 1) - 1
    p.columns = ("target_3d",)

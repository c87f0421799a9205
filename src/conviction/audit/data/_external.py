"""Series of the calendar and of the sources as they were known at 16:00 New York, and as a careless join has them."""

from __future__ import annotations

import numpy as np
import polars as pl

from conviction.audit.data._panel import Array, Panel, ahead
from conviction.audit.data._rolling import ewm, rolling_mean, rolling_std
from conviction.audit.data._sources import Sources

Series = dict[str, tuple[Array, str]]
CLOSE_MINUTE = 16 * 60
_BY_DATE = "it counts news published after 16:00 New York in the session of the same date"
_BY_MONTH = "it shows a macro value before its release date"


def calendar_series(panel: Panel) -> Series:
    """Return calendar columns, known for ever ahead: shape (T, 1) each."""
    dates = pl.Series(panel.sessions).cast(pl.Date)
    month, week, day = dates.dt.month(), dates.dt.weekday(), dates.dt.day()
    year_day = dates.dt.ordinal_day()
    out: dict[str, Array] = {
        "day_of_week": week.to_numpy(),
        "month": month.to_numpy(),
        "day_of_month": day.to_numpy(),
        "day_of_year": year_day.to_numpy(),
        "quarter": dates.dt.quarter().to_numpy(),
        "week_of_year": dates.dt.week().to_numpy(),
        "year": dates.dt.year().to_numpy(),
        "date_number": panel.sessions.astype("datetime64[D]").astype(np.int64),
        "row_number": np.arange(len(panel.sessions)),
    }
    for name, period, values in (("dow", 7, week), ("dow5", 5, week), ("month", 12, month), ("doy", 365, year_day)):
        for shift in (0, 1):
            angle = 2 * np.pi * (values.to_numpy() - shift) / period
            out[f"sin_{name}_{shift}"] = np.sin(angle)
            out[f"cos_{name}_{shift}"] = np.cos(angle)
    for number in range(1, 6):
        out[f"is_weekday_{number}"] = (week == number).to_numpy()
    last = np.append(month.to_numpy()[1:] != month.to_numpy()[:-1], False)
    first = np.insert(month.to_numpy()[1:] != month.to_numpy()[:-1], 0, False)
    out |= {"month_end": last, "month_start": first}
    return {f"calendar:{name}": (np.asarray(v, dtype=float)[:, None], "") for name, v in out.items()}


def vix_series(panel: Panel, sources: Sources) -> Series:
    """Return the VIX and its usual derivations as of each session's close."""
    vix = sources.vix(panel.sessions)
    if vix is None:
        return {}
    out: dict[str, Array] = {"vix": vix, "vix_log": np.log(vix)}
    for k in (1, 2, 3, 5, 10, 20):
        out[f"vix_diff_{k}"] = vix - ahead(vix, -k)
        out[f"vix_ret_{k}"] = vix / ahead(vix, -k) - 1
        out[f"vix_log_ret_{k}"] = np.log(vix / ahead(vix, -k))
    for w in (5, 10, 20, 21, 60, 63, 126, 252):
        mean, spread = rolling_mean(vix, w), rolling_std(vix, w)
        out |= {f"vix_sma_{w}": mean, f"vix_zscore_{w}": (vix - mean) / spread, f"vix_over_sma_{w}": vix / mean}
        out[f"vix_rank_{w}"] = _rolling_rank(vix, w)
    for span in (5, 10, 20):
        out[f"vix_ema_{span}"] = ewm(vix, 2 / (span + 1))
    return {f"source:{name}": (values, "") for name, values in out.items()}


def _rolling_rank(x: Array, w: int) -> Array:
    if len(x) < w:
        return np.full_like(x, np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(x[:, 0], w)
    out = np.full_like(x, np.nan)
    out[w - 1 :, 0] = (windows <= windows[:, -1:]).mean(axis=1)
    return out


def _as_of(moments: Array, values: Array, at: Array) -> Array:
    where = np.searchsorted(moments, at, side="right") - 1
    return np.where(where >= 0, values[np.maximum(where, 0)], np.nan)[:, None]


def macro_series(panel: Panel, sources: Sources) -> Series:
    """Return macro values as released, and as joins by reference month or interpolation would have them."""
    table = sources.macro_releases
    if table is None or not len(table):
        return {}
    days = panel.sessions.astype("datetime64[D]")
    released = table["release_at"].to_numpy().astype("datetime64[us]")
    values = table["value"].to_numpy()
    closes = days.astype("datetime64[us]") + np.timedelta64(CLOSE_MINUTE, "m")
    known = _as_of(released, values, closes)
    later = _as_of(released, values, days.astype("datetime64[us]") - np.timedelta64(1, "us"))
    honest: dict[str, Array] = {"macro": known, "macro_from_next_day": later}
    for name, series in list(honest.items()):
        for k in (1, 5, 20, 21, 60, 63):
            honest[f"{name}_diff_{k}"] = series - ahead(series, -k)
        for w in (60, 63, 126, 252):
            honest[f"{name}_zscore_{w}"] = (series - rolling_mean(series, w)) / rolling_std(series, w)
    honest |= {f"macro_change_{n}": series for n, series in _release_changes(released, values, closes).items()}
    out: Series = {f"source:{n}": (v, "") for n, v in honest.items()}
    months = np.array(table["reference_month"].to_list(), dtype="datetime64[M]")
    order = np.argsort(months, kind="stable")
    months, ordered = months[order], values[order]
    published = released[order].astype("datetime64[D]").astype(float)
    session_months = days.astype("datetime64[M]")
    today = days.astype(float)[:, None]
    for shift in (0, 1, 2):
        # A join by month is honest only where the lag in months is longer than every delay of publication.
        early = (_equal(months, published, session_months - shift) > today).any()
        reason = _BY_MONTH if early else ""
        out[f"source:macro_of_month_{shift}"] = (_equal(months, ordered, session_months - shift), reason)
        changed = np.append(np.nan, np.diff(ordered))
        out[f"source:macro_change_of_month_{shift}"] = (_equal(months, changed, session_months - shift), reason)
    ends = (months + 1).astype("datetime64[D]") - 1
    for name, marks in (("month_end", ends), ("month_start", months.astype("datetime64[D]"))):
        early = (_as_of(marks, published, days) > today).any()
        out[f"source:macro_from_{name}"] = (_as_of(marks, ordered, days), _BY_MONTH if early else "")
        out[f"source:macro_interpolated_{name}"] = (_interpolated(marks, ordered, days), _BY_MONTH)
    first = released.astype("datetime64[D]")
    out["source:macro_interpolated_release"] = (_interpolated(first, values, days), _BY_MONTH)
    out["source:macro_next_release"] = (_next(first, values, days), _BY_MONTH)
    return out


def _release_changes(released: Array, values: Array, closes: Array) -> dict[str, Array]:
    return {str(k): _as_of(released[k:], values[k:] - values[:-k], closes) for k in (1, 3, 12) if len(values) > k}


def _equal(months: Array, values: Array, wanted: Array) -> Array:
    at = np.searchsorted(months, wanted)
    inside = np.minimum(at, len(months) - 1)
    return np.where((at < len(months)) & (months[inside] == wanted), values[inside], np.nan)[:, None]


def _interpolated(marks: Array, values: Array, days: Array) -> Array:
    x, first = np.unique(marks.astype("datetime64[D]").astype(np.int64), return_index=True)
    at = days.astype(np.int64)
    return np.interp(at, x, values[first], left=np.nan, right=np.nan)[:, None]


def _next(marks: Array, values: Array, days: Array) -> Array:
    at = np.searchsorted(marks, days, side="right")
    return np.where(at < len(marks), values[np.minimum(at, len(marks) - 1)], np.nan)[:, None]


def news_series(panel: Panel, sources: Sources) -> Series:
    """Return news aggregates by the 16:00 cut-off (honest) and by calendar date (leaking), shape (T, S) each."""
    if sources.news is None or not len(sources.news):
        return {}
    out: Series = {}
    joins = {
        "asof": (CLOSE_MINUTE, True, ""),
        "asof_strict": (CLOSE_MINUTE - 1, True, ""),
        "before_open": (9 * 60 + 29, True, ""),
        "by_date": (24 * 60, True, _BY_DATE),
        "by_date_weekend_lost": (24 * 60, False, _BY_DATE),
        "asof_weekend_lost": (CLOSE_MINUTE, False, ""),
    }
    for name, (cutoff, roll, leak) in joins.items():
        total, count = news_table(panel, sources.news, cutoff=cutoff, roll=roll)
        mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        filled = np.nan_to_num(mean)
        series = {"mean": mean, "mean_or_0": filled, "sum": total, "count": count, "last": _carried(mean)}
        for w in (2, 3, 5, 7, 10, 20):
            series[f"mean_or_0_sma_{w}"] = _expanding_start(filled, w)
            series[f"sum_{w}"] = rolling_mean(total, w)
            recent = rolling_mean(count, w)
            series[f"weighted_{w}"] = np.where(recent > 0, rolling_mean(total, w) / np.maximum(recent, 1e-12), 0.0)
        for span in (3, 5, 10):
            series[f"ema_{span}"] = ewm(filled, 2 / (span + 1))
        out |= {f"source:news_{name}_{key}": (values, leak) for key, values in series.items()}
    return out


def news_table(panel: Panel, news: pl.DataFrame, *, cutoff: int, roll: bool) -> tuple[Array, Array]:
    """Return sum of scores and number of items a session and symbol.

    What is published after `cutoff` minutes counts for the next day; what falls on no session counts for the next
    one where `roll`, and is lost where not.
    """
    days = panel.sessions.astype("datetime64[D]")
    moment = news["published_at"].to_numpy().astype("datetime64[m]")
    day = moment.astype("datetime64[D]")
    late = (moment - day.astype("datetime64[m]")).astype(np.int64) > cutoff
    day = day + late.astype(np.int64)
    row = np.searchsorted(days, day)
    inside = row < len(days)
    if not roll:
        inside &= days[np.minimum(row, len(days) - 1)] == day
    place = {symbol: i for i, symbol in enumerate(panel.symbols)}
    column = np.array([place.get(s, -1) for s in news["symbol"].to_list()])
    score = news["score"].to_numpy()
    inside &= (column >= 0) & np.isfinite(score) & ~((row == 0) & (day < days[0]))
    total, count = np.zeros(panel.shape), np.zeros(panel.shape)
    np.add.at(total, (row[inside], column[inside]), score[inside])
    np.add.at(count, (row[inside], column[inside]), 1.0)
    return total, count


def _carried(x: Array) -> Array:
    at = np.maximum.accumulate(np.where(np.isfinite(x), np.arange(len(x))[:, None], -1), axis=0)
    return np.where(at >= 0, np.take_along_axis(x, np.maximum(at, 0), axis=0), np.nan)


def _expanding_start(x: Array, w: int) -> Array:
    total = np.cumsum(x, axis=0)
    out = total.copy()
    out[w:] = total[w:] - total[:-w]
    return out / np.minimum(np.arange(len(x)) + 1, w)[:, None]

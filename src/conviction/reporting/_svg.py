"""Small inline SVG figures: no script, no font, no request; colours that print and survive colour blindness.

Text and axes take the page's CSS variables, so that one figure serves light, dark and print.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from html import escape
from typing import Any

from conviction.reporting._tables import (
    PALETTE,
    ROLE_COLOURS,
    LeadLag,
    Span,
    Wander,
    fold_name,
    nice_ticks,
    null_standard_error,
    thin,
)
from conviction.reporting._verdict import number

WIDTH = 480
#: The palette through the page's variables: dark pages lighten the dark colours, prints keep them.
INK: dict[str, str] = {name: f"var(--{name}, {colour})" for name, colour in PALETTE.items()} | {"ink": "var(--ink)"}
_TEXT = 'fill="var(--soft)" font-size="12.5"'
_DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 4", "1 4", "12 4", "6 2 1 2")
_LINES = ("blue", "vermillion", "green", "orange", "purple", "sky", "grey", "ink")


def bar(value: float, lo: float, hi: float, *, domain: tuple[float, float], null: float, colour: str) -> str:
    """Return one interval as a bar of the named colour for a table cell: band from `lo` to `hi`, tick at `value`, line at `null`."""

    def x(number_: float) -> float:
        share = (number_ - domain[0]) / (domain[1] - domain[0])
        return round(200 * min(1.0, max(0.0, share)), 1)

    left, right = x(lo), x(hi)
    return (
        f'<svg class="bar" viewBox="0 0 200 16" preserveAspectRatio="none" role="img" '
        f'aria-label="{number(value)}, interval {number(lo)} to {number(hi)}">'
        f'<line x1="{x(null)}" x2="{x(null)}" y1="0" y2="16" stroke="var(--soft)" stroke-dasharray="2 2"/>'
        f'<rect x="{left}" y="5" width="{max(right - left, 1.5):.1f}" height="6" rx="2" fill="{INK[colour]}" opacity=".45"/>'
        f'<rect x="{x(value) - 1.5:.1f}" y="1.5" width="3" height="13" fill="{INK[colour]}"/></svg>'
    )


def domain_of(rows: Sequence[tuple[float, float]], *, null: float) -> tuple[float, float]:
    """Return the axis that shows every interval and, in its middle, the value of no skill."""
    reach = max((max(abs(lo - null), abs(hi - null)) for lo, hi in rows), default=0.01)
    reach = max(reach * 1.08, 1e-6)
    return null - reach, null + reach


def timeline(spans: Sequence[Span]) -> str:
    """Return the fold plan: one line a fold, one colour a role, time from left to right."""
    if not spans:
        return ""
    first, last = min(span.first for span in spans), max(span.last for span in spans)
    days = max((last - first).days + 1, 1)
    folds = list(dict.fromkeys(span.fold for span in spans))
    row, top, left = 22, 6, 40
    height = top + row * len(folds) + 26
    scale = (WIDTH - left - 6) / days
    parts = []
    for index, fold in enumerate(folds):
        y = top + index * row
        parts.append(f'<text x="{left - 6}" y="{y + 13}" text-anchor="end" {_TEXT}>{escape(fold_name(fold))}</text>')
        for span in (span for span in spans if span.fold == fold):
            x = left + (span.first - first).days * scale
            width = max(((span.last - span.first).days + 1) * scale, 1.2)
            label = f"fold {fold_name(fold)}, {span.role}: {span.first} to {span.last}, {span.sessions} sessions"
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{row - 6}" '
                f'fill="{INK[ROLE_COLOURS.get(span.role, "grey")]}"><title>{escape(label)}</title></rect>'
            )
    parts.extend(_date_axis(first, last, left=left, y=height - 8, scale=scale))
    return _figure(height, parts, f"Fold plan: {len(folds)} folds from {first} to {last}")


def walks(wanders: Sequence[Wander]) -> str:
    """Return cumulative (daily AUC - 0.5) of each model, with the band of the first without skill."""
    if not wanders:
        return ""
    main = wanders[0]
    first, last = min(w.sessions[0] for w in wanders), max(w.sessions[-1] for w in wanders)
    reach = max(*(max(map(abs, w.total)) for w in wanders), main.band[-1]) * 1.05 or 1.0
    height, left, bottom, top = 250, 46, 26, 8
    scale = (WIDTH - left - 6) / max((last - first).days, 1)

    def xy(session: date, value: float) -> str:
        y = top + (height - top - bottom) * (1 - (value + reach) / (2 * reach))
        return f"{left + (session - first).days * scale:.1f},{y:.1f}"

    picks = thin(len(main.sessions), 120)
    upper = [xy(main.sessions[i], main.band[i]) for i in picks]
    lower = [xy(main.sessions[i], -main.band[i]) for i in reversed(picks)]
    parts = [f'<polygon points="{" ".join(upper + lower)}" fill="var(--soft)" opacity=".16"/>']
    for tick in nice_ticks(-reach, reach, about=4):
        y = xy(first, tick).split(",")[1]
        parts.append(f'<line x1="{left}" x2="{WIDTH - 6}" y1="{y}" y2="{y}" stroke="var(--line)"/>')
        parts.append(f'<text x="{left - 6}" y="{float(y) + 4:.1f}" text-anchor="end" {_TEXT}>{number(tick, 1)}</text>')
    for index, wander in enumerate(wanders):
        points = " ".join(xy(wander.sessions[i], wander.total[i]) for i in thin(len(wander.sessions), 220))
        width = 2.6 if wander.model == main.model else 1.4
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{line_colour(index)}" stroke-width="{width}" '
            f'stroke-dasharray="{_DASHES[index % len(_DASHES)]}"><title>{escape(wander.model)}</title></polyline>'
        )
    parts.extend(_date_axis(first, last, left=left, y=height - 8, scale=scale))
    return _figure(height, parts, "Cumulative sum of daily AUC minus one half, out of fold")


def line_colour(index: int) -> str:
    """Return the colour of the index-th line."""
    return INK[_LINES[index % len(_LINES)]]


def line_sample(index: int) -> str:
    """Return a short stroke as it is drawn in the figure, for its legend."""
    return (
        f'<svg class="key" viewBox="0 0 26 8" aria-hidden="true"><line x1="0" x2="26" y1="4" y2="4" '
        f'stroke="{line_colour(index)}" stroke-width="3" stroke-dasharray="{_DASHES[index % len(_DASHES)]}"/></svg>'
    )


def symbols(rows: Sequence[dict[str, Any]], *, threshold: float) -> str:
    """Return every symbol's AUC, sorted, over the band in which 95 % of coin flips of that length fall."""
    ranked = sorted((row for row in rows if row["auc"] is not None), key=lambda row: row["auc"])
    if not ranked:
        return ""
    reach = max([abs(row["auc"] - 0.5) for row in ranked] + [abs(threshold - 0.5)])
    reach = max([reach, *(2.2 * null_standard_error(row["n"]) for row in ranked)]) * 1.1
    height, left, bottom, top = 240, 46, 26, 8
    step = (WIDTH - left - 12) / max(len(ranked) - 1, 1)

    def y(value: float) -> float:
        return float(round(top + (height - top - bottom) * (1 - (value - 0.5 + reach) / (2 * reach)), 1))

    band = [(left + i * step, 1.96 * null_standard_error(row["n"])) for i, row in enumerate(ranked)]
    outline = [f"{x:.1f},{y(0.5 + e)}" for x, e in band] + [f"{x:.1f},{y(0.5 - e)}" for x, e in reversed(band)]
    parts = [f'<polygon points="{" ".join(outline)}" fill="var(--soft)" opacity=".16"/>']
    for tick in nice_ticks(0.5 - reach, 0.5 + reach, about=4):
        parts.append(f'<line x1="{left}" x2="{WIDTH - 6}" y1="{y(tick)}" y2="{y(tick)}" stroke="var(--line)"/>')
        parts.append(f'<text x="{left - 6}" y="{y(tick) + 4}" text-anchor="end" {_TEXT}>{number(tick, 2)}</text>')
    line = f'x1="{left}" x2="{WIDTH - 6}" y1="{y(threshold)}" y2="{y(threshold)}"'
    parts.append(f'<line {line} stroke="{INK["vermillion"]}" stroke-dasharray="5 3"/>')
    for i, row in enumerate(ranked):
        label = f"{row['symbol']} {number(row['auc'])} [{number(row['lo'])}, {number(row['hi'])}]"
        parts.append(
            f'<circle cx="{left + i * step:.1f}" cy="{y(row["auc"])}" r="{4 if len(ranked) < 60 else 2.2}" '
            f'fill="{INK["blue"]}"><title>{escape(label)}</title></circle>'
        )
    parts.append(f'<text x="{left}" y="{height - 8}" {_TEXT}>{escape(str(ranked[0]["symbol"]))}</text>')
    parts.append(
        f'<text x="{WIDTH - 6}" y="{height - 8}" text-anchor="end" {_TEXT}>{escape(str(ranked[-1]["symbol"]))}</text>'
    )
    return _figure(height, parts, f"AUC of {len(ranked)} symbols over the band of coin flips")


def reliability(rows: Sequence[dict[str, Any]]) -> str:
    """Return observed frequency against predicted probability, with the interval of each bin and the diagonal."""
    shown = [row for row in rows if row["observed"] is not None]
    if not shown:
        return ""
    low = min(min(row["lo"], row["predicted"]) for row in shown)
    high = max(max(row["hi"], row["predicted"]) for row in shown)
    pad = max((high - low) * 0.05, 1e-4)
    low, high = low - pad, high + pad
    height, left, bottom, top = 260, 46, 26, 8

    def x(value: float) -> float:
        return float(round(left + (WIDTH - left - 10) * (value - low) / (high - low), 1))

    def y(value: float) -> float:
        return float(round(top + (height - top - bottom) * (1 - (value - low) / (high - low)), 1))

    parts = []
    for tick in nice_ticks(low, high, about=5):
        parts.append(f'<line x1="{left}" x2="{WIDTH - 10}" y1="{y(tick)}" y2="{y(tick)}" stroke="var(--line)"/>')
        parts.append(f'<text x="{left - 6}" y="{y(tick) + 4}" text-anchor="end" {_TEXT}>{number(tick, 2)}</text>')
        parts.append(f'<text x="{x(tick)}" y="{height - 8}" text-anchor="middle" {_TEXT}>{number(tick, 2)}</text>')
    diagonal = f'x1="{x(low)}" y1="{y(low)}" x2="{x(high)}" y2="{y(high)}"'
    parts.append(f'<line {diagonal} stroke="var(--soft)" stroke-dasharray="4 3"/>')
    for row in shown:
        centre = x(row["predicted"])
        label = f"predicted {number(row['predicted'])}, observed {number(row['observed'])}, n {row['n']}"
        parts.append(
            f'<line x1="{centre}" x2="{centre}" y1="{y(row["lo"])}" y2="{y(row["hi"])}" '
            f'stroke="{INK["blue"]}" stroke-width="2" opacity=".55"/>'
            f'<circle cx="{centre}" cy="{y(row["observed"])}" r="4" fill="{INK["blue"]}">'
            f"<title>{escape(label)}</title></circle>"
        )
    return _figure(height, parts, "Observed frequency against predicted probability")


def heat_map(profiles: LeadLag) -> str:
    """Return each column against past and future returns: blue negative, orange positive, framed where it looks ahead.

    Colour deepens to full at three times the band of noise; a frame marks a future lag outside that band.
    """
    left, top, row = 150, 22, 17
    width = (WIDTH - left - 18) / len(profiles.lags)
    height = top + row * len(profiles.columns) + 6
    every = max(1, round(len(profiles.lags) / 8))
    parts = [
        f'<text x="{left + (i + 0.5) * width:.1f}" y="15" text-anchor="middle" {_TEXT}>{_signed(lag)}</text>'
        for i, lag in enumerate(profiles.lags)
        if lag % every == 0
    ]
    for j, (column, line) in enumerate(zip(profiles.columns, profiles.ratios, strict=True)):
        y = top + j * row
        name = column if len(column) <= 19 else f"{column[:18]}…"
        parts.append(f'<text x="{left - 6}" y="{y + 13}" text-anchor="end" {_TEXT}>{escape(name)}</text>')
        parts.extend(_heat_cells(column, profiles.lags, line, left=left, y=y, width=width, height=row))
    border = left + sum(lag <= 0 for lag in profiles.lags) * width
    parts.append(
        f'<line x1="{border:.1f}" x2="{border:.1f}" y1="{top - 4}" y2="{height - 6}" stroke="var(--ink)" '
        'stroke-width="1.5"/>'
    )
    return _figure(height, parts, "Each feature against past and future returns, in units of the band of noise")


def _heat_cells(
    column: str,
    lags: Sequence[int],
    ratios: Sequence[float | None],
    *,
    left: float,
    y: float,
    width: float,
    height: float,
) -> list[str]:
    cells = []
    for i, (lag, ratio) in enumerate(zip(lags, ratios, strict=True)):
        if ratio is None or abs(ratio) < 0.15:  # next to white: not worth its bytes
            continue
        frame = ' stroke="var(--ink)" stroke-width="1.2"' if lag > 0 and abs(ratio) > 1 else ""
        cells.append(
            f'<rect x="{left + i * width:.1f}" y="{y}" width="{width - 0.6:.1f}" height="{height - 1}" '
            f'fill="{INK["orange" if ratio > 0 else "blue"]}" fill-opacity="{min(1.0, abs(ratio) / 3):.2f}"{frame}>'
            f"<title>{escape(column)} {_signed(lag)}: {number(ratio, 1)}</title></rect>"
        )
    return cells


def _signed(lag: int) -> str:
    return f"{lag:+d}" if lag else "0"


def _date_axis(first: date, last: date, *, left: int, y: float, scale: float) -> list[str]:
    """Return year labels, thinned so that they do not touch; short spans get their two ends instead."""
    years = [year for year in range(first.year + 1, last.year + 1) if date(year, 1, 1) - first > timedelta(days=20)]
    if len(years) < 2:
        end = f'<text x="{WIDTH - 6}" y="{y}" text-anchor="end" {_TEXT}>{last}</text>'
        return [f'<text x="{left}" y="{y}" {_TEXT}>{first}</text>', end]
    labels = []
    for year in years[:: max(1, -(-len(years) // 10))]:
        x = left + (date(year, 1, 1) - first).days * scale
        if x < WIDTH - 20:
            labels.append(f'<text x="{x:.1f}" y="{y}" text-anchor="middle" {_TEXT}>{year}</text>')
    return labels


def _figure(height: float, parts: Sequence[str], label: str) -> str:
    body = "".join(parts)
    return f'<svg class="fig" viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(label)}">{body}</svg>'

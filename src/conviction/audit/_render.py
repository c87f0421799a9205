"""The audit report for people: a console table and an HTML section with inline SVG plots."""

from __future__ import annotations

import math
import textwrap
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from conviction.audit._report import AuditReport, Finding, LeadLagProfile

_ORDER = {"error": 0, "warning": 1, "info": 2}
_MAX_PLOTS = 24
_STYLE = """
.audit{font:14px/1.45 system-ui,sans-serif;color:#1c2733}
.audit table{border-collapse:collapse;width:100%;margin:.6em 0}
.audit th,.audit td{border-bottom:1px solid #d5dce3;padding:.3em .6em;text-align:left;vertical-align:top}
.audit .error{color:#a61b1b;font-weight:600}.audit .warning{color:#8a5a00;font-weight:600}.audit .info{color:#3a5a78}
.audit .pass{color:#1d6b3a}.audit .fail{color:#a61b1b}.audit figure{display:inline-block;margin:.4em;text-align:center}
.audit figcaption{font-size:12px}.audit code{overflow-wrap:anywhere}
"""


def sorted_findings(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings with errors first, each severity in the order of the checks."""
    return sorted(findings, key=lambda finding: _ORDER[finding.severity])


def named(items: Sequence[str], limit: int = 6) -> str:
    """Return a short list of names: the first `limit`, then how many more."""
    if not items:
        return "-"
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + more


def number(value: float | int | str | None) -> str:
    """Return a number of the evidence as short text."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _wrap(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(
        text, width=width, initial_indent=indent, subsequent_indent=indent + "  ", break_long_words=True
    )


def render_findings(findings: Iterable[Finding], *, width: int) -> list[str]:
    """Return the lines of the findings' table."""
    lines: list[str] = []
    for finding in sorted_findings(findings):
        where = f"{finding.check}: {named(finding.columns)}"
        if finding.symbols:
            where += f" | symbols {named(finding.symbols)}"
        if finding.first_session:
            where += f" | first {finding.first_session}"
        lines += _wrap(f"{finding.severity.upper():<8}{where}", width, "")
        lines += _wrap(finding.explanation, width, "        ")
        if finding.evidence:
            evidence = ", ".join(f"{key}={number(value)}" for key, value in finding.evidence.items())
            lines += _wrap(evidence, width, "        ")
        lines += _wrap(f"-> {finding.remedy}", width, "        ")
    return lines


def render_table(report: AuditReport, *, width: int) -> str:
    """Return the console table of a report."""
    facts = report.dataset
    counts = {name: sum(finding.severity == name for finding in report.findings) for name in _ORDER}
    head = (
        f"Audit of {facts.name or 'dataset'}: {report.verdict.upper()}  "
        f"({counts['error']} errors, {counts['warning']} warnings, {counts['info']} notes)"
    )
    span = f"{facts.first_session} to {facts.last_session}"
    about = f"{facts.rows} rows, {facts.symbols} symbols, {facts.columns} columns, {span}, fingerprint {facts.fingerprint[:16]}"
    lines = [*_wrap(head, width, ""), *_wrap(about, width, ""), "=" * width]
    lines += render_findings(report.findings, width=width) or ["No findings."]
    lines += ["-" * width, f"{'check':<34}{'evaluated':>12} {'unit':<22}{'seconds':>9}"]
    for check in report.checks:
        row = f"{check.name[:33]:<34}{check.evaluated:>12} {check.unit[:21]:<22}{check.seconds:>9.3f}"
        lines += [row[:width], *(_wrap(f"not run: {check.skipped}", width, "    ") if check.skipped else [])]
    return "\n".join(lines) + "\n"


def render_html(report: AuditReport) -> str:
    """Return the HTML section of a report, self-contained."""
    facts = report.dataset
    parts = [
        f"<section class='audit'><style>{_STYLE}</style>",
        f"<h2>Leakage audit: <span class='{report.verdict}'>{report.verdict}</span></h2>",
        (
            f"<p>{escape(facts.name or 'dataset')}: {facts.rows} rows, {facts.symbols} symbols, {facts.columns} columns, "
            f"{escape(str(facts.first_session))} to {escape(str(facts.last_session))}; fingerprint "
            f"<code>{escape(facts.fingerprint)}</code></p>"
        ),
        (
            "<table><thead><tr><th>severity</th><th>check</th><th>columns</th><th>symbols</th><th>first session</th>"
            "<th>what and what to do</th></tr></thead><tbody>"
        ),
        *(_finding_row(finding) for finding in sorted_findings(report.findings)),
        "</tbody></table>" if report.findings else "</tbody></table><p>No findings.</p>",
        (
            "<details><summary>Checks</summary><table><thead><tr><th>check</th><th>evaluated</th><th>seconds</th>"
            "<th>not run because</th></tr></thead><tbody>"
        ),
        *(
            f"<tr><td>{escape(check.name)}</td><td>{check.evaluated} {escape(check.unit)}</td>"
            f"<td>{check.seconds:.3f}</td><td>{escape(check.skipped or '')}</td></tr>"
            for check in report.checks
        ),
        "</tbody></table></details>",
        _plots(report),
        "</section>",
    ]
    return "\n".join(part for part in parts if part)


def _finding_row(finding: Finding) -> str:
    evidence = ", ".join(f"{key}={number(value)}" for key, value in finding.evidence.items())
    cells = [
        f"<td class='{finding.severity}'>{finding.severity}</td>",
        f"<td>{escape(finding.check)}</td>",
        f"<td>{escape(named(finding.columns, 12))}</td>",
        f"<td>{escape(named(finding.symbols))}</td>",
        f"<td>{escape(finding.first_session or '')}</td>",
        f"<td>{escape(finding.explanation)} <b>{escape(finding.remedy)}</b><br/><small>{escape(evidence)}</small></td>",
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _plots(report: AuditReport) -> str:
    if not report.profiles:
        return ""
    guilty = set(report.guilty_columns)

    def excess(profile: LeadLagProfile) -> float:
        ahead = [abs(v) - b for lag, v, b in _points(profile) if lag > 0]
        return max(ahead, default=-math.inf)

    ranked = sorted(report.profiles, key=lambda p: (p.column not in guilty, -excess(p), p.column))
    shown = ranked[:_MAX_PLOTS]
    head = f"<h3>Lead-lag profiles</h3><p>{len(shown)} of {len(ranked)} columns, the guilty and the most associated first.</p>"
    return head + "".join(_figure(profile, guilty=profile.column in guilty) for profile in shown)


def _points(profile: LeadLagProfile) -> list[tuple[int, float, float]]:
    return [
        (lag, v, b) for lag, v, b in zip(profile.lags, profile.values, profile.band, strict=True) if math.isfinite(v)
    ]


def _figure(profile: LeadLagProfile, *, guilty: bool) -> str:
    points = _points(profile)
    width, height, pad = 300, 130, 22
    if not points:
        return ""
    finite_band = [b if math.isfinite(b) else 0.0 for _, _, b in points]
    top = max(0.02, *(abs(v) for _, v, _ in points), *finite_band) * 1.1
    low, high = min(profile.lags), max(profile.lags)

    def x(lag: float) -> float:
        return pad + (lag - low) / max(1, high - low) * (width - 2 * pad)

    def y(value: float) -> float:
        return height / 2 - value / top * (height / 2 - 14)

    upper = [f"{x(lag):.1f},{y(b):.1f}" for (lag, _, _), b in zip(points, finite_band, strict=True)]
    lower = [f"{x(lag):.1f},{y(-b):.1f}" for (lag, _, _), b in zip(points, finite_band, strict=True)]
    step = max(1.5, (width - 2 * pad) / max(1, high - low) * 0.6)
    bars = "".join(
        f"<rect x='{x(lag) - step / 2:.1f}' y='{min(y(v), y(0)):.1f}' width='{step:.1f}' "
        f"height='{max(0.5, abs(y(v) - y(0))):.1f}' fill='{'#a61b1b' if lag > 0 else '#3a5a78'}'/>"
        for lag, v, _ in points
    )
    title = escape(profile.column)
    return (
        f"<figure><svg width='{width}' height='{height}' viewBox='0 0 {width} {height}' role='img' "
        f"aria-label='Lead-lag profile of {title}'><polygon points='{' '.join(upper + lower[::-1])}' fill='#dfe6ec'/>"
        f"<line x1='{pad}' x2='{width - pad}' y1='{y(0):.1f}' y2='{y(0):.1f}' stroke='#5d6b78'/>{bars}"
        f"<text x='{pad}' y='{height - 2}' font-size='10'>lag {low}</text>"
        f"<text x='{width - pad}' y='{height - 2}' font-size='10' text-anchor='end'>lag +{high}</text>"
        f"<text x='2' y='11' font-size='10'>{top:.2f}</text></svg>"
        f"<figcaption class='{'error' if guilty else ''}'>{title}<br/>{escape(profile.measure)}</figcaption></figure>"
    )

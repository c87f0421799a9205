"""The quality summary of the report: real-data confidence, alignment, consistency, issues, overall assessment."""

from __future__ import annotations

from typing import Any

from conviction.audit._report import Finding
from conviction.audit.data._context import Context

_TIME = ("rows.weekend", "rows.holiday", "rows.isolated_dates", "rows.alignment")
_ORDER = ("rows.sorted", "rows.duplicates", "rows.keys", "labels.recomputed", "labels.tail", "labels.consistency")


def quality_summary(ctx: Context, findings: list[Finding]) -> dict[str, Any]:
    """Return the summary as plain data.

    Returns
    -------
    dict
        ``real_data_confidence`` (0 to 1, None where there are no prices), ``evidence`` (name, value, what real markets
        show, contribution in log-odds), ``timestamp_alignment`` and ``temporal_consistency`` (ok, warning or error),
        ``issue_count`` by severity, ``overall_assessment``, ``columns`` proved causal, accused and open.
    """
    counts = {level: sum(f.severity == level for f in findings) for level in ("error", "warning", "info")}
    value = ctx.quality.get("confidence")
    proved = sorted(n for n in ctx.table.features if ctx.proved_causal(n))
    if counts["error"]:
        assessment = "unusable until the errors are repaired"
    elif counts["warning"]:
        assessment = "usable once the provenance of what is warned about is shown"
    else:
        assessment = "no leak found"
    return {
        "real_data_confidence": value,
        "evidence": ctx.quality.get("evidence", []),
        "timestamp_alignment": _worst(findings, _TIME),
        "temporal_consistency": _worst(findings, _ORDER),
        "issue_count": counts["error"] + counts["warning"],
        "issues": counts,
        "overall_assessment": assessment,
        "columns_proved_causal": proved,
        "columns_judged_by_statistics": sorted(set(ctx.table.features) - set(proved)),
        "sources": list(ctx.sources.names),
        "decision_time": "close of the row's own session (idealised execution)",
    }


def _worst(findings: list[Finding], checks: tuple[str, ...]) -> str:
    levels = {f.severity for f in findings if f.check in checks}
    return next((level for level in ("error", "warning") if level in levels), "ok")

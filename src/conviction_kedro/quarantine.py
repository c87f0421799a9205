"""Scores that are too good to be honest: they are quarantined, and the audit is asked again, more strictly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from conviction.evaluation import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conviction.audit import AuditReport
    from conviction_kedro.parameters import AuditParameters

TIMES_AS_MANY_CUTS = 3
NOTHING: dict[str, Any] = {"quarantined": [], "asked": False, "verdict": None, "n_cuts": None, "table": ""}


def too_good(scores: pl.DataFrame) -> list[str]:
    """Return one sentence for each implausible score, baselines included: a yardstick without learning knows no future either."""
    implausible = scores.filter(pl.col("verdict") == str(Verdict.IMPLAUSIBLE)).sort("target", "model")
    return [
        f"{row['target']} | {row['model']} ({row['split']}): {row['verdict_reason']}"
        for row in implausible.iter_rows(named=True)
    ]


def stricter(audit: AuditParameters) -> AuditParameters:
    """Return the parameters of the second audit: more cuts, and at other sessions by another seed; no warning is accepted."""
    return audit.model_copy(update={"n_cuts": TIMES_AS_MANY_CUTS * audit.n_cuts, "accepted_warnings": ()})


def answer(reasons: list[str], report: AuditReport, *, n_cuts: int) -> dict[str, Any]:
    """Return what the second audit said."""
    return {
        "quarantined": reasons,
        "asked": True,
        "verdict": report.verdict,
        "n_cuts": n_cuts,
        "table": report.to_table(),
    }


def tags(second_audit: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of the run: whether a score is quarantined, why, and what the second audit said."""
    if not second_audit["quarantined"]:
        return {"quarantined": "false"}
    return {
        "quarantined": "true",
        "quarantine_reason": " ".join(second_audit["quarantined"])[:5000],
        "second_audit_verdict": str(second_audit["verdict"]),
    }


def sentences(second_audit: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what the report says of the quarantine, nothing when no score is implausible."""
    if not second_audit["quarantined"]:
        return ()
    verdict = (
        "passed, so that the leak, if it is one, is of a kind that it does not see: look at the data itself"
        if second_audit["verdict"] == "pass"
        else "FAILED: the data is not to be used"
    )
    asked = f"The audit was asked again, with {second_audit['n_cuts']} cuts at other sessions: it {verdict}."
    return (*second_audit["quarantined"], asked)

"""The one-page HTML report: what stands where; the markup itself is in templates/report.html.j2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any

import polars as pl

from conviction.reporting import _svg
from conviction.reporting._behind import (
    decay_views,
    economics_rows,
    placebo_rows,
    quantile_views,
    selection_rows,
    stability_rows,
)
from conviction.reporting._contents import METRICS, ReportContents, SymbolScores
from conviction.reporting._tables import (
    KIND_COLOURS,
    ROLE_COLOURS,
    cumulative_daily_auc,
    fold_spans,
    fold_summary,
    lead_lag_matrix,
    ordered_scores,
)
from conviction.reporting._verdict import chosen_model, headline, interval, number

SPLIT_NAMES = {
    "oof": "out of fold: sessions the model had not seen",
    "holdout": "hold-out: opened on the record",
    "placebo": "placebo: labels permuted",
}
# Scores as rankings stand in one table, as probabilities in another: together they are wider than a page.
PROBABILITY_METRICS: tuple[str, ...] = ("log_loss", "brier_skill")
_DECIMALS = {"auc_daily": 3, "auc_pooled": 3, "rank_ic": 3, "log_loss": 4, "brier_skill": 4}
_UNUSED_ROLES = ("past", "future")
_MOST_SYMBOLS = 60
_MOST_FINDINGS = 40


def render_report(contents: ReportContents) -> str:
    """Return a report as one self-contained HTML page.

    The page loads nothing: style and figures are inline, no script runs, and a content security policy forbids
    requests. It follows the reader's light or dark setting, prints, and folds its tables into cards on a phone.

    Parameters
    ----------
    contents : ReportContents
        Results, audit and provenance; already checked.

    Returns
    -------
    str
        HTML, verdict first. The same contents give the same text.
    """
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    text = resources.files("conviction.reporting").joinpath("templates", "report.html.j2").read_text(encoding="utf-8")
    safe = _marker()
    return environment.from_string(text).render(
        c=contents,
        head=headline(contents),
        roles={role: colour for role, colour in ROLE_COLOURS.items() if role not in _UNUSED_ROLES},
        audit=_audit(contents),
        score_groups=_score_groups(contents, safe),
        unshown=[METRICS[metric] for metric in METRICS if metric not in contents.metrics],
        symbols=[_symbol_view(scores, safe) for scores in contents.symbols],
        walks=_walk_views(contents, safe),
        folds=fold_summary(contents.folds),
        timeline=safe(_svg.timeline(fold_spans(contents.folds))),
        lead_lag=_lead_lag(contents, safe),
        calibration=_calibration(contents, safe),
        importance=_importance(contents, safe),
        economics=economics_rows(contents),
        quantiles=quantile_views(contents, safe),
        placebo=placebo_rows(contents),
        selection=selection_rows(contents),
        decay=decay_views(contents, safe),
        stability=stability_rows(contents),
    )


def _marker() -> Callable[[str], str]:
    """Return the function that vouches for our own SVG, whose every text is escaped where it is built."""
    from markupsafe import Markup

    return Markup


def _audit(contents: ReportContents) -> dict[str, Any]:
    order = {"error": 0, "warning": 1, "info": 2}
    findings = sorted(contents.audit.findings, key=lambda finding: (order[finding.severity], finding.check))
    checks = contents.audit.checks
    return {
        "verdict": contents.audit.verdict,
        "counts": {name: sum(f.severity == name for f in findings) for name in order},
        "findings": findings[:_MOST_FINDINGS],
        "more": max(len(findings) - _MOST_FINDINGS, 0),
        "run": [check for check in checks if check.skipped is None],
        "skipped": [check for check in checks if check.skipped is not None],
        "seconds": number(sum(check.seconds for check in checks), 1),
    }


def _score_groups(contents: ReportContents, safe: Callable[[str], str]) -> list[dict[str, Any]]:
    groups = []
    for split in ("holdout", "oof", "placebo"):
        for target in contents.targets:
            rows = ordered_scores(contents, target, split)
            if rows:
                chosen = chosen_model(contents, target)
                metrics = [metric for metric in contents.metrics if any(row[metric] is not None for row in rows)]
                ranking = [metric for metric in metrics if metric not in PROBABILITY_METRICS]
                parts = [(SPLIT_NAMES[split], ranking, True)]
                if len(ranking) < len(metrics):
                    judged = [metric for metric in reversed(PROBABILITY_METRICS) if metric in metrics]
                    parts.append(("as probabilities, against the base rate known before each fold", judged, False))
                groups += [
                    {
                        "target": target,
                        "split": split,
                        "title": title,
                        "metrics": [METRICS[metric] for metric in shown],
                        "rows": [
                            _score_row(contents, row, rows=rows, metrics=shown, chosen=chosen, safe=safe)
                            for row in rows
                        ],
                        "bar": METRICS[shown[0]] if shown else None,
                        "sizes": _common_sizes(rows),
                        "reading": reading,
                    }
                    for title, shown, reading in parts
                ]
    return groups


def _common_sizes(rows: Sequence[dict[str, Any]]) -> str | None:
    """Return sessions and rows as a phrase when every score rests on the same number of them."""
    sizes = {(int(row["n_sessions"] or 0), int(row["n_rows"] or 0)) for row in rows}
    if len(sizes) != 1:
        return None
    sessions, count = sizes.pop()
    return f"{sessions:,} sessions, {count:,} rows each"


def _score_row(
    contents: ReportContents,
    row: dict[str, Any],
    *,
    rows: Sequence[dict[str, Any]],
    metrics: Sequence[str],
    chosen: str | None,
    safe: Callable[[str], str],
) -> dict[str, Any]:
    lead = metrics[0] if metrics else None
    picture = ""
    if lead is not None and row[lead] is not None:
        null = 0.5 if lead.startswith("auc") else 0.0
        bounds = [(r[f"{lead}_lo"], r[f"{lead}_hi"]) for r in rows if r[lead] is not None]
        picture = _svg.bar(
            row[lead],
            row[f"{lead}_lo"],
            row[f"{lead}_hi"],
            domain=_svg.domain_of(bounds, null=null),
            null=null,
            colour=KIND_COLOURS[row["kind"]],
        )
    return {
        "model": row["model"],
        "kind": row["kind"],
        "chosen": row["model"] == chosen,
        "verdict": row["verdict"],
        "why": row.get("verdict_reason") or "",
        "n_sessions": int(row["n_sessions"] or 0),
        "n_rows": int(row["n_rows"] or 0),
        "picture": safe(picture),
        "cells": [_cell(contents, row, metric) for metric in metrics],
    }


def _cell(contents: ReportContents, row: dict[str, Any], metric: str) -> dict[str, str]:
    if row[metric] is None:
        return {"label": METRICS[metric], "value": "", "interval": contents.reasons.get(metric, "not defined")}
    decimals = _DECIMALS[metric]
    note = ""
    if metric == "auc_daily" and row.get("auc_daily_t") is not None:
        note = f", t {number(row['auc_daily_t'], 1)}"
    bounds = interval(row[f"{metric}_lo"], row[f"{metric}_hi"], decimals)
    return {"label": METRICS[metric], "value": number(row[metric], decimals), "interval": bounds + note}


def _symbol_view(scores: SymbolScores, safe: Callable[[str], str]) -> dict[str, Any]:
    rows = scores.frame.sort("auc", "symbol", descending=[True, False], nulls_last=True).to_dicts()
    shown = rows if len(rows) <= _MOST_SYMBOLS else rows[:25] + rows[-10:]
    defined = [row for row in rows if row["auc"] is not None]
    domain = _svg.domain_of([(row["lo"], row["hi"]) for row in defined], null=0.5)
    return {
        "target": scores.target,
        "model": scores.model,
        "total": len(rows),
        "hidden": len(rows) - len(shown),
        "over": scores.observed_over,
        "threshold": number(scores.threshold, 2),
        "expected_over": number(scores.expected_over, 1),
        "best": number(scores.observed_best),
        "best_symbol": rows[0]["symbol"],
        "expected_best": number(scores.expected_best),
        "family": min((row["p_best"] for row in rows if row.get("p_best") is not None), default=None),
        "survivors": sum(row["q_value"] is not None and row["q_value"] < 0.1 for row in rows),
        "figure": safe(_svg.symbols(rows, threshold=scores.threshold)),
        "rows": [_symbol_row(row, domain, safe) for row in shown],
    }


def _symbol_row(row: dict[str, Any], domain: tuple[float, float], safe: Callable[[str], str]) -> dict[str, Any]:
    if row["auc"] is None:
        return {
            "symbol": row["symbol"],
            "auc": "",
            "interval": "not defined",
            "p": "",
            "q": "",
            "n": row["n"],
            "p_best": "",
            "bar": "",
        }
    picture = _svg.bar(row["auc"], row["lo"], row["hi"], domain=domain, null=0.5, colour="blue")
    return {
        "symbol": row["symbol"],
        "auc": number(row["auc"]),
        "interval": interval(row["lo"], row["hi"]),
        "p": number(row["p_value"], 3),
        "q": number(row["q_value"], 3),
        "n": int(row["n"]),
        "p_best": "" if row.get("p_best") is None else number(row["p_best"], 3),
        "bar": safe(picture),
    }


def _walk_views(contents: ReportContents, safe: Callable[[str], str]) -> list[dict[str, Any]]:
    if contents.daily_auc is None:
        return []
    views = []
    for target in contents.targets:
        walks = cumulative_daily_auc(contents.daily_auc, target, first=chosen_model(contents, target))
        if walks:
            legend = [(safe(_svg.line_sample(index)), walk.model) for index, walk in enumerate(walks)]
            figure = _svg.walks(walks)
            views.append({"target": target, "figure": safe(figure), "legend": legend})
    return views


def _lead_lag(contents: ReportContents, safe: Callable[[str], str]) -> dict[str, Any] | None:
    profiles = lead_lag_matrix(contents.audit.profiles, most=25)
    if profiles is None:
        return None
    return {"figure": safe(_svg.heat_map(profiles)), "shown": len(profiles.columns), "total": profiles.total}


def _calibration(contents: ReportContents, safe: Callable[[str], str]) -> list[dict[str, Any]]:
    if contents.calibration is None:
        return []
    return [
        {"target": target, "model": model, "figure": safe(_svg.reliability(part.sort("predicted").to_dicts()))}
        for (target, model), part in contents.calibration.group_by("target", "model", maintain_order=True)
    ]


def _importance(contents: ReportContents, safe: Callable[[str], str]) -> list[dict[str, Any]]:
    if contents.importance is None:
        return []
    views = []
    for (target, model), part in contents.importance.group_by("target", "model", maintain_order=True):
        rows = part.filter(pl.col("mean").is_not_null()).sort("mean", "feature", descending=[True, False]).head(12)
        reach = max((row["hi"] for row in rows.to_dicts()), default=1.0) or 1.0
        views.append(
            {
                "target": target,
                "model": model,
                "rows": [
                    {
                        "feature": row["feature"],
                        "mean": number(row["mean"], 3),
                        "interval": interval(row["lo"], row["hi"]),
                        "bar": safe(
                            _svg.bar(
                                row["mean"],
                                row["lo"],
                                row["hi"],
                                domain=(min(0.0, row["lo"]), reach * 1.02),
                                null=0.0,
                                colour="green",
                            )
                        ),
                    }
                    for row in rows.to_dicts()
                ],
            }
        )
    return views

"""What stands behind the scores, row by row for the page: placebos, the price of choosing, decay, stability, money."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import polars as pl

from conviction.reporting import _svg
from conviction.reporting._verdict import interval, number

if TYPE_CHECKING:
    from conviction.reporting._contents import ReportContents

BOOK_NAMES = {
    "long_short": "best less worst scores",
    "optimised": "optimised portfolio",
    "optimised_active": "optimised less equal weights",
}
EXECUTION_NAMES = {"close": "at the close", "next_open": "at the next open", "next_close": "one day later"}


def economics_rows(contents: ReportContents) -> list[dict[str, Any]]:
    """Return the table of money: what each book earned after costs, by the moment of the trade."""
    return [] if contents.economics is None else [_economics_row(row) for row in contents.economics.to_dicts()]


def _economics_row(row: dict[str, Any]) -> dict[str, Any]:
    percent = {name: None if row[name] is None else 100 * row[name] for name in row if name.startswith("annual_return")}
    return {
        "target": row["target"],
        "book": BOOK_NAMES.get(row["book"], row["book"]),
        "execution": EXECUTION_NAMES.get(row["execution"], row["execution"]),
        "of_label": row["of_label"],
        # Less equal weights both sides have paid their costs already.
        "cost": number(row["cost_bps"], 1),
        "turnover": number(row["turnover"], 2),
        "net": _with_interval(row, "net_bps", "net_lo", "net_hi", 1),
        "even": _with_interval(row, "break_even_bps", "break_even_lo", "break_even_hi", 1),
        "sharpe": _with_interval(row, "sharpe_net", "sharpe_net_lo", "sharpe_net_hi", 2),
        "annual": _with_interval(percent, "annual_return", "annual_return_lo", "annual_return_hi", 1),
    }


def _with_interval(row: dict[str, Any], value: str, lo: str, hi: str, decimals: int) -> dict[str, str]:
    if row[value] is None or row[lo] is None:
        return {"value": "", "interval": "not defined"}
    return {"value": number(row[value], decimals), "interval": interval(row[lo], row[hi], decimals)}


def quantile_views(contents: ReportContents, safe: Callable[[str], str]) -> list[dict[str, Any]]:
    """Return, for each target and execution, the return over the market by quantile of the score."""
    if contents.quantiles is None:
        return []
    views = []
    for (target, execution), part in contents.quantiles.group_by("target", "execution", maintain_order=True):
        rows = part.filter(pl.col("lo").is_not_null()).sort("quantile", descending=True).to_dicts()
        domain = _svg.domain_of([(row["lo"], row["hi"]) for row in rows], null=0.0) if rows else (0.0, 1.0)
        views.append(
            {
                "target": target,
                "execution": EXECUTION_NAMES.get(str(execution), execution),
                "rows": [
                    {
                        "quantile": row["quantile"],
                        "excess": number(row["excess_bps"], 1),
                        "interval": interval(row["lo"], row["hi"], 1),
                        "bar": safe(_bar(row["excess_bps"], row, domain)),
                    }
                    for row in rows
                ],
            }
        )
    return [view for view in views if view["rows"]]


def _bar(value: float, row: dict[str, Any], domain: tuple[float, float]) -> str:
    return _svg.bar(value, row["lo"], row["hi"], domain=domain, null=0.0, colour="blue")


def placebo_rows(contents: ReportContents) -> list[dict[str, str]]:
    """Return one row for each target and model: how far its placebos strayed from one half."""
    if contents.placebo is None:
        return []
    rows = []
    for (target, model), part in contents.placebo.group_by("target", "model", maintain_order=True):
        outside = part.height - int(part["inside"].sum())
        rows.append(
            {
                "target": str(target),
                "model": str(model),
                "n": str(part.height),
                "range": f"{number(min(part['auc_pooled']))} to {number(max(part['auc_pooled']))}",
                "band": interval(min(part["band_lo"]), max(part["band_hi"])),
                "reading": "all inside: the pipeline finds nothing in nothing"
                if not outside
                else f"{outside} outside: the pipeline lets a model see what it is scored on",
            }
        )
    return rows


def selection_rows(contents: ReportContents) -> list[dict[str, Any]]:
    """Return what choosing costs: trials, the AUC that luck shows as their best, the deflated probability, overfitting."""
    if contents.selection is None:
        return []
    return [
        {
            "target": row["target"],
            "trials": f"{row['trials']:,}",
            "effective": _or_not(row["trials_effective"], 1),
            "best": _or_not(row["expected_best"], 3),
            "deflated": _or_not(row["deflated_prob"], 2),
            "pbo": _or_not(row["pbo"], 2),
            "members": row["confidence_set"] or "not defined",
        }
        for row in contents.selection.to_dicts()
    ]


def _or_not(value: float | None, decimals: int) -> str:
    return "not defined" if value is None else number(value, decimals)


def decay_views(contents: ReportContents, safe: Callable[[str], str]) -> list[dict[str, Any]]:
    """Return, for each target, the rank IC of the chosen score with later and later returns."""
    if contents.decay is None:
        return []
    views = []
    for (target,), part in contents.decay.group_by("target", maintain_order=True):
        rows = part.filter(pl.col("rank_ic").is_not_null()).to_dicts()
        domain = _svg.domain_of([(row["lo"], row["hi"]) for row in rows], null=0.0) if rows else (0.0, 1.0)
        views.append(
            {
                "target": target,
                "rows": [
                    {
                        "lag": row["lag"],
                        "ic": number(row["rank_ic"]),
                        "interval": interval(row["lo"], row["hi"]),
                        "bar": safe(_bar(row["rank_ic"], row, domain)),
                    }
                    for row in rows
                ],
            }
        )
    return [view for view in views if view["rows"]]


def stability_rows(contents: ReportContents) -> list[dict[str, Any]]:
    """Return one row for each target and model: how alike its importances are over folds and seeds."""
    if contents.stability is None:
        return []
    return [
        {
            "target": row["target"],
            "model": row["model"],
            "kind": row["kind"],
            "mean": number(row["rank_correlation"], 2),
            "lowest": number(row["lo"], 2),
            "runs": f"{row['n_folds']} folds, {row['n_seeds']} seed{'' if row['n_seeds'] == 1 else 's'}",
            "selected": "not evaluated" if row["selected"] is None else f"{row['selected']} of {row['features']}",
        }
        for row in contents.stability.to_dicts()
    ]

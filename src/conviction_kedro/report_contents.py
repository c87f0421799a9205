"""From saved tables to the typed contents of a report; no number is made here."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import polars as pl

from conviction.evaluation import LuckLine
from conviction.reporting import DataFacts, EnsembleChoice, Provenance, ReportContents, SymbolScores
from conviction_kedro.gate_facts import QUICK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conviction.audit import AuditReport
    from conviction.folds import FoldPlan

_SOURCES = {
    "embedded": "adjusted daily closes of 20 S&P 500 stocks and the index, shipped inside skfolio",
    "long_table": "a table of daily prices given by the user",
    "synthetic": "SYNTHETIC prices made for tests; nothing here speaks of a real market",
}
_BAR_EXECUTION = {
    "close": "Idealised execution: the decision uses the close of the bar and is filled at that same close, which nobody can do exactly.",
    "before_next_open": "The decision is made at the end of a bar and filled at the open of the next one; no position outlives its session.",
}
_EXECUTION = {
    "close": "Idealised execution: the decision uses the close of the session and is filled at that same close, which nobody can do exactly.",
    "before_next_open": "The decision is made before the next session's open and filled at that open.",
}
_ONLY_FULL = ("placebo", "shadow features", "permutation importance", "stability over seeds")
_KNOWN = ("commit", "dirty", "lock_sha", "parameter_sha", "environment", "pipeline", "seed")


@dataclass(frozen=True, kw_only=True)
class Behind:
    """What stands behind the scores of a run, as saved by the pipelines; a table without rows was not evaluated."""

    calibration: pl.DataFrame
    decay: pl.DataFrame
    selection: pl.DataFrame
    placebo: pl.DataFrame
    economics: pl.DataFrame
    quantiles: pl.DataFrame
    importance: pl.DataFrame
    stability: pl.DataFrame
    not_evaluated: Mapping[str, str]
    quarantine: tuple[str, ...]

    def fields(self) -> dict[str, Any]:
        """Return the fields of `ReportContents` that this fills."""
        names = {"score_mean": "predicted", "share_of_ones": "observed", "n_rows": "n"}
        curves = self.calibration.rename(names).with_columns(model=pl.lit("ensemble"))
        tables = {
            "calibration": curves,
            "decay": self.decay,
            "selection": self.selection,
            "placebo": self.placebo,
            "economics": self.economics,
            "quantiles": self.quantiles,
            "importance": self.importance,
            "stability": self.stability,
        }
        shown = {name: table for name, table in tables.items() if table.height}
        return {**shown, "not_evaluated": self.not_evaluated, "quarantine": self.quarantine}


def not_evaluated(
    profile: str, undefined: pl.DataFrame, economics_omitted: pl.DataFrame, left_out: pl.DataFrame
) -> dict[str, str]:
    """Return what a run did not evaluate -> why.

    Parameters
    ----------
    profile : str
        quick or full.
    undefined : polars.DataFrame
        `what`, `target`, `reason` (`conviction_kedro.examining.examine`).
    economics_omitted : polars.DataFrame
        As `conviction.portfolio.economics_table` gives it.
    left_out : polars.DataFrame
        As `conviction.oof.Fits` has it: models, targets, symbols and features that could not be fitted.
    """
    reasons = {} if profile == "full" else dict.fromkeys(_ONLY_FULL, QUICK)
    for row in undefined.iter_rows(named=True):
        reasons[f"{row['what'].replace('_', ' ')} of {row['target']}"] = f"{row['reason']}."
    for row in economics_omitted.unique(["book", "execution", "reason"], maintain_order=True).iter_rows(named=True):
        place = f" at {row['execution']}" if row["execution"] else ""
        reasons[f"money {row['book'].replace('_', ' ')}{place}"] = f"{row['reason']}."
    return {**reasons, **_left_out(left_out)}


def _left_out(table: pl.DataFrame) -> dict[str, str]:
    """Return what was asked of `modeling` and could not be fitted; symbols and folds of one reason are counted."""
    found: dict[str, str] = {}
    for (target, model, feature, reason), part in table.group_by(
        "target", "model", "feature", "reason", maintain_order=True
    ):
        whole = f"on {target}" if model else f"target {target}"
        what = " ".join(filter(None, (model, whole if target else "", f"feature {feature}" if feature else "")))
        symbols = part["symbol"].drop_nulls().unique(maintain_order=True).to_list()
        many = (
            f" of {', '.join(symbols[:5])}{' ...' if len(symbols) > 5 else ''} ({part.height} fits)" if symbols else ""
        )
        folds = f" in fold {', '.join(str(fold) for fold in part['fold'].unique().sort())}" if feature else ""
        found[what + many + folds] = f"{reason}."
    return found


def assemble(
    *,
    scores: pl.DataFrame,
    symbol_scores: pl.DataFrame,
    ensemble_choice: pl.DataFrame,
    audit_report: AuditReport,
    fold_plan: FoldPlan,
    feature_catalog: pl.DataFrame,
    data_facts: Mapping[str, Any],
    quality: Mapping[str, Any],
    trials: pl.DataFrame,
    holdout_openings: pl.DataFrame,
    daily_auc: pl.DataFrame,
    luck: Mapping[str, LuckLine],
    behind: Behind,
    provenance: Mapping[str, str],
    run_id: str,
) -> ReportContents:
    """Put the tables of a run together as the contents of its report.

    Parameters
    ----------
    scores, symbol_scores, ensemble_choice, feature_catalog, trials, holdout_openings, daily_auc : polars.DataFrame
        As saved by the pipelines.
    audit_report : conviction.audit.AuditReport
    fold_plan : conviction.folds.FoldPlan
    data_facts : mapping
        As saved by `data_engineering`.
    quality : mapping
        The quality report of the prices, as saved by `data_engineering`.
    luck : mapping of str to LuckLine
        Target -> what chance alone shows over the symbols of `symbol_scores`.
    behind : Behind
        What stands behind the scores.
    provenance : mapping of str to str
        Of the run that writes the report.
    run_id : str
        Its session identifier.

    Returns
    -------
    conviction.reporting.ReportContents
    """
    made = feature_catalog.filter(pl.col("omitted").is_null())
    left_out = feature_catalog.filter(pl.col("omitted").is_not_null())
    return ReportContents(
        title=f"{_what(data_facts)}: {provenance.get('source', '')}, universe {provenance.get('universe', '')}",
        provenance=_provenance(provenance, audit_report.dataset.fingerprint, run_id),
        data=DataFacts(
            source=_SOURCES[provenance.get("source", "long_table")],
            symbols=tuple(data_facts["symbols"]),
            first_session=date.fromisoformat(str(data_facts["first_session"])),
            last_session=date.fromisoformat(str(data_facts["last_session"])),
            n_sessions=fold_plan.frame["session"].n_unique(),
            n_rows=int(data_facts["rows"]),
            n_features=made.height,
            survivorship=str(data_facts["survivorship"]),
            execution=(_EXECUTION if data_facts["bar_minutes"] is None else _BAR_EXECUTION)[
                str(data_facts["decision"])
            ],
            sources=dict(data_facts["sources"]),
            quality=prices_note(quality),
            omitted=dict(left_out.select("feature", "omitted").iter_rows()),
        ),
        audit=audit_report,
        folds=fold_plan.frame,
        scores=scores,
        trials=trials.height,
        holdout_openings=holdout_openings.height,
        symbols=tuple(_symbol_scores(symbol_scores, ensemble_choice, luck)),
        ensemble=tuple(
            EnsembleChoice(target=row["target"], model="ensemble", explanation=row["explanation"])
            for row in ensemble_choice.iter_rows(named=True)
        ),
        reasons=_reasons(scores),
        daily_auc=daily_auc,
        **behind.fields(),
    )


def prices_note(quality: Mapping[str, Any]) -> str:
    """Return in one breath which rows of the prices were left out, which sessions are missing and what was warned of.

    Parameters
    ----------
    quality : mapping
        `conviction.market.QualityReport.to_dict`.

    Examples
    --------
    >>> gap = {"name": "missing_sessions", "severity": "info", "symbol": "KO", "rows": 2, "quarantined": False}
    >>> prices_note({"rows": 9, "kept": 9, "problems": [gap]})
    'All 9 rows read were kept. Sessions without a row: KO 2. No warnings.'
    """
    left: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    warned: Counter[str] = Counter()
    for problem in quality["problems"]:
        if problem["quarantined"]:
            left[problem["name"]] += problem["rows"]
        elif problem["name"] == "missing_sessions":
            missing[problem["symbol"]] += problem["rows"]
        elif problem["severity"] == "warning":
            warned[problem["name"]] += 1
    gone = quality["rows"] - quality["kept"]
    kept = (
        f"Left out as allowed: {gone:,} of {quality['rows']:,} rows ({_counts(left)})."
        if gone
        else f"All {quality['rows']:,} rows read were kept."
    )
    gaps = (
        f"Sessions without a row: {_counts(missing)}." if missing else "No session is missing within a symbol's span."
    )
    return f"{kept} {gaps} " + (f"Warnings: {_counts(warned)}." if warned else "No warnings.")


def _counts(found: Counter[str], most: int = 8) -> str:
    """Return the most frequent names with their counts."""
    ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    more = f" and {len(ranked) - most} more" if len(ranked) > most else ""
    return ", ".join(f"{name} {count:,}" for name, count in ranked[:most]) + more


def of_panel(ledger: pl.DataFrame, trials: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of the ledger that were scored on the panel of these trials: every look that anybody ever took at it."""
    return ledger.filter(pl.col("panel_sha").is_in(trials["panel_sha"].unique().implode()))


def _what(data_facts: Mapping[str, Any]) -> str:
    minutes = data_facts["bar_minutes"]
    return "Next-session direction" if minutes is None else f"Direction of the next bar of {minutes} minutes"


def _provenance(provenance: Mapping[str, str], fingerprint: str, run_id: str) -> Provenance:
    return Provenance(
        commit=provenance.get("commit", "unknown"),
        dirty=provenance.get("dirty") != "false",
        lock_hash=provenance.get("lock_sha", "unknown"),
        data_fingerprint=fingerprint,
        parameter_hash=provenance.get("parameter_sha", "unknown"),
        environment=provenance.get("environment", "unknown"),
        pipeline=provenance.get("pipeline", "unknown"),
        run_id=run_id,
        seed=int(provenance.get("seed", 0)),
        more={name: value for name, value in provenance.items() if name not in _KNOWN},
    )


def _symbol_scores(table: pl.DataFrame, choice: pl.DataFrame, luck: Mapping[str, LuckLine]) -> list[SymbolScores]:
    result = []
    for target in choice["target"]:
        line = luck.get(target)
        part = table.filter((pl.col("target") == target) & pl.col("auc").is_not_null())
        if line is None or part.is_empty():
            continue
        result.append(
            SymbolScores(
                target=target,
                model="ensemble",
                frame=part,
                threshold=line.threshold,
                expected_over=line.expected_above,
                expected_best=line.expected_best,
            )
        )
    return result


def _reasons(scores: pl.DataFrame) -> dict[str, str]:
    reasons: dict[str, str] = {}
    for text in scores["reasons"].drop_nulls():
        for entry in filter(None, text.split("; ")):
            name, _, why = entry.partition(": ")
            reasons[name] = why
    return reasons

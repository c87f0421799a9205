"""What a promotion may be decided on: one typed record for each target's candidate, with a reason wherever something is not known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from conviction.evaluation import ledger_trials

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conviction.audit import AuditedPanel

CANDIDATE = "ensemble"
QUICK = "Not evaluated with profile=quick; run with profile=full (--params=profile=full)."


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class IntervalFact(_Frozen):
    """A score with its 95 % interval over blocks of sessions."""

    value: float
    lo: float
    hi: float
    se: float


class DeflationFact(_Frozen):
    """The probability that an AUC is above what the best of as many worthless trials shows."""

    value: float
    metric: Literal["auc_daily", "auc_pooled"]
    n_trials: int = Field(description="distinct finished trials of the target on the ledger")
    n_trials_effective: float
    expected_best: float = Field(description="the AUC that luck alone shows as the best of them")


class PlaceboFact(_Frozen):
    """The same pipeline on labels permuted by session, several times."""

    n: int
    lo: float = Field(description="lowest pooled AUC of the placebos")
    hi: float = Field(description="highest")
    band_lo: float = Field(description="simultaneous band around 0.5, of the placebo nearest to leaving it")
    band_hi: float
    confidence: float
    inside: bool


class StabilityFact(_Frozen):
    """How alike the importances of the features are over folds and seeds; of the least stable model that the candidate combines."""

    rank_correlation: float
    lo: float
    n_folds: int
    n_seeds: int
    model: str
    kind: str = Field(description="what importance is measured by: shap, gain or coefficient")


class NetReturnFact(_Frozen):
    """Mean return after costs of holding the highest scores against the lowest, traded when the label's span begins."""

    mean: float
    lo: float
    hi: float
    cost_bps: float
    unit: Literal["bps per session"] = "bps per session"
    execution: str
    n_sessions: int


class GateCandidate(_Frozen):
    """Everything about one target's candidate; a fact that is None has its reason in `reasons` under the same name."""

    target: str
    model: str
    combiner: str
    dataset_fingerprint: str
    certificate_fingerprint: str
    verdict: str
    verdict_reason: str
    n_sessions: int
    auc_daily: IntervalFact | None
    auc_pooled: IntervalFact | None
    deflated_prob: DeflationFact | None
    placebo: PlaceboFact | None
    shap_stability: StabilityFact | None
    net_return: NetReturnFact | None
    reasons: dict[str, str]


class GateFacts(_Frozen):
    """The snapshot `gate_facts`: JSON, one candidate a target."""

    version: Literal[1] = 1
    profile: str
    candidates: tuple[GateCandidate, ...]

    def of(self, target: str) -> GateCandidate | None:
        """Return the candidate of a target, if there is one."""
        return next((one for one in self.candidates if one.target == target), None)


def gather(
    *,
    profile: str,
    scores: pl.DataFrame,
    choice: pl.DataFrame,
    audited_panel: AuditedPanel,
    ledger: pl.DataFrame,
    placebos: pl.DataFrame,
    stability: pl.DataFrame,
    economics: pl.DataFrame,
    reasons: Mapping[str, str],
) -> GateFacts:
    """Put the facts about each target's candidate together; nothing is computed that the report does not show.

    Parameters
    ----------
    profile : str
        quick or full.
    scores : polars.DataFrame
        As saved: a row for each (target, model), with `deflated_prob`, `trials_effective`, `expected_best`.
    choice : polars.DataFrame
        `target`, `choice` of the ensemble.
    audited_panel : conviction.audit.AuditedPanel
        Its certificate names the data.
    ledger : polars.DataFrame
        Trials scored on this panel.
    placebos, stability, economics : polars.DataFrame
        As saved; without rows where not evaluated.
    reasons : mapping of str to str
        Fact -> why it is missing, where that is known beforehand.
    """
    rows = scores.filter((pl.col("model") == CANDIDATE) & (pl.col("split") == "oof"))
    certificate = audited_panel.certificate
    return GateFacts(
        profile=profile,
        candidates=tuple(
            _candidate(
                row,
                combiner=str(dict(choice.select("target", "choice").iter_rows()).get(row["target"], "")),
                shas={
                    "dataset_fingerprint": certificate.frame_sha,
                    "certificate_fingerprint": certificate.sha,
                },
                facts={
                    "deflated_prob": _deflation(row, ledger),
                    "placebo": _placebo(placebos, row["target"]),
                    "shap_stability": _stability(stability, row["target"]),
                    "net_return": _net_return(economics, row["target"]),
                },
                reasons=reasons,
            )
            for row in rows.iter_rows(named=True)
        ),
    )


def known_reasons(profile: str, economics_omitted: pl.DataFrame) -> dict[str, str]:
    """Return why facts are missing, as far as the run's profile and its prices say."""
    reasons = {} if profile == "full" else {"placebo": QUICK, "shap_stability": QUICK}
    books = economics_omitted.filter(pl.col("book") == "long_short")
    return reasons | ({"net_return": str(books["reason"][0])} if books.height else {})


def _candidate(
    row: Mapping[str, Any],
    *,
    combiner: str,
    shas: Mapping[str, str],
    facts: Mapping[str, BaseModel | None],
    reasons: Mapping[str, str],
) -> GateCandidate:
    every = {"auc_daily": _interval(row, "auc_daily"), "auc_pooled": _interval(row, "auc_pooled"), **facts}
    undefined = dict(entry.partition(": ")[::2] for entry in (row.get("reasons") or "").split("; ") if entry)
    why = {
        name: undefined.get(name) or reasons.get(name) or "Not evaluated in this run."
        for name, fact in every.items()
        if fact is None
    }
    return GateCandidate.model_validate(
        {
            **{name: row[name] for name in ("target", "verdict", "verdict_reason")},
            **shas,
            **every,
            "model": CANDIDATE,
            "combiner": combiner,
            "n_sessions": int(row["n_sessions"]),
            "reasons": why,
        }
    )


def _interval(row: Mapping[str, Any], name: str) -> IntervalFact | None:
    columns = {"value": name, "lo": f"{name}_lo", "hi": f"{name}_hi", "se": f"{name}_se"}
    values = {field: row.get(column) for field, column in columns.items()}
    return None if None in values.values() else IntervalFact.model_validate(values)


def _deflation(row: Mapping[str, Any], ledger: pl.DataFrame) -> DeflationFact | None:
    if row.get("deflated_prob") is None:
        return None
    return DeflationFact(
        value=row["deflated_prob"],
        metric="auc_daily" if row.get("auc_daily_se") is not None else "auc_pooled",
        n_trials=ledger_trials(ledger, target=row["target"]).n,
        n_trials_effective=row["trials_effective"],
        expected_best=row["expected_best"],
    )


def _placebo(placebos: pl.DataFrame, target: str) -> PlaceboFact | None:
    mine = placebos.filter((pl.col("target") == target) & (pl.col("model") == CANDIDATE))
    if mine.is_empty():
        return None
    nearest = mine.sort((pl.col("auc_pooled") - 0.5).abs() / (pl.col("band_hi") - 0.5)).row(-1, named=True)
    return PlaceboFact(
        n=mine.height,
        lo=min(mine["auc_pooled"]),
        hi=max(mine["auc_pooled"]),
        band_lo=nearest["band_lo"],
        band_hi=nearest["band_hi"],
        confidence=nearest["confidence"],
        inside=bool(mine["inside"].all()),
    )


def _stability(stability: pl.DataFrame, target: str) -> StabilityFact | None:
    mine = stability.filter(pl.col("target") == target).sort("rank_correlation", "model")
    if mine.is_empty():
        return None
    names = ("rank_correlation", "lo", "n_folds", "n_seeds", "model", "kind")
    return StabilityFact(**{name: mine[name][0] for name in names})


def _net_return(economics: pl.DataFrame, target: str) -> NetReturnFact | None:
    mine = economics.filter(
        (pl.col("target") == target)
        & (pl.col("model") == CANDIDATE)
        & (pl.col("book") == "long_short")
        & pl.col("of_label")
        & pl.col("net_lo").is_not_null()
    )
    if mine.is_empty():
        return None
    row = mine.row(0, named=True)
    return NetReturnFact(
        mean=row["net_bps"],
        lo=row["net_lo"],
        hi=row["net_hi"],
        cost_bps=row["cost_bps"],
        execution=row["execution"],
        n_sessions=row["n_sessions"],
    )

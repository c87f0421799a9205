"""What monitoring looks at: features and labels of the newest data, scores out of fold and since a model is served."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from conviction.evaluation import daily_auc
from conviction.frames import KEY, SESSION
from conviction.monitoring import MonitoringParameters, MonitoringReport, periods, watch

if TYPE_CHECKING:
    from conviction.audit import AuditedPanel
    from conviction_kedro.datasets import ServedChampion

_CHOSEN = "ensemble"
_MIN_SYMBOLS = 5


def observed(
    matrix: pl.DataFrame,
    labels: pl.DataFrame,
    audited: AuditedPanel,
    ensemble_oof: pl.DataFrame,
    champion: ServedChampion | None,
) -> pl.DataFrame:
    """Put features, labels and scores of the newest data side by side.

    Parameters
    ----------
    matrix, labels : polars.DataFrame
        Of the newest prices, made as those of training.
    audited : AuditedPanel
        Names features and targets.
    ensemble_oof : polars.DataFrame
        Scores of the certified sessions, out of fold.
    champion : ServedChampion or None
        Scores the sessions after those that it was fitted on, where it takes these features.

    Returns
    -------
    polars.DataFrame
        `symbol`, `session`, the features, the targets, and `score_{target}` of each target that the champion serves.
    """
    frame = matrix.select(*KEY, *audited.features).join(
        labels.select(*KEY, *audited.targets), on=list(KEY), how="left", maintain_order="left"
    )
    if champion is None or champion.model.contract.features != audited.features:
        return frame
    later = frame.filter(pl.col(SESSION) > champion.model.contract.last_fitted).select(*KEY, *audited.features)
    scored = champion.model.score(later) if later.height else None
    for target in champion.model.targets:
        name = f"score_{target}"
        past = ensemble_oof.filter((pl.col("target") == target) & (pl.col("model") == _CHOSEN))
        parts = [past.select(*KEY, pl.col("score").alias(name))]
        if scored is not None:
            parts.append(scored.select(*KEY, pl.col(f"{target}_score").alias(name)))
        table = pl.concat(parts).unique(list(KEY), keep="last")
        frame = frame.join(table, on=list(KEY), how="left", maintain_order="left")
    return frame


def report_on(
    frame: pl.DataFrame,
    audited: AuditedPanel,
    champion: ServedChampion | None,
    monitoring: MonitoringParameters,
) -> MonitoringReport:
    """Compare the newest sessions with the certified ones and chart the champion's quality.

    Parameters
    ----------
    frame : polars.DataFrame
        As `observed` made it.
    audited : AuditedPanel
        Its sessions, from the end of the warm-up on, are the reference.
    champion : ServedChampion or None
    monitoring : MonitoringParameters

    Returns
    -------
    MonitoringReport
    """
    scores = [name for name in frame.columns if name.startswith("score_")]
    kinds = dict.fromkeys(audited.features, "feature")
    kinds |= dict.fromkeys(audited.targets, "label") | dict.fromkeys(scores, "score")
    empty = frame.group_by(SESSION).agg(
        (pl.col(name).null_count() == pl.len()).alias(name) for name in audited.features
    )
    warm = empty.filter(~pl.any_horizontal(audited.features))[SESSION].min()
    certified = audited.frame[SESSION].filter(audited.frame[SESSION] >= warm)
    reference, current = periods(frame[SESSION], certified, n=monitoring.current_sessions)
    reasons = {} if scores else {"scores and prediction quality": _without(champion)}
    charts = {}
    for name in scores:
        target = name.removeprefix("score_")
        last = champion.model.contract.last_fitted if champion else None
        rows = frame.select(*KEY, score=name, label=target).drop_nulls()
        daily = daily_auc(rows.sort(KEY), min_symbols=_MIN_SYMBOLS).select(SESSION, "auc")
        since = daily.filter(pl.col(SESSION) > last)
        if since.drop_nulls("auc").is_empty():
            reasons[f"prediction quality of {target}"] = f"no label is known yet of a session after {last}"
        else:
            charts[target] = (daily.filter(pl.col(SESSION) <= last), since)
    return watch(
        frame,
        kinds=kinds,
        reference=reference,
        current=current,
        daily_auc=charts,
        reasons=reasons,
        monitoring=monitoring,
    )


def _without(champion: ServedChampion | None) -> str:
    if champion is None:
        return "nothing is promoted, so that nothing is scored"
    return f"champion version {champion.version} takes other features than those that are certified now"

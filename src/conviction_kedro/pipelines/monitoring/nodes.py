"""Whether the newest sessions still look like those that were certified, and whether the champion is still right."""

from __future__ import annotations

from typing import Any

import polars as pl

from conviction.audit import AuditedPanel
from conviction.features import FeatureParameters, build_features
from conviction.labels import make_labels
from conviction.monitoring import MonitoringParameters, raise_alarm
from conviction_kedro.datasets import ServedChampion
from conviction_kedro.parameters import DataParameters
from conviction_kedro.watching import observed, report_on


def observe(
    monitoring_panel: pl.DataFrame,
    audited_panel: AuditedPanel,
    ensemble_oof: pl.DataFrame,
    champion: ServedChampion | None,
    features: FeatureParameters,
    data: DataParameters,
    n_jobs: int,
) -> pl.DataFrame:
    """Return features, labels and scores of the newest data."""
    matrix = build_features(monitoring_panel, features=features, n_jobs=n_jobs).matrix
    labels = make_labels(monitoring_panel, calendar=data.calendar, horizon=data.horizon, decision=data.decision)
    return observed(matrix, labels, audited_panel, ensemble_oof, champion)


def compare_periods(
    monitoring_frame: pl.DataFrame,
    audited_panel: AuditedPanel,
    champion: ServedChampion | None,
    monitoring: MonitoringParameters,
) -> tuple[dict[str, Any], str, str]:
    """Return the report as data, as a section of a page and as text."""
    report = report_on(monitoring_frame, audited_panel, champion, monitoring)
    return report.to_dict(), report.to_html(), report.to_text()


def sound_alarm(drift_report: dict[str, Any]) -> None:
    """End the run with an error when the report, saved before, holds an alarm."""
    raise_alarm(drift_report)

"""Everything that monitoring found in one period, as data, as a sentence and as a section of a page."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from conviction.errors import DriftAlarm
from conviction.frames import SESSION
from conviction.monitoring._chart import QualityChart, quality_chart
from conviction.monitoring._drift import DriftTest, drift_test

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conviction.monitoring.parameters import MonitoringParameters

_SHOWN = 15


@dataclass(frozen=True, eq=False)
class MonitoringReport:
    """The newest sessions against the reference, and the chart of each served target.

    Attributes
    ----------
    reference, current : tuple of str
        First and last session, and how many.
    drift : DriftTest
    charts : dict of str to QualityChart
        By target.
    reasons : dict of str to str
        What was not evaluated, and why.
    false_alarms : float
        Share of such periods in which anything may be reported though nothing changed.
    """

    reference: tuple[str, str, int]
    current: tuple[str, str, int]
    drift: DriftTest
    charts: Mapping[str, QualityChart]
    reasons: Mapping[str, str]
    false_alarms: float

    @property
    def alarms(self) -> tuple[str, ...]:
        """Return a sentence for each alarm."""
        found = [
            f"{row['kind']} {row['column']}: stability index {row['psi']:.3f}, usually {row['psi_usual']:.3f} and below "
            f"{row['psi_high']:.3f} in 95 % of periods (q = {row['q_value']:.2g})"
            for row in self.drift.columns.filter("drifted").iter_rows(named=True)
        ]
        found += [
            f"quality of {target}: daily AUC {chart.recent_mean:.4f} over {chart.n_sessions} sessions, {chart.mean:.4f} out of fold; "
            f"the chart crossed its limit on {chart.first_alarm}"
            for target, chart in self.charts.items()
            if chart.first_alarm is not None
        ]
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            "alarm": bool(self.alarms),
            "alarms": list(self.alarms),
            "reference": dict(zip(("first", "last", "sessions"), self.reference, strict=True)),
            "current": dict(zip(("first", "last", "sessions"), self.current, strict=True)),
            "false_alarms": self.false_alarms,
            "q_level": self.drift.level,
            "p_value": self.drift.p_value,
            "periods": self.drift.n_windows,
            "columns": self.drift.columns.to_dicts(),
            "charts": {target: chart.to_dict() for target, chart in self.charts.items()},
            "reasons": dict(self.reasons),
        }

    def to_text(self) -> str:
        """Return the report for a terminal: verdict first, then what was not evaluated."""
        n = self.drift.columns["p_value"].count()
        lines = [
            (
                f"DRIFT    {'ALARM' if self.alarms else 'none'}: {self.current[2]} sessions {self.current[0]} to {self.current[1]} against "
                f"{self.reference[2]:,} from {self.reference[0]}; {n} columns, at most {self.false_alarms:.0%} false alarms a period; "
                f"p = {self.drift.p_value:.3f} over {self.drift.n_windows} earlier periods"
            )
        ]
        lines += [f"  - {alarm}" for alarm in self.alarms]
        for target, chart in self.charts.items():
            lines.append(
                f"QUALITY  {target}: daily AUC {chart.recent_mean:.4f} over {chart.n_sessions} sessions, out of fold {chart.mean:.4f}; "
                f"chart {chart.value:.2f} of {chart.limit:.2f}, a false alarm every {chart.run_length:,.0f} sessions, "
                f"lost skill seen after {chart.run_length_lost:,.0f}"
            )
        lines += [f"  {what}: {why}" for what, why in self.reasons.items()]
        return "\n".join(lines)

    def to_html(self) -> str:
        """Return the report as one section of a page, without any script."""
        rows = "".join(
            f"<tr class='{'drifted' if row['drifted'] else 'usual'}'><td>{html.escape(row['column'])}</td><td>{row['kind']}</td>"
            + "".join(
                f"<td>{_number(row[name])}</td>" for name in ("psi", "psi_usual", "psi_high", "p_value", "q_value")
            )
            + "</tr>"
            for row in self.drift.columns.head(_SHOWN).iter_rows(named=True)
        )
        head = "".join(
            f"<th>{name}</th>"
            for name in ("column", "kind", "stability index", "usual", "95 % of periods below", "p", "q")
        )
        return (
            f"<section id='monitoring'><h2>Drift</h2><pre>{html.escape(self.to_text())}</pre>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
            f"<p>The {min(_SHOWN, self.drift.columns.height)} most suspicious of {self.drift.columns.height} columns.</p></section>"
        )

    def raise_alarm(self) -> None:
        """Raise when anything is to be reported.

        Raises
        ------
        DriftAlarm
        """
        raise_alarm(self.to_dict())


def raise_alarm(report: Mapping[str, Any]) -> None:
    """Raise when a saved report holds an alarm.

    Parameters
    ----------
    report : mapping
        As `MonitoringReport.to_dict` gave it.

    Raises
    ------
    DriftAlarm
        With every alarm.
    """
    if report["alarm"]:
        raise DriftAlarm(
            what="the newest sessions no longer look like the reference",
            got="; ".join(report["alarms"]),
            allowed=f"what {report['periods']} earlier periods showed, at most {report['false_alarms']:.0%} false alarms a period",
            fix="look at the source of these columns; if the market changed, `kedro retrain`; if the data broke, repair them",
        )


def watch(
    frame: pl.DataFrame,
    *,
    kinds: Mapping[str, str],
    reference: pl.Series,
    current: pl.Series,
    daily_auc: Mapping[str, tuple[pl.DataFrame, pl.DataFrame]],
    reasons: Mapping[str, str],
    monitoring: MonitoringParameters,
) -> MonitoringReport:
    """Compare the newest sessions with the reference and chart the quality of what is served.

    Parameters
    ----------
    frame, kinds, reference, current
        As for `drift_test`.
    daily_auc : mapping of str to two polars.DataFrame
        Target -> `session`, `auc` out of fold, and since the model is served.
    reasons : mapping of str to str
        What is not evaluated, and why.
    monitoring : MonitoringParameters
        `false_alarms` is shared by the columns and the charts.

    Returns
    -------
    MonitoringReport
    """
    budget = monitoring.false_alarms * monitoring.chart_share
    run_length = len(current) * max(1, len(daily_auc)) / budget
    charts = {target: quality_chart(*pair, run_length=run_length) for target, pair in daily_auc.items()}
    drift = drift_test(
        frame,
        kinds=kinds,
        reference=reference,
        current=current,
        monitoring=monitoring,
        false_alarms=monitoring.false_alarms - budget,
    )
    silent = drift.columns.filter(pl.col("p_value").is_null())["column"].to_list()
    why = dict.fromkeys(silent, "no value in the current sessions, or too few earlier periods with values")
    return MonitoringReport(
        reference=(str(reference.min()), str(reference.max()), len(reference)),
        current=(str(current.min()), str(current.max()), len(current)),
        drift=drift,
        charts=charts,
        reasons={**reasons, **why},
        false_alarms=monitoring.false_alarms,
    )


def periods(sessions: pl.Series, certified: pl.Series, *, n: int) -> tuple[pl.Series, pl.Series]:
    """Return the reference and the current sessions.

    Parameters
    ----------
    sessions : polars.Series of Date
        Of the newest data.
    certified : polars.Series of Date
        Of the certified panel, from the end of its warm-up on.
    n : int
        Current sessions: the newest ones, whether they are certified or not.

    Returns
    -------
    reference, current : polars.Series of Date
        Certified sessions before the current ones, and these.

    Examples
    --------
    >>> from datetime import date
    >>> days = pl.Series([date(2024, 1, day) for day in range(1, 11)])
    >>> reference, current = periods(days, days[:8], n=3)
    >>> reference.max(), current.to_list()[0]
    (datetime.date(2024, 1, 7), datetime.date(2024, 1, 8))
    """
    current = sessions.unique().sort().tail(n).alias(SESSION)
    known = certified.unique().sort().alias(SESSION)
    return known.filter(known < current.min()), current


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"

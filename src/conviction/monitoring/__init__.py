"""Whether what is served still looks like what was learnt, and whether it is still right."""

from conviction.monitoring._chart import QualityChart, average_run_length, limit_for, quality_chart
from conviction.monitoring._drift import DriftTest, drift_test
from conviction.monitoring._population import past_indices, session_counts, stability_index
from conviction.monitoring._report import MonitoringReport, periods, raise_alarm, watch
from conviction.monitoring._simulate import stationary_sessions
from conviction.monitoring.parameters import MonitoringParameters

__all__ = [
    "DriftTest",
    "MonitoringParameters",
    "MonitoringReport",
    "QualityChart",
    "average_run_length",
    "drift_test",
    "limit_for",
    "past_indices",
    "periods",
    "quality_chart",
    "raise_alarm",
    "session_counts",
    "stability_index",
    "stationary_sessions",
    "watch",
]

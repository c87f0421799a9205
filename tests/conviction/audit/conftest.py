"""One small audited workspace, made by the real rooms, for the tests of the audit."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import polars as pl
import pytest

from conviction.audit import AuditReport, audit_workspace
from conviction.features import Feature
from conviction.folds import FoldParameters, make_fold_plan
from conviction.labels import make_labels
from conviction.panel import build_panel

FEATURES = (
    Feature("ret_1d", "t", ("close",), 1, "close of t", "one-session return"),
    Feature("mean_20", "t", ("close",), 19, "close of t", "close over its mean of 20 rows"),
    Feature("ewm", "t", ("close",), None, "close of t", "exponential mean"),
    Feature("rank", "t", ("close",), 5, "close of t", "rank of the five-session return within the session"),
)


def build(panel: pl.DataFrame, extra: dict[str, pl.Expr] | None = None) -> pl.DataFrame:
    """Return four honest features, and whatever a test plants."""
    close = pl.col("close")
    return panel.select(
        "symbol",
        "session",
        ret_1d=(close / close.shift(1) - 1).over("symbol").cast(pl.Float32),
        mean_20=(close / close.rolling_mean(20)).over("symbol").cast(pl.Float32),
        ewm=(close / close.ewm_mean(span=10)).over("symbol").cast(pl.Float32),
        rank=(close / close.shift(5)).over("symbol").rank().over("session").cast(pl.Float32),
        **{name: expression.cast(pl.Float32) for name, expression in (extra or {}).items()},
    )


@dataclass(frozen=True)
class Workspace:
    """The four frames and how to audit them."""

    panel: pl.DataFrame
    matrix: pl.DataFrame
    labels: pl.DataFrame
    plan_frame: pl.DataFrame
    planted: dict[str, pl.Expr] = field(default_factory=dict)
    lookbacks: dict[str, int | None] = field(default_factory=dict)

    def with_planted(self, lookback: int | None = None, **planted: pl.Expr) -> Workspace:
        """Return the workspace with planted features, rebuilt by its own code."""
        return replace(
            self,
            matrix=build(self.panel, planted),
            planted=planted,
            lookbacks=dict.fromkeys(planted, lookback),
        )

    @property
    def frames(self) -> dict[str, pl.DataFrame]:
        return {"panel": self.panel, "matrix": self.matrix, "labels": self.labels, "plan_frame": self.plan_frame}

    def audit(self, **options: Any) -> AuditReport:
        """Audit it with the honest parameters unless told otherwise."""
        declared = (
            *FEATURES,
            *(Feature(n, "t", ("close",), k, "close of t", "planted") for n, k in self.lookbacks.items()),
        )
        arguments: dict[str, Any] = {
            "build": lambda panel: build(panel, self.planted),
            "features": declared,
            "calendar": "XNYS",
            "horizon": 1,
            "decision": "close",
            "purge": 1,
            "embargo": 5,
        }
        return audit_workspace(**self.frames, **(arguments | options))


@pytest.fixture(scope="session")
def workspace(embedded_bars: pl.DataFrame) -> Workspace:
    """Return eight real stocks over three years with features, labels and folds."""
    symbols = embedded_bars["symbol"].unique().sort().to_list()[:8]
    bars = embedded_bars.filter(pl.col("symbol").is_in(symbols) & (pl.col("session") >= date(2020, 1, 1)))
    panel = build_panel(bars, calendar="XNYS", decision="close", market=None, vix=None, membership=None)
    labels = make_labels(panel, calendar="XNYS", horizon=1, decision="close")
    folds = FoldParameters(purge=1, embargo=5, holdout_sessions=60, n_folds=3, min_train_sessions=200)
    return Workspace(panel, build(panel), labels, make_fold_plan(labels, folds=folds).frame)

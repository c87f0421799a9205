"""Raw prices to bars, panel, labels, features and folds: one library call a node."""

from __future__ import annotations

from typing import Any

import polars as pl

from conviction.features import FeatureParameters, build_features
from conviction.folds import FoldParameters, FoldPlan, make_fold_plan
from conviction.labels import make_intraday_labels, make_labels
from conviction.market import check_bars, check_intraday_bars, clip_sessions, market_proxy
from conviction.panel import (
    SourceParameters,
    build_intraday_panel,
    build_panel,
    join_histories,
    join_sources,
    select_history,
    source_notes,
    survivorship_note,
)
from conviction_kedro import records, runtime
from conviction_kedro.parameters import DataParameters, Universes
from conviction_kedro.synthetic import refuse_mixing


def make_bars(
    raw_bars: pl.DataFrame,
    renames: pl.DataFrame,
    source: str,
    data: DataParameters,
    universe: str,
    universes: Universes,
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Clip to the span, select the universe, check every row and join the histories of renamed companies."""
    refuse_mixing(raw_bars, source=source)
    chosen = clip_sessions(raw_bars, first=data.first_session, last=data.last_session)
    symbols = universes.symbols(universe)
    chosen = select_history(chosen, symbols, renames, allow_missing=data.allow_missing_symbols)
    if data.bar_minutes is None:
        # A made-up market may lie in any year; prices of a real one that has not been yet cannot be prices.
        today = None if source == "synthetic" else runtime.current().today
        checked = check_bars(chosen, calendar=data.calendar, as_of=today, allow=frozenset(data.quarantine))
    else:
        checked = check_intraday_bars(chosen, calendar=data.calendar, minutes=data.bar_minutes)
    bars = join_histories(checked.bars, symbols, renames, allow_missing=data.allow_missing_symbols)
    return bars, checked.quality.to_dict()


def make_panel(
    bars: pl.DataFrame,
    index_prices: pl.DataFrame,
    vix_prices: pl.DataFrame,
    membership: pl.DataFrame,
    renames: pl.DataFrame,
    news: pl.DataFrame,
    macro_releases: pl.DataFrame,
    events: pl.DataFrame,
    options: pl.DataFrame,
    sectors: pl.DataFrame,
    references: pl.DataFrame,
    data: DataParameters,
    sources: SourceParameters,
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Join what was known at each decision; return the panel and what a reader must know of the data."""
    spells = None if membership.is_empty() else membership
    joined = {"news": news, "macro": macro_releases, "events": events, "options": options}
    joined |= {"sectors": sectors, "references": references}
    if data.bar_minutes is None:
        vix = None if vix_prices.is_empty() else vix_prices
        market = market_proxy(bars, index_prices)
        panel = build_panel(
            bars, calendar=data.calendar, decision=data.decision, market=market, vix=vix, membership=spells
        )
        panel = join_sources(panel, **joined, parameters=sources)
    else:
        panel = build_intraday_panel(bars, membership=spells)
    facts = {
        "survivorship": survivorship_note(spells),
        "decision": data.decision,
        "bar_minutes": data.bar_minutes,
        "symbols": panel["symbol"].unique().sort().to_list(),
        "first_session": panel["session"].min(),
        "last_session": panel["session"].max(),
        "rows": panel.height,
        "sources": source_notes(
            panel, market=index_prices, vix=vix_prices, membership=spells, renames=renames, **joined
        ),
    }
    return panel, facts


def make_label_table(panel: pl.DataFrame, data: DataParameters) -> pl.DataFrame:
    """Return the labels with their spans."""
    if data.bar_minutes is not None:
        return make_intraday_labels(
            panel,
            calendar=data.calendar,
            minutes=data.bar_minutes,
            horizon=data.horizon,
            decision=data.decision,
        )
    return make_labels(panel, calendar=data.calendar, horizon=data.horizon, decision=data.decision)


def make_features(panel: pl.DataFrame, features: FeatureParameters, n_jobs: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the feature matrix and the table of features, made and left out."""
    build = build_features(panel, features=features, n_jobs=n_jobs, observer=runtime.current().observer)
    return build.matrix, records.of_features(build)


def make_folds(labels: pl.DataFrame, folds: FoldParameters) -> FoldPlan:
    """Return the fold plan over sessions with its hold-out."""
    return make_fold_plan(labels, folds=folds)

"""The closed registry of data checks: one line a check, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from conviction.audit._report import Finding
from conviction.audit.data import (
    clusters,
    copies,
    folds,
    full_sample,
    future,
    labels,
    lookahead,
    partial,
    prices,
    rows,
    warmup,
)
from conviction.audit.data._context import Context


@dataclass(frozen=True)
class DataCheck:
    """One check: its name, its family, what it evaluates and the function that yields findings."""

    name: str
    family: str
    unit: str
    run: Callable[[Context], Iterator[Finding]]


DATA_CHECKS: tuple[DataCheck, ...] = (
    DataCheck("rows.keys", "rows", "rows", rows.check_keys),
    DataCheck("rows.calendar", "rows", "sessions", rows.check_calendar),
    DataCheck("rows.alignment", "rows", "symbols", rows.check_alignment),
    DataCheck("rows.clones", "rows", "symbols", rows.check_clones),
    DataCheck("prices.bars", "prices", "rows", prices.check_bars),
    DataCheck("prices.splits", "prices", "symbols", prices.check_splits),
    DataCheck("prices.stale", "prices", "symbols", prices.check_stale),
    DataCheck("labels.recomputed", "labels", "targets", labels.check_targets),
    DataCheck("labels.tail", "labels", "targets", labels.check_tails),
    DataCheck("labels.consistency", "labels", "targets", labels.check_consistency),
    DataCheck("future.recomputed", "future values", "columns", future.match_columns),
    DataCheck("future.deviations", "future values", "columns", future.check_deviations),
    DataCheck("warmup.values", "warm-up", "columns", warmup.check_warmup),
    DataCheck("full_sample.scaling", "full sample", "columns", full_sample.check_scaling),
    DataCheck("full_sample.encoding", "full sample", "columns", full_sample.check_encoding),
    DataCheck("full_sample.imputation", "full sample", "columns", full_sample.check_imputation),
    DataCheck("full_sample.clusters", "full sample", "columns", clusters.check_clusters),
    DataCheck("full_sample.mixtures", "full sample", "columns", clusters.check_mixtures),
    DataCheck("full_sample.projection", "full sample", "columns", full_sample.check_projection),
    DataCheck("copies.association", "copies", "columns", copies.check_association),
    DataCheck("future.countdowns", "future values", "columns", lookahead.check_countdowns),
    DataCheck("copies.hidden", "copies", "columns", copies.check_hidden),
    DataCheck("copies.spread", "copies", "columns", copies.check_spread),
    DataCheck("future.changes", "future values", "columns", lookahead.check_changes),
    DataCheck("partial.symbols", "partial", "columns", partial.check_symbols),
    DataCheck("partial.periods", "partial", "columns", partial.check_periods),
    DataCheck("rows.absent", "rows", "rows", lookahead.check_absent),
    DataCheck("rows.near_duplicates", "rows", "rows", rows.check_near_duplicates),
    DataCheck("rows.order", "rows", "rows", rows.check_order),
    DataCheck("folds.assignment", "folds", "sessions", folds.check_assignment),
    DataCheck("prices.real_data", "prices", "symbols", prices.check_real_data),
)

"""The conformance suite of features: past-only to the last bit, and as far back as they declare."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from conviction.features import FAMILIES, FeatureBuild
from conviction.frames import KEY, SESSION, SYMBOL, check_panel

Build = Callable[[pl.DataFrame], FeatureBuild]
FEATURE_CHECKS = ("shape", "input_unchanged", "same_again", "past_only", "own_symbol", "warm_up", "lookback")

#: Share of its size by which a value may move when a row before its look-back is changed.
TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class _Case:
    build: Build
    panel: pl.DataFrame
    whole: FeatureBuild
    cross_sectional: frozenset[str]


def check_features(
    build: Build,
    panel: pl.DataFrame,
    *,
    cross_sectional: Collection[str] | None = None,
    checks: Sequence[str] = FEATURE_CHECKS,
) -> dict[str, str]:
    """Run the suite on whatever builds a feature matrix.

    - `shape`: the panel's rows and keys, and the declared columns as Float32 without NaN;
    - `input_unchanged`: the panel stays as it was;
    - `same_again`: a second build gives the same bits;
    - `past_only`: cutting off the sessions after t, or changing them, changes no bit up to t;
    - `own_symbol`: dropping the other symbols changes no bit (cross-sectional features excepted);
    - `warm_up`: null while a symbol has fewer earlier rows than the declared look-back;
    - `lookback`: moving the rows before the declared look-back moves no value by more than 1e-6 of the column's size.

    Parameters
    ----------
    build : callable
        From a panel to a `FeatureBuild`, such as ``lambda panel: build_features(panel, features=parameters)``.
    panel : polars.DataFrame
        At least two symbols and, for `lookback`, more sessions than the longest look-back.
    cross_sectional : collection of str, optional
        Features that read other symbols; by default those of families with scope "session".
    checks : sequence of str
        Those to run.

    Returns
    -------
    dict of str to str
        Failed check -> the guilty features; empty when all conform.

    Examples
    --------
    >>> from conviction.features import FeatureParameters, build_features
    >>> from conviction.testing import synthetic_market
    >>> bars = synthetic_market(n_symbols=4, n_sessions=120, seed=1).bars
    >>> parameters = FeatureParameters(sets=(), names=("ret_5d", "rsi_14", "MA20"))
    >>> check_features(lambda panel: build_features(panel, features=parameters), bars)
    {}
    """
    check_panel(panel, name="panel")
    before = panel.clone()
    whole = build(panel)
    if cross_sectional is None:
        known = {name for name, family in FAMILIES.items() if family.scope == "session"}
        cross_sectional = {f.name for f in whole.features if f.family in known}
    case = _Case(build, before, whole, frozenset(cross_sectional))
    failures: dict[str, str] = {}
    if "input_unchanged" in checks and not panel.equals(before):
        failures["input_unchanged"] = "the panel was changed"
    for check in checks:
        if check != "input_unchanged" and (problem := _CHECKS[check](case)):
            failures[check] = problem
    return failures


def _shape(case: _Case) -> str:
    matrix = case.whole.matrix
    names = [feature.name for feature in case.whole.features]
    if not matrix.select(KEY).equals(case.panel.select(KEY)):
        return "the rows are not the panel's"
    if matrix.columns != [*KEY, *names]:
        return f"columns {matrix.columns[2:]} instead of the declared {names}"
    wrong = [name for name in names if matrix.schema[name] != pl.Float32 or matrix[name].is_nan().any()]
    return f"not Float32 with nulls: {wrong}" if wrong else ""


def _same_again(case: _Case) -> str:
    return _differing(case.whole.matrix, case.build(case.panel).matrix, "differ in a second build")


def _past_only(case: _Case) -> str:
    sessions = case.panel[SESSION].unique().sort()
    for share in (0.35, 0.6, 0.85):
        last = sessions[int(share * (len(sessions) - 1))]
        past = pl.col(SESSION) <= last
        wanted = case.whole.matrix.filter(past)
        cut = case.build(case.panel.filter(past)).matrix
        problem = _differing(wanted, cut, f"differ when the sessions after {last} are cut off")
        if problem:
            return problem
        moved = case.build(_moved(case.panel, pl.col(SESSION) > last)).matrix.filter(past)
        problem = _differing(wanted, moved, f"differ when the sessions after {last} are changed")
        if problem:
            return problem
    return ""


def _own_symbol(case: _Case) -> str:
    symbol = case.panel[SYMBOL][-1]
    own = pl.col(SYMBOL) == symbol
    names = [f.name for f in case.whole.features if f.name not in case.cross_sectional]
    alone = case.build(case.panel.filter(own)).matrix.select(*KEY, *names)
    return _differing(case.whole.matrix.filter(own).select(alone.columns), alone, "differ without the other symbols")


def _warm_up(case: _Case) -> str:
    position = pl.int_range(pl.len()).over(SYMBOL)
    early = [
        feature.name
        for feature in case.whole.features
        if feature.lookback and case.whole.matrix.filter(position < feature.lookback)[feature.name].count()
    ]
    return f"{early} have values before their first full window" if early else ""


def _lookback(case: _Case) -> str:
    sessions = case.panel[SESSION].unique().sort()
    deep: list[str] = []
    for reach in sorted({f.lookback for f in case.whole.features if f.lookback is not None}):
        if reach + 1 >= len(sessions):
            continue
        # A symbol that misses sessions reaches further back in days, never less: its own rows decide.
        last_moved = sessions[len(sessions) - 2 - reach]
        moved = case.build(_moved(case.panel, pl.col(SESSION) <= last_moved)).matrix
        rows_between = case.panel.select((pl.col(SESSION) > last_moved).sum().over(SYMBOL)).to_series()
        newest = (pl.int_range(pl.len()).over(SYMBOL) == pl.len().over(SYMBOL) - 1) & (rows_between > reach)
        at = case.panel.select(newest).to_series()
        declared = [feature.name for feature in case.whole.features if feature.lookback == reach]
        deep += [name for name in declared if _moves(case.whole.matrix, moved, name, at)]
    return f"read further back than they declare: {deep}" if deep else ""


def _moves(left: pl.DataFrame, right: pl.DataFrame, name: str, at: pl.Series) -> bool:
    a, b = (frame[name].cast(pl.Float64).fill_null(np.nan).to_numpy() for frame in (left, right))
    scale = float(np.nanmax(np.abs(a), initial=1e-12))
    chosen = at.to_numpy()
    a, b = a[chosen], b[chosen]
    return bool((np.isnan(a) != np.isnan(b)).any() or (np.nan_to_num(np.abs(a - b)) > TOLERANCE * scale).any())


def _moved(panel: pl.DataFrame, rows: pl.Expr) -> pl.DataFrame:
    """Scale every floating column of the chosen rows, each value by a factor of its own."""
    rng = np.random.default_rng(0)
    columns = [name for name, dtype in panel.schema.items() if dtype.is_float()]
    factors = {name: pl.Series(np.exp(rng.normal(0.0, 0.3, panel.height))) for name in columns}
    return panel.with_columns(
        pl.when(rows).then(pl.col(name) * factor).otherwise(pl.col(name)).alias(name)
        for name, factor in factors.items()
    )


def _differing(left: pl.DataFrame, right: pl.DataFrame, what: str) -> str:
    if not left.select(KEY).equals(right.select(KEY)):
        return f"rows {what}"
    guilty = [name for name in left.columns[2:] if not np.array_equal(_bits(left[name]), _bits(right[name]))]
    return f"{guilty} {what}" if guilty else ""


def _bits(column: pl.Series) -> NDArray[np.int32]:
    bits: NDArray[np.int32] = column.fill_null(np.nan).to_numpy().view(np.int32)
    return bits


_CHECKS: dict[str, Callable[[_Case], str]] = {
    "shape": _shape,
    "same_again": _same_again,
    "past_only": _past_only,
    "own_symbol": _own_symbol,
    "warm_up": _warm_up,
    "lookback": _lookback,
}

"""Parameters that may be searched: which there are, how to set them, and which columns they change."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl
from pydantic import ValidationError

from conviction.errors import FrameError, ParameterError
from conviction.features._build import FeatureBuild, build_features, possible_features
from conviction.features._feature import Tunable
from conviction.features._registry import FAMILIES
from conviction.features._sets import select
from conviction.features.parameters import FeatureParameters
from conviction.frames import BAR_END, KEY
from conviction.observer import Observer

_BY_SOURCE = "news.source_weights"


def tunable_parameters(
    features: FeatureParameters, *, columns: Collection[str], sources: Sequence[str] = ()
) -> tuple[Tunable, ...]:
    """Return the parameters whose search could change a column of the matrix.

    Parameters
    ----------
    features : FeatureParameters
        The selection; a parameter none of whose features is selected is left out.
    columns : collection of str
        Columns of the panel; a parameter whose features all lack an input is left out.
    sources : sequence of str
        Values of `news_source` whose weight is searched, each as ``news.source_weights.{source}``.

    Returns
    -------
    tuple of Tunable
        In registry order, with the ranges that the families declare; `features` lists what is selected and can be computed.

    Raises
    ------
    FeatureError
        On an unknown set or feature in the selection.

    Examples
    --------
    >>> chosen = FeatureParameters(sets=(), names=("vix_momentum", "iv_rank"))
    >>> [one.name for one in tunable_parameters(chosen, columns=["close", "vix_close"])]
    ['vix.momentum_window']
    """
    possible = [d.feature for d in select(features)[0] if set(d.feature.inputs) <= {*columns, *KEY}]
    found = []
    for family in FAMILIES.values():
        mine = [feature.name for feature in possible if feature.family == family.name]
        for tunable in family.tunables:
            changed = tuple(name for name in mine if tunable.changes(name))
            if changed and tunable.name == _BY_SOURCE:
                found += [replace(tunable, name=f"{_BY_SOURCE}.{source}", features=changed) for source in sources]
            elif changed:
                found.append(replace(tunable, features=changed))
    return tuple(found)


def with_tuned(features: FeatureParameters, values: Mapping[str, Any]) -> FeatureParameters:
    """Return the parameters with some values replaced, checked as if they had been given so.

    Parameters
    ----------
    features : FeatureParameters
    values : mapping of str to number
        By the names of `tunable_parameters`; a weight of a source leaves the other sources' weights as they are.

    Returns
    -------
    FeatureParameters

    Raises
    ------
    ParameterError
        On a name that no family declares as tunable, or a value outside the field's bounds.

    Examples
    --------
    >>> tuned = with_tuned(FeatureParameters(), {"vix.momentum_window": 10, "news.source_weights.Wire": 2.0})
    >>> tuned.vix.momentum_window, tuned.news.source_weights
    (10, {'Wire': 2.0})
    """
    known = [tunable.name for family in FAMILIES.values() for tunable in family.tunables]
    plain = features.model_dump()
    for name, value in values.items():
        family, _, field = name.partition(".")
        source = name.removeprefix(f"{_BY_SOURCE}.")
        if source != name and source:
            weights = {**plain["news"]["source_weights"], source: value}
            plain["news"] = {**plain["news"], "source_weights": weights}
        elif name in known and name != _BY_SOURCE:
            plain[family] = {**plain[family], field: value}
        else:
            raise ParameterError.from_unknown_name(kind="tunable feature parameter", name=name, known=known)
    try:
        return FeatureParameters.model_validate(plain)
    except ValidationError as error:
        first = error.errors()[0]
        raise ParameterError(
            what=f"features.{'.'.join(str(part) for part in first['loc'])} is out of bounds",
            got=repr(first["input"]),
            allowed=first["msg"],
            fix="narrow the search range, or correct the value",
        ) from None


def affected_features(before: FeatureParameters, after: FeatureParameters) -> tuple[str, ...]:
    """Return the features selected by `after` whose values may differ from those that `before` gave.

    Parameters
    ----------
    before, after : FeatureParameters
        Equal values of a parameter affect nothing; one that its family does not declare as tunable affects the whole family.

    Returns
    -------
    tuple of str
        In registry order. Features that `before` does not select are not among them unless their parameters differ too.

    Examples
    --------
    >>> one = FeatureParameters(sets=(), names=("vix_momentum", "vix_regime", "ret_1d"))
    >>> affected_features(one, with_tuned(one, {"vix.regime_threshold": 25.0}))
    ('vix_regime',)
    """
    chosen = [d.feature for d in select(after)[0]]
    if before.within != after.within:
        return tuple(feature.name for feature in chosen)
    return tuple(f.name for f in chosen if _differs(f.family, f.name, before, after))


def _differs(family: str, feature: str, before: FeatureParameters, after: FeatureParameters) -> bool:
    old, new = getattr(before, family), getattr(after, family)
    declared = {tunable.field: tunable for tunable in FAMILIES[family].tunables}
    changed = [field for field in type(new).model_fields if getattr(old, field) != getattr(new, field)]
    return any(field not in declared or declared[field].changes(feature) for field in changed)


def rebuild_features(
    panel: pl.DataFrame,
    matrix: pl.DataFrame,
    *,
    before: FeatureParameters,
    after: FeatureParameters,
    n_jobs: int = 1,
    observer: Observer | None = None,
) -> FeatureBuild:
    """Build what `after` asks for and compute only the columns that differ: bit for bit `build_features(panel, features=after)`.

    Parameters
    ----------
    panel : polars.DataFrame
        The panel from which `matrix` was built.
    matrix : polars.DataFrame
        Matrix of `build_features(panel, features=before)`.
    before, after : FeatureParameters
    n_jobs, observer
        As for `build_features`.

    Returns
    -------
    FeatureBuild

    Raises
    ------
    FrameError
        If the matrix has other rows than the panel.
    FeatureError
        On an unknown name, or when no selected feature can be computed.

    Examples
    --------
    >>> from datetime import date, timedelta
    >>> days = [date(2020, 1, 1) + timedelta(n) for n in range(3)]
    >>> panel = pl.DataFrame({"symbol": ["A"] * 3, "session": days, "vix_close": [12.0, 22.0, 32.0], "close": [1.0, 1.1, 1.2]})
    >>> before = FeatureParameters(sets=(), names=("vix_regime", "ret_1d"))
    >>> matrix = build_features(panel, features=before).matrix
    >>> after = with_tuned(before, {"vix.regime_threshold": 25.0})
    >>> rebuild_features(panel, matrix, before=before, after=after).matrix["vix_regime"].to_list()
    [0.0, 0.0, 1.0]
    """
    key = [*KEY, BAR_END] if BAR_END in panel.columns else list(KEY)
    if not matrix.select(key).equals(panel.select(key)):
        raise FrameError(
            what="the feature matrix has other rows than the panel",
            got=f"{matrix.height} rows",
            allowed=f"the {panel.height} rows of the panel, in their order",
            fix="give the matrix that was built from this panel",
        )
    chosen, omitted = possible_features(panel, after)
    stale = set(affected_features(before, after))
    needed = [d.feature.name for d in chosen if d.feature.name in stale or d.feature.name not in matrix.columns]
    fresh = matrix.select(key)
    if needed:
        fresh = build_features(panel, features=after, only=needed, n_jobs=n_jobs, observer=observer).matrix
    columns = [(fresh if d.feature.name in needed else matrix)[d.feature.name] for d in chosen]
    return FeatureBuild(
        matrix=panel.select(key).with_columns(columns), features=tuple(d.feature for d in chosen), omitted=omitted
    )

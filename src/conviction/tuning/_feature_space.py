"""The feature library's tunable parameters as a search space, to be searched alone or beside a model's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from conviction.errors import TuningError
from conviction.features import tunable_parameters
from conviction.models import Dimension, SearchSpace
from conviction.oof import FEATURE_PREFIX, TunablePanel

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from conviction.features import FeatureParameters
    from conviction.oof import Audited


def feature_search_space(
    features: FeatureParameters, *, columns: Collection[str], sources: Sequence[str] = ()
) -> SearchSpace:
    """Return the parameters whose search could change a column of the feature matrix, with the ranges that the families declare.

    Parameters
    ----------
    features : FeatureParameters
        The selection of features.
    columns : collection of str
        Columns of the panel.
    sources : sequence of str
        Sources of news whose weights are searched.

    Returns
    -------
    SearchSpace
        Dimensions by the names that `conviction.features.with_tuned` takes. Every feature stays past-only whatever is drawn; what is searched on the
        sessions that are reported on is still luck, so search inside the training sessions.

    Raises
    ------
    FeatureError
        On an unknown set or feature.

    Examples
    --------
    >>> from conviction.features import FeatureParameters
    >>> chosen = FeatureParameters(sets=(), names=("vix_regime",))
    >>> [(one.name, one.low, one.high) for one in feature_search_space(chosen, columns=["close", "vix_close"])]
    [('vix.regime_threshold', 12.0, 40.0)]
    """
    return SearchSpace(
        tuple(
            Dimension(name=one.name, kind=one.kind, low=one.low, high=one.high, log=one.log)
            for one in tunable_parameters(features, columns=columns, sources=sources)
        )
    )


def searched_features(audited: Audited, table: Mapping[str, Mapping[str, Any]]) -> tuple[SearchSpace, dict[str, Any]]:
    """Return the dimensions of the searched feature parameters, and their configured values, under their prefix.

    Both ends of the ranges are tried on the panel first: the configured columns must come out as they were audited,
    and no value may change when later sessions are taken away.

    Parameters
    ----------
    audited : TunablePanel or AuditedPanel
        The latter only with an empty table.
    table : mapping
        `TuningParameters.features`.

    Raises
    ------
    TuningError
        For a panel that cannot be computed anew, an unknown parameter or an impossible range.
    CertificateError, PointInTimeError
        As for `TunablePanel.check_range`.
    """
    if not table:
        return SearchSpace(), {}
    if not isinstance(audited, TunablePanel):
        raise TuningError(
            what="feature parameters cannot be searched on a panel whose columns are finished",
            got=f"tuning.features={sorted(table)} and a {type(audited).__name__}",
            allowed="a TunablePanel",
            fix="pass TunablePanel(audited, panel=..., configured=...), or leave tuning.features empty",
        )
    known = SearchSpace(
        tuple(
            Dimension(name=one.name, kind=one.kind, low=one.low, high=one.high, log=one.log)
            for one in audited.tunables()
        )
    )
    chosen = tuple(known.narrowed(table)[name] for name in table)
    audited.check_range(_ends(chosen, "low"), _ends(chosen, "high"))
    return (
        SearchSpace(tuple(replace(one, name=FEATURE_PREFIX + one.name) for one in chosen)),
        {FEATURE_PREFIX + one.name: audited.value(one.name) for one in chosen},
    )


def _ends(dimensions: tuple[Dimension, ...], end: str) -> dict[str, Any]:
    ends = {}
    for one in dimensions:
        if one.kind == "categorical":
            ends[one.name] = one.choices[0 if end == "low" else -1]
        else:
            ends[one.name] = int(getattr(one, end)) if one.kind == "int" else float(getattr(one, end))
    return ends

"""The feature library's tunable parameters as a search space, to be searched alone or beside a model's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conviction.features import tunable_parameters
from conviction.models import Dimension, SearchSpace

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from conviction.features import FeatureParameters


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

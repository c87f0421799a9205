"""An audited panel whose feature parameters may be chosen fold by fold, like those of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from conviction.errors import CertificateError, ParameterError, PointInTimeError
from conviction.features import (
    FeatureParameters,
    Tunable,
    affected_features,
    build_features,
    tunable_parameters,
    with_tuned,
)
from conviction.frames import SESSION, fingerprint, key_of

if TYPE_CHECKING:
    from conviction.models import ModelParameters
    from conviction.oof._rows import Audited

#: Feature parameters stand beside model parameters under this prefix: ``features.vix.momentum_window``.
FEATURE_PREFIX = "features."
_BY_SOURCE = "news.source_weights"


@dataclass(frozen=True, eq=False)
class TunablePanel:
    """An audited panel that can compute its columns anew with other feature parameters.

    Takes the place of the audited panel in `tune`, `out_of_fold` and `holdout_predictions`.

    Parameters
    ----------
    audited : AuditedPanel
        What passed the audit, with the configured feature parameters.
    panel : polars.DataFrame
        The point-in-time panel behind it.
    configured : FeatureParameters
        The parameters that made the audited features.

    Raises
    ------
    CertificateError
        If the certificate was given for another panel.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from conviction.testing import synthetic_market
    >>> bars = synthetic_market(n_symbols=4, n_sessions=60, seed=0).bars
    >>> features = FeatureParameters(sets=(), names=("vol_ewma",))
    >>> audited = SimpleNamespace(frame=build_features(bars, features=features).matrix, features=("vol_ewma",), targets=())
    >>> tunable = TunablePanel(audited, panel=bars, configured=features)
    >>> name = "volatility.ewma_span"
    >>> other = tunable.variant({name: 2 * tunable.value(name)})
    >>> other.frame["vol_ewma"].equals(audited.frame["vol_ewma"])
    False
    """

    audited: Audited
    panel: pl.DataFrame
    configured: FeatureParameters
    _checked: set[str] = field(default_factory=set, init=False, repr=False)

    def __post_init__(self) -> None:
        certificate = self.certificate
        if certificate is not None and certificate.panel_sha != (found := fingerprint(self.panel)):
            raise CertificateError(
                what="the panel is not the one whose features were audited",
                got=f"panel {found[:12]}",
                allowed=f"panel {certificate.panel_sha[:12]}",
                fix="run `kedro run --pipeline=leakage_audit` on the present panel",
            )

    @property
    def frame(self) -> pl.DataFrame:
        """Key, features as configured, and labels."""
        return self.audited.frame

    @property
    def features(self) -> tuple[str, ...]:
        """Feature columns; their names do not depend on what is tuned."""
        return self.audited.features

    @property
    def targets(self) -> tuple[str, ...]:
        """Label columns."""
        return self.audited.targets

    @property
    def certificate(self) -> Any:
        """Certificate of the audited panel, or None."""
        return getattr(self.audited, "certificate", None)

    def tunables(self) -> tuple[Tunable, ...]:
        """Return the parameters that change a column of this panel."""
        sources = self.panel["news_source"].unique().drop_nulls().sort().to_list() if self._has_sources else []
        found = tunable_parameters(self.configured, columns=self.panel.columns, sources=sources)
        return tuple(one for one in found if set(one.features) & set(self.features))

    @property
    def _has_sources(self) -> bool:
        return self.panel.schema.get("news_source") == pl.String

    def value(self, name: str) -> Any:
        """Return the configured value of a tunable parameter."""
        family, _, field = name.partition(".")
        if name.startswith(f"{_BY_SOURCE}."):
            return self.configured.news.source_weights.get(name.removeprefix(f"{_BY_SOURCE}."), 1.0)
        return getattr(getattr(self.configured, family), field)

    def variant(self, values: Mapping[str, Any]) -> Audited:
        """Return the audited panel with the columns that these feature parameters give.

        Parameters
        ----------
        values : mapping of str to number
            By the names of `tunables`; what is not named stays as configured.

        Raises
        ------
        ParameterError
            For an unknown name or a value out of bounds.
        """
        after = with_tuned(self.configured, values)
        names = [name for name in affected_features(self.configured, after) if name in self.features]
        return _Variant(self, self._replaced(after, names)) if names else self.audited

    def check_range(self, low: Mapping[str, Any], high: Mapping[str, Any]) -> None:
        """Check the ends of a search: the configured columns come out as audited, and no value reads later sessions.

        Parameters
        ----------
        low, high : mapping of str to number
            The values at both ends of every searched feature parameter.

        Raises
        ------
        CertificateError
            If the configured parameters do not give the audited columns.
        PointInTimeError
            If a value changes when the later half of the panel is taken away.
        """
        # Many models are tuned on one panel; the same range is looked at once.
        if (asked := str([low, high])) in self._checked:
            return
        sessions = self.panel[SESSION].unique().sort()
        key = key_of(self.panel)
        cut = self.panel.filter(pl.col(SESSION) <= sessions[len(sessions) // 2])
        for values in (low, high):
            after = with_tuned(self.configured, values)
            names = [name for name in affected_features(self.configured, after) if name in self.features]
            if not names:
                continue
            as_audited = self._replaced(self.configured, names).select(names)
            if not as_audited.equals(self.frame.select(names)):
                raise CertificateError(
                    what="the configured feature parameters do not give the audited columns",
                    got=f"other values in {[n for n in names if not as_audited[n].equals(self.frame[n])][:5]}",
                    allowed="the parameters with which the audited features were built",
                    fix="run the audit again after changing feature parameters",
                )
            whole = build_features(self.panel, features=after, only=names).matrix
            shorter = build_features(cut, features=after, only=names).matrix
            reading = [
                n
                for n in names
                if not whole.join(cut.select(key), on=key, maintain_order="right")[n].equals(shorter[n])
            ]
            if reading:
                raise PointInTimeError(
                    what="a feature reads later sessions at an end of its searched range",
                    got=f"{reading[:5]} with {dict(values)}",
                    allowed="values that stay when later sessions are taken away",
                    fix="narrow tuning.features, or repair the feature",
                )
        self._checked.add(asked)

    def _replaced(self, after: FeatureParameters, names: list[str]) -> pl.DataFrame:
        built = build_features(self.panel, features=after, only=names).matrix
        key = key_of(self.frame)
        if not built.select(key).equals(self.frame.select(key)):
            built = self.frame.select(key).join(built, on=key, how="left", maintain_order="left")
        return self.frame.with_columns(built[name] for name in names)


@dataclass(frozen=True, eq=False)
class _Variant:
    origin: TunablePanel
    frame: pl.DataFrame

    @property
    def features(self) -> tuple[str, ...]:
        return self.origin.features

    @property
    def targets(self) -> tuple[str, ...]:
        return self.origin.targets

    @property
    def certificate(self) -> Any:
        return self.origin.certificate


def split_parameters(
    params: Mapping[str, Any] | ModelParameters | None,
) -> tuple[Mapping[str, Any] | ModelParameters | None, dict[str, Any]]:
    """Return the model's parameters and the feature parameters, the latter without their prefix.

    Examples
    --------
    >>> split_parameters({"C": 0.1, "features.vix.momentum_window": 10})
    ({'C': 0.1}, {'vix.momentum_window': 10})
    """
    if not isinstance(params, Mapping):
        return params, {}
    values = {
        name.removeprefix(FEATURE_PREFIX): value
        for name, value in params.items()
        if isinstance(name, str) and name.startswith(FEATURE_PREFIX)
    }
    if not values:
        return params, values
    return {name: value for name, value in params.items() if not name.startswith(FEATURE_PREFIX)}, values


def with_features(audited: Audited, values: Mapping[str, Any]) -> Audited:
    """Return the audited panel with these feature parameters.

    Raises
    ------
    ParameterError
        If there are any and the panel cannot be computed anew.
    """
    if not values:
        return audited.audited if isinstance(audited, TunablePanel) else audited
    if not isinstance(audited, TunablePanel):
        raise ParameterError(
            what="the parameters hold feature parameters, and this panel cannot compute its columns anew",
            got=sorted(values),
            allowed="a TunablePanel",
            fix="pass TunablePanel(audited, panel=..., configured=...) in place of the audited panel",
        )
    return audited.variant(values)

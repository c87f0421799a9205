"""The audited panel, able to compute its columns anew when feature parameters are searched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conviction.oof import Audited, TunablePanel

if TYPE_CHECKING:
    import polars as pl

    from conviction.audit import AuditedPanel
    from conviction.features import FeatureParameters
    from conviction_kedro.modeling_parameters import ModelingParameters


def searchable(
    audited_panel: AuditedPanel, panel: pl.DataFrame, features: FeatureParameters, modeling: ModelingParameters
) -> Audited:
    """Return the audited panel as it is, or as one whose features follow `modeling.tuning.features`.

    Parameters
    ----------
    audited_panel : conviction.audit.AuditedPanel
    panel : polars.DataFrame
        The point-in-time panel that its features were made of.
    features : FeatureParameters
        As configured, and audited.
    modeling : ModelingParameters

    Raises
    ------
    CertificateError
        If the panel is not the one that the certificate vouches for.
    """
    if not modeling.tuning.features:
        return audited_panel
    return TunablePanel(audited_panel, panel=panel, configured=features)

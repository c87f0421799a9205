"""The feature rows of the newest session, made by the code that made the training rows."""

from __future__ import annotations

from typing import Any

import polars as pl

from conviction.audit import AuditedPanel
from conviction.features import FeatureParameters, build_features
from conviction_kedro.datasets import ServedChampion
from conviction_kedro.parameters import DataParameters
from conviction_kedro.requests import body_of, newest_session, request_of, voucher


def make_request(
    inference_panel: pl.DataFrame,
    audited_panel: AuditedPanel,
    champion: ServedChampion | None,
    features: FeatureParameters,
    data: DataParameters,
    n_jobs: int,
) -> tuple[pl.DataFrame, dict[str, Any], dict[str, Any], str]:
    """Return the newest session's rows, what vouches for them, both as the body of a request, and a sentence."""
    build = build_features(inference_panel, features=features, n_jobs=n_jobs)
    rows = newest_session(build.matrix, inference_panel)
    request, sentence = request_of(rows, inference_panel, voucher(audited_panel, champion), data)
    return rows, request, body_of(rows, request), sentence

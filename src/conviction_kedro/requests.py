"""What a served model is asked: the rows of one whole session and the certificate of the features they are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from conviction.errors import CertificateError, PointInTimeError
from conviction.frames import KEY, SESSION
from conviction_kedro.provenance import FEATURE_ROOMS, code_sha

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conviction.audit import AuditedPanel
    from conviction_kedro.datasets import ServedChampion
    from conviction_kedro.parameters import DataParameters


def newest_session(matrix: pl.DataFrame, panel: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of the last session, of symbols in the universe.

    Parameters
    ----------
    matrix : polars.DataFrame
        Feature matrix of the whole panel.
    panel : polars.DataFrame
        With `in_universe`.

    Returns
    -------
    polars.DataFrame
        One row a symbol, sorted by symbol; known at the decision time of that session.

    Raises
    ------
    PointInTimeError
        If a symbol that traded the session before has no row in the last one: cross-sectional features need all of them.
    """
    members = panel.filter("in_universe")
    sessions = members["session"].unique().sort()
    last = members.filter(pl.col("session") == sessions[-1])
    before = members.filter(pl.col("session") == sessions[-2]) if len(sessions) > 1 else last
    missing = sorted(set(before["symbol"]) - set(last["symbol"]))
    if missing:
        raise PointInTimeError(
            what=f"the newest session {sessions[-1]} is not whole",
            got=f"no row for {missing[:10]}",
            allowed="a row for every symbol of the session before",
            fix="load the missing prices, or end their membership if they were delisted",
        )
    return matrix.join(last.select(KEY), on=list(KEY), how="semi").sort(KEY)


@dataclass(frozen=True)
class Voucher:
    """The certificate that rows must be made under: its hash, the code and the features that it speaks of."""

    sha: str
    code_sha: str
    features: tuple[str, ...]


def voucher(audited: AuditedPanel, champion: ServedChampion | None) -> Voucher:
    """Return the certificate that the champion was fitted under, or that of the audited panel while nothing is served."""
    if champion is None:
        return Voucher(audited.certificate.sha, audited.certificate.code_sha, audited.features)
    contract = champion.model.contract
    return Voucher(contract.certificate_sha, contract.code_sha, contract.features)


def body_of(rows: pl.DataFrame, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON body that MLflow's scoring server takes; a Float32 keeps its value to the last bit.

    Parameters
    ----------
    rows : polars.DataFrame
        Of one whole session.
    request : mapping
        As `request_of` made it.
    """
    plain = rows.with_columns(pl.col(SESSION).cast(pl.String))
    return {
        "dataframe_split": {"columns": plain.columns, "data": [list(row) for row in plain.rows()]},
        "params": {"certificate_sha": request["certificate_sha"]},
    }


def request_of(
    rows: pl.DataFrame, panel: pl.DataFrame, certificate: Voucher, data: DataParameters
) -> tuple[dict[str, Any], str]:
    """Return what vouches for the rows of a request, and a sentence.

    Raises
    ------
    CertificateError
        If other code or other features made these rows than those that were audited.
    """
    code, features = code_sha(FEATURE_ROOMS), tuple(name for name in rows.columns if name not in KEY)
    if code != certificate.code_sha or features != certificate.features:
        raise CertificateError(
            what="the rows of the newest session are not made as the audited ones were",
            got=f"code {code[:12]}, {len(features)} features",
            allowed=f"code {certificate.code_sha[:12]}, {len(certificate.features)} features of the certificate",
            fix="kedro run --pipelines=data_engineering,leakage_audit with this code, then train on it",
        )
    session = rows["session"][0]
    decision_at = panel.filter(pl.col("session") == session)["decision_at"][0]
    request = {
        "certificate_sha": certificate.sha,
        "session": session,
        "decision_at": decision_at,
        "decision": data.decision,
        "symbols": rows["symbol"].to_list(),
        "features": list(features),
    }
    sentence = (
        f"REQUEST  session {session}, {rows.height} symbols, {len(features)} features, decision at {decision_at:%Y-%m-%d %H:%M} UTC, "
        f"certificate {certificate.sha[:12]}"
    )
    return request, sentence

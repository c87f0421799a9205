"""Lead-lag profiles: how a column goes with the return of each session from 20 before to 20 after its own."""

from __future__ import annotations

import numpy as np

from conviction.audit._report import Finding, LeadLagProfile
from conviction.audit.data._association import is_shared, newey_west, pooled_ranks, standard
from conviction.audit.data._context import Context, SkipCheckError
from conviction.audit.data._panel import Array, ahead, session_mean

LAGS = tuple(range(-20, 21))
MOST = 24


def lead_lag_profiles(ctx: Context, findings: list[Finding]) -> tuple[LeadLagProfile, ...]:
    """Return the profiles of the columns that were accused, then of those that only statistics could judge.

    The band is simultaneous over lags and columns (a Bonferroni bound on clustered standard errors).
    """
    try:
        ahead_one = ctx.next_return
    except SkipCheckError:
        return ()
    accused = [c for f in findings if f.severity != "info" for c in f.columns]
    unproved = [c for c in ctx.table.features if not ctx.proved_causal(c)]
    names = [c for c in dict.fromkeys((*accused, *unproved)) if c in ctx.table.features][:MOST]
    if not names or len(ahead_one) < 60:
        return ()
    own = ahead(ahead_one, -1)
    wide = own.shape[1] > 3
    moves = own - session_mean(own) if wide else own
    score = standard(pooled_ranks(moves), 1 if wide else 0)
    market = standard(pooled_ranks(session_mean(own)), 0)
    z = float(np.sqrt(2 * np.log(len(LAGS) * max(len(names), 1))) + 1)
    return tuple(_profile(ctx.panel.column(n), n, score, market, wide=wide, z=z) for n in names)


def _profile(column: Array, name: str, score: Array, market: Array, *, wide: bool, z: float) -> LeadLagProfile:
    shared = is_shared(column)
    if shared:
        own, other, measure = (
            standard(pooled_ranks(session_mean(column)), 0),
            market,
            "rank correlation with the market",
        )
    else:
        own, other = standard(pooled_ranks(column), 1 if wide else 0), score
        measure = "mean daily rank correlation" if wide else "mean rank correlation within symbols"
    values, band = [], []
    for lag in LAGS:
        product = own * ahead(other, lag)
        used = (own != 0) & np.isfinite(product) & (product != 0)
        count = used.sum(axis=1)
        series = np.where(count > 0, np.where(used, product, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)
        mean, error, _ = newey_west(series)
        values.append(round(mean, 5))
        band.append(round(z * error, 5) if np.isfinite(error) else float("nan"))
    return LeadLagProfile(column=name, lags=LAGS, values=tuple(values), band=tuple(band), measure=measure)

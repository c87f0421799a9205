"""Clusters and mixtures fitted on the whole history: what their own moments give back is a fixed point over all rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from conviction.audit._report import Finding
from conviction.audit.data._context import Context
from conviction.audit.data._panel import Array, ahead, session_mean

_MOST_CLASSES = 12
_MOST_COLUMNS = 6
_AGREE = 0.998
_MIXTURE = 0.01


def check_clusters(ctx: Context) -> Iterator[Finding]:
    """Look for columns that k-means over all rows gives from other columns.

    K-means ends where every row is nearest to the mean of its own class (Lloyd 1982). A column of classes that is such
    a fixed point *over all rows of the file*, in columns beside it, was fitted on all of them: centres from earlier rows
    are not the means of all rows, and thresholds are no midpoints.
    """
    names = [n for n in ctx.table.features if n not in ctx.table.texts]
    numeric: dict[str, Array] = {}
    for name in names:
        column = ctx.panel.column(name)
        if name in ctx.accused or ctx.proved_causal(name):
            continue
        good = column[np.isfinite(column)]
        values = np.unique(good[:3000])
        if not 3 <= len(values) <= _MOST_CLASSES or len(np.unique(good)) > _MOST_CLASSES or len(good) < 500:
            continue
        if not numeric:
            numeric = _numeric(ctx, names)
        found = _fixed_point(column, {n: x for n, x in numeric.items() if n != name})
        if found is not None:
            by, share = found
            yield ctx.accuse(
                "full_sample.clusters",
                columns=(name,),
                evidence={"classes": len(values), "rows_nearest_to_own_mean": share, "by": ", ".join(by)},
                explanation=(
                    f"{name} divides the rows exactly by the nearest mean of its own classes in {', '.join(by)}: "
                    "clusters fitted on the whole history."
                ),
                remedy="Fit the clusters on the training sessions of each fold.",
            )


def check_mixtures(ctx: Context) -> Iterator[Finding]:
    """Look for probabilities of a class of a mixture of two normal laws fitted on all rows.

    The expectation-maximisation of a mixture ends where the class's own weight, mean and variance give back its
    probabilities (Dempster, Laird and Rubin 1977): a fixed point *over all rows of the file* was fitted on all of them.
    """
    numeric: dict[str, Array] = {}
    for name in ctx.table.features:
        if name in ctx.accused or ctx.proved_causal(name) or name in ctx.table.texts:
            continue
        column = ctx.panel.column(name)
        good = column[np.isfinite(column)]
        if len(good) < 200 or good.min() < 0 or good.max() > 1 or np.ptp(good) < 0.5 or len(np.unique(good)) < 100:
            continue
        if not numeric:
            numeric = _numeric(ctx, list(ctx.table.features))
            close = ctx.panel.price("close")
            if close is not None:
                numeric |= {"the return": close / ahead(close, -1) - 1, "the market's return": _market(ctx)}
        for by, values in numeric.items():
            off = _from_mixture(column, values) if by != name else np.inf
            if off < _MIXTURE:
                yield ctx.accuse(
                    "full_sample.mixtures",
                    columns=(name,),
                    evidence={"root_mean_square_difference": off, "by": by},
                    explanation=(
                        f"{name} is the probability of a class of {by} whose weights, means and variances are those of "
                        "all rows: a mixture fitted on the whole history."
                    ),
                    remedy="Fit the mixture on the training sessions of each fold.",
                )
                break


def _market(ctx: Context) -> Array:
    assert ctx.library is not None or ctx.panel.price("close") is not None  # noqa: S101
    moves = ctx.close / ahead(ctx.close, -1) - 1
    market = session_mean(moves) if ctx.library is None else ctx.library.market.reshape(len(moves), -1)[:, :1]
    return np.asarray(np.broadcast_to(market, moves.shape))


def _from_mixture(column: Array, values: Array) -> float:
    """Return the root mean square difference of a column from the posterior that its own moments give."""
    good = np.isfinite(column) & np.isfinite(values)
    if good.sum() < 0.9 * np.isfinite(column).sum():
        return float("inf")
    p, x = column[good], values[good]
    logs = []
    for weight in (p, 1 - p):
        total = float(weight.sum())
        mean = float(weight @ x) / total
        variance = float(weight @ (x - mean) ** 2) / total
        if not (total > 0 and variance > 0):
            return float("inf")
        logs.append(np.log(total) - 0.5 * np.log(variance) - 0.5 * (x - mean) ** 2 / variance)
    posterior = 1 / (1 + np.exp(np.clip(logs[1] - logs[0], -700, 700)))
    return float(np.sqrt(np.mean((posterior - p) ** 2)))


def _numeric(ctx: Context, names: list[str]) -> dict[str, Array]:
    out = {}
    for name in names:
        column = ctx.panel.column(name)
        if len(np.unique(column[np.isfinite(column)][:3000])) > 50:
            out[name] = column
    return out


def _fixed_point(column: Array, numeric: dict[str, Array]) -> tuple[tuple[str, ...], float] | None:
    rows = np.flatnonzero(np.isfinite(column).ravel())
    label = np.unique(column.ravel()[rows], return_inverse=True)[1]
    classes = int(label.max()) + 1
    strength = {}
    for name, values in numeric.items():
        x = values.ravel()[rows]
        if np.isfinite(x).mean() < 0.9:
            continue
        good = np.isfinite(x)
        count = np.maximum(np.bincount(label[good], minlength=classes), 1)
        mean = np.bincount(label[good], weights=x[good], minlength=classes) / count
        total = float(((x[good] - x[good].mean()) ** 2).sum())
        strength[name] = float((count * (mean - x[good].mean()) ** 2).sum()) / max(total, 1e-300)
    order = sorted(strength, key=lambda n: -strength[n])[:10]
    chosen: list[str] = []
    best = 0.0
    while len(chosen) < _MOST_COLUMNS:
        tried = [(_agreement(numeric, [*chosen, n], rows, label, classes), n) for n in order if n not in chosen]
        if not tried:
            break
        share, name = max(tried)
        if share <= best + 1e-4:
            break
        best, chosen = share, [*chosen, name]
        if len(chosen) >= 2 and best >= _AGREE:
            return tuple(chosen), best
    return None


def _agreement(numeric: dict[str, Array], names: list[str], rows: Array, label: Array, classes: int) -> float:
    """Return the share of rows that are nearest to the mean of their own class, columns scaled over all rows."""
    x = np.stack([numeric[n].ravel()[rows] for n in names], axis=1)
    good = np.isfinite(x).all(axis=1)
    x, own = x[good], label[good]
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    count = np.maximum(np.bincount(own, minlength=classes), 1)
    means = np.stack([np.bincount(own, weights=c, minlength=classes) / count for c in x.T], axis=1)
    distance = ((x**2).sum(axis=1, keepdims=True)) - 2 * x @ means.T + (means**2).sum(axis=1)
    return float((np.argmin(distance, axis=1) == own).mean())

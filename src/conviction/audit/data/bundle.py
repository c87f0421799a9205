"""The bundle for training jobs: three parts without header, names beside them, often without keys."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from conviction.audit._report import AuditReport, CheckRun, DatasetFacts, Finding
from conviction.audit.data._association import newey_west, pooled_ranks, standard
from conviction.audit.data._numbers import tidy
from conviction.audit.data._panel import Array
from conviction.errors import AuditError
from conviction.frames import fingerprint
from conviction.market import calendar_frame

PARTS = ("train", "validation", "test")
_BLOCK = 250  # rows without keys are grouped by place: neighbours in the file are neighbours in time
_BOUND = 0.13
_MODEL_BOUND = 0.62


@dataclass(frozen=True)
class _Bundle:
    names: tuple[str, ...]
    target: str
    x: Array
    y: Array
    part: Array
    session: Array
    keys: pl.DataFrame | None
    horizon: int


def audit_bundle(
    parts: Mapping[str, pl.DataFrame],
    *,
    features: Sequence[str],
    target: str,
    keys: Mapping[str, pl.DataFrame] | None = None,
    horizon: int = 1,
    name: str = "",
) -> AuditReport:
    """Audit a bundle for training jobs: what was fitted on all parts, copies of the target, rows on both sides.

    Parameters
    ----------
    parts : mapping of str to polars.DataFrame
        ``train``, ``validation``, ``test``: the target first, then the features, numbers only; null and NaN are missing.
    features : sequence of str
        Names of the columns after the target.
    target : str
        Name of the target.
    keys : mapping of str to polars.DataFrame, optional
        ``symbol, session`` of each part's rows. Without them rows are grouped by their place in the file.
    horizon : int
        Sessions of the label.
    name : str
        What the report calls the bundle.

    Returns
    -------
    AuditReport

    Raises
    ------
    AuditError
        If parts are missing or empty, differ in width from the names, or hold text.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> parts = {p: pl.DataFrame(rng.normal(size=(400, 3)), schema=["y", "a", "b"]) for p in PARTS}
    >>> parts = {p: f.with_columns(y=(pl.col("a") > 0).cast(pl.Float64)) for p, f in parts.items()}
    >>> audit_bundle(parts, features=["a", "b"], target="y").guilty_columns
    ('a',)
    """
    bundle = _read(parts, features=features, target=target, keys=keys, horizon=horizon)
    findings: list[Finding] = []
    runs: list[CheckRun] = []
    for check, unit, run in _CHECKS:
        started = time.perf_counter()
        with np.errstate(all="ignore"):
            findings += list(run(bundle, {c for f in findings for c in f.columns if f.severity == "error"}))
        evaluated = len(bundle.y) if unit == "rows" else len(bundle.names)
        seconds = round(time.perf_counter() - started, 4)
        runs.append(CheckRun(name=check, evaluated=evaluated, unit=unit, seconds=seconds))
    days = None if bundle.keys is None else bundle.keys["session"]
    facts = DatasetFacts(
        fingerprint=fingerprint(pl.concat([parts[p].select(pl.all().cast(pl.Float64)) for p in PARTS])),
        rows=len(bundle.y),
        symbols=0 if bundle.keys is None else bundle.keys["symbol"].n_unique(),
        first_session=None if days is None else str(days.min()),
        last_session=None if days is None else str(days.max()),
        columns=len(bundle.names) + 1,
        name=name,
    )
    return AuditReport(dataset=facts, checks=tuple(runs), findings=tuple(findings))


def _read(
    parts: Mapping[str, pl.DataFrame],
    *,
    features: Sequence[str],
    target: str,
    keys: Mapping[str, pl.DataFrame] | None,
    horizon: int,
) -> _Bundle:
    missing = [p for p in PARTS if p not in parts or parts[p].is_empty()]
    if missing:
        raise AuditError(
            what="parts of the bundle are missing or empty",
            got=missing,
            allowed=", ".join(PARTS),
            fix="write all three",
        )
    for part in PARTS:
        frame = parts[part]
        if frame.width != len(features) + 1:
            raise AuditError(
                what=f"the width of {part} differs from the names",
                got=frame.width,
                allowed=f"{len(features) + 1}: the target and each named feature",
                fix="write parts and names together",
            )
        words = [i for i, t in enumerate(frame.dtypes) if not (t.is_numeric() or t in (pl.Null, pl.Boolean))]
        if words:
            got = f"column {words[0] + 1} begins with {frame[frame.columns[words[0]]][0]!r}"
            raise AuditError(
                what=f"{part} holds text",
                got=got,
                allowed="numbers without a header line",
                fix="write it without header",
            )
    matrix = [parts[p].select(pl.all().cast(pl.Float64).fill_null(float("nan"))).to_numpy() for p in PARTS]
    whole = np.concatenate(matrix)
    if not np.isfinite(whole[:, 0]).any() or np.nanmin(whole[:, 0]) == np.nanmax(whole[:, 0]):
        raise AuditError(
            what="the first column is constant or empty", got=target, allowed="the target", fix="put the target first"
        )
    side = np.repeat(np.arange(3), [len(m) for m in matrix])
    given = None
    session = np.arange(len(whole)) // _BLOCK
    if keys is not None:
        given = pl.concat([keys[p].select("symbol", "session") for p in PARTS])
        if given.height != len(whole):
            raise AuditError(
                what="keys and rows differ in number", got=given.height, allowed=len(whole), fix="write one key a row"
            )
        days = np.union1d(calendar_frame("XNYS")["session"].to_numpy(), given["session"].to_numpy())
        session = np.searchsorted(days, given["session"].to_numpy())
        session = session - session.min()
    return _Bundle(tuple(features), target, whole[:, 1:], whole[:, 0], side, session, given, horizon)


def _accuse(check: str, columns: tuple[str, ...], evidence: dict[str, Any], explanation: str, remedy: str) -> Finding:
    plain = {key: tidy(value) for key, value in evidence.items()}
    return Finding(
        check=check, severity="error", columns=columns, evidence=plain, explanation=explanation, remedy=remedy
    )


def _scaled(bundle: _Bundle, accused: set[str]) -> Iterator[Finding]:
    """Look for scaling that fits all parts together exactly and the training part not: it was fitted on the test."""
    del accused
    train = bundle.part == 0
    remedy = "Fit the scaler on the training part, and apply it to the others."
    for i, name in enumerate(bundle.names):
        x = bundle.x[:, i]
        whole, own = x[np.isfinite(x)], x[np.isfinite(x) & train]
        if len(own) < 30 or len(np.unique(whole[:5000])) < 3:
            continue
        n = len(whole)
        unit = min(abs(whole.std() - 1), abs(whole.std() * np.sqrt(n / (n - 1)) - 1))
        if abs(whole.mean()) < 1e-6 and unit < 1e-6 and abs(own.mean()) > 1e-5:
            text = "mean 0 and standard deviation 1 over all three parts"
            yield _accuse(
                "bundle.scaling",
                (name,),
                {"mean": whole.mean(), "mean_of_training": own.mean()},
                f"{name} has {text}, and not over the training part: its scaler saw the test.",
                remedy,
            )
            continue
        for low, high in ((0.0, 1.0), (-1.0, 1.0)):
            ends = abs(whole.min() - low) < 1e-9 and abs(whole.max() - high) < 1e-9
            inside = own.min() > low + 1e-9 or own.max() < high - 1e-9
            once = min((whole == whole.min()).sum(), (whole == whole.max()).sum()) <= 2
            if ends and inside and once and len(np.unique(whole)) > 50:
                yield _accuse(
                    "bundle.scaling",
                    (name,),
                    {"training_minimum": own.min(), "training_maximum": own.max()},
                    f"{name} spans exactly {low:g} to {high:g} over all parts, and less over the training part: "
                    "its scaler saw the test.",
                    remedy,
                )
                break


def _by_session(bundle: _Bundle, values: Array) -> tuple[float, float, int]:
    """Return the mean rank association of values with the target, its standard error over sessions, and sessions."""
    a = standard(pooled_ranks(values)[:, None], 0)[:, 0]
    b = standard(pooled_ranks(bundle.y)[:, None], 0)[:, 0]
    both = (a != 0) & (b != 0)
    count = np.bincount(bundle.session, weights=both)
    total = np.bincount(bundle.session, weights=np.where(both, a * b, 0.0))
    some = count > 0
    weight = count[some] / count[some].mean()
    mean, error, n = newey_west(total[some] / count[some] * weight, bundle.horizon)
    return mean, error, n


def _associated(bundle: _Bundle, accused: set[str]) -> Iterator[Finding]:
    """Ask each column, its distance from its middle and its gaps whether they tell the target."""
    for i, name in enumerate(bundle.names):
        if name in accused:
            continue
        x = bundle.x[:, i]
        gone = np.isnan(x)
        views = [("", x), ("the distance from its middle of ", np.abs(x - np.nanmedian(x)))]
        if 20 < gone.sum() < len(x) - 20:
            views.append(("the missingness of ", gone.astype(float)))
        for label, values in views:
            mean, error, n = _by_session(bundle, values)
            if np.isfinite(mean) and abs(mean) - 4 * error > _BOUND:
                yield _accuse(
                    "bundle.association",
                    (name,),
                    {"association": mean, "standard_error": error, "groups": n},
                    f"{label}{name} goes with {bundle.target} (rank correlation {mean:+.2f}): no honest column does.",
                    "Find out from when the column is, and drop it unless it was known before the label.",
                )
                break


def _copied(bundle: _Bundle, accused: set[str]) -> Iterator[Finding]:
    """Look for rows that stand in more than one part, exactly or but for a little noise."""
    from scipy.spatial import cKDTree

    del accused
    moving = [i for i in range(bundle.x.shape[1]) if len(np.unique(bundle.x[:3000, i])) > 20]
    if len(moving) < 3:
        return
    scores = standard(np.stack([pooled_ranks(bundle.x[:, i]) for i in moving], axis=1), 0).astype(np.float32)
    low = scores @ np.random.default_rng(7).standard_normal((scores.shape[1], 6)).astype(np.float32)
    train = np.flatnonzero(bundle.part == 0)
    others = np.flatnonzero(bundle.part > 0)
    _, near = cKDTree(low[train]).query(low[others], k=1, workers=1)
    apart = np.sqrt(((scores[others] - scores[train[near]]) ** 2).mean(axis=1))
    typical = float(np.median(apart))
    copies = apart < 0.05 * typical
    if copies.sum() >= 3:
        yield _accuse(
            "bundle.copies",
            (),
            {"rows": int(copies.sum()), "typical_distance": typical},
            f"{int(copies.sum())} rows of validation or test stand in the training part too, but for noise.",
            "Split by session, and remove copies before.",
        )


def _spread(bundle: _Bundle, accused: set[str]) -> Iterator[Finding]:
    """Fit a line on the training part: where it tells the target of the others too well, its columns share a leak."""
    use = [i for i, n in enumerate(bundle.names) if n not in accused and np.nanstd(bundle.x[:, i]) > 0]
    if len(use) < 2:
        return
    x = bundle.x[:, use]
    train = bundle.part == 0
    middle = np.nanmedian(x[train], axis=0)
    x = np.where(np.isfinite(x), x, middle) - middle
    spread = x[train].std(axis=0)
    x = np.clip(x / np.where(spread > 0, spread, 1.0), -8, 8)
    good = train & np.isfinite(bundle.y)
    gram = x[good].T @ x[good] + 1e-3 * good.sum() * 1e-3 * np.eye(len(use))
    weights = np.linalg.solve(gram, x[good].T @ (bundle.y[good] - bundle.y[good].mean()))
    score = np.where(train, np.nan, x @ weights)
    mean, error, n = _by_session(bundle, score)
    # A rank correlation r with a balanced label is an area under the curve of 0.5 + r / sqrt(3).
    area = 0.5 + abs(mean) / np.sqrt(3)
    if n >= 3 and area - 4 * error / np.sqrt(3) > _MODEL_BOUND:
        order = np.argsort(-np.abs(weights))[:3]
        columns = tuple(bundle.names[use[i]] for i in order)
        yield _accuse(
            "bundle.spread",
            columns,
            {"area_under_the_curve": area, "groups": n},
            f"A line through the features tells {bundle.target} of validation and test (area {area:.2f}); "
            f"{', '.join(columns)} weigh most.",
            "Look for the target in the sum of these columns.",
        )


def _in_time(bundle: _Bundle, accused: set[str]) -> Iterator[Finding]:
    """Compare the sessions of the parts, where keys are given: order, shared sessions, and the span of the label."""
    del accused
    if bundle.keys is None:
        return
    spans = [np.unique(bundle.session[bundle.part == p]) for p in range(3)]
    for a, b in ((0, 1), (1, 2), (0, 2)):
        gap = int(spans[b].min() - spans[a].max()) - 1
        if gap < 0 or (a == 0 and gap < bundle.horizon - 1):
            yield _accuse(
                "bundle.time",
                (),
                {"sessions_between": gap, "horizon": bundle.horizon},
                f"{PARTS[b]} begins {gap} session(s) after {PARTS[a]} ends: labels of {bundle.horizon} session(s) overlap.",
                "Write the parts in time order, with a purge of the label's span between them.",
            )


_CHECKS: tuple[tuple[str, str, Callable[[_Bundle, set[str]], Iterator[Finding]]], ...] = (
    ("bundle.scaling", "columns", _scaled),
    ("bundle.association", "columns", _associated),
    ("bundle.copies", "rows", _copied),
    ("bundle.spread", "columns", _spread),
    ("bundle.time", "rows", _in_time),
)

"""Statistics on the columns that recomputation could not clear: copies of the target, and too much future in a profile."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from conviction.audit._report import Finding, LeadLagProfile
from conviction.frames import key_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

#: No honest daily feature correlates more than this with the next session's returns (honest ones reach about 0.05).
ERROR_LEVEL: Final = 0.1
#: Below this a profile says nothing; between the two a column must prove its provenance.
WARNING_LEVEL: Final = 0.02
_COPY: Final = 0.999
_RETURN = re.compile(r"^target_\d+(d|min)$")


def copy_findings(
    columns: Mapping[str, NDArray[np.floating[Any]]], panel: pl.DataFrame, labels: pl.DataFrame
) -> list[Finding]:
    """Return the columns that are a target, or a linear or monotone transform of one.

    Parameters
    ----------
    columns : mapping of str to numpy.ndarray, shape (rows,)
        Suspects on the panel's rows, NaN for missing.
    panel, labels : polars.DataFrame
        The rows, and the labels.
    """
    joined = panel.select(key_of(panel)).join(labels, on=list(key_of(panel)), how="left", maintain_order="left")
    targets = [c for c in labels.columns if _RETURN.match(c) or c in ("direction", "relative")]
    known = {c: joined[c].cast(pl.Float64).fill_null(float("nan")).to_numpy() for c in targets}
    findings = []
    for name, values in columns.items():
        best = max(((_association(values, target), c) for c, target in known.items()), default=(0.0, ""))
        if best[0] >= _COPY:
            findings.append(
                Finding(
                    check="target_copy",
                    severity="error",
                    columns=(name,),
                    evidence={"target": best[1], "association": best[0]},
                    explanation=f"{name} is {best[1]} or a transform of it.",
                    remedy="drop it from the features.",
                )
            )
    return findings


def _association(values: NDArray[np.floating[Any]], target: NDArray[np.float64]) -> float:
    from scipy.stats import rankdata

    both = np.isfinite(values) & np.isfinite(target)
    if both.sum() < 30:
        return 0.0
    a, b = values[both].astype(np.float64), target[both]
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    linear = abs(float(np.corrcoef(a, b)[0, 1]))
    monotone = abs(float(np.corrcoef(rankdata(a), rankdata(b))[0, 1]))
    return max(linear, monotone)


def profile_findings(profiles: Sequence[LeadLagProfile], *, horizon: int) -> list[Finding]:
    """Return errors and warnings for profiles that stand out of their band at the label's own lags (1 to `horizon`)."""
    findings = []
    for profile in profiles:
        ahead = [
            (abs(value), lag, value, band)
            for lag, value, band in zip(profile.lags, profile.values, profile.band, strict=True)
            if 1 <= lag <= horizon and np.isfinite(value) and abs(value) > band
        ]
        size, lag, value, band = max(ahead, default=(0.0, 0, 0.0, 0.0))
        if size < WARNING_LEVEL:
            continue
        error = size > ERROR_LEVEL
        findings.append(
            Finding(
                check="lead_lag",
                severity="error" if error else "warning",
                columns=(profile.column,),
                evidence={"lag": lag, "value": value, "band": band},
                explanation=f"{profile.column} has a {profile.measure} of {value:.3f} with the return {lag} ahead; no honest "
                f"daily feature exceeds {ERROR_LEVEL}."
                if error
                else f"{profile.column} has a {profile.measure} of {value:.3f} with the return {lag} ahead.",
                remedy="find out when its values became known; drop it until then."
                if error
                else "prove its provenance.",
            )
        )
    return findings

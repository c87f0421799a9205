"""Small facts about numbers: how they are rounded, how they are written."""

from __future__ import annotations

import numpy as np

from conviction.audit.data._panel import Array

#: Median deviation, in standard deviations, up to which a column counts as equal to a definition; prices with few
#: decimals need the coarse one.
FINE, COARSE = 4e-3, 2e-2


def tidy(value: float | int | str | None) -> float | int | str | None:
    """Return plain Python numbers with six significant digits; NaN and infinity become None."""
    if isinstance(value, (bool, np.bool_)):
        return int(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(f"{float(value):.6g}") if np.isfinite(value) else None
    return value


def decimals(values: Array, *, most: int = 8) -> int | None:
    """Return how many decimals the values carry, None when more than `most`."""
    good = values[np.isfinite(values)]
    good = good[:: max(1, len(good) // 5000)]
    if not len(good):
        return None
    for places in range(most + 1):
        scaled = good * 10.0**places
        if np.all(np.abs(scaled - np.round(scaled)) <= 1e-6 + 4e-16 * np.abs(scaled) * 100):
            return places
    return None


def is_binary(values: Array) -> bool:
    """Whether the finite values are two numbers at most, such as 0 and 1 or -1 and 1."""
    good = values[np.isfinite(values)]
    return len(good) > 0 and len(np.unique(good[:2000])) <= 2 and len(np.unique(good)) <= 2

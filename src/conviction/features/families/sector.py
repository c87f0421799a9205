"""A stock against its sector in its session; `sector` is a text column, null where unknown."""

from __future__ import annotations

import numpy as np
import polars as pl

from conviction.features._feature import AT_DECISION, Definition, Family, FamilyParameters, Feature
from conviction.features._rows import Rows
from conviction.features._sections import Codes, demean
from conviction.features._windows import Windows


class SectorParameters(FamilyParameters):
    """Windows of the sector family.

    Parameters
    ----------
    windows : tuple of int
        Windows of `sector_resid_ret_{w}d`.
    """

    windows: Windows = (1, 5, 20)


def define(parameters: SectorParameters) -> list[Definition]:
    """Define the sector features."""
    return [_residual(window) for window in parameters.windows]


def _residual(window: int) -> Definition:
    text = f"ret_{window}d minus the mean of the session's members of the same sector"
    return Definition(
        Feature(f"sector_resid_ret_{window}d", "sector", ("close", "sector"), window, AT_DECISION, text),
        lambda rows: demean(rows, rows.returns(window), _sectors(rows)),
    )


def _sectors(rows: Rows) -> Codes:
    def make() -> Codes:
        known = rows.series("sector").is_not_null().to_numpy()
        sector = rows.series("sector").rank("dense").fill_null(0).cast(pl.Int64).to_numpy()
        codes = rows.session_codes() * (int(sector.max(initial=0)) + 1) + sector
        return np.where(known, codes, -1)

    return rows.remember("sectors", make)


FAMILY = Family("sector", "session", define)

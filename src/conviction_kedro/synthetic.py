"""Made-up prices never mix with real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conviction.errors import BarsError
from conviction.testing import is_synthetic

if TYPE_CHECKING:
    import polars as pl


def refuse_mixing(raw_bars: pl.DataFrame, *, source: str) -> None:
    """Raise when synthetic prices come to a real run, or real prices to one that calls itself synthetic.

    Parameters
    ----------
    raw_bars : polars.DataFrame
        With `symbol`.
    source : str
        The parameter `source`.

    Raises
    ------
    BarsError
        When the two disagree.
    """
    made_up = is_synthetic(raw_bars)
    if made_up == (source == "synthetic"):
        return
    raise BarsError(
        what="synthetic prices in a real run" if made_up else "real prices in a run that calls itself synthetic",
        got=f"source={source!r}, symbols such as {raw_bars['symbol'].unique().sort().head(3).to_list()}",
        allowed="synthetic prices only with --env=synthetic, real prices only without",
        fix="take the right --env, or correct the parameter `source`",
    )

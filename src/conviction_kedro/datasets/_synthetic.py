"""The synthetic market as a source, for controls of the whole workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

if TYPE_CHECKING:
    import polars as pl


class SyntheticBarsDataset(AbstractDataset[NoReturn, "pl.DataFrame"]):
    """Bars of `conviction.testing.synthetic_market`; symbols are SYN001 and on, which real runs refuse.

    Parameters
    ----------
    n_symbols, n_sessions, seed, planted_auc
        As for `synthetic_market`.
    part : {"bars", "market", "vix"}
        Which of its tables.
    metadata : dict, optional
        For Kedro-Viz.
    """

    def __init__(
        self,
        *,
        n_symbols: int,
        n_sessions: int,
        seed: int,
        planted_auc: float,
        part: str = "bars",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._arguments = {"n_symbols": n_symbols, "n_sessions": n_sessions, "seed": seed, "planted_auc": planted_auc}
        self._part = part
        self.metadata = metadata

    def load(self) -> pl.DataFrame:
        """Make the market and return the part."""
        from conviction.testing import synthetic_market

        market = synthetic_market(**self._arguments)  # type: ignore[arg-type]  # the constructor's types are checked
        frame: pl.DataFrame = getattr(market, self._part)
        return frame

    def save(self, data: NoReturn) -> None:
        """Refuse: the market is made, not kept."""
        message = f"the synthetic market is read-only; {type(data).__name__} was not saved"
        raise DatasetError(message)

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {**self._arguments, "part": self._part}

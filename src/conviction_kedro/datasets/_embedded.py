"""Real prices that ship inside a dependency: the workspace runs without any file of the user."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, NoReturn

import polars as pl
from kedro.io import AbstractDataset, DatasetError

from conviction.errors import ParameterError
from conviction.frames import SESSION, SYMBOL

if TYPE_CHECKING:
    from collections.abc import Mapping


class _EmbeddedDataset(AbstractDataset[NoReturn, pl.DataFrame]):
    """Real prices that ship inside skfolio: nothing to download, nothing to save."""

    def __init__(self, *, first_session: date | str | None = None, metadata: Mapping[str, Any] | None = None) -> None:
        try:
            self._first = date.fromisoformat(first_session) if isinstance(first_session, str) else first_session
        except ValueError:
            raise ParameterError(
                what="first_session is no day",
                got=repr(first_session),
                allowed="a day as 2013-01-02",
                fix="write it as YYYY-MM-DD",
            ) from None
        self.metadata = metadata

    def load(self) -> pl.DataFrame:
        """Return the prices from the first session on."""
        frame = self._all_sessions()
        return frame.filter(pl.col(SESSION) >= self._first) if self._first else frame

    def _all_sessions(self) -> pl.DataFrame:
        raise NotImplementedError

    def save(self, data: NoReturn) -> None:
        """Refuse: these prices belong to an installed package."""
        message = f"{type(self).__name__} is read-only (prices inside the package skfolio, not {type(data).__name__}); save to another dataset"
        raise DatasetError(message)

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"first_session": str(self._first) if self._first else None}


class EmbeddedPricesDataset(_EmbeddedDataset):
    """Daily closes of 20 large US stocks, 1990 to 2022, adjusted, real: ``symbol``, ``session``, ``close``.

    The stocks are those that skfolio ships (source: Yahoo Finance, per its documentation). They were all alive in 2022, so
    the set carries survivorship bias; only closes are given, so nothing that needs a range or a volume can be computed.

    Parameters
    ----------
    first_session : date or str, optional
        Leave out earlier sessions; all are given by default.
    metadata : mapping, optional
        Ignored by Kedro.

    Examples
    --------
    >>> EmbeddedPricesDataset(first_session="2022-12-28").load().row(0)
    ('AAPL', datetime.date(2022, 12, 28), 125.674...)
    """

    def _all_sessions(self) -> pl.DataFrame:
        from skfolio.datasets import load_sp500_dataset

        wide = load_sp500_dataset()
        frame: pl.DataFrame = pl.from_pandas(wide.rename_axis(index=SESSION, columns=None).reset_index())
        long = frame.unpivot(index=SESSION, variable_name=SYMBOL, value_name="close")
        return (
            long.select(pl.col(SYMBOL), pl.col(SESSION).cast(pl.Date), pl.col("close").cast(pl.Float64).fill_nan(None))
            .drop_nulls("close")
            .sort(SYMBOL, SESSION)
        )


class EmbeddedIndexDataset(_EmbeddedDataset):
    """Daily closes of the S&P 500 index, 1990 to 2022, real: ``session``, ``close``.

    Parameters
    ----------
    first_session : date or str, optional
        Leave out earlier sessions; all are given by default.
    metadata : mapping, optional
        Ignored by Kedro.

    Examples
    --------
    >>> EmbeddedIndexDataset(first_session="2022-12-28").load().rows()
    [(datetime.date(2022, 12, 28), 3783.22)]
    """

    def _all_sessions(self) -> pl.DataFrame:
        from skfolio.datasets import load_sp500_index

        frame: pl.DataFrame = pl.from_pandas(load_sp500_index().rename_axis(index=SESSION).reset_index())
        return frame.select(pl.col(SESSION).cast(pl.Date), pl.col("SP500").cast(pl.Float64).alias("close")).sort(
            SESSION
        )

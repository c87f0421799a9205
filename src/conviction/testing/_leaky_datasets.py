"""The zoo of planted leaks: one honest dataset, one defect, and the names a good audit has to give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from conviction.errors import AuditError
from conviction.testing._clean_datasets import Dataset

if TYPE_CHECKING:
    import pandas as pd


@dataclass(kw_only=True)
class Patient:
    """A dataset under operation: what a kind of leak changes, in pandas, rows by symbol and date."""

    frame: pd.DataFrame
    sources: dict[str, pl.DataFrame]
    rng: np.random.Generator
    strength: float
    columns: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()

    def by_symbol(self, column: str) -> Any:
        """Return the column grouped by symbol, to shift and roll without crossing a border."""
        return self.frame.groupby("symbol", sort=False)[column]

    def ahead(self, column: str, rows: int) -> pd.Series:
        """Return the column `rows` sessions later in the same symbol."""
        later: pd.Series = self.by_symbol(column).shift(-rows)
        return later

    def next_return(self) -> pd.Series:
        """Return the move from this close to the next one, from prices."""
        return self.ahead("close", 1) / self.frame["close"] - 1

    def noise(self) -> np.ndarray:
        """Return one standard normal number a row."""
        return self.rng.standard_normal(len(self.frame))

    def standard(self, values: pd.Series) -> pd.Series:
        """Return the values centred and scaled to one over the whole frame."""
        return (values - values.mean()) / values.std()

    def plant(self, values: Any, name: str | None = None) -> str:
        """Put a column in under a vendor's name, before the targets, and mark it guilty."""
        names = ("quality_index", "factor_07", "vendor_signal", "composite_score", "alt_data_3", "smart_beta_x")
        free = [n for n in names if n not in self.frame.columns]
        name = name or str(self.rng.choice(free))
        if name in self.frame.columns:
            self.frame[name] = values
        else:
            self.frame.insert(list(self.frame.columns).index("target_1d"), name, values)
        self.columns = (*self.columns, name)
        return name

    def pick_symbol(self) -> str:
        """Choose one symbol and mark it guilty."""
        symbol = str(self.rng.choice(self.frame["symbol"].unique()))
        self.symbols = (*self.symbols, symbol)
        return symbol

    def at(self, symbol: str) -> np.ndarray:
        """Return the row positions of one symbol."""
        return np.flatnonzero((self.frame["symbol"] == symbol).to_numpy())


Plant = Callable[[Patient], None]


@dataclass(frozen=True, kw_only=True)
class LeakKind:
    """One way to spoil a dataset.

    Attributes
    ----------
    name, family : str
        What it is called and to which family of checks it belongs.
    plant : callable
        Changes a `Patient` in place.
    needs : frozenset of str
        Columns of the clean dataset (or sources) that must be there.
    strengths : tuple of float
        Strengths to rotate through; (1.0,) where it makes no sense.
    """

    name: str
    family: str
    plant: Plant
    needs: frozenset[str] = frozenset()
    strengths: tuple[float, ...] = (1.0,)


@dataclass(frozen=True, kw_only=True)
class PlantedCase:
    """A spoilt dataset and the names that a good audit gives.

    Attributes
    ----------
    kind, family : str
        What was planted.
    frame, sources
        The dataset as it is handed over.
    columns, symbols : tuple of str
        The guilty; finding any of `columns` (or, where there is none, of `symbols`) counts as named. Both empty
        means that the dataset as a whole is guilty.
    """

    kind: str
    family: str
    frame: pl.DataFrame
    sources: dict[str, pl.DataFrame]
    columns: tuple[str, ...]
    symbols: tuple[str, ...]
    strength: float


LEAK_KINDS: dict[str, LeakKind] = {}


def leak(
    family: str, *, needs: tuple[str, ...] = (), strengths: tuple[float, ...] = (1.0,)
) -> Callable[[Plant], Plant]:
    """Register a function as a kind of leak of `family`, under its own name."""

    def register(function: Plant) -> Plant:
        name = function.__name__.strip("_")
        LEAK_KINDS[name] = LeakKind(
            name=name, family=family, plant=function, needs=frozenset(needs), strengths=strengths
        )
        return function

    return register


def can_plant(dataset: Dataset, kind: str) -> bool:
    """Say whether the dataset has the columns and sources that a kind of leak needs."""
    return LEAK_KINDS[kind].needs <= {*dataset.frame.columns, *dataset.sources}


def plant_leak(dataset: Dataset, kind: str, *, seed: int, strength: float | None = None) -> PlantedCase:
    """Spoil a copy of an honest dataset in one known way.

    Parameters
    ----------
    dataset : Dataset
        An honest dataset (`make_clean_dataset`).
    kind : str
        A name of `LEAK_KINDS`.
    seed : int
        Chooses the column, symbol, period and noise; the same seed gives the same bytes.
    strength : float, optional
        Share or size of the leak where the kind has one; default: the kind's strengths in turn, by seed.

    Returns
    -------
    PlantedCase

    Raises
    ------
    AuditError
        If the kind is unknown or needs a column or source that the dataset lacks.
    """
    if kind not in LEAK_KINDS:
        what = "kind of leak"
        raise AuditError.from_unknown_name(what, kind, LEAK_KINDS)
    known = LEAK_KINDS[kind]
    if not can_plant(dataset, kind):
        raise AuditError(
            what=f"the leak {kind!r} cannot be planted",
            got=sorted({*dataset.frame.columns, *dataset.sources}),
            allowed=f"a dataset with {sorted(known.needs)}",
            fix="choose another kind or another variant of the clean dataset",
        )
    if strength is None:
        strength = known.strengths[seed % len(known.strengths)]
    patient = Patient(
        frame=dataset.frame.to_pandas().astype({"date": "datetime64[us]"}),
        sources=dict(dataset.sources),
        rng=np.random.default_rng([seed, sum(kind.encode())]),
        strength=strength,
    )
    known.plant(patient)
    frame = pl.from_pandas(patient.frame.reset_index(drop=True), nan_to_null=True)
    return PlantedCase(
        kind=kind,
        family=known.family,
        frame=frame.with_columns(pl.col("date").cast(pl.Date)),
        sources=patient.sources,
        columns=patient.columns,
        symbols=patient.symbols,
        strength=strength,
    )

"""A panel whose features lie on the workers of a cluster: only keys, labels and scores come to the client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from conviction.errors import FrameError
from conviction.frames import SYMBOL, check_panel, key_of


@dataclass(frozen=True, eq=False)
class PartitionedPanel:
    """Takes the place of an audited panel that is larger than one machine.

    Folds, purging, early stopping and the ledger are those of any other panel; `lightgbm` and `xgboost` with
    ``training="dask"`` are the models that can be fitted on it.

    Parameters
    ----------
    frame : polars.DataFrame
        Key, `t0`, `t1`, the labels and one `target_{h}d`; no features. Sorted by symbol and session.
    features : tuple of str
        Names of the columns of `matrix`.
    targets : tuple of str
        Label columns.
    matrix : dask.array.Array of float32, shape (rows, features)
        The rows of `frame` **in the order (session, symbol)**, intraday (session, bar_end, symbol), NaN where a value is missing. Its chunks of rows are read by
        the workers, for example one Parquet file of some sessions each; they are read again when a worker is lost.
    content_sha : str
        Says which data this is, for studies and the ledger: a hash over the content hashes of the parts.
    certificate : Certificate, optional
        Of the audit.

    Raises
    ------
    FrameError
        If the matrix has other rows or columns.

    Examples
    --------
    >>> import dask.array as da
    >>> from conviction.testing import planted_panel
    >>> panel = planted_panel(n_symbols=3, n_sessions=40, n_features=6, planted_auc=0.53, seed=0)
    >>> rows = panel.frame.sort("session", "symbol").select(panel.features).to_numpy()
    >>> far = PartitionedPanel(
    ...     panel.frame.drop(panel.features), panel.features, panel.targets, da.from_array(rows, chunks=(60, -1)), "0"
    ... )
    >>> far.matrix.numblocks
    (2, 1)
    """

    frame: pl.DataFrame
    features: tuple[str, ...]
    targets: tuple[str, ...]
    matrix: Any
    content_sha: str
    certificate: Any = None

    def __post_init__(self) -> None:
        check_panel(self.frame, name="partitioned panel", required=[*self.targets, "t0", "t1"])
        wanted = (self.frame.height, len(self.features))
        if tuple(self.matrix.shape) != wanted or self.matrix.dtype != "float32":
            raise FrameError(
                what="the matrix does not belong to the keys of the partitioned panel",
                got=f"{self.matrix.dtype} of shape {tuple(self.matrix.shape)}",
                allowed=f"float32 of shape {wanted}",
                fix="give a chunk its shape when it is read (dask.array.from_delayed)",
            )

    def labelled(self, target: str) -> Any:
        """Return the rows of the matrix that have the label, in the order (session, symbol)."""
        key = key_of(self.frame)
        has_label = self.frame.select(*key, target).sort(*key[1:], SYMBOL)[target].is_not_null()
        return self.matrix[has_label.arg_true().to_numpy()]

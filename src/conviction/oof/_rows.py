"""The labelled rows of an audited panel, sorted by session so that a walk-forward block is one slice."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
import polars as pl

from conviction.errors import CertificateError, FoldError, ModelError
from conviction.folds import FoldPlan, contaminated_by
from conviction.frames import SESSION, SYMBOL, check_panel, key_of
from conviction.models import Block
from conviction.oof._partitioned import PartitionedPanel
from conviction.oof._weights import sample_weights
from conviction.oof.parameters import FittingParameters

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Audited(Protocol):
    """What the stages after the gate read of a `conviction.audit.AuditedPanel`."""

    @property
    def frame(self) -> pl.DataFrame:
        """Key, features and labels, sorted by symbol and session."""

    @property
    def features(self) -> tuple[str, ...]:
        """Feature columns."""

    @property
    def targets(self) -> tuple[str, ...]:
        """Label columns."""


class LabelledRows:
    """Rows with a label for one target, as matrices, ready to be cut by sessions.

    Parameters
    ----------
    audited : AuditedPanel
    target : str
        Label column; rows without it are left out.

    Attributes
    ----------
    keys : polars.DataFrame
        `symbol`, `session`, sorted by (session, symbol).
    matrix : numpy.ndarray of float32, shape (rows, features)
    y : numpy.ndarray of float64
    forward_return : polars.Series
        The forward return behind the label, Float64.
    spans : polars.DataFrame
        Key, `t0` and `t1` of the rows, sorted by (symbol, session).
    """

    def __init__(self, audited: Audited, *, target: str) -> None:
        if target not in audited.targets:
            raise ModelError.from_unknown_name(kind="target", name=target, known=audited.targets)
        frame = audited.frame
        returns = [column for column in frame.columns if column.startswith("target_")]
        far = audited if isinstance(audited, PartitionedPanel) else None
        features = () if far else audited.features
        check_panel(frame, name="audited panel", required=[*features, target, "t0", "t1"])
        if len(returns) != 1:
            raise ModelError(
                what="the audited panel must have one forward return",
                got=f"columns {returns}",
                allowed="one column target_{h}d",
                fix="audit the labels of one horizon at a time",
            )
        key = key_of(frame)
        labelled = frame.select(*key, "t0", "t1", target, *returns).with_row_index("row")
        labelled = labelled.filter(pl.col(target).is_not_null())
        if labelled.is_empty():
            raise ModelError(
                what=f"no row has the label {target!r}", got="0 rows", allowed="at least one", fix="check the labels"
            )
        self.target = target
        self.features = tuple(audited.features)
        self.spans = labelled.select(*key, "t0", "t1")
        rows = labelled.sort(*key[1:], SYMBOL)
        self.keys = rows.select(key)
        self.matrix: NDArray[np.float32] = (
            far.labelled(target) if far else _matrix(frame, self.features, rows["row"].to_numpy())
        )
        self.y: NDArray[np.float64] = rows[target].cast(pl.Float64).to_numpy()
        self.forward_return = rows[returns[0]].cast(pl.Float64).alias("forward_return")
        self._day = rows[SESSION].to_physical().to_numpy()
        self._spans_by_row = rows.select(*key, "t0", "t1")

    def of_symbol(self, symbol: str) -> Self:
        """Return the rows of one symbol, as rows of their own."""
        where = np.flatnonzero((self.keys[SYMBOL] == symbol).to_numpy())
        part = copy(self)
        part.keys, part.matrix, part.y = self.keys[where], self.matrix[where], self.y[where]
        part.forward_return = self.forward_return[where]
        part._day, part._spans_by_row = self._day[where], self._spans_by_row[where]
        part.spans = self.spans.filter(pl.col(SYMBOL) == symbol)
        return part

    @property
    def symbols(self) -> list[str]:
        """Return the symbols in order."""
        return self.keys[SYMBOL].unique().sort().to_list()

    def place(self, sessions: pl.Series) -> NDArray[np.intp]:
        """Return the positions of the rows of `sessions`, in order."""
        return np.flatnonzero(np.isin(self._day, sessions.to_physical().to_numpy()))

    def block(self, sessions: pl.Series, *, labels: bool = True, fitting: FittingParameters | None = None) -> Block:
        """Return the rows of `sessions` as a block; a view of the matrix when they are contiguous.

        With `fitting` the rows carry the weights that it asks for.
        """
        where = self.place(sessions)
        contiguous = where.size > 0 and int(where[-1]) - int(where[0]) + 1 == where.size
        cut = slice(int(where[0]), int(where[-1]) + 1) if contiguous else where
        return Block(
            features=self.features,
            matrix=self.matrix[cut],
            y=self.y[cut] if labels else None,
            weight=self._weights(where, fitting),
            keys=self.keys[where],
        )

    def _weights(self, where: NDArray[np.intp], fitting: FittingParameters | None) -> NDArray[np.float64] | None:
        if fitting is None or not fitting.weighted or not where.size:
            return None
        return sample_weights(
            self._spans_by_row[where], uniqueness=fitting.uniqueness, half_life_sessions=fitting.half_life_sessions
        )

    def apart(self, sessions: pl.Series, block: pl.Series) -> pl.Series:
        """Return the sessions whose labels do not reach into those of `block`."""
        reaching = contaminated_by(self.spans, block, purge=0)
        return sessions.filter(~sessions.is_in(reaching.implode()))

    def cut(
        self, before: pl.Series, block: pl.Series, *, uses_inner: bool, fitting: FittingParameters | None = None
    ) -> tuple[Block, Block | None, Block]:
        """Divide sessions into what is fitted, what is watched and what is held back for a choice or a calibration.

        The second half of `block` is held back; the first half is watched by a model that stops early, and fitted by
        any other. Labels reaching from one part into a later one are purged.

        Parameters
        ----------
        before, block : polars.Series of Date
            Training sessions, and the later sessions to be halved.
        uses_inner : bool
            Whether the model watches.
        fitting : FittingParameters, optional
            Weights of the fitted rows.

        Returns
        -------
        fitted, watched, held : Block
            `watched` is None for a model that does not watch.
        """
        held, first = block[len(block) // 2 :], self.apart(block[: len(block) // 2], block[len(block) // 2 :])
        if uses_inner:
            fitted = self.apart(before, pl.concat([first, held]))
            return self.block(fitted, fitting=fitting), self.block(first), self.block(held)
        return self.block(self.apart(pl.concat([before, first]), held), fitting=fitting), None, self.block(held)

    def check_apart(self, fitted: pl.Series, scored: pl.Series, *, fold: int) -> None:
        """Raise unless no label that is fitted overlaps a label that is scored.

        Raises
        ------
        FoldError
            If a session is in both, or a label span reaches from one into the other.
        """
        both = fitted.filter(fitted.is_in(scored.implode()))
        reaching = contaminated_by(self.spans, scored, purge=0)
        touching = fitted.filter(fitted.is_in(reaching.implode()))
        guilty = pl.concat([both, touching]).sort()
        if len(guilty):
            raise FoldError(
                what=f"fold {fold} would be fitted on labels that reach into what it scores",
                got=f"{len(guilty)} sessions, first {guilty[0]}",
                allowed="label spans (t0, t1] apart from the scored block's",
                fix="make the plan with make_fold_plan from these labels",
            )


def _matrix(frame: pl.DataFrame, features: tuple[str, ...], rows: NDArray[np.integer]) -> NDArray[np.float32]:
    """Return the features of `rows` in that order, column by column, so that no second copy of the panel is made."""
    matrix = np.empty((len(rows), len(features)), dtype=np.float32)
    for position, name in enumerate(features):
        matrix[:, position] = frame[name].cast(pl.Float32).to_numpy()[rows]
    return matrix


def check_plan_is_audited(audited: Audited, plan: FoldPlan) -> None:
    """Raise unless the certificate of the panel, where it carries one, was given for this plan.

    Raises
    ------
    CertificateError
        If the audit looked at another fold plan.
    """
    certificate = getattr(audited, "certificate", None)
    if certificate is not None and certificate.plan_sha != plan.hash:
        raise CertificateError(
            what="the fold plan is not the one that was audited",
            got=f"plan {plan.hash[:12]}",
            allowed=f"plan {certificate.plan_sha[:12]}",
            fix="run `kedro run --pipeline=leakage_audit` on the present fold plan",
        )

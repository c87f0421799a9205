"""The labelled rows of an audited panel, sorted by session so that a walk-forward block is one slice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import polars as pl

from conviction.errors import CertificateError, FoldError, ModelError
from conviction.folds import FoldPlan, contaminated_by
from conviction.frames import KEY, SESSION, SYMBOL, check_panel
from conviction.models import Block

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
        check_panel(frame, name="audited panel", required=[*audited.features, target, "t0", "t1"])
        if len(returns) != 1:
            raise ModelError(
                what="the audited panel must have one forward return",
                got=f"columns {returns}",
                allowed="one column target_{h}d",
                fix="audit the labels of one horizon at a time",
            )
        labelled = frame.filter(pl.col(target).is_not_null())
        if labelled.is_empty():
            raise ModelError(
                what=f"no row has the label {target!r}", got="0 rows", allowed="at least one", fix="check the labels"
            )
        self.target = target
        self.features = tuple(audited.features)
        self.spans = labelled.select(*KEY, "t0", "t1")
        rows = labelled.sort(SESSION, SYMBOL)
        self.keys = rows.select(KEY)
        self.matrix: NDArray[np.float32] = rows.select(pl.col(self.features).cast(pl.Float32)).to_numpy(order="c")
        self.y: NDArray[np.float64] = rows[target].cast(pl.Float64).to_numpy()
        self.forward_return = rows[returns[0]].cast(pl.Float64).alias("forward_return")
        self._day = rows[SESSION].to_physical().to_numpy()

    def place(self, sessions: pl.Series) -> NDArray[np.intp]:
        """Return the positions of the rows of `sessions`, in order."""
        return np.flatnonzero(np.isin(self._day, sessions.to_physical().to_numpy()))

    def block(self, sessions: pl.Series, *, labels: bool = True) -> Block:
        """Return the rows of `sessions` as a block; a view of the matrix when they are contiguous."""
        where = self.place(sessions)
        contiguous = where.size > 0 and int(where[-1]) - int(where[0]) + 1 == where.size
        cut = slice(int(where[0]), int(where[-1]) + 1) if contiguous else where
        return Block(
            features=self.features,
            matrix=self.matrix[cut],
            y=self.y[cut] if labels else None,
            keys=self.keys[where],
        )

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

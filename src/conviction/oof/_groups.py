"""Out-of-fold predictions from one group of features at a time, a model of its own for every symbol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from conviction.errors import FeatureError
from conviction.oof._fit import out_of_fold_by_symbol
from conviction.oof._task import oof_key

if TYPE_CHECKING:
    from conviction.folds import FoldPlan
    from conviction.observer import Observer
    from conviction.oof._rows import Audited


@dataclass(frozen=True)
class FeatureSubset:
    """An audited panel of which a model sees some features only.

    Parameters
    ----------
    audited : AuditedPanel
        What passed the audit; its certificate stays the one that counts.
    features : tuple of str
        Features that are kept, in their order.

    Raises
    ------
    FeatureError
        If no feature is named, or one that the panel does not have.
    """

    audited: Audited
    features: tuple[str, ...]

    def __post_init__(self) -> None:
        unknown = sorted(set(self.features) - set(self.audited.features))
        if unknown or not self.features:
            raise FeatureError(
                what="a group of features is not in the audited panel",
                got=unknown or "no feature at all",
                allowed=f"some of the panel's {len(self.audited.features)} features",
                fix="build the set first: features.sets of conf/base/parameters_data_engineering.yml",
            )

    @property
    def frame(self) -> pl.DataFrame:
        """Key, kept features and labels."""
        return self.audited.frame.drop(set(self.audited.features) - set(self.features))

    @property
    def targets(self) -> tuple[str, ...]:
        """Label columns."""
        return self.audited.targets

    @property
    def certificate(self) -> Any:
        """Certificate of the whole panel."""
        return self.audited.certificate  # type: ignore[attr-defined]  # AuditedPanel has one


def out_of_fold_by_group(
    audited: Audited,
    plan: FoldPlan,
    *,
    groups: Mapping[str, Sequence[str]],
    target: str,
    model: str,
    seed: int,
    n_jobs: int = 1,
    observer: Observer | None = None,
) -> pl.DataFrame:
    """Predict every symbol from each group of features alone, out of fold, a model for each symbol.

    Parameters
    ----------
    audited, plan, target, model, seed, n_jobs, observer
        As for `out_of_fold_by_symbol`; the model takes its defaults, nothing is tuned.
    groups : mapping of str to sequence of str
        Group -> features. Features that the panel does not have are left out of the group.

    Returns
    -------
    polars.DataFrame
        Out-of-fold frame whose `model` is the group's name, sorted by (symbol, session, target, model).

    Raises
    ------
    FeatureError
        If a group has no feature in the panel.
    """
    parts = []
    for name, wanted in groups.items():
        present = tuple(feature for feature in audited.features if feature in set(wanted))
        result = out_of_fold_by_symbol(
            FeatureSubset(audited, present),
            plan,
            target=target,
            model=model,
            seed=seed,
            n_jobs=n_jobs,
            observer=observer,
        )
        parts.append(result.predictions.with_columns(model=pl.lit(name)))
    together = pl.concat(parts)
    return together.sort(oof_key(together))

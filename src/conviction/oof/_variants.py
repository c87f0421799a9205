"""What is fitted under which name, and what is left out for which reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self, get_args

import polars as pl

from conviction.errors import ModelError
from conviction.folds import FoldPlan
from conviction.models import CalibrationKind, ModelSpec, model_spec

if TYPE_CHECKING:
    from conviction.oof._rows import Audited

OnMissingExtra = Literal["error", "skip"]
BY_SYMBOL = "@symbol"
LEFT_OUT_SCHEMA = {
    "target": pl.String,
    "model": pl.String,
    "symbol": pl.String,
    "fold": pl.Int32,
    "feature": pl.String,
    "reason": pl.String,
}


@dataclass(frozen=True)
class Variant:
    """A model of the registry and how it is fitted: `lightgbm`, `lightgbm+isotonic`, `lightgbm@symbol`, or both.

    Attributes
    ----------
    model : str
        Name in `conviction.models.MODELS`.
    calibration : {"isotonic", "sigmoid"} or None
    per_symbol : bool
        A model of its own for every symbol.

    Examples
    --------
    >>> Variant.parse("lightgbm+isotonic@symbol")
    Variant(model='lightgbm', calibration='isotonic', per_symbol=True)
    >>> Variant("xgboost", calibration="sigmoid").label
    'xgboost+sigmoid'
    """

    model: str
    calibration: CalibrationKind | None = None
    per_symbol: bool = False

    @classmethod
    def parse(cls, label: str) -> Self:
        """Return the variant of a name.

        Raises
        ------
        ModelError
            For a model that is not registered or a calibration that there is not.
        """
        name, per_symbol = label.removesuffix(BY_SYMBOL), label.endswith(BY_SYMBOL)
        model, plus, calibration = name.partition("+")
        known = get_args(CalibrationKind)
        if plus and calibration not in known:
            raise ModelError.from_unknown_name(kind="calibration", name=calibration, known=known)
        model_spec(model)
        return cls(model, calibration or None, per_symbol)  # type: ignore[arg-type]  # checked above

    @property
    def label(self) -> str:
        """Return the name under which predictions are filed."""
        return (
            self.model + (f"+{self.calibration}" if self.calibration else "") + (BY_SYMBOL if self.per_symbol else "")
        )

    @property
    def spec(self) -> ModelSpec:
        """Return the entry of the registry."""
        return model_spec(self.model)


def empty_left_out() -> pl.DataFrame:
    """Return the table of what was left out, without rows.

    Examples
    --------
    >>> empty_left_out().columns
    ['target', 'model', 'symbol', 'fold', 'feature', 'reason']
    """
    return pl.DataFrame(schema=LEFT_OUT_SCHEMA)


def choose_variants(
    audited: Audited, *, targets: Sequence[str], models: Sequence[str], on_missing_extra: OnMissingExtra
) -> tuple[list[tuple[str, Variant]], pl.DataFrame]:
    """Return what can be fitted of what was asked for, and the reason for everything that cannot.

    Parameters
    ----------
    audited : AuditedPanel
    targets, models : sequence of str
        Label columns, and names as `Variant.parse` takes them.
    on_missing_extra : {"error", "skip"}
        What happens to a model whose optional packages are not installed.

    Returns
    -------
    pairs : list of (target, Variant)
        Targets in the order given, models within each.
    left_out : polars.DataFrame
        Columns of `LEFT_OUT_SCHEMA`. A target that no row has (`relative` of a single symbol) is left out whole.

    Raises
    ------
    MissingExtraError
        If a model's packages are missing and `on_missing_extra` is "error".
    ModelError
        For an unknown model or target, or if nothing is left.
    """
    variants = [Variant.parse(label) for label in models]
    rows: list[dict[str, str]] = []
    usable: list[Variant] = []
    for variant in variants:
        missing = variant.spec.missing_extra()
        if missing is None:
            usable.append(variant)
        elif on_missing_extra == "error":
            raise missing
        else:
            rows.append({"model": variant.label, "reason": f"{missing.what}; {missing.fix}"})
    defined = []
    for target in targets:
        if target not in audited.targets:
            raise ModelError.from_unknown_name(kind="target", name=target, known=audited.targets)
        if audited.frame[target].null_count() < audited.frame.height:
            defined.append(target)
        else:
            symbols = audited.frame["symbol"].n_unique()
            rows.append({"target": target, "reason": f"no row has this label: the panel has {symbols} symbol(s)"})
    if not (usable and defined):
        raise ModelError(
            what="nothing is left to fit",
            got="; ".join(f"{row.get('model') or row.get('target')}: {row['reason']}" for row in rows) or "no model",
            allowed="at least one model and one target that is defined",
            fix="choose other models or targets, install the extra, or widen the universe",
        )
    pairs = [(target, variant) for target in defined for variant in usable]
    return pairs, pl.DataFrame(rows, schema=LEFT_OUT_SCHEMA)


def constant_features(audited: Audited, plan: FoldPlan) -> pl.DataFrame:
    """Return the features that hold one value (or none) in all training sessions of a fold: nothing can be learnt from them.

    Parameters
    ----------
    audited : AuditedPanel
    plan : FoldPlan

    Returns
    -------
    polars.DataFrame
        Columns of `LEFT_OUT_SCHEMA`; `fold`, `feature` and `reason` are filled.
    """
    rows = []
    for fold in plan.folds:
        trained = pl.concat([plan.sessions(fold, "train"), plan.sessions(fold, "inner")])
        part = audited.frame.lazy().filter(pl.col("session").is_in(trained.implode()))
        seen = part.select(
            **{name: (pl.col(name).min() == pl.col(name).max()).fill_null(value=True) for name in audited.features}
        ).collect()
        rows += [
            {"fold": fold, "feature": name, "reason": "constant in the fold's training sessions"}
            for name in audited.features
            if seen[name].item()
        ]
    return pl.DataFrame(rows, schema=LEFT_OUT_SCHEMA)

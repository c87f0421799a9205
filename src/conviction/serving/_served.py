"""The whole way from feature rows to a calibrated probability, as one object with native files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import polars as pl

from conviction.ensembling import EnsemblingParameters, LearntEnsemble, learn_ensemble
from conviction.errors import ModelError
from conviction.frames import KEY, SESSION, SYMBOL
from conviction.models import FittedModel
from conviction.oof import Variant
from conviction.serving._request import RequestContract, check_request

if TYPE_CHECKING:
    from conviction.audit import AuditedPanel
    from conviction.ensembling.parameters import CombinerName
    from conviction.panel import DecisionTime

_CONTRACT = "contract.json"
_RECENT = 252


@dataclass(frozen=True, eq=False)
class ServedModel:
    """Base models, ensemble and contract of every target that is served.

    Attributes
    ----------
    contract : RequestContract
    models : dict of str to FittedModel
        `target/model` -> base model.
    ensembles : dict of str to LearntEnsemble
        Target -> its ensemble.
    """

    contract: RequestContract
    models: Mapping[str, FittedModel]
    ensembles: Mapping[str, LearntEnsemble]

    @property
    def targets(self) -> tuple[str, ...]:
        """Return the targets that are answered, sorted."""
        return tuple(sorted(self.ensembles))

    def answer(self, rows: pl.DataFrame, *, certificate_sha: str, now: datetime) -> pl.DataFrame:
        """Score one whole session after checking that it may be.

        Parameters
        ----------
        rows, certificate_sha, now
            As for `check_request`.

        Returns
        -------
        polars.DataFrame
            `symbol`, `session` and, of each target, `{target}_score` (what batch files under ``ensemble``) and
            `{target}_probability` (calibrated); one row a row of the request, in the request's order.

        Raises
        ------
        RequestError
            If the request is not one that the model may answer.
        """
        checked = check_request(rows, self.contract, certificate_sha=certificate_sha, now=now)
        return rows.select(SYMBOL).join(self.score(checked), on=SYMBOL, how="left", maintain_order="left")

    def score(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Score whole sessions.

        Parameters
        ----------
        rows : polars.DataFrame
            `symbol`, `session` Date and the features, Float32 with nulls.

        Returns
        -------
        polars.DataFrame
            `symbol`, `session`, `{target}_score`, `{target}_probability` Float64, sorted by (symbol, session).

        Raises
        ------
        SeenRowError
            If a base model was fitted on one of the sessions.
        """
        out = rows.select(KEY).sort(KEY)
        for target in self.targets:
            combined = self.ensembles[target].score(self._base_scores(rows, target))
            names = {name: f"{target}_{name}" for name in ("score", "probability")}
            out = out.join(combined.rename(names), on=list(KEY), how="left", maintain_order="left")
        return out

    def _base_scores(self, rows: pl.DataFrame, target: str) -> pl.DataFrame:
        parts = [
            rows.select(
                *KEY,
                pl.lit(name).alias("model"),
                pl.Series("score", self.models[f"{target}/{name}"].predict(rows), dtype=pl.Float64),
            )
            for name in self.ensembles[target].combiner.models
        ]
        return pl.concat(parts)

    def save(self, folder: Path) -> None:
        """Write the contract as JSON, every base model in its native format, every ensemble as numbers.

        Parameters
        ----------
        folder : pathlib.Path
            Made if it does not exist.
        """
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _CONTRACT).write_text(
            json.dumps(self.contract.to_dict(), indent=1, sort_keys=True) + "\n", encoding="utf-8"
        )
        for name, model in self.models.items():
            model.save(folder / "models" / name)
        for target, one in self.ensembles.items():
            one.save(folder / "ensembles" / target)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        ModelError
            If the folder holds no served model.
        """
        if not (folder / _CONTRACT).is_file():
            raise ModelError(
                what=f"{folder.name} holds no served model",
                got=f"no {_CONTRACT}",
                allowed="a folder written by ServedModel.save",
                fix="promote a run again: `kedro promote RUN_ID`",
            )
        plain: dict[str, Any] = json.loads((folder / _CONTRACT).read_text(encoding="utf-8"))
        models = folder / "models"
        return cls(
            contract=RequestContract.from_dict(plain),
            models={
                str(meta.parent.relative_to(models)): FittedModel.load(meta.parent)
                for meta in sorted(models.rglob("model.json"))
            },
            ensembles={path.name: LearntEnsemble.load(path) for path in sorted((folder / "ensembles").iterdir())},
        )


def assemble_served(
    audited: AuditedPanel,
    oof: pl.DataFrame,
    models: Mapping[str, FittedModel],
    *,
    choices: Mapping[str, CombinerName],
    symbols: Sequence[str],
    ensembling: EnsemblingParameters,
    seed: int,
    calendar: str,
    decision: DecisionTime,
    max_age_sessions: int | None,
) -> ServedModel:
    """Put fitted base models and the ensembles learnt from out-of-fold predictions together.

    Parameters
    ----------
    audited : AuditedPanel
        Its last 252 sessions say which features may be missing.
    oof : polars.DataFrame
        Base models' out-of-fold predictions; baselines may be among them.
    models : mapping
        `target/model` -> model fitted for serving.
    choices : mapping
        Target -> the combiner that was chosen out of fold.
    symbols : sequence of str
        The cross-section of the newest session.
    ensembling, seed
        As the ensemble was made with.
    calendar, decision, max_age_sessions
        Of the contract.

    Returns
    -------
    ServedModel

    Raises
    ------
    ModelError
        If a base model needs more than the rows of one session.
    """
    for name in {key.rsplit("/", 1)[1] for key in models}:
        if Variant.parse(name).spec.capabilities.needs_keys:
            raise ModelError(
                what=f"{name} cannot be served: it reads earlier sessions of a symbol",
                got="a request of one session",
                allowed="models that score a row by itself",
                fix="leave it out of modeling.models and run again",
            )
    frame = audited.frame
    recent = frame.filter(pl.col(SESSION).is_in(frame[SESSION].unique().sort().tail(_RECENT).implode()))
    contract = RequestContract(
        certificate_sha=audited.certificate.sha,
        code_sha=audited.certificate.code_sha,
        features=audited.features,
        may_be_missing=tuple(name for name in audited.features if recent[name].null_count()),
        symbols=tuple(sorted(symbols)),
        last_fitted=max(max(model.seen) for model in models.values()),
        calendar=calendar,
        decision=decision,
        max_age_sessions=max_age_sessions,
    )
    ensembles = {
        target: learn_ensemble(oof, target=target, choice=choice, ensembling=ensembling, seed=seed)
        for target, choice in choices.items()
    }
    return ServedModel(contract, dict(models), ensembles)

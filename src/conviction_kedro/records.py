"""Tables of records that the tracking hook turns into child runs; no MLflow here."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from conviction.errors import CertificateError
from conviction_kedro import runtime
from conviction_kedro.provenance import sha

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conviction.audit import AuditedPanel
    from conviction.features import FeatureBuild
    from conviction.folds import FoldPlan
    from conviction_kedro.parameters import ModelingParameters

_SCHEMA = dict.fromkeys(("record_key", "parent_key", "name", "params", "metrics", "tags"), pl.String)
_TAGS = ("target", "model", "kind", "split", "verdict")


def _record(
    key: str, *, name: str, params: Mapping[str, Any], metrics: Mapping[str, Any], tags: Mapping[str, Any]
) -> dict[str, str | None]:
    return {
        "record_key": key,
        "parent_key": None,
        "name": name,
        "params": json.dumps(params, sort_keys=True, default=str),
        "metrics": json.dumps(metrics, sort_keys=True),
        "tags": json.dumps(tags, sort_keys=True, default=str),
    }


def of_features(build: FeatureBuild) -> pl.DataFrame:
    """Return the table of features: what each declares, and for those left out the reason."""
    made = [
        {
            "feature": feature.name,
            "family": feature.family,
            "inputs": ", ".join(feature.inputs),
            "lookback": feature.lookback,
            "availability": feature.availability,
            "description": feature.description,
            "omitted": None,
        }
        for feature in build.features
    ]
    left_out = [
        {**dict.fromkeys(made[0]), "feature": name, "omitted": reason} for name, reason in sorted(build.omitted.items())
    ]
    return pl.DataFrame([*made, *left_out], infer_schema_length=None)


def of_models(timings: pl.DataFrame, best_parameters: Mapping[str, Any], trials: pl.DataFrame) -> pl.DataFrame:
    """Return one record for each fitted (target, model): the parameters of every fold, seconds, trials.

    Parameters
    ----------
    timings : polars.DataFrame
        `target`, `model`, `fold`, `seconds_fit`, `seconds_predict`.
    best_parameters : mapping
        `target/model` -> fold -> parameters.
    trials : polars.DataFrame
        `target`, `model` and one row a trial.
    """
    counts = {
        (row["target"], row["model"]): row["len"]
        for row in trials.group_by("target", "model").len().iter_rows(named=True)
    }
    rows = []
    for (target, model), part in timings.group_by("target", "model", maintain_order=True):
        chosen = best_parameters.get(f"{target}/{model}", {})
        params = {f"fold_{fold}.{name}": value for fold, values in chosen.items() for name, value in values.items()}
        metrics = {
            "seconds_fit": part["seconds_fit"].sum(),
            "trials": counts.get((target, model), 0),
            "folds": part.height,
        }
        rows.append(
            _record(
                f"{target}/{model}",
                name=f"{target} | {model}",
                params=params,
                metrics=metrics,
                tags={"target": target, "model": model},
            )
        )
    return pl.DataFrame(rows, schema=_SCHEMA)


def of_scores(scores: pl.DataFrame) -> pl.DataFrame:
    """Return one record for each row of scores; undefined metrics are absent, their reasons are a tag."""
    numeric = [name for name, dtype in scores.schema.items() if dtype.is_numeric()]
    rows = []
    for row in scores.iter_rows(named=True):
        tags = {name: row[name] for name in (*_TAGS, "reasons") if row.get(name)}
        metrics = {name: row[name] for name in numeric if row[name] is not None}
        suffix = "" if row["split"] == "oof" else f" | {row['split']}"
        key = f"{row['target']}/{row['model']}" + ("" if row["split"] == "oof" else f"/{row['split']}")
        rows.append(
            _record(key, name=f"{row['target']} | {row['model']}{suffix}", params={}, metrics=metrics, tags=tags)
        )
    return pl.DataFrame(rows, schema=_SCHEMA)


def with_kind(scores: pl.DataFrame, modeling: ModelingParameters, *, split: str = "oof") -> pl.DataFrame:
    """Add `kind` (model, ensemble, baseline) and `split` to a table of scores."""
    kind = (
        pl.when(pl.col("model").is_in(modeling.baselines))
        .then(pl.lit("baseline"))
        .when(pl.col("model").is_in(modeling.models))
        .then(pl.lit("model"))
        .otherwise(pl.lit("ensemble"))
    )
    return scores.with_columns(kind=kind, split=pl.lit(split))


def _holdout_sha(audited_panel: AuditedPanel, fold_plan: FoldPlan) -> str:
    sessions = [str(session) for session in fold_plan.holdout]
    return sha([audited_panel.certificate.panel_sha, sessions])


def of_opening(audited_panel: AuditedPanel, fold_plan: FoldPlan, *, reason: str) -> pl.DataFrame:
    """Return one opening of the hold-out: which one, by which run, when and why."""
    row = {
        "holdout_sha": _holdout_sha(audited_panel, fold_plan),
        "run_id": runtime.current().run_id,
        "opened_at": datetime.now(tz=UTC).isoformat(timespec="seconds"),
        "reason": reason,
    }
    return pl.DataFrame([row])


def require_opening(openings: pl.DataFrame, audited_panel: AuditedPanel, fold_plan: FoldPlan) -> None:
    """Raise unless the opening of exactly this hold-out by this run is on record."""
    wanted = _holdout_sha(audited_panel, fold_plan)
    mine = openings.filter((pl.col("holdout_sha") == wanted) & (pl.col("run_id") == runtime.current().run_id))
    if mine.is_empty():
        raise CertificateError(
            what="the hold-out was not opened on the record by this run",
            got=f"{openings.height} openings of other runs",
            allowed="an opening by this run",
            fix="run the whole pipeline: kedro run --pipeline=holdout",
        )

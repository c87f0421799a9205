"""Tables of records that the tracking hook turns into child runs; no MLflow here."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

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


def of_trials(trials: pl.DataFrame, *, best: int | Literal["all"]) -> pl.DataFrame:
    """Return one record for each study and, below it, one for each of its best trials.

    Parameters
    ----------
    trials : polars.DataFrame
        As `conviction.tuning.Tunings` has them.
    best : int or "all"
        Trials of each study that get a record: the best of every fold first, then the second best of every fold, and so on.
    """
    rows = []
    for (target, serves), study in trials.group_by("target", "serves", maintain_order=True):
        parent = f"{target}/{serves}"
        finished = study.filter(pl.col("state") == "complete")
        rows.append(
            _record(
                parent,
                name=f"{target} | {serves}",
                params={"search.trials": study.height, "search.folds": study["fold"].n_unique()},
                metrics={
                    "trials": study.height,
                    "trials_pruned": study.height - finished.height,
                    "seconds_tuning": study["seconds"].sum(),
                },
                tags={"target": target, "model": serves},
            )
        )
        ranked = study.with_columns(place=pl.col("value").rank("ordinal", descending=True).over("fold")).sort(
            "place", "fold"
        )
        shown = (ranked if best == "all" else ranked.head(best)).sort("fold", "trial")
        rows += [
            _of_trial(row, parent=parent, target=str(target), model=str(serves)) for row in shown.iter_rows(named=True)
        ]
    return pl.DataFrame(rows, schema=_SCHEMA)


def _of_trial(row: Mapping[str, Any], *, parent: str, target: str, model: str) -> dict[str, str | None]:
    facts = {name: value for name, value in json.loads(row["facts"]).items() if isinstance(value, int | float)}
    name = f"fold {row['fold']} | trial {row['trial']}"
    return {
        **_record(
            f"{parent}/fold_{row['fold']:02d}/trial_{row['trial']:04d}",
            name=name,
            params=json.loads(row["params"]),
            # The score of a search, on inner sessions: it chose the parameters, so it says nothing of their quality.
            metrics={"search_value": row["value"], "seconds": row["seconds"], **facts},
            tags={
                "kind": "trial",
                "target": target,
                "model": model,
                "fold": row["fold"],
                "state": row["state"],
                "rank_in_fold": row["place"],
            },
        ),
        "parent_key": parent,
    }


def of_models(
    timings: pl.DataFrame, best_parameters: Mapping[str, Any], trials: pl.DataFrame, *, left_out: pl.DataFrame
) -> pl.DataFrame:
    """Return one record for each (target, model) that was asked for: parameters of every fold, seconds, what was left out.

    Parameters
    ----------
    timings : polars.DataFrame
        `target`, `model`, `fold`, `symbol`, `seconds_fit`, `seconds_predict`.
    best_parameters : mapping
        `target/model` -> fold -> parameters.
    trials : polars.DataFrame
        `target`, `serves` and one row a trial.
    left_out : polars.DataFrame
        As `conviction.oof.Fits` has it.
    """
    counts = {
        (row["target"], row["serves"]): row["len"]
        for row in trials.group_by("target", "serves").len().iter_rows(named=True)
    }
    rows = []
    for (target, model), part in timings.group_by("target", "model", maintain_order=True):
        chosen = best_parameters.get(f"{target}/{model}", {})
        params = {f"fold_{fold}.{name}": value for fold, values in chosen.items() for name, value in values.items()}
        metrics = {
            "seconds_fit": part["seconds_fit"].sum(),
            "seconds_predict": part["seconds_predict"].sum(),
            "trials": counts.get((target, model), 0),
            "folds": part["fold"].n_unique(),
            "fits": part.height,
        }
        missed = left_out.filter((pl.col("target") == target) & (pl.col("model") == model))
        tags = {"target": target, "model": model} | ({"left_out": _reasons_text(missed)} if missed.height else {})
        rows.append(_record(f"{target}/{model}", name=f"{target} | {model}", params=params, metrics=metrics, tags=tags))
    whole = left_out.filter(pl.col("symbol").is_null() & pl.col("feature").is_null())
    for row in whole.iter_rows(named=True):
        name = " | ".join(filter(None, (row["target"], row["model"])))
        tags = {
            "kind": "left out",
            "left_out": row["reason"],
            "target": row["target"] or "all",
            "model": row["model"] or "all",
        }
        rows.append(_record(f"left out/{name}", name=f"{name} (left out)", params={}, metrics={}, tags=tags))
    return pl.DataFrame(rows, schema=_SCHEMA)


def _reasons_text(missed: pl.DataFrame) -> str:
    counted = missed.group_by("reason", maintain_order=True).agg(
        pl.len().alias("fits"), pl.col("symbol").unique().sort()
    )
    return "; ".join(
        f"{row['fits']} fits of {', '.join(row['symbol'][:5])}{' ...' if len(row['symbol']) > 5 else ''}: {row['reason']}"
        for row in counted.iter_rows(named=True)
    )


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


def fitted_targets(oof: pl.DataFrame, modeling: ModelingParameters) -> tuple[str, ...]:
    """Return the targets that have predictions, in the order asked for; the others are in the table of what was left out."""
    made = set(oof["target"].unique())
    return tuple(target for target in modeling.targets if target in made)


_MONEY = {
    "net_bps": ("net_bps", "net_lo", "net_hi"),
    "break_even_bps": ("break_even_bps", "break_even_lo", "break_even_hi"),
    "sharpe_net": ("sharpe_net", "sharpe_net_lo", "sharpe_net_hi"),
}


def of_evidence(economics: pl.DataFrame, placebos: pl.DataFrame, overfitting: pl.DataFrame) -> pl.DataFrame:
    """Return one record for each (target, model) with what stands behind its score, for the run that has the score.

    Money is that of the trade at the beginning of the label's span: ``net_bps``, ``break_even_bps``, ``sharpe_net`` with ``_lo`` and
    ``_hi``, ``turnover``, ``cost_bps`` of the long-short book, ``active_bps`` of the optimised one less equal weights; ``placebo_lo``,
    ``placebo_hi`` (lowest and highest AUC), ``placebo_n``, ``placebo_inside`` (1 when all are inside their band); ``pbo``.
    """
    metrics: dict[tuple[str, str], dict[str, Any]] = {}
    for row in economics.filter("of_label").iter_rows(named=True):
        mine = metrics.setdefault((row["target"], row["model"]), {})
        if row["book"] == "long_short":
            mine |= {"turnover": row["turnover"], "cost_bps": row["cost_bps"]}
            for name, columns in _MONEY.items():
                mine |= _known(name, row, columns)
        elif row["book"] == "optimised_active":
            mine |= _known("active_bps", row, _MONEY["net_bps"])
    for (target, model), part in placebos.group_by("target", "model", maintain_order=True):
        metrics.setdefault((str(target), str(model)), {}).update(
            placebo_lo=min(part["auc_pooled"]),
            placebo_hi=max(part["auc_pooled"]),
            placebo_n=part.height,
            placebo_inside=int(part["inside"].all()),
        )
    weight = pl.col("n_sessions")
    pbo = overfitting.group_by("target", maintain_order=True).agg((pl.col("pbo") * weight).sum() / weight.sum())
    for target, value in pbo.iter_rows():
        metrics.setdefault((target, "ensemble"), {}).update(pbo=value)
    rows = [
        _record(
            f"{target}/{model}",
            name=f"{target} | {model}",
            params={},
            metrics=found,
            tags={"target": target, "model": model},
        )
        for (target, model), found in sorted(metrics.items())
    ]
    return pl.DataFrame(rows, schema=_SCHEMA)


def _known(name: str, row: Mapping[str, Any], columns: tuple[str, str, str]) -> dict[str, float]:
    """Return a value with its interval, or nothing: no number without its interval."""
    values = [row[column] for column in columns]
    return {} if None in values else dict(zip((name, f"{name}_lo", f"{name}_hi"), values, strict=True))


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

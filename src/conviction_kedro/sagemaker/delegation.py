"""What the nodes of `delegated_tuning` call: request, launch, gather, each with its records for tracking."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from conviction.tuning import searches_of
from conviction_kedro import records
from conviction_kedro.sagemaker._clients import open_clients
from conviction_kedro.sagemaker._collect import analysis_text, collect
from conviction_kedro.sagemaker._errors import SageMakerError
from conviction_kedro.sagemaker._launch import launch_plan
from conviction_kedro.sagemaker._monitor import watch_jobs
from conviction_kedro.sagemaker._plan import RunIdentity, make_upload, plan_jobs, plan_text

if TYPE_CHECKING:
    from conviction.folds import FoldPlan
    from conviction.observer import Observer
    from conviction.oof import Audited
    from conviction.tuning import Tunings
    from conviction_kedro.modeling_parameters import ModelingParameters
    from conviction_kedro.runtime import Runtime
    from conviction_kedro.sagemaker._settings import SageMakerParameters

__all__ = ["Gathered", "Requested", "analysis_text", "gather", "launch", "request"]
_SCHEMA = dict.fromkeys(("record_key", "parent_key", "name", "params", "metrics", "tags"), pl.String)


@dataclass(frozen=True)
class Requested:
    """The plan of a delegation, in words too, and a record for each job, so that its name is tracked before its launch."""

    plan: dict[str, Any]
    text: str
    records: pl.DataFrame


@dataclass(frozen=True)
class Gathered:
    """What came back; see `conviction_kedro.sagemaker.Delegated`."""

    tunings: Tunings
    trials: pl.DataFrame
    analysis: dict[str, Any]
    records: pl.DataFrame


def request(
    audited: Audited,
    plan: FoldPlan,
    *,
    modeling: ModelingParameters,
    settings: SageMakerParameters,
    seed: int,
    run: Runtime,
) -> Requested:
    """Return every request with checks and cost; see `plan_jobs`."""
    identity = RunIdentity(
        universe=run.provenance.get("universe", "panel"),
        run_id=run.run_id,
        commit=run.provenance.get("commit", "unknown"),
        pin=run.provenance.get("dataset_pin", "none"),
    )
    made = plan_jobs(
        audited,
        plan,
        searches=list(_searches(audited, modeling)),
        configured=modeling.configured,
        tuning=modeling.tuning,
        settings=settings,
        seed=seed,
        identity=identity,
    )
    rows = [
        _record(
            f"sagemaker/{job['key']}",
            name=f"sagemaker | {job['key']}",
            params={"strategy": settings.strategy, "models": ",".join(job["models"]), "fold": job["fold"]},
            metrics={"instance_hours_at_most": made["checks"]["jobs"][job["key"]]["instance_hours"] or 0.0},
            tags={
                "kind": "tuning job",
                "target": job["target"],
                "model": "+".join(job["models"]),
                "sagemaker_job": job["request"]["HyperParameterTuningJobName"],
                "sagemaker_region": settings.region,
                "dataset_sha": made["data"]["sha"],
            },
        )
        for job in made["jobs"]
    ]
    return Requested(made, plan_text(made), pl.DataFrame(rows, schema=_SCHEMA))


def launch(
    audited: Audited,
    plan: FoldPlan,
    requests: Mapping[str, Any],
    *,
    modeling: ModelingParameters,
    settings: SageMakerParameters,
    engine: str,
) -> tuple[dict[str, Any], pl.DataFrame]:
    """Launch the jobs of a plan; see `launch_plan`."""
    files = make_upload(audited, plan, searches=list(_searches(audited, modeling)), tuning=modeling.tuning)
    launched = launch_plan(requests, files, settings=settings, clients=open_clients(settings, engine=engine))
    return launched, pl.DataFrame([_job_record(key, job) for key, job in launched["jobs"].items()], schema=_SCHEMA)


def gather(
    audited: Audited,
    plan: FoldPlan,
    requests: Mapping[str, Any],
    launched: Mapping[str, Any],
    *,
    modeling: ModelingParameters,
    settings: SageMakerParameters,
    seed: int,
    engine: str,
    observer: Observer,
) -> Gathered:
    """Watch the jobs to their end and bring their trials back; see `watch_jobs` and `collect`."""
    clients = open_clients(settings, engine=engine)
    watch = watch_jobs(launched, settings=settings, clients=clients, plan=requests, observer=observer)
    found = collect(
        watch,
        requests,
        audited,
        plan,
        tuning=modeling.tuning,
        seed=seed,
        clients=clients,
        configured=modeling.configured,
        served=_searches(audited, modeling),
        score_configured=settings.score_configured,
    )
    rows = [
        _job_record(key, {**watch.jobs[key], "status": answer["HyperParameterTuningJobStatus"]})
        for key, answer in watch.status.items()
    ]
    rows += [_trial_record(row) for row in found.trials.iter_rows(named=True)]
    own = records.of_trials(found.tunings.trials, best=modeling.tracked_trials)
    made = pl.concat([own, pl.DataFrame(rows, schema=_SCHEMA).select(own.columns)])
    return Gathered(found.tunings, found.trials, found.analysis, made)


def _searches(audited: Audited, modeling: ModelingParameters) -> dict[tuple[str, str], list[str]]:
    """Return the searches of `modeling`; refuse what would not be the same search elsewhere."""
    if modeling.fitting.weighted:
        raise SageMakerError(
            what="trials with sample weights are fitted where the weights are made",
            got="modeling.fitting with weights and a delegated engine",
            allowed="fitting without uniqueness and half_life_sessions",
            fix="tune with engine=local, or without weights",
        )
    found = searches_of(
        audited,
        targets=modeling.targets,
        models=modeling.models,
        tuning=modeling.tuning,
        untuned=modeling.untuned,
        on_missing_extra=modeling.on_missing_extra,
    )
    if not found:
        raise SageMakerError(
            what="nothing is left to delegate",
            got=f"models {list(modeling.models)}, untuned {list(modeling.untuned)}",
            allowed="at least one model with a search space",
            fix="add xgboost to modeling.models, or run with engine=local",
        )
    return found


def _job_record(key: str, job: Mapping[str, Any]) -> dict[str, str | None]:
    tags = {"sagemaker_job": job["name"], "sagemaker_instance": job["instance"], "adopted": job["adopted"]}
    tags["attempts"] = json.dumps(job["attempts"])
    if "status" in job:
        tags["sagemaker_status"] = job["status"]
    return _record(f"sagemaker/{key}", name=f"sagemaker | {key}", params={}, metrics={}, tags=tags)


def _trial_record(row: Mapping[str, Any]) -> dict[str, str | None]:
    tags = {
        "kind": "training job",
        "status": row["status"],
        "target": row["target"],
        "model": row["model"],
        "sagemaker_training_job": row["trial"],
    }
    if row["failure"]:
        tags["failure"] = row["failure"][:4000]
    metrics = {"trial_auc": row["value"], "billed_seconds": row["billed_seconds"], "seconds": row["seconds"]}
    return _record(
        f"sagemaker/{row['key']}/{row['trial']}",
        parent=f"sagemaker/{row['key']}",
        name=row["trial"],
        params=json.loads(row["params"]),
        metrics={name: value for name, value in metrics.items() if value is not None},
        tags=tags,
    )


def _record(
    key: str,
    *,
    name: str,
    params: Mapping[str, Any],
    metrics: Mapping[str, Any],
    tags: Mapping[str, Any],
    parent: str | None = None,
) -> dict[str, str | None]:
    return {
        "record_key": key,
        "parent_key": parent,
        "name": name,
        "params": json.dumps(params, sort_keys=True),
        "metrics": json.dumps(metrics, sort_keys=True),
        "tags": json.dumps(tags, sort_keys=True, default=str),
    }

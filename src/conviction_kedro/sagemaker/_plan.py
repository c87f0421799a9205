"""From the parameters of a run to the jobs that it would launch: requests, checks and cost; nothing is called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from conviction.models import model_spec
from conviction.tuning import search_space
from conviction_kedro.sagemaker._archive import Archive, code_archive
from conviction_kedro.sagemaker._bundle import Bundle, training_bundle
from conviction_kedro.sagemaker._errors import SageMakerError
from conviction_kedro.sagemaker._images import image_uri
from conviction_kedro.sagemaker._names import job_name
from conviction_kedro.sagemaker._preflight import check_table
from conviction_kedro.sagemaker._request import JobIdentity, TrainingData, build_request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from conviction.folds import FoldPlan
    from conviction.oof import Audited
    from conviction.tuning import TuningParameters
    from conviction_kedro.sagemaker._settings import SageMakerParameters


@dataclass(frozen=True, kw_only=True)
class RunIdentity:
    """Who asks, for names and tags.

    Attributes
    ----------
    universe, run_id, commit, pin : str
    """

    universe: str
    run_id: str = "no-run"
    commit: str = "unknown"
    pin: str = "none"


@dataclass(frozen=True)
class Upload:
    """What a plan's jobs read: the bundle and one archive a model."""

    bundle: Bundle
    code: dict[str, Archive]


def make_upload(
    audited: Audited, plan: FoldPlan, *, searches: Sequence[tuple[str, str]], tuning: TuningParameters
) -> Upload:
    """Return data and code of the jobs; the same inputs give the same bytes and so the same addresses."""
    targets = list(dict.fromkeys(target for target, _ in searches))
    return Upload(
        training_bundle(audited, plan, targets=targets, folds=plan.folds, inner_folds=tuning.inner_folds),
        {model: code_archive(model) for model in dict.fromkeys(model for _, model in searches)},
    )


def plan_jobs(
    audited: Audited,
    plan: FoldPlan,
    *,
    searches: Sequence[tuple[str, str]],
    tuning: TuningParameters,
    settings: SageMakerParameters,
    seed: int,
    identity: RunIdentity,
    configured: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return every job of a delegated search: one for each target, fold and model (or all models together).

    Each outer fold is searched by itself, on that fold's own training sessions, as it is here.

    Parameters
    ----------
    audited, plan, tuning, seed, configured
        As for `conviction.tuning.tune_all`.
    searches : sequence of (target, model)
        As `conviction.tuning.searches_of` gives them.
    settings : SageMakerParameters
    identity : RunIdentity

    Returns
    -------
    dict
        `jobs`: a list of `key`, `target`, `fold`, `models`, `request` and `instances` (types to step down to, each with
        its images); `checks` (see `check_table`); `data` and `code`: hashes and addresses.

    Raises
    ------
    SageMakerError
        For a model that no image trains.
    TuningError
        For an impossible search space.
    """
    if tuning.features:
        raise SageMakerError(
            what="feature parameters are searched where the features are computed",
            got=f"tuning.features={sorted(tuning.features)} with a delegated engine",
            allowed="an empty tuning.features",
            fix="search them with engine=local, then delegate with the values found as features parameters",
        )
    models = list(dict.fromkeys(model for _, model in searches))
    for model in models:
        image_uri(model, region=settings.region, overrides=settings.images)
    upload = make_upload(audited, plan, searches=searches, tuning=tuning)
    root = f"s3://{settings.bucket}/{settings.prefix}"
    data = TrainingData(
        uri=f"{root}/{upload.bundle.prefix}",
        sha=upload.bundle.sha,
        pin=identity.pin,
        code={model: f"{root}/{archive.key}" for model, archive in upload.code.items()},
    )
    jobs: list[dict[str, Any]] = []
    for target, groups in _groups(searches, together=settings.together).items():
        objective = tuning.objective_for(_n_symbols(audited, target))
        for fold in plan.folds:
            for group in groups:
                job = JobIdentity(
                    name=job_name(
                        universe=identity.universe, target=target, models=group, fold=fold, nonce=identity.run_id
                    ),
                    target=target,
                    fold=fold,
                    objective=objective,
                    seed=seed,
                    n_trials=max(1, tuning.n_trials - settings.score_configured) * len(group),
                    commit=identity.commit,
                    run_id=identity.run_id,
                    base={
                        model: model_spec(model)
                        .parse((configured or {}).get(model))
                        .model_dump(mode="json", by_alias=True)
                        for model in group
                    },
                )
                spaces = {model: search_space(model, tuning) for model in group}
                jobs.append(
                    {
                        "key": f"{target}/{'+'.join(group)}/{fold}",
                        "target": target,
                        "fold": fold,
                        "models": list(group),
                        "request": build_request(spaces, data, settings, job=job),
                        "instances": _instances(group, settings),
                    }
                )
    return {
        "jobs": jobs,
        "checks": check_table({job["key"]: job["request"] for job in jobs}),
        "data": {"sha": upload.bundle.sha, "uri": data.uri, "pin": identity.pin},
        "code": {
            model: {"sha": archive.sha, "uri": data.code[model]} for model, archive in sorted(upload.code.items())
        },
        "region": settings.region,
    }


def _groups(searches: Sequence[tuple[str, str]], *, together: bool) -> dict[str, list[tuple[str, ...]]]:
    """Return, for each target, the models that are searched in one job."""
    models: dict[str, list[str]] = {}
    for target, model in searches:
        models.setdefault(target, []).append(model)
    return {target: [tuple(own)] if together else [(model,) for model in own] for target, own in models.items()}


def _n_symbols(audited: Audited, target: str) -> int:
    return int(audited.frame.filter(pl.col(target).is_not_null())["symbol"].n_unique())


def _instances(models: tuple[str, ...], settings: SageMakerParameters) -> list[dict[str, Any]]:
    return [
        {
            "type": kind,
            "images": {
                model: image_uri(model, region=settings.region, instance=kind, overrides=settings.images)
                for model in models
            },
        }
        for kind in settings.instances_of(models)
    ]


def plan_text(plan: dict[str, Any]) -> str:
    """Return a plan in words: the jobs, what their checks say, and the most they can cost."""
    checks = plan["checks"]
    first = (
        f"{len(plan['jobs'])} tuning jobs; data {plan['data']['sha'][:12]} (pin: {plan['data']['pin']}); at most "
        f"{checks['instance_hours']:.1f} instance-hours; {checks['errors']} errors in the checks"
    )
    lines = [first]
    for job in plan["jobs"]:
        request, table = job["request"], checks["jobs"][job["key"]]
        limits = request["HyperParameterTuningJobConfig"]["ResourceLimits"]
        hours = "?" if table["instance_hours"] is None else f"{table['instance_hours']:.1f}"
        lines.append(
            f"  {job['key']:32s} {request['HyperParameterTuningJobName']:32s} {limits['MaxNumberOfTrainingJobs']:3d} trials, "
            f"{limits['MaxParallelTrainingJobs']} at a time on {job['instances'][0]['type']}, at most {hours} h"
        )
    errors = {
        (check["where"], check["message"]): None
        for table in checks["jobs"].values()
        for check in table["checks"]
        if check["status"] == "error"
    }
    lines += [f"  ERROR {where + ': ' if where else ''}{message}" for where, message in errors]
    return "\n".join(lines)

"""Bringing results back: every trial of every job, in the shape that a search here would have given."""

from __future__ import annotations

import io
import json
import logging
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from conviction.tuning import gather_trials, tunings_of
from conviction_kedro.sagemaker._errors import SageMakerError, kind_of

if TYPE_CHECKING:
    from conviction.folds import FoldPlan
    from conviction.oof import Audited
    from conviction.tuning import TuningParameters, Tunings
    from conviction_kedro.sagemaker._clients import Clients
    from conviction_kedro.sagemaker._monitor import Watch

logger = logging.getLogger(__name__)
THRESHOLDS = (0.55, 0.80, 0.95)
TRIAL_SCHEMA = {
    "key": pl.String,
    "job": pl.String,
    "trial": pl.String,
    "model": pl.String,
    "target": pl.String,
    "fold": pl.Int32,
    "status": pl.String,
    "value": pl.Float64,
    "params": pl.String,
    "failure": pl.String,
    "seconds": pl.Float64,
    "billed_seconds": pl.Float64,
    "metrics": pl.String,
}


@dataclass(frozen=True)
class Delegated:
    """What came back.

    Attributes
    ----------
    tunings : Tunings
        Best parameters, trials and ledger, as `tune_all` gives them.
    trials : polars.DataFrame
        Every training job, finished or not: status, score, parameters, reason of failure, seconds.
    analysis : dict
        See `analyse`.
    """

    tunings: Tunings
    trials: pl.DataFrame
    analysis: dict[str, Any]


def list_trials(name: str, *, clients: Clients) -> list[dict[str, Any]]:
    """Return every training job of a tuning job, page after page."""
    arguments: dict[str, Any] = {"HyperParameterTuningJobName": name, "MaxResults": 100, "SortBy": "CreationTime"}
    found: list[dict[str, Any]] = []
    while True:
        page = clients("sagemaker", "list_training_jobs_for_hyper_parameter_tuning_job", **arguments)
        found += page["TrainingJobSummaries"]
        if not page.get("NextToken"):
            return found
        arguments["NextToken"] = page["NextToken"]


def trial_table(watch: Watch, plan: Mapping[str, Any], *, clients: Clients) -> pl.DataFrame:
    """Return one row a training job of all jobs, with the metrics file of those that completed.

    Returns
    -------
    polars.DataFrame
        Columns of `TRIAL_SCHEMA`; `status` is completed, failed, stopped or silent (it ended without the metric).
    """
    jobs = {job["key"]: job for job in plan["jobs"]}
    rows = []
    for key, launched in watch.jobs.items():
        job = jobs[key]
        summaries = list_trials(launched["name"], clients=clients)
        rows += [_row(key, job, launched["name"], summary, clients=clients) for summary in summaries]
    return pl.DataFrame(rows, schema=TRIAL_SCHEMA)


def _row(
    key: str, job: Mapping[str, Any], name: str, summary: Mapping[str, Any], *, clients: Clients
) -> dict[str, Any]:
    definition = summary.get("TrainingJobDefinitionName")
    model = next((one for one in job["models"] if one.replace("_", "-") == definition), job["models"][0])
    metric = summary.get("FinalHyperParameterTuningJobObjectiveMetric")
    state = summary["TrainingJobStatus"]
    status = {"Completed": "completed", "Failed": "failed"}.get(state, "stopped")
    failure = summary.get("FailureReason", "")
    if status == "completed" and metric is None:
        status, failure = "silent", "the objective metric never appeared in its log"
    metrics = _metrics_file(job, name, summary["TrainingJobName"], clients=clients) if status == "completed" else None
    begun, ended = summary.get("TrainingStartTime"), summary.get("TrainingEndTime")
    return {
        "key": key,
        "job": name,
        "trial": summary["TrainingJobName"],
        "model": model,
        "target": job["target"],
        "fold": job["fold"],
        "status": status,
        "value": None if metric is None else (metrics or {}).get("value", metric["Value"]),
        "params": json.dumps(
            (metrics or {}).get("params") or _numbers(summary.get("TunedHyperParameters", {})), sort_keys=True
        ),
        "failure": failure or None,
        "seconds": None if metrics is None else metrics["seconds"],
        "billed_seconds": (ended - begun).total_seconds() if begun and ended else None,
        "metrics": None if metrics is None else json.dumps(metrics, sort_keys=True),
    }


def _metrics_file(job: Mapping[str, Any], name: str, trial: str, *, clients: Clients) -> dict[str, Any] | None:
    from conviction_kedro.sagemaker._request import definitions_of

    path = definitions_of(job["request"])[0]["OutputDataConfig"]["S3OutputPath"]
    first = job["request"]["HyperParameterTuningJobName"]
    bucket, _, prefix = path.replace(f"/jobs/{first}", f"/jobs/{name}").removeprefix("s3://").partition("/")
    key = f"{prefix}/{trial}/output/output.tar.gz"
    try:
        content = clients("s3", "get_object", Bucket=bucket, Key=key)["Body"].read()
    except SageMakerError as error:
        if error.__cause__ is not None and kind_of(error.__cause__) == "missing":  # type: ignore[arg-type]
            logger.warning("%s wrote no metrics file; its score is the one that the service scraped", trial)
            return None
        raise
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        member = next((one for one in archive.getmembers() if one.name.endswith("metrics.json")), None)
        stream = None if member is None else archive.extractfile(member)
        if stream is None:
            return None
        found: dict[str, Any] = json.loads(stream.read())
        return found


def collect(
    watch: Watch,
    plan: Mapping[str, Any],
    audited: Audited,
    folds: FoldPlan,
    *,
    tuning: TuningParameters,
    seed: int,
    clients: Clients,
    configured: Mapping[str, Mapping[str, Any]] | None = None,
    served: Mapping[tuple[str, str], Sequence[str]] | None = None,
    score_configured: bool = True,
) -> Delegated:
    """Return what a launch found, in the shape of a search here.

    Parameters
    ----------
    watch : Watch
        Jobs that ended.
    plan : mapping
        Of `plan_jobs`.
    audited, folds, tuning, seed, configured
        As for `conviction.tuning.tune_all`.
    clients : Clients
    served : mapping, optional
        See `conviction.tuning.tunings_of`.
    score_configured : bool
        See `gather_trials`.

    Raises
    ------
    SageMakerError
        If a search has no finished trial: with the reasons that its trials and the service give.
    """
    table = trial_table(watch, plan, clients=clients)
    results = {}
    for target, model in dict.fromkeys((job["target"], model) for job in plan["jobs"] for model in job["models"]):
        own = table.filter((pl.col("target") == target) & (pl.col("model") == model))
        finished = {}
        for fold in folds.folds:
            part = own.filter((pl.col("fold") == fold) & (pl.col("status") == "completed"))
            if part.is_empty():
                _tell(watch, own.filter(pl.col("fold") == fold), f"{target}/{model}/{fold}", plan)
            finished[fold] = [_finished(row) for row in part.iter_rows(named=True)]
        results[target, model] = gather_trials(
            audited,
            folds,
            target=target,
            model=model,
            tuning=tuning,
            seed=seed,
            params=(configured or {}).get(model),
            trials=finished,
            score_configured=score_configured,
        )
    return Delegated(tunings_of(results, served=served), table, analyse(table, watch))


def _finished(row: Mapping[str, Any]) -> dict[str, Any]:
    if row["metrics"] is not None:
        found: dict[str, Any] = json.loads(row["metrics"])
        return found
    return {
        "value": row["value"],
        "scores": [row["value"]],
        "by_session": [],
        "params": json.loads(row["params"]),
        "facts": {"metrics": "of the service alone"},
        "predictions_sha": "",
        "seconds": row["billed_seconds"] or 0.0,
    }


def _numbers(tuned: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, text in tuned.items():
        try:
            values[name] = json.loads(text)
        except json.JSONDecodeError:
            values[name] = text.strip('"')
    return values


def _tell(watch: Watch, trials: pl.DataFrame, what: str, plan: Mapping[str, Any]) -> None:
    target, model, fold = what.rsplit("/", 2)
    keys = [
        job["key"]
        for job in plan["jobs"]
        if job["target"] == target and str(job["fold"]) == fold and model in job["models"]
    ]
    status = "; ".join(
        f"{watch.jobs[key]['name']} is {watch.status[key]['HyperParameterTuningJobStatus']}"
        + (f" ({watch.status[key]['FailureReason']})" if watch.status[key].get("FailureReason") else "")
        for key in keys
    )
    reasons = [f"{count} x {reason}" for reason, count in _reasons(trials)[:3]]
    raise SageMakerError(
        what=f"the delegated search {what} has no finished trial",
        got=f"{status}; {trials.height} trials: {'; '.join(reasons) or 'none failed with a reason'}",
        allowed="at least one trial with a score",
        fix="read the reason; a trial's log is in the CloudWatch group /aws/sagemaker/TrainingJobs under its name",
    )


def _reasons(trials: pl.DataFrame) -> list[tuple[str, int]]:
    """Return the first lines of the reasons of failure with their counts, the most frequent first."""
    lines = trials.select(reason=pl.col("failure").str.split("\n").list.first()).drop_nulls()
    return [(str(reason), int(count)) for reason, count in lines["reason"].value_counts(sort=True).rows()]


def analyse(trials: pl.DataFrame, watch: Watch | None = None) -> dict[str, Any]:
    """Return the distribution of all scores, and how many are too good.

    Parameters
    ----------
    trials : polars.DataFrame
        `status`, `value`, `target`, `model` of every trial.
    watch : Watch, optional
        For deadline and attempts.

    Returns
    -------
    dict
        `counts` by status, `overall` and `groups` (n, min, quartiles, max, mean, share over 0.55, 0.80, 0.95),
        `warnings`. These are scores of trials on inner blocks, not results: the best of many is lucky.

    Examples
    --------
    >>> table = pl.DataFrame({"status": ["completed"] * 2, "value": [0.52, 0.97], "target": ["relative"] * 2,
    ...                       "model": ["xgboost"] * 2, "failure": [None, None]}, schema_overrides={"failure": pl.String})
    >>> analyse(table)["overall"]["share_over_0.95"]
    0.5
    """
    scored = trials.filter(pl.col("value").is_not_null() & pl.col("value").is_not_nan())
    groups = {
        f"{target}/{model}": _distribution(part["value"])
        for (target, model), part in scored.group_by("target", "model", maintain_order=True)
    }
    overall = _distribution(scored["value"])
    warnings = []
    for threshold in THRESHOLDS[1:]:
        share = overall.get(f"share_over_{threshold:.2f}") or 0.0
        if share:
            warnings.append(
                f"{share:.0%} of the trials score over {threshold:.2f}: that is leakage until proved otherwise; run "
                "`kedro run --pipeline=leakage_audit` and read its report before anything else"
            )
    counts = dict(trials["status"].value_counts(sort=True).rows())
    for reason, count in _reasons(trials)[:5]:
        warnings.append(f"{count} trials ended without a score: {reason}")
    analysis: dict[str, Any] = {"counts": counts, "overall": overall, "groups": groups, "warnings": warnings}
    if watch is not None:
        analysis["deadline_passed"] = watch.deadline_passed
        analysis["attempts"] = {key: job.get("attempts", []) for key, job in watch.jobs.items()}
        if watch.deadline_passed:
            warnings.append("the deadline passed: the searches are shorter than planned")
    return analysis


def _distribution(values: pl.Series) -> dict[str, Any]:
    if values.is_empty():
        return {"n": 0}
    quantiles = {f"q{round(100 * q)}": values.quantile(q, "linear") for q in (0.25, 0.5, 0.75)}
    shares = {f"share_over_{limit:.2f}": float((values > limit).mean() or 0.0) for limit in THRESHOLDS}  # type: ignore[arg-type]
    return {
        "n": len(values),
        "min": values.min(),
        **quantiles,
        "max": values.max(),
        "mean": values.mean(),
        **shares,
    }


def analysis_text(analysis: Mapping[str, Any]) -> str:
    """Return the analysis of all trials in words."""
    lines = ["ALL TRIALS OF THE DELEGATED SEARCHES (scores on inner blocks; the best of many is lucky, not a result)"]
    rows: Sequence[tuple[str, Mapping[str, Any]]] = [*analysis["groups"].items(), ("all", analysis["overall"])]
    for name, one in rows:
        if one["n"]:
            lines.append(
                f"  {name:28s} {one['n']:4d} trials  {one['min']:.4f} | {one['q25']:.4f} {one['q50']:.4f} {one['q75']:.4f} | "
                f"{one['max']:.4f}   over 0.55: {one['share_over_0.55']:.0%}, 0.80: {one['share_over_0.80']:.0%}, "
                f"0.95: {one['share_over_0.95']:.0%}"
            )
    lines += [f"  WARNING: {text}" for text in analysis["warnings"]]
    return "\n".join(lines)

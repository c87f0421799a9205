"""A whole delegation against the stand-in: real entry point, real S3 server, and everything that can go wrong."""

from __future__ import annotations

import json

import polars as pl
import pytest

from conviction.tuning import TuningParameters
from conviction_kedro.sagemaker import (
    CredentialsError,
    PreflightError,
    QuotaError,
    RunIdentity,
    SageMakerError,
    SageMakerParameters,
    analyse,
    analysis_text,
    collect,
    launch_plan,
    make_upload,
    plan_jobs,
    plan_text,
    trial_table,
    watch_jobs,
)

ROLE = "arn:aws:iam::123456789012:role/conviction-training"
TUNING = TuningParameters(n_trials=3, search={"xgboost": {"eta": {"low": 0.1}}})


class Delegation:
    """One delegated search over the small panel."""

    def __init__(
        self,
        cloud,
        panel,
        plan,
        *,
        models=("xgboost",),
        targets=("relative",),
        tuning=TUNING,
        configured=None,
        **settings,
    ):
        self.cloud, self.panel, self.folds, self.tuning, self.configured = cloud, panel, plan, tuning, configured
        own = {
            "bucket": cloud.bucket, "role_arn": ROLE, "poll_seconds": 0.05, "parallel": 2, "strategy": "Random",
            "instances": ("ml.m5.xlarge", "ml.c5.xlarge", "ml.m5.large"),
        }  # fmt: skip
        self.settings = SageMakerParameters(**{**own, **settings})
        inputs = {"searches": [(target, model) for target in targets for model in models], "tuning": tuning}
        self.upload = make_upload(panel, plan, **inputs)
        self.plan = plan_jobs(
            panel,
            plan,
            **inputs,
            settings=self.settings,
            seed=5,
            configured=configured,
            identity=RunIdentity(universe="six", run_id="r1"),
        )

    def launch(self):
        return launch_plan(self.plan, self.upload, settings=self.settings, clients=self.cloud.clients)

    def watch(self, launched, **more):
        return watch_jobs(launched, settings=self.settings, clients=self.cloud.clients, plan=self.plan, **more)

    def collect(self, watch):
        return collect(
            watch, self.plan, self.panel, self.folds, tuning=self.tuning, seed=5, clients=self.cloud.clients,
            score_configured=self.settings.score_configured, configured=self.configured,
        )  # fmt: skip

    def run(self):
        return self.collect(self.watch(self.launch()))


@pytest.fixture
def one_fold(panel):
    from conviction.folds import FoldParameters, make_fold_plan

    return make_fold_plan(
        panel.labels, folds=FoldParameters(purge=1, embargo=5, holdout_sessions=60, n_folds=1, min_train_sessions=150)
    )


@pytest.mark.slow
def test_a_delegated_search_comes_back_as_if_it_had_run_here(cloud, panel, plan):
    job = Delegation(cloud(), panel, plan)
    found = job.run()
    best = found.tunings.best["relative/xgboost"]
    assert sorted(best) == ["0", "1"]
    trials = found.tunings.trials
    assert trials.group_by("fold").len().sort("fold").rows() == [(0, 3), (1, 3)], "one configured and two delegated"
    for fold, params in best.items():
        own = trials.filter(pl.col("fold") == int(fold))
        assert params == json.loads(own.sort("value", descending=True).row(0, named=True)["params"])
    assert found.tunings.ledger["trial_key"].n_unique() == 6
    # The delegated scores are what this workspace scores with the same parameters.
    from conviction.oof import LabelledRows
    from conviction.tuning._objective import make_stages, score_stages

    rows = LabelledRows(panel, target="relative")
    ledger = found.tunings.ledger.filter((pl.col("fold") == 1) & (pl.col("trial") == 2)).row(0, named=True)
    stages = make_stages(rows, plan, 1, model="xgboost", inner_folds=1)
    own = score_stages(
        stages, model="xgboost", params=json.loads(ledger["params"]), objective="auc_daily", seed=5, n_threads=1
    )
    assert ledger["value"] == pytest.approx(next(own).value, abs=1e-12)
    assert found.analysis["counts"] == {"completed": 4}
    assert "AUC" not in plan_text(job.plan)
    assert "2 tuning jobs" in plan_text(job.plan)


def test_the_same_data_and_code_are_uploaded_once(cloud, panel, one_fold):
    here = cloud()
    first = Delegation(here, panel, one_fold).launch()
    assert first["uploaded"]["known"] == 0
    again = Delegation(here, panel, one_fold).launch()
    assert again["uploaded"]["sent"] == 0
    assert again["jobs"]["relative/xgboost/0"]["adopted"], "a job that runs is watched again, not launched twice"
    assert here.sagemaker.calls.count("CreateHyperParameterTuningJob") == 1


@pytest.mark.slow
def test_several_algorithms_in_one_job(cloud, panel, one_fold):
    job = Delegation(
        cloud(), panel, one_fold, models=("xgboost", "lightgbm", "random_forest"), together=True,
        tuning=TuningParameters(n_trials=2),
    )  # fmt: skip
    assert len(job.plan["jobs"]) == 1
    found = job.run()
    assert sorted(found.tunings.best) == ["relative/lightgbm", "relative/random_forest", "relative/xgboost"]
    assert found.trials.group_by("model").len().sort("model")["len"].to_list() == [1, 1, 1]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["Bayesian", "Hyperband", "Grid"])
def test_the_other_strategies(cloud, panel, one_fold, strategy):
    tuning = TuningParameters(n_trials=6)
    options = {"hyperband": (2, 20)}
    if strategy == "Grid":
        narrow = {"min_samples_leaf": {"high": 20}, "max_features": {"high": 0.1}, "max_samples": {"high": 0.2}}
        tuning = TuningParameters(n_trials=5, search={"random_forest": narrow})
        options = {"grid_points": 2}
    model = "random_forest" if strategy == "Grid" else "xgboost"
    job = Delegation(cloud(), panel, one_fold, models=(model,), strategy=strategy, tuning=tuning, **options)
    found = job.run()
    params = [json.loads(text) for text in found.trials["params"]]
    if strategy == "Grid":
        assert sorted(one["max_depth"] for one in params) == [2, 12]
    if strategy == "Hyperband":
        assert found.analysis["counts"].get("stopped", 0) >= 1, "nobody was ended early"
        assert all(one["n_estimators"] == 20 for one in params if "n_estimators" in one)
    if strategy == "Bayesian":
        assert len({one["eta"] for one in params}) == 5


def test_a_quota_of_zero_is_passed_over_and_a_smaller_one_lowers_the_jobs_at_a_time(cloud, panel, one_fold):
    job = Delegation(
        cloud(quotas={"ml.g4dn.xlarge": 0, "ml.m5.xlarge": 1}), panel, one_fold,
        instances_by_model={"xgboost": ("ml.g4dn.xlarge",)},
    )  # fmt: skip
    launched = job.launch()["jobs"]["relative/xgboost/0"]
    assert (launched["instance"], launched["parallel"]) == ("ml.m5.xlarge", 1)
    assert launched["attempts"][0] == {
        "instance": "ml.g4dn.xlarge",
        "outcome": "passed over",
        "reason": "the account's quota is 0",
    }


def test_resource_limit_exceeded_steps_down_and_each_attempt_is_recorded(cloud, panel, one_fold):
    here = cloud(quotas={"ml.m5.xlarge": 1, "ml.c5.xlarge": 1})
    # Quotas that may not be looked up: only the refusal tells.
    from dataclasses import replace

    from conviction_kedro.sagemaker._stand_in_faults import refusal

    class Forbidden:
        def list_service_quotas(self, **request):
            raise refusal("AccessDeniedException", "not authorized", "ListServiceQuotas")

    here.clients = replace(here.clients, quotas=Forbidden())
    job = Delegation(here, panel, one_fold)
    launched = job.launch()["jobs"]["relative/xgboost/0"]
    assert [attempt["outcome"] for attempt in launched["attempts"]] == ["refused", "launched"]
    assert "ResourceLimitExceeded" in launched["attempts"][0]["reason"]
    assert (launched["instance"], launched["parallel"]) == ("ml.m5.xlarge", 1)

    here.faults.quotas |= dict.fromkeys(("ml.m5.xlarge", "ml.c5.xlarge", "ml.m5.large"), 0)
    other = Delegation(here, panel, one_fold, targets=("direction",))
    with pytest.raises(QuotaError, match=r"at most 3 attempts.*Service Quotas"):
        other.launch()
    assert here.sagemaker.calls.count("CreateHyperParameterTuningJob") == 2 + 3


@pytest.mark.slow
def test_a_job_that_ends_for_lack_of_capacity_is_launched_on_the_next_type(cloud, panel, one_fold):
    job = Delegation(cloud(no_capacity={"ml.m5.xlarge"}), panel, one_fold)
    watch = job.watch(job.launch())
    launched = watch.jobs["relative/xgboost/0"]
    assert launched["instance"] == "ml.c5.xlarge"
    assert launched["name"].endswith("-2")
    assert "CapacityError" in launched["attempts"][0]["reason"]
    assert job.collect(watch).analysis["counts"] == {"completed": 2}


@pytest.mark.slow
def test_throttling_and_errors_of_s3_are_repeated(cloud, panel, one_fold):
    job = Delegation(cloud(throttled=2, s3_errors=2), panel, one_fold)
    launched = job.launch()
    job.cloud.faults.throttled = 2
    watch = job.watch(launched)
    job.cloud.faults.s3_errors = 2
    assert job.collect(watch).analysis["counts"] == {"completed": 2}


def test_throttling_without_end_is_told_with_the_way_on(cloud, panel, one_fold):
    job = Delegation(cloud(throttled=1000), panel, one_fold)
    with pytest.raises(SageMakerError, match=r"ThrottlingException.*4 of 4 attempts.*not launched twice"):
        job.launch()


def test_expired_credentials_are_told_and_nothing_is_launched(cloud, panel, one_fold):
    job = Delegation(cloud(expired=True), panel, one_fold)
    with pytest.raises(CredentialsError, match=r"expired.*sign in again"):
        job.launch()
    job.cloud.faults.expired = False
    assert "CreateHyperParameterTuningJob" not in job.cloud.sagemaker.calls


def test_a_crashing_trial_leaves_its_reason_and_the_others_stay(cloud, panel, one_fold):
    found = Delegation(cloud(crashing={1}), panel, one_fold).run()
    failed = found.trials.filter(pl.col("status") == "failed").row(0, named=True)
    assert "the data hold no fold -99" in failed["failure"]
    assert found.analysis["counts"] == {"completed": 1, "failed": 1}
    assert "1 trials ended without a score: AlgorithmError" in analysis_text(found.analysis)


@pytest.mark.slow
def test_when_every_trial_fails_the_error_has_the_reason(cloud, panel, one_fold):
    with pytest.raises(
        SageMakerError, match=r"no finished trial.*2 trials: 2 x AlgorithmError: TrainingError: the data"
    ):
        Delegation(cloud(crashing={0, 1}), panel, one_fold).run()


@pytest.mark.slow
def test_a_metric_that_never_appears_is_told(cloud, panel, one_fold):
    with pytest.raises(SageMakerError, match=r"No objective metrics found.*the objective metric never appeared"):
        Delegation(cloud(silent={0, 1}), panel, one_fold).run()


@pytest.mark.slow
def test_the_deadline_stops_the_jobs_and_keeps_what_finished(cloud, panel, one_fold):
    job = Delegation(cloud(), panel, one_fold, parallel=1, tuning=TuningParameters(n_trials=60))
    launched = job.launch()
    now = [0.0]

    def sleep(seconds):
        import time

        time.sleep(0.05)
        counts = job.cloud.sagemaker.describe_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=launched["jobs"]["relative/xgboost/0"]["name"]
        )["TrainingJobStatusCounters"]
        if counts["Completed"] >= 2:
            now[0] = 1e9

    watch = job.watch(launched, clock=lambda: now[0] if now[0] < 1e9 else now.append(0) or 1e9, sleep=sleep)
    assert watch.deadline_passed
    found = job.collect(watch)
    assert found.analysis["counts"]["completed"] >= 2
    assert found.trials.height < 10
    assert found.tunings.best["relative/xgboost"]["0"]
    assert "the deadline passed" in analysis_text(found.analysis)


@pytest.mark.slow
def test_a_killed_watcher_watches_again_by_name(cloud, panel, one_fold):
    job = Delegation(cloud(), panel, one_fold)
    launched = job.launch()

    def killed(seconds):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        job.watch(launched, sleep=killed)
    names = {"jobs": {"relative/xgboost/0": {"name": launched["jobs"]["relative/xgboost/0"]["name"]}}}
    watch = watch_jobs(names, settings=job.settings, clients=job.cloud.clients)
    assert job.collect(watch).analysis["counts"] == {"completed": 2}


@pytest.mark.slow
def test_a_spot_interruption_goes_on_from_the_checkpoint(cloud, panel, one_fold):
    tuning = TuningParameters(n_trials=2, inner_folds=2)
    job = Delegation(cloud(interrupted={0}), panel, one_fold, spot=True, tuning=tuning)
    found = job.run()
    assert found.analysis["counts"] == {"completed": 1}


def test_warm_start_names_earlier_jobs_and_an_unknown_one_is_refused(cloud, panel, one_fold):
    job = Delegation(cloud(), panel, one_fold, warm_start={"*": ("never-was",)})
    with pytest.raises(SageMakerError, match="Could not find parent tuning job never-was"):
        job.launch()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"role_arn": "arn:aws:iam::123456789012:role/missing-role"}, "cannot be found"),
        ({"alarms": ("missing-alarm",)}, "no CloudWatch alarm named missing-alarm"),
        ({"role_arn": "conviction"}, "no ARN of a role"),
    ],
)
def test_what_only_the_account_knows_is_asked_before_anything_is_sent(cloud, panel, one_fold, settings, words):
    job = Delegation(cloud(), panel, one_fold, **settings)
    with pytest.raises(PreflightError, match=words):
        job.launch()
    assert job.cloud._s3.list_objects_v2(Bucket=job.cloud.bucket).get("KeyCount") == 0


def test_a_bucket_in_another_region_is_found(cloud, panel, one_fold):
    job = Delegation(cloud(), panel, one_fold, region="eu-west-1")
    with pytest.raises(PreflightError, match=r"lies in us-east-1.*eu-west-1"):
        job.launch()


def test_a_request_with_a_Type_field_is_refused_as_by_boto3(cloud):
    from botocore.exceptions import ParamValidationError

    with pytest.raises(ParamValidationError, match="Unknown parameter"):
        cloud().sagemaker.create_hyper_parameter_tuning_job(
            HyperParameterTuningJobName="x",
            HyperParameterTuningJobConfig={
                "Strategy": "Random",
                "ResourceLimits": {"MaxParallelTrainingJobs": 1},
                "Type": 1,
            },
        )


def test_trials_that_are_too_good_are_called_leakage():
    values = [0.52, 0.56, 0.57, 0.85, 0.97]
    table = pl.DataFrame(
        {"status": ["completed"] * 5, "value": values, "target": ["relative"] * 5, "model": ["xgboost"] * 5},
    ).with_columns(failure=pl.lit(None, pl.String))
    result = analyse(table)
    overall = result["overall"]
    assert [overall[f"share_over_{limit}"] for limit in ("0.55", "0.80", "0.95")] == [0.8, 0.4, 0.2]
    assert sum("leakage" in text for text in result["warnings"]) == 2
    clean = analyse(table.filter(pl.col("value") < 0.8))
    assert clean["warnings"] == []


@pytest.mark.slow
def test_a_table_of_trials_without_metrics_file_keeps_the_scraped_score(cloud, panel, one_fold):
    job = Delegation(cloud(), panel, one_fold)
    watch = job.watch(job.launch())
    for item in job.cloud._s3.list_objects_v2(Bucket=job.cloud.bucket, Prefix="conviction/jobs")["Contents"]:
        if item["Key"].endswith("output.tar.gz"):
            job.cloud._s3.delete_object(Bucket=job.cloud.bucket, Key=item["Key"])
    table = trial_table(watch, job.plan, clients=job.cloud.clients)
    assert table["metrics"].null_count() == 2
    assert table["value"].is_between(0.3, 0.9).all()
    assert job.collect(watch).tunings.best["relative/xgboost"]["0"]["eta"] >= 0.1


@pytest.mark.slow
def test_the_same_study_here_and_delegated_agree_within_their_intervals(cloud, one_fold, panel):
    """Each search's best lies within the 95 % interval of the other's, by sessions, with twelve trials each."""
    from conviction.tuning import tune

    tuning = TuningParameters(n_trials=12)
    here = tune(panel, one_fold, target="relative", model="xgboost", tuning=tuning, seed=5)
    job = Delegation(cloud(), panel, one_fold, strategy="Bayesian", tuning=tuning)
    there = job.run().tunings
    bests = []
    for ledger in (here.ledger, there.ledger):
        days = ledger.sort("value", descending=True).row(0, named=True)["by_session"]
        series = pl.Series(days)
        half = 1.96 * series.std() / len(days) ** 0.5
        bests.append((series.mean(), series.mean() - half, series.mean() + half))
    (ours, low, high), (theirs, other_low, other_high) = bests
    assert low <= theirs <= high
    assert other_low <= ours <= other_high
    assert here.trials.height == there.trials.height == 12
    # Both began with the configured parameters, and scored them alike.
    first = [table.sort("trial").row(0, named=True)["value"] for table in (here.trials, there.trials)]
    assert first[0] == first[1]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["gru", "catboost"])
def test_training_jobs_for_gru_and_catboost_step_down_from_gpu_to_cpu(cloud, panel, one_fold, model):
    small = {"gru": {"max_epochs": 1, "length": 3}, "catboost": {"n_estimators": 10}}
    tuning = TuningParameters(n_trials=2, search={"gru": {"length": {"high": 6}, "hidden": {"high": 8}}})
    job = Delegation(
        cloud(quotas={"ml.g4dn.xlarge": 0}), panel, one_fold, models=(model,), tuning=tuning, configured=small,
        instances_by_model={model: ("ml.g4dn.xlarge",)},
    )  # fmt: skip
    launched = job.launch()
    attempts = launched["jobs"][f"relative/{model}/0"]["attempts"]
    assert [(one["instance"], one["outcome"]) for one in attempts] == [
        ("ml.g4dn.xlarge", "passed over"),
        ("ml.m5.xlarge", "launched"),
    ]
    request = job.cloud.sagemaker._tuning._jobs[launched["jobs"][f"relative/{model}/0"]["name"]].request
    assert "gpu" not in request["TrainingJobDefinition"]["AlgorithmSpecification"]["TrainingImage"]
    found = job.collect(job.watch(launched))
    assert found.analysis["counts"] == {"completed": 1}
    chosen = found.tunings.best[f"relative/{model}"]["0"]
    assert small[model].items() <= {**chosen, **({"length": 3} if model == "gru" else {})}.items()

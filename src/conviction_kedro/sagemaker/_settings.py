"""Typed parameters of delegation."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Strategy = Literal["Bayesian", "Random", "Hyperband", "Grid"]


class EndpointParameters(BaseModel):
    """How the champion is served.

    Parameters
    ----------
    name : str
        Name of the endpoint, its configuration and its model.
    instance : str
    wait_seconds : int
        Time to become healthy before it is given up and torn down.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "conviction-champion"
    instance: str = "ml.m5.large"
    wait_seconds: int = Field(default=900, ge=1)


class SageMakerParameters(BaseModel):
    """Where and how a search is delegated.

    Parameters
    ----------
    region, bucket, prefix, role_arn : str
        Where it runs, where data and results lie, and as whom. Nothing of an account stands in the repository: the
        environment variables that conf/sagemaker/parameters.yml names give them.
    instances : tuple of str
        Instance types in the order in which they are tried: when the quota of one is zero, or is used up, the next.
    instances_by_model : dict
        The same for single models (a GPU first for `gru`).
    parallel : int
        Training jobs at the same time in one tuning job; lowered to what the quota allows.
    max_runtime_seconds : int
        Longest run of one trial.
    deadline_minutes : float
        Longest wait for all jobs together; then they are stopped, and what finished is kept.
    strategy : {"Bayesian", "Random", "Hyperband", "Grid"}
    grid_points : int
        Values a numeric dimension gets in a grid.
    hyperband : (int, int)
        Fewest and most rounds of a trial.
    early_stopping : bool
        Whether the service may end trials that look worse than earlier ones.
    not_improving : int, optional
        Trials without a better one after which a job ends.
    together : bool
        Whether all models of a target and fold are searched in one tuning job (`TrainingJobDefinitions`).
    spot : bool
        Whether spot instances are used; finished stages of a trial are kept as checkpoints.
    warm_start : dict
        `target/model/fold`, or `*`, -> names of earlier tuning jobs.
    score_configured : bool
        Whether the configured parameters are scored here as the first trial, so that tuning can only replace them by
        something better.
    max_attempts : int
        Launches of one job, each with what the last one was refused for stepped down.
    images : dict
        Model -> image URI, in place of the table's.
    alarms : tuple of str
        CloudWatch alarms that must exist before anything is launched.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    region: str = "us-east-1"
    bucket: str = ""
    prefix: str = "conviction"
    role_arn: str = ""
    instances: tuple[str, ...] = Field(default=("ml.m5.xlarge", "ml.c5.xlarge", "ml.m5.large"), min_length=1)
    instances_by_model: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    volume_gb: int = Field(default=10, ge=1)
    parallel: int = Field(default=4, ge=1)
    max_runtime_seconds: int = Field(default=3600, ge=60)
    max_wait_seconds: int = Field(default=7200, ge=60)
    deadline_minutes: float = Field(default=180.0, gt=0)
    poll_seconds: float = Field(default=30.0, gt=0)
    strategy: Strategy = "Bayesian"
    grid_points: int = Field(default=3, ge=2)
    hyperband: tuple[int, int] = (20, 300)
    early_stopping: bool = False
    not_improving: int | None = Field(default=None, ge=3)
    together: bool = False
    spot: bool = False
    warm_start: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    warm_start_type: Literal["IdenticalDataAndAlgorithm", "TransferLearning"] = "TransferLearning"
    score_configured: bool = True
    max_attempts: int = Field(default=3, ge=1, le=3)
    images: dict[str, str] = Field(default_factory=dict)
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    kms_key: str = ""
    tags: dict[str, str] = Field(default_factory=dict)
    alarms: tuple[str, ...] = ()
    endpoint: EndpointParameters = EndpointParameters()

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if bool(self.subnets) != bool(self.security_groups):
            message = "subnets and security_groups are given together or not at all"
            raise ValueError(message)
        if self.spot and self.max_wait_seconds < self.max_runtime_seconds:
            message = "max_wait_seconds (spot) must be at least max_runtime_seconds"
            raise ValueError(message)
        return self

    def instances_of(self, models: tuple[str, ...]) -> tuple[str, ...]:
        """Return the instance types to try for a job of these models, in order, without repetition.

        Examples
        --------
        >>> SageMakerParameters(instances_by_model={"gru": ("ml.g4dn.xlarge",)}).instances_of(("gru",))[:2]
        ('ml.g4dn.xlarge', 'ml.m5.xlarge')
        """
        own = [name for model in models for name in self.instances_by_model.get(model, ())]
        return tuple(dict.fromkeys([*own, *self.instances]))

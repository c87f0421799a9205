"""The one root model of every parameter: typed, frozen, closed. An unknown key anywhere is an error before any node runs."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from conviction.ensembling import EnsemblingParameters
from conviction.errors import ParameterError
from conviction.evaluation import EvaluationParameters
from conviction.features import FeatureParameters
from conviction.folds import FoldParameters
from conviction.monitoring import MonitoringParameters
from conviction.panel import DecisionTime, SourceParameters
from conviction.portfolio import PortfolioParameters
from conviction_kedro.gate import PromotionParameters
from conviction_kedro.modeling_parameters import ModelingParameters as ModelingParameters  # noqa: PLC0414  # part of this module's interface
from conviction_kedro.sagemaker import SageMakerParameters


class Closed(BaseModel):
    """Base of all parameter models: frozen and without room for unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PathParameters(Closed):
    """Where an environment that reads user files finds them; environment variables give the defaults."""

    bars: str | None = None
    index: str | None = None
    vix: str | None = None
    membership: str | None = None
    news: str | None = None
    macro: str | None = None
    events: str | None = None
    options: str | None = None
    sectors: str | None = None
    references: str | None = None
    renames: str | None = None


class Universes(RootModel[dict[str, tuple[str, ...] | Literal["all"]]]):
    """Named universes: a list of symbols, or "all" symbols of the source."""

    model_config = ConfigDict(frozen=True)

    def symbols(self, universe: str) -> tuple[str, ...] | None:
        """Return the symbols of a named universe; None means all symbols of the source.

        Raises
        ------
        ParameterError
            If no universe has that name.
        """
        if universe not in self.root:
            raise ParameterError.from_unknown_name(kind="universe", name=universe, known=self.root)
        members = self.root[universe]
        return None if members == "all" else tuple(members)


class DataParameters(Closed):
    """What is read and when a decision is made.

    Attributes
    ----------
    calendar : str
        Exchange calendar code of `exchange_calendars`, e.g. XNYS.
    first_session, last_session : datetime.date or None
        Span of the data used; None means from the first, or to the last, session of the source.
    horizon : int
        Sessions from the decision to the end of the label span.
    decision : {"close", "before_next_open"}
        When the decision for the next session is made. "close" also trades at that close, which nobody can do exactly:
        every report says so.
    bar_minutes : int or None
        Length of intraday bars made of a source of minute bars, 5, 10 or 60; None means daily bars. The horizon then counts bars, every
        bar is a decision, and "before_next_open" trades at the open of the next bar.
    allow_missing_symbols : bool
        Whether a universe symbol that the source lacks is reported (True) or an error (False).
    quarantine : tuple of str
        Names of quality problems whose rows are left out and reported, rather than stopping the run.
    """

    calendar: str
    first_session: date | None = None
    last_session: date | None = None
    horizon: int = Field(ge=1)
    decision: DecisionTime
    bar_minutes: int | None = Field(default=None, ge=1, le=390)
    allow_missing_symbols: bool = False
    quarantine: tuple[str, ...] = ()


class AuditParameters(Closed):
    """How the leakage audit of the workspace's own dataset runs."""

    n_cuts: int = Field(ge=3, description="sessions at which the data is cut and every feature recomputed")
    accepted_warnings: tuple[str, ...] = ()


class AssuranceParameters(Closed):
    """What `profile=full` adds to a run: the checks that take many fits.

    Attributes
    ----------
    n_placebos : int
        Permutations of the labels that the whole pipeline is run on; at least 20 support a statement.
    placebo_confidence : float
        Of the band around one half that must hold all placebos at once.
    n_seeds : int
        Fits of each model and fold, each with its own seed, over which the stability of importances is measured.
    n_shadow_sets : int
        Shadows of each feature, which say how important luck makes a feature.
    false_discovery_rate : float
        Accepted share of features found important that are not.
    n_repeats : int
        Shuffles of each cluster of features in permutation importance.
    """

    n_placebos: int = Field(ge=20)
    placebo_confidence: float = Field(gt=0.5, lt=1.0)
    n_seeds: int = Field(ge=2)
    n_shadow_sets: int = Field(ge=1)
    false_discovery_rate: float = Field(gt=0.0, lt=1.0)
    n_repeats: int = Field(ge=1)


class GroupParameters(Closed):
    """Which feature groups are compared, symbol by symbol.

    Attributes
    ----------
    groups : tuple of str
        Names of feature sets; a group uses those of its features that the audited panel has.
    target : {"direction", "relative"}
    model : str
        Name of the model registry; fitted for each symbol with its defaults.
    """

    groups: tuple[str, ...] = Field(min_length=1)
    target: Literal["direction", "relative"]
    model: str


class SyntheticParameters(Closed):
    """The made-up market of `--env=synthetic`; read by its catalog, kept here so that it is checked and logged."""

    n_symbols: int = Field(default=40, ge=2)
    n_sessions: int = Field(default=1500, ge=300)
    seed: int = Field(default=7, ge=0)
    planted_auc: float = Field(default=0.53, ge=0.5, lt=1.0)


class DaskParameters(Closed):
    """The cluster of `engine=dask`; nothing here changes a value.

    Attributes
    ----------
    address : str or None
        Of a running scheduler, ``tcp://host:8786``; None starts a cluster on this machine.
    workers, threads_per_worker : int
        Size of the cluster on this machine.
    timeout_seconds : float
        How long the scheduler may take to answer.
    """

    address: str | None = None
    workers: int = Field(default=2, ge=1)
    threads_per_worker: int = Field(default=1, ge=1)
    timeout_seconds: float = Field(default=30.0, gt=0)


class HoldoutParameters(Closed):
    """Why the hold-out is opened; kept on record with the opening."""

    reason: str = Field(min_length=10)


class WorkspaceParameters(Closed):
    """Every parameter of every stage."""

    source: Literal["embedded", "long_table", "synthetic"]
    universe: str
    profile: Literal["quick", "full"]
    engine: Literal["local", "dask", "sagemaker", "sagemaker-local"]
    n_jobs: int = Field(ge=1)
    seed: int = Field(ge=0)
    paths: PathParameters
    universes: Universes
    data: DataParameters
    features: FeatureParameters
    folds: FoldParameters
    audit: AuditParameters
    modeling: ModelingParameters
    ensembling: EnsemblingParameters
    evaluation: EvaluationParameters
    assurance: AssuranceParameters
    portfolio: PortfolioParameters
    holdout: HoldoutParameters
    feature_groups: GroupParameters
    promotion: PromotionParameters
    monitoring: MonitoringParameters
    sources: SourceParameters = SourceParameters()
    synthetic: SyntheticParameters = SyntheticParameters()
    dask: DaskParameters = DaskParameters()
    sagemaker: SageMakerParameters = SageMakerParameters()
    dataset_pin: str | None = Field(default=None, description="on the command line only; see conviction_kedro.pinning")


def validate_parameters(raw: dict[str, Any]) -> WorkspaceParameters:
    """Build the root model from what Kedro loaded.

    Parameters
    ----------
    raw : dict
        `context.params`: the merged parameter files with the run-time parameters laid over them.

    Returns
    -------
    WorkspaceParameters
        Validated and frozen.

    Raises
    ------
    ParameterError
        Naming every unknown, missing or out-of-bounds key, all at once.
    """
    try:
        parameters = WorkspaceParameters.model_validate(raw)
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
            + ("" if item["type"] == "missing" else f" (got {item['input']!r})")
            for item in error.errors()
        ]
        raise ParameterError(
            what=f"{len(lines)} parameter(s) are wrong",
            got="; ".join(lines),
            allowed="the keys of conf/base/parameters*.yml with values in their bounds",
            fix="correct the key in conf/ or in --params, for instance --params=universe=core46",
        ) from None
    parameters.universes.symbols(parameters.universe)
    return parameters


def flatten(parameters: BaseModel) -> dict[str, str]:
    """Return every leaf of a parameter model as `dotted.name -> text`, lists joined by commas."""
    flat: dict[str, str] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                walk(f"{prefix}.{key}" if prefix else str(key), item)
        elif isinstance(value, (list, tuple)):
            flat[prefix] = ",".join(str(item) for item in value)
        else:
            flat[prefix] = str(value)

    walk("", parameters.model_dump(mode="json"))
    return flat

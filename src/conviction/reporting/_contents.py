"""What a report is made of: typed, frozen, checked when it is built, so that no number arrives without its interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

import polars as pl

from conviction.audit import AuditReport
from conviction.errors import EvaluationError
from conviction.evaluation import Verdict
from conviction.frames import check_columns

Kind = Literal["model", "ensemble", "baseline", "placebo"]
KINDS: tuple[str, ...] = ("model", "ensemble", "baseline", "placebo")
SPLITS: tuple[str, ...] = ("oof", "holdout", "placebo")
VERDICTS: tuple[str, ...] = tuple(str(verdict) for verdict in Verdict)
#: Metrics that the page shows, each only beside its own `_lo` and `_hi` column.
METRICS: dict[str, str] = {
    "auc_daily": "mean daily AUC",
    "auc_pooled": "pooled AUC",
    "rank_ic": "rank IC",
    "log_loss": "log loss",
    "brier_skill": "Brier skill",
}
SCORE_COLUMNS: tuple[str, ...] = ("target", "model", "kind", "split", "n_sessions", "n_rows", "verdict")
#: What money is stated in, each with its interval.
_MONEY: tuple[tuple[str, str, str], ...] = (
    ("net_bps", "net_lo", "net_hi"),
    ("break_even_bps", "break_even_lo", "break_even_hi"),
    ("sharpe_net", "sharpe_net_lo", "sharpe_net_hi"),
    ("annual_return", "annual_return_lo", "annual_return_hi"),
)
SYMBOL_COLUMNS: tuple[str, ...] = ("symbol", "auc", "lo", "hi", "p_value", "q_value", "n")


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Which code, data and parameters gave the numbers.

    Parameters
    ----------
    commit, lock_hash, data_fingerprint, parameter_hash : str
        Hexadecimal digests; "unknown" where there is none (say so rather than leave it out).
    dirty : bool
        Whether the working tree differed from the commit.
    environment, pipeline, run_id : str
        Kedro environment, pipeline and tracking run.
    seed : int
        Root of all random numbers.
    more : mapping of str to str
        Further lines, shown as they are.
    """

    commit: str
    dirty: bool
    lock_hash: str
    data_fingerprint: str
    parameter_hash: str
    environment: str
    pipeline: str
    run_id: str
    seed: int
    more: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """What the data is, and what it is not.

    Parameters
    ----------
    source : str
        Where the prices come from, in words.
    symbols : tuple of str
        Symbols used.
    first_session, last_session : datetime.date
        Span of the panel, both included.
    n_sessions, n_rows, n_features : int
        Sizes of the feature matrix.
    survivorship : str
        Which stocks are missing because they did not survive, and what that does to the scores.
    execution : str
        At which price a decision is taken to be filled; idealised execution is called that.
    omitted : mapping of str to str
        Feature left out -> reason.
    sources : mapping of str to str
        Source beside the prices -> what it gave, or what is missing without it.
    quality : str
        Which rows of the prices were left out, and which sessions are missing.
    """

    source: str
    symbols: tuple[str, ...]
    first_session: date
    last_session: date
    n_sessions: int
    n_rows: int
    n_features: int
    survivorship: str
    execution: str
    omitted: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    quality: str = ""


@dataclass(frozen=True, kw_only=True)
class SymbolScores:
    """AUC symbol by symbol for one (target, model), with what chance alone would show.

    Parameters
    ----------
    target, model : str
        What was scored.
    frame : polars.DataFrame
        `symbol`, `auc`, `lo`, `hi`, `p_value` (one test of 0.5), `q_value` (Benjamini-Hochberg), `n` (labelled sessions).
    threshold : float
        The AUC that people call a find, usually 0.55.
    expected_over : float
        Number of symbols expected over `threshold` if no score had any skill.
    expected_best : float
        Expected best AUC among that many symbols without skill.
    """

    target: str
    model: str
    frame: pl.DataFrame
    threshold: float
    expected_over: float
    expected_best: float

    def __post_init__(self) -> None:
        check_columns(self.frame, SYMBOL_COLUMNS, name="per-symbol scores")
        _check_intervals(self.frame, "auc", "lo", "hi", name="per-symbol scores")

    @property
    def observed_over(self) -> int:
        """Number of symbols over the threshold."""
        return int((self.frame["auc"] > self.threshold).sum())

    @property
    def observed_best(self) -> float:
        """Best AUC of any symbol."""
        return float(self.frame["auc"].max())  # type: ignore[arg-type]  # the column is Float64 and not empty


@dataclass(frozen=True, kw_only=True)
class EnsembleChoice:
    """Which combiner stands for a target, and why; taken before its score is looked at."""

    target: str
    model: str
    explanation: str


@dataclass(frozen=True, kw_only=True)
class ReportContents:
    """Everything that a report shows; reporting fits nothing and computes no score.

    Parameters
    ----------
    title : str
        Heading of the page.
    provenance : Provenance
        Commit, hashes, seed.
    data : DataFacts
        Span, source, survivorship note, omitted features.
    audit : AuditReport
        Verdict and findings of the leakage audit.
    folds : polars.DataFrame
        The fold plan: `fold`, `session`, `role`.
    scores : polars.DataFrame
        One row per (target, model, split): `target`, `model`, `kind` (model, ensemble, baseline, placebo), `split` (oof,
        holdout, placebo), `n_sessions`, `n_rows`, `verdict` (a value of `conviction.evaluation.Verdict`), `verdict_reason`
        where there is one, and for each metric of `METRICS` that is defined the columns
        `m`, `m_lo`, `m_hi`. A metric column without its two bounds is not shown. A null metric is undefined.
    trials : int
        Configurations ever scored on this panel, from the ledger.
    holdout_openings : int
        How often the hold-out was opened, this run included.
    symbols : tuple of SymbolScores
        Per-symbol tables.
    ensemble : tuple of EnsembleChoice
        One per target; its model carries the headline.
    reasons : mapping of str to str
        Why a metric is undefined (metric -> sentence).
    daily_auc : polars.DataFrame or None
        `target`, `model`, `session`, `auc`: out-of-fold AUC of each session.
    calibration : polars.DataFrame or None
        `target`, `model`, `predicted`, `observed`, `lo`, `hi`, `n`: one row per bin of the score.
    importance : polars.DataFrame or None
        `target`, `model`, `feature`, `mean`, `lo`, `hi`: spread over folds.
    economics : polars.DataFrame or None
        As `conviction.portfolio.economics_table` gives it: `target`, `model`, `book`, `execution`, `of_label`, `cost_bps`,
        `turnover`, and with `_lo` and `_hi` (of a mean `net_bps`: `net_lo`, `net_hi`) the net return a session, the break-even cost,
        the net Sharpe ratio and the net return a year. Null where undefined.
    quantiles : polars.DataFrame or None
        `target`, `model`, `execution`, `quantile`, `excess_bps`, `lo`, `hi`: return over the session's mean, by quantile of the score.
    placebo : polars.DataFrame or None
        `target`, `model`, `auc_pooled`, `band_lo`, `band_hi`, `inside`: a row for each run on permuted labels.
    selection : polars.DataFrame or None
        `target`, `trials`, `trials_effective`, `expected_best`, `deflated_prob`, `pbo`, `confidence_set`: what choosing among
        trials costs the chosen score. Null where undefined.
    decay : polars.DataFrame or None
        `target`, `lag`, `rank_ic`, `lo`, `hi`: rank IC of the chosen score with the return that many sessions later.
    stability : polars.DataFrame or None
        `target`, `model`, `kind`, `rank_correlation`, `lo`, `n_folds`, `n_seeds`, `selected` (features above shadows), `features`.
    not_evaluated : mapping of str to str
        What this run did not evaluate -> why. Shown, so that silence is never taken for a pass.
    quarantine : tuple of str
        Sentences about scores that are too good to be honest, and what the second audit said; they overrule every verdict.

    Raises
    ------
    EvaluationError
        If a score lacks its interval, a (target, model, split) stands twice, or a count is negative.
    FrameError
        If a table lacks a column.
    """

    title: str
    provenance: Provenance
    data: DataFacts
    audit: AuditReport
    folds: pl.DataFrame
    scores: pl.DataFrame
    trials: int
    holdout_openings: int
    symbols: tuple[SymbolScores, ...] = ()
    ensemble: tuple[EnsembleChoice, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)
    daily_auc: pl.DataFrame | None = None
    calibration: pl.DataFrame | None = None
    importance: pl.DataFrame | None = None
    economics: pl.DataFrame | None = None
    quantiles: pl.DataFrame | None = None
    placebo: pl.DataFrame | None = None
    selection: pl.DataFrame | None = None
    decay: pl.DataFrame | None = None
    stability: pl.DataFrame | None = None
    not_evaluated: Mapping[str, str] = field(default_factory=dict)
    quarantine: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_counts(self)
        _check_scores(self.scores)
        check_columns(self.folds, ("fold", "session", "role"), name="folds")
        optional: dict[str, tuple[str, ...]] = {
            "daily_auc": ("target", "model", "session", "auc"),
            "calibration": ("target", "model", "predicted", "observed", "lo", "hi", "n"),
            "importance": ("target", "model", "feature", "mean", "lo", "hi"),
            "economics": (
                *("target", "model", "book", "execution", "of_label", "cost_bps", "turnover"),
                *(name for interval in _MONEY for name in interval),
            ),
            "quantiles": ("target", "model", "execution", "quantile", "excess_bps", "lo", "hi"),
            "placebo": ("target", "model", "auc_pooled", "band_lo", "band_hi", "inside"),
            "selection": (
                *("target", "trials", "trials_effective", "expected_best"),
                *("deflated_prob", "pbo", "confidence_set"),
            ),
            "decay": ("target", "lag", "rank_ic", "lo", "hi"),
            "stability": (
                *("target", "model", "kind", "rank_correlation", "lo", "n_folds", "n_seeds"),
                *("selected", "features"),
            ),
        }
        for name, columns in optional.items():
            frame = getattr(self, name)
            if frame is not None:
                check_columns(frame, columns, name=name)
        _check_optional_intervals(self)
        _check_choices(self)

    @property
    def targets(self) -> tuple[str, ...]:
        """Targets in the order of the scores table."""
        return tuple(self.scores["target"].unique(maintain_order=True))

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metrics that can be shown: those with a value and both bounds."""
        return tuple(
            metric
            for metric in METRICS
            if {metric, f"{metric}_lo", f"{metric}_hi"} <= set(self.scores.columns)
            and self.scores[metric].null_count() < self.scores.height
        )


def _check_counts(contents: ReportContents) -> None:
    for name in ("trials", "holdout_openings"):
        value = getattr(contents, name)
        if value < 0:
            raise EvaluationError(
                what=f"{name} is negative", got=value, allowed="an integer >= 0", fix="count it from the ledger"
            )


def _check_scores(scores: pl.DataFrame) -> None:
    check_columns(scores, SCORE_COLUMNS, name="scores")
    for column, allowed in (("kind", KINDS), ("split", SPLITS), ("verdict", VERDICTS)):
        unknown = sorted(set(scores[column].to_list()) - set(allowed))
        if unknown:
            raise EvaluationError(
                what=f"scores.{column} has an unknown value",
                got=unknown,
                allowed=", ".join(allowed),
                fix=f"give each row of the scores table one of the known values of {column}",
            )
    twice = scores.filter(pl.struct("target", "model", "split").is_duplicated())
    if twice.height:
        raise EvaluationError(
            what="a score stands twice",
            got=twice.select("target", "model", "split").row(0),
            allowed="one row per (target, model, split)",
            fix="keep the row of this run only",
        )
    for metric in METRICS:
        bounds = (f"{metric}_lo", f"{metric}_hi")
        if metric in scores.columns and all(bound in scores.columns for bound in bounds):
            _check_intervals(scores, metric, *bounds, name="scores")
        elif metric in ("auc_daily", "auc_pooled", "rank_ic") and metric in scores.columns:
            check_columns(scores, bounds, name="scores")


def _check_optional_intervals(contents: ReportContents) -> None:
    for name, intervals in {
        "calibration": (("observed", "lo", "hi"),),
        "importance": (("mean", "lo", "hi"),),
        "economics": _MONEY,
        "quantiles": (("excess_bps", "lo", "hi"),),
        "placebo": (("auc_pooled", "band_lo", "band_hi"),),
        "decay": (("rank_ic", "lo", "hi"),),
    }.items():
        frame = getattr(contents, name)
        for interval in intervals if frame is not None else ():
            _check_intervals(frame, *interval, name=name)


def _check_choices(contents: ReportContents) -> None:
    for choice in contents.ensemble:
        known = contents.scores.filter(pl.col("target") == choice.target)["model"].unique(maintain_order=True).to_list()
        if choice.model not in known:
            raise EvaluationError(
                what=f"the model chosen for {choice.target} has no score",
                got=choice.model,
                allowed=", ".join(known) or "a target that was scored",
                fix="score the chosen model, or leave the choice out",
            )


def _check_intervals(frame: pl.DataFrame, value: str, lo: str, hi: str, *, name: str) -> None:
    """Raise unless each value that is there has two finite, ordered bounds."""
    columns = {"value": pl.col(value), "lo": pl.col(lo), "hi": pl.col(hi)}
    plain = frame.select(**{key: column.cast(pl.Float64) for key, column in columns.items()})
    bad = plain.filter(
        pl.col("value").is_not_null()
        & ~(
            pl.all_horizontal(pl.all().is_finite().fill_null(value=False))
            & (pl.col("lo") <= pl.col("hi")).fill_null(value=False)
        )
    )
    if bad.height:
        raise EvaluationError(
            what=f"{name}.{value} has a value without its interval",
            got=bad.row(0, named=True),
            allowed=f"finite {lo} <= {hi} beside each {value}, or null where the metric is undefined",
            fix=f"compute {lo} and {hi} with conviction.evaluation, or leave {value} null and give a reason",
        )

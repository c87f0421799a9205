"""`kedro promote` and `kedro rollback`: a run's ensemble becomes the champion only through the gate."""

from __future__ import annotations

import io
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import polars as pl
from kedro.framework.cli.utils import _split_params

from conviction.errors import CertificateError, EvaluationError, ModelError, ParameterError
from conviction_kedro.bars_only_daily import refuse_bars
from conviction_kedro.console import readable_errors
from conviction_kedro.datasets import SnapshotError
from conviction_kedro.gate import EXPECTED, Criterion, gate_table, judge
from conviction_kedro.gate_facts import CANDIDATE, GateFacts
from conviction_kedro.parameters import WorkspaceParameters, flatten, validate_parameters
from conviction_kedro.registry import NAME, Champion, Registry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conviction.audit import AuditedPanel
    from conviction.evaluation import Comparison
    from conviction.serving import ServedModel

SHORTEST_SENTENCE = 20
EXIT_PROMOTED, EXIT_REFUSED = 0, 1
# What the served fit takes from the configuration and not from the run's artifacts.
_SAME = (
    "seed",
    "source",
    "universe",
    "ensembling.",
    "folds.",
    "modeling.fitting.",
    "modeling.parameters.",
    "data.calendar",
    "data.decision",
    "data.horizon",
)


@dataclass(frozen=True)
class Candidate:
    """A finished run and what the gate reads of it."""

    run_id: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    facts: GateFacts
    registry: Registry

    @classmethod
    def read(cls, registry: Registry, run_id: str) -> Candidate:
        """Read a run from the store.

        Raises
        ------
        ModelError
            If there is no such run, it did not finish, or it wrote no facts for the gate.
        """
        from mlflow.exceptions import MlflowException

        try:
            run = registry.client.get_run(run_id)
        except MlflowException:
            raise _no_candidate(run_id, "no such run", "kedro run prints the identifier; `make ui` lists all") from None
        if run.info.status != "FINISHED":
            raise _no_candidate(run_id, f"a run that is {run.info.status.lower()}", "run it to its end first")
        content = artifact(registry, run_id, "gate_facts.json")
        if content is None:
            raise _no_candidate(run_id, "a run without gate_facts.json", "give the identifier of a whole `kedro run`")
        return cls(run_id, run.data.tags, run.data.params, GateFacts.model_validate_json(content), registry)

    def frame(self, path: str) -> pl.DataFrame:
        """Return one of the run's tables.

        Raises
        ------
        ModelError
            If the run did not log it.
        """
        content = artifact(self.registry, self.run_id, path)
        if content is None:
            raise _no_candidate(self.run_id, f"a run without {path}", "give the identifier of a whole `kedro run`")
        return pl.read_parquet(io.BytesIO(content))


def _no_candidate(run_id: str, got: str, fix: str) -> ModelError:
    return ModelError(what=f"run {run_id!r} cannot be promoted", got=got, allowed="a finished main job", fix=fix)


def artifact(registry: Registry, run_id: str, path: str) -> bytes | None:
    """Return the content of an artifact file of a run, or None where the run has none of that name."""
    from mlflow.exceptions import MlflowException

    try:
        with tempfile.TemporaryDirectory() as home:
            return Path(registry.client.download_artifacts(run_id, path, home)).read_bytes()
    except (MlflowException, OSError):
        return None


def certified(context: Any, candidate: Candidate) -> tuple[AuditedPanel | None, tuple[bool, str]]:
    """Return the audited panel on disk when it is the run's own, and a sentence about its certificate."""
    wanted = {one.certificate_fingerprint for one in candidate.facts.candidates}
    try:
        panel: AuditedPanel = context.catalog.load("audited_panel")
    except (CertificateError, SnapshotError) as error:
        return None, (False, f"No valid certificate lies beside the data now: {error}")
    found = panel.certificate.sha
    if wanted != {found}:
        names = ", ".join(sorted(sha[:12] for sha in wanted)) or "none"
        return None, (
            False,
            f"The certified data on disk ({found[:12]}) are not those of the run ({names}): run again on these, and promote that run.",
        )
    return panel, (
        True,
        f"The leakage audit of this dataset passed: certificate {found[:12]} of data {panel.certificate.frame_sha[:12]}.",
    )


def compared(
    candidate: Candidate, champion: Champion | None, parameters: WorkspaceParameters
) -> dict[str, Comparison | str]:
    """Return, for each target, the paired comparison with today's champion, or why there is none."""
    from conviction.evaluation import compare

    if champion is None:
        return {}
    gate = parameters.promotion
    if champion.run_id == candidate.run_id:
        return dict.fromkeys(gate.targets, f"This run is today's champion already, version {champion.version}.")
    theirs = artifact(candidate.registry, champion.run_id, "predictions/ensemble_oof.parquet")
    if theirs is None:
        return dict.fromkeys(gate.targets, f"The predictions of the champion's run {champion.run_id} are gone.")
    ours, other = candidate.frame("predictions/ensemble_oof.parquet"), pl.read_parquet(io.BytesIO(theirs))
    found: dict[str, Comparison | str] = {}
    for target in gate.targets:
        mine, its = (
            frame.filter((pl.col("target") == target) & (pl.col("model") == CANDIDATE)).sort("symbol", "session")
            for frame in (ours, other)
        )
        try:
            found[target] = compare(
                mine, its, evaluation=parameters.evaluation, seed=parameters.seed, metric=gate.champion_metric
            )
        except EvaluationError as error:
            found[target] = f"It cannot be compared with today's champion: {error}"
    return found


def build_served(
    context: Any, candidate: Candidate, audited: AuditedPanel, parameters: WorkspaceParameters
) -> tuple[ServedModel, pl.DataFrame]:
    """Fit what is served from the run's own choices, and return it with the rows of the newest session.

    Raises
    ------
    ParameterError
        If the configuration is not the run's.
    """
    from conviction.oof import fit_on_everything
    from conviction.serving import assemble_served
    from conviction_kedro.requests import newest_session

    present = flatten(parameters)
    other = [
        f"{name}={present.get(name)} (run: {value})"
        for name, value in sorted(candidate.params.items())
        if name.startswith(_SAME) and present.get(name) != value
    ]
    if other:
        raise ParameterError(
            what="the configuration is not the one that the run was made with",
            got="; ".join(other),
            allowed="the run's own values",
            fix="give kedro promote the --env and --params of that run",
        )
    targets = parameters.promotion.targets
    names = candidate.params["modeling.models"].split(",")
    best = artifact(candidate.registry, candidate.run_id, "tuning/best_parameters.json")
    models = fit_on_everything(
        audited,
        targets=targets,
        models=names,
        params=json.loads(best or b"{}"),
        configured=parameters.modeling.configured,
        fitting=parameters.modeling.fitting,
        folds=parameters.folds,
        seed=parameters.seed,
    )
    choices = dict(candidate.frame("predictions/ensemble_choice.parquet").select("target", "choice").iter_rows())
    matrix = audited.frame.select("symbol", "session", *audited.features)
    newest = newest_session(matrix, context.catalog.load("panel"))
    served = assemble_served(
        audited,
        candidate.frame("predictions/oof.parquet").filter(pl.col("model").is_in(names)),
        models,
        choices={target: choices[target] for target in targets},
        symbols=newest["symbol"].to_list(),
        ensembling=parameters.ensembling,
        seed=parameters.seed,
        calendar=parameters.data.calendar,
        decision=parameters.data.decision,
        max_age_sessions=parameters.promotion.max_age_sessions,
    )
    return served, newest


def _put_opening_on_record(context: Any, candidate: Candidate, audited: AuditedPanel, *, reason: str) -> None:
    from conviction_kedro import records, runtime

    plan = context.catalog.load("fold_plan")
    if plan.has_holdout:
        runtime.install(runtime.Runtime(run_id=f"promotion of {candidate.run_id}"))
        context.catalog.save("holdout_openings", records.of_opening(audited, plan, reason=reason))


def _crown(
    context: Any, candidate: Candidate, audited: AuditedPanel, parameters: WorkspaceParameters, *, forced: str | None
) -> str:
    from conviction_kedro.serving import write_serving_model

    _put_opening_on_record(
        context, candidate, audited, reason="the served fit learns from the hold-out; no score is read from it"
    )
    served, example = build_served(context, candidate, audited, parameters)
    tags = {
        "run_id": candidate.run_id,
        "certificate_sha": audited.certificate.sha,
        "dataset_fingerprint": audited.certificate.frame_sha,
        "targets": ",".join(served.targets),
        "last_fitted": served.contract.last_fitted.isoformat(),
        "source": parameters.source,
        "gate": "forced" if forced else "held",
        **({"forced_because": forced} if forced else {}),
    }
    words = "\n".join(f"- {name}: {value}" for name, value in tags.items())
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "model"
        write_serving_model(served, folder, example=example, metadata=tags)
        return candidate.registry.crown(folder, run_id=candidate.run_id, tags=tags, description=words)


def promote_run(
    run_id: str, *, env: str | None, params: dict[str, Any], force: str | None = None, dry_run: bool = False
) -> bool:
    """Judge a run and, when the gate holds or a sentence forces it, make its ensemble the champion.

    Parameters
    ----------
    run_id : str
        Parent run of a whole `kedro run`.
    env : str or None
        Environment of the run.
    params : dict
        Run-time parameters of the run.
    force : str, optional
        Why the gate is passed over; kept as the tag `forced_because`. A certificate cannot be forced: without the run's own
        certified data there is nothing to fit on.
    dry_run : bool
        Only judge.

    Returns
    -------
    bool
        Whether the run is the champion now (with `dry_run`: whether it would be).
    """
    from kedro.framework.session import KedroSession

    if force is not None and len(force.strip()) < SHORTEST_SENTENCE:
        raise ParameterError(
            what="--force needs a sentence that says why the gate is passed over",
            got=repr(force),
            allowed=f"at least {SHORTEST_SENTENCE} characters; it is kept as a tag of the version",
            fix='--force "Shadow deployment beside the desk until March, no money follows it."',
        )
    with KedroSession.create(env=env, runtime_params=params) as session:
        workspace: Any = session  # the abstract session of Kedro 1.7 does not declare load_context
        context = workspace.load_context()
        parameters = validate_parameters(context.params)
        refuse_bars(parameters, ["promote"])
        registry = Registry.open(context.config_loader["tracking"], Path(context.project_path))
        candidate = Candidate.read(registry, run_id)
        _check_source(candidate, parameters, env)
        audited, about = certified(context, candidate)
        criteria = judge(
            candidate.facts,
            parameters=parameters.promotion,
            certificate=about,
            against_champion=compared(candidate, registry.champion(), parameters),
        )
        held = all(each.held for each in criteria)
        click.echo(
            f"GATE of run {run_id} ({parameters.source}, profile {candidate.facts.profile})\n{gate_table(criteria)}"
        )
        if dry_run or audited is None or not (held or force):
            _say_verdict(criteria, parameters, registry)
            return held
        version = _crown(context, candidate, audited, parameters, forced=None if held else force)
    how = "the gate holds" if held else f"FORCED: {force}"
    click.echo(
        f"\nPROMOTED  models:/{NAME}/{version} is the champion ({how}). Next: make serve; to undo: kedro rollback"
    )
    return True


def _check_source(candidate: Candidate, parameters: WorkspaceParameters, env: str | None) -> None:
    theirs = candidate.tags.get("source")
    if theirs != parameters.source:
        raise ParameterError(
            what="the run was made on another source than this environment reads",
            got=f"a run on {theirs!r}",
            allowed=f"a run on {parameters.source!r}, environment {env or 'base'}",
            fix="give kedro promote the --env of that run; a registry holds models of one kind of data",
        )


def _say_verdict(criteria: list[Criterion], parameters: WorkspaceParameters, registry: Registry) -> None:
    failed = [each for each in criteria if not each.held]
    if not failed:
        click.echo("\nHOLDS  every criterion; nothing was registered, as asked")
        return
    champion = registry.champion()
    stays = f"version {champion.version} stays the champion" if champion else "there is still no champion"
    click.echo(f"\nREFUSED  {len(failed)} of {len(criteria)} criteria do not hold; nothing was registered, {stays}:")
    for each in failed:
        click.echo(f"  - {each.name}: {each.found}")
    if parameters.source != "synthetic":
        click.echo(f"\n{EXPECTED}")


@click.command(name="promote")
@click.argument("run_id")
@click.option("--env", "-e", default=None, help="Environment of the run, conf/<env>.")
@click.option(
    "--params",
    type=click.UNPROCESSED,
    default="",
    callback=_split_params,
    help="Run-time parameters of the run, as for kedro run.",
)
@click.option(
    "--force", default=None, metavar="SENTENCE", help="Promote although the gate refuses; kept as a tag of the version."
)
@click.option("--dry-run", is_flag=True, help="Only judge; register nothing.")
def promote(run_id: str, env: str | None, params: dict[str, Any], force: str | None, *, dry_run: bool) -> None:
    """Make a run's ensemble the champion if the gate holds. Exit code 0: promoted, 1: refused, with every reason.

    RUN_ID is the run's identifier in the tracking store (`make ui`); `latest` is the newest finished main job.
    """
    with readable_errors():
        chosen = latest_run(env, params) if run_id == "latest" else run_id
        promoted = promote_run(chosen, env=env, params=params, force=force, dry_run=dry_run)
    sys.exit(EXIT_PROMOTED if promoted else EXIT_REFUSED)


def latest_run(env: str | None, params: dict[str, Any]) -> str:
    """Return the newest finished whole run of an environment.

    Raises
    ------
    ModelError
        If there is none.
    """
    from kedro.framework.session import KedroSession

    with KedroSession.create(env=env, runtime_params=params) as session:
        workspace: Any = session
        context = workspace.load_context()
        config = context.config_loader["tracking"]
        client = Registry.open(config, Path(context.project_path)).client
        experiment = client.get_experiment_by_name(config["default_experiment"])
        runs = [] if experiment is None else client.search_runs(
            [experiment.experiment_id],
            "attributes.status = 'FINISHED' and tags.kind = 'command' and tags.pipeline = '__default__'",
            max_results=1,
            order_by=["attributes.start_time DESC"],
        )  # fmt: skip
    if not runs:
        raise ModelError(
            what="there is no finished main job",
            got=f"experiment {config['default_experiment']!r}",
            allowed="one",
            fix="kedro run",
        )
    return str(runs[0].info.run_id)


@click.command(name="rollback")
@click.option("--env", "-e", default=None, help="Environment whose registry it is, conf/<env>.")
def rollback(env: str | None) -> None:
    """Make the version champion again that was it before today's."""
    from kedro.framework.session import KedroSession

    with readable_errors(), KedroSession.create(env=env) as session:
        workspace: Any = session
        context = workspace.load_context()
        left, back = Registry.open(context.config_loader["tracking"], Path(context.project_path)).roll_back()
    click.echo(
        f"ROLLED BACK  version {back.version} (run {back.run_id}) is the champion again; version {left.version} left."
    )

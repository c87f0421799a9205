"""What a person sees of a run in the tracking UI: the headline, the description, where it came from, on which data."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# MLflow then opens its view for training runs instead of the one for language models.
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
ENSEMBLE = "ensemble"
_FIGURES = ("auc_pooled", "auc_daily")
_DIGEST_LENGTH = 36


def origin_tags(command: Sequence[str], commit: str | None) -> dict[str, str]:
    """Return MLflow's own tags of a run's source, so that its columns Source, Version and User are filled.

    Parameters
    ----------
    command : sequence of str
        Pipelines that were asked for.
    commit : str or None
        Git commit; "unknown" or None where the project is no repository.

    Examples
    --------
    >>> origin_tags(["modeling"], "0123456789")["mlflow.source.name"]
    'kedro run --pipelines=modeling'
    """
    option = f" --pipelines={','.join(command)}" if command else ""
    tags = {"mlflow.source.name": f"kedro run{option}", "mlflow.source.type": "PROJECT"}
    if commit not in (None, "unknown"):
        tags["mlflow.source.git.commit"] = str(commit)
    try:
        tags["mlflow.user"] = getpass.getuser()
    except (KeyError, OSError):  # a container without an entry for its user
        tags["mlflow.user"] = "unknown"
    return tags


def headline(scores: Sequence[Mapping[str, Any]], targets: Sequence[str]) -> Mapping[str, Any] | None:
    """Return the row that a run is compared by: the chosen ensemble of the first target; None where there is none.

    The target is named by the configuration, never picked by its score: the better of two would be the luckier one.

    Parameters
    ----------
    scores : sequence of mappings
        Rows of the table `scores` (or `holdout_scores`).
    targets : sequence of str
        Targets in the order of the configuration.

    Examples
    --------
    >>> rows = [{"target": "relative", "model": "ensemble"}, {"target": "direction", "model": "ensemble"}]
    >>> headline(rows, ["direction", "relative"])["target"]
    'direction'
    """
    chosen = [row for row in scores if row["model"] == ENSEMBLE]
    ordered = sorted(chosen, key=lambda row: targets.index(row["target"]) if row["target"] in targets else len(targets))
    return ordered[0] if ordered else None


def headline_metrics(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a row of scores by their metric names; undefined ones are absent."""
    return {
        name: float(value)
        for name, value in row.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }


def description(
    scores: Sequence[Mapping[str, Any]],
    *,
    first: Mapping[str, Any] | None,
    facts: Mapping[str, Any],
    provenance: Mapping[str, str],
) -> str:
    """Write a run's description in Markdown: verdict and interval first, then the data, then every score.

    Parameters
    ----------
    scores : sequence of mappings
        Rows of the table `scores`.
    first : mapping or None
        The headline row.
    facts : mapping
        `data_facts`; may be empty.
    provenance : mapping
        Provenance tags of the run.

    Returns
    -------
    str
    """
    lines = []
    if first is not None:
        named = " and ".join(f"{_words(name)} {interval(first, name)}" for name in _FIGURES)
        lines += [f"**{first['target']}: {first['verdict']}**; {named} of the ensemble.", ""]
    lines += [_data_sentence(facts, provenance), ""]
    lines += ["| target | model | verdict | AUC pooled [95 %] | AUC daily [95 %] |", "|---|---|---|---|---|"]
    lines += [
        f"| {row['target']} | {row['model']} | {row['verdict']} | {interval(row, 'auc_pooled')} | {interval(row, 'auc_daily')} |"
        for row in scores
    ]
    return "\n".join([*lines, "", f"Commit {provenance.get('commit', 'unknown')[:10]}."])


def _words(name: str) -> str:
    return {"auc_pooled": "pooled AUC", "auc_daily": "mean daily AUC"}[name]


def _data_sentence(facts: Mapping[str, Any], provenance: Mapping[str, str]) -> str:
    where = f"Data: {provenance.get('source')} / {provenance.get('universe')}"
    if not facts:
        return f"{where}."
    symbols = len(facts.get("symbols", ()))
    return f"{where}, {symbols} symbols, {facts['first_session']} to {facts['last_session']}, {facts['rows']:,} rows."


def interval(row: Mapping[str, Any], name: str) -> str:
    """Return a metric with its 95 % interval, or why there is none.

    Examples
    --------
    >>> interval({"auc_daily": 0.51, "auc_daily_lo": 0.5, "auc_daily_hi": 0.52}, "auc_daily")
    '0.5100 [0.5000, 0.5200]'
    >>> interval({"auc_daily": None}, "auc_daily")
    'undefined'
    >>> interval({"auc_daily": 0.7, "auc_daily_lo": None, "auc_daily_hi": None}, "auc_daily")
    'no interval'
    """
    if row.get(name) is None:
        return "undefined"
    # A number whose interval cannot be computed (too few sessions) is not shown alone.
    if row.get(f"{name}_lo") is None or row.get(f"{name}_hi") is None:
        return "no interval"
    return f"{row[name]:.4f} [{row[f'{name}_lo']:.4f}, {row[f'{name}_hi']:.4f}]"


def dataset_input(facts: Mapping[str, Any], *, name: str, fingerprint: str) -> dict[str, str]:
    """Return what MLflow shows as a run's dataset: a name, a digest, where it came from, its size.

    Parameters
    ----------
    facts : mapping
        `data_facts`; may be empty.
    name : str
        Source and universe.
    fingerprint : str
        SHA-256 of the checked bars; MLflow keeps the first 36 digits.

    Returns
    -------
    dict
        Fields of `mlflow.entities.Dataset`.
    """
    import json

    shown = {key: facts[key] for key in ("rows", "first_session", "last_session") if key in facts}
    if "symbols" in facts:
        shown["symbols"] = len(facts["symbols"])
    return {
        "name": name,
        "digest": fingerprint[:_DIGEST_LENGTH],
        "source_type": "catalog",
        "source": json.dumps({"dataset": "bars", "fingerprint": fingerprint}),
        "profile": json.dumps(shown),
    }

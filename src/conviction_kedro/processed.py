"""`kedro export` and `kedro repair`: the team's processed format, written from the catalog and put right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from conviction.labels import TargetRepair, make_labels, repair_direction, to_processed
from conviction_kedro.console import readable_errors
from conviction_kedro.datasets import ProcessedFormatDataset
from conviction_kedro.parameters import validate_parameters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

HORIZONS = (1, 3, 5, 10)


def export_processed(catalog: Mapping[str, Any], *, calendar: str, decision: str) -> pl.DataFrame:
    """Return panel, features and targets of a catalog in the processed format.

    Parameters
    ----------
    catalog : mapping
        A Kedro catalog with ``panel`` and ``feature_matrix``.
    calendar : str
        Exchange calendar of the targets.
    decision : str
        When a row is acted upon: ``close``, which is what the format means, or ``before_next_open``.

    Returns
    -------
    polars.DataFrame
        ``symbol, session``, bars, features, ``target_{1,3,5,10}d``, ``direction``.
    """
    panel, matrix = catalog["panel"].load(), catalog["feature_matrix"].load()
    labels = [make_labels(panel, calendar=calendar, horizon=horizon, decision=decision) for horizon in HORIZONS]  # type: ignore[arg-type]
    return to_processed(panel, matrix, labels)


def repair_table(repairs: Sequence[TargetRepair]) -> str:
    """Return one line a target: what was claimed, how much of it was true, what was changed.

    Examples
    --------
    >>> print(repair_table([TargetRepair(column="direction", rows=4, claimed=4, true=3, compared=3, changed=2,
    ...                                  agreement=2 / 3, correlation=0.5)]))
    target       rows  claimed  true  agree  correlation  changed
    direction       4        4     3  0.667        0.500        2
    """
    lines = [f"{'target':<10}{'rows':>7}{'claimed':>9}{'true':>6}{'agree':>7}{'correlation':>13}{'changed':>9}"]
    for repair in repairs:
        agree = "-" if repair.agreement is None else f"{repair.agreement:.3f}"
        correlation = "-" if repair.correlation is None else f"{repair.correlation:.3f}"
        lines.append(
            f"{repair.column:<10}{repair.rows:>7}{repair.claimed:>9}{repair.true:>6}{agree:>7}{correlation:>13}{repair.changed:>9}"
        )
    return "\n".join(lines)


@click.command(name="repair")
@click.argument("source")
@click.argument("target")
@click.option("--calendar", default="XNYS", show_default=True, help="Exchange calendar of the sessions.")
def repair(source: str, target: str, calendar: str) -> None:
    """Recompute direction and targets of a processed dataset from its own closes.

    SOURCE is a directory of {SYMBOL}_features.csv; the repaired files go to TARGET and SOURCE stays as it is.
    """
    with readable_errors():
        if source.rstrip("/") == target.rstrip("/"):
            message = "TARGET must be another directory: the claims of SOURCE are evidence"
            raise click.UsageError(message)
        found = repair_direction(ProcessedFormatDataset(filepath=source).load(), calendar=calendar)
        ProcessedFormatDataset(filepath=target).save(found.frame)
        click.echo(repair_table(found.repairs))
        click.echo(f"written to {target}")


@click.command(name="export")
@click.argument("target")
@click.option("--env", "-e", default=None, help="Environment whose panel and features are exported, conf/<env>.")
def export(target: str, env: str | None) -> None:
    """Write panel, features and targets as one {SYMBOL}_features.csv a symbol into the directory TARGET."""
    from kedro.framework.session import KedroSession

    with readable_errors(), KedroSession.create(env=env) as session:
        workspace: Any = session  # the abstract session of Kedro 1.7 does not declare load_context
        context = workspace.load_context()
        data = validate_parameters(context.params).data
        frame = export_processed(context.catalog, calendar=data.calendar, decision=data.decision)
        ProcessedFormatDataset(filepath=target).save(frame)
        click.echo(
            f"{frame['symbol'].n_unique()} symbols, {frame.height} rows, {frame.width} columns written to {target}"
        )

"""What is made for daily bars alone refuses intraday ones before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conviction.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from conviction_kedro.parameters import WorkspaceParameters

#: Pipelines that serve, or watch what is served: one row a symbol and session.
DAILY_PIPELINES = frozenset({"inference", "monitoring"})


def refuse_bars(parameters: WorkspaceParameters, asked: Iterable[str]) -> None:
    """Raise when something that knows daily bars alone is asked for with `data.bar_minutes`.

    Parameters
    ----------
    parameters : WorkspaceParameters
    asked : iterable of str
        Tags of the nodes that would run, or the name of a command.

    Raises
    ------
    ParameterError
        Naming what was asked for.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> daily = SimpleNamespace(data=SimpleNamespace(bar_minutes=None))
    >>> refuse_bars(daily, ["inference"])
    """
    if parameters.data.bar_minutes is None:
        return
    refused = sorted(DAILY_PIPELINES.intersection(asked)) or [name for name in asked if name == "promote"]
    if refused:
        raise ParameterError(
            what=f"{', '.join(refused)} is made for daily bars",
            got=f"data.bar_minutes={parameters.data.bar_minutes}",
            allowed="data.bar_minutes=null; intraday bars are researched (audit, models, hold-out, report), not served",
            fix="leave out --env=intraday or data.bar_minutes, or run the other pipelines",
        )

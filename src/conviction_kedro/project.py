"""The project as commands see it: its folder, configuration, catalog and run store."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kedro.framework.context import KedroContext


@dataclass(frozen=True)
class Project:
    """One environment of the project.

    Attributes
    ----------
    context : kedro.framework.context.KedroContext
        Configuration and catalog.
    root : pathlib.Path
        The project's folder.
    tracking : mapping
        `conf/<env>/tracking.yml`.
    """

    context: KedroContext
    root: Path
    tracking: Mapping[str, Any]


@contextlib.contextmanager
def open_project(env: str | None = None, runtime_params: dict[str, Any] | None = None) -> Iterator[Project]:
    """Open the project that the command stands in, with its parameters validated.

    Parameters
    ----------
    env : str, optional
        Environment, conf/<env>; the default one otherwise.
    runtime_params : dict, optional
        Parameters laid over those of the files.

    Yields
    ------
    Project
    """
    from kedro.framework.session import KedroSession

    with KedroSession.create(env=env, runtime_params=runtime_params) as session:
        workspace: Any = session  # the abstract session of Kedro 1.7 does not declare load_context
        context = workspace.load_context()
        yield Project(context, Path(context.project_path), context.config_loader["tracking"])

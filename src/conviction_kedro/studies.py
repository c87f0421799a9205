"""Where the trials of a run are kept, so that `kill -9` loses none: a file of the run's own, or a server's database."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from conviction.errors import TuningError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conviction_kedro.modeling_parameters import StudyParameters

logger = logging.getLogger(__name__)
CREDENTIALS = "tuning_storage"
FOLDER = "data/06_models"
_PREFIX = 16
_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Studies:
    """The storage that nodes hand to the library.

    Attributes
    ----------
    storage : str or None
        Address with user and password, so it is never shown; None keeps trials in memory.
    namespace : str
        Says which code, parameters and data the studies belong to.
    own : pathlib.Path or None
        The run's own file; it is gone when the trials are saved.
    """

    storage: str | None = field(default=None, repr=False)
    namespace: str = ""
    own: Path | None = None

    def close(self) -> None:
        """Remove the run's own file."""
        if self.own is not None:
            for path in (self.own, Path(f"{self.own}-wal"), Path(f"{self.own}-shm")):
                path.unlink(missing_ok=True)


def open_studies(
    tuning: StudyParameters,
    *,
    root: Path,
    key: str | None,
    credentials: Mapping[str, Any] | None,
    elsewhere: str | None = None,
) -> Studies:
    """Return the storage of a run's studies, reached and with its tables made.

    Parameters
    ----------
    tuning : StudyParameters
    root : pathlib.Path
        The project: a file of the run's own goes below its `data`, and the address of a SQLite file may be relative to it.
    key : str or None
        Key of what the search makes: hash of code, parameters and data. A run with the same key goes on with the trials of one
        that was killed. None keeps the trials in memory, since nothing says what they belong to.
    credentials : mapping, optional
        `username` and `password` of the server.
    elsewhere : str, optional
        Address of the scheduler whose workers search. On another machine they cannot write a file here.

    Returns
    -------
    Studies

    Raises
    ------
    TuningError
        If nobody answers at the address, or its driver is not installed.
    """
    if key is None:
        logger.warning(
            "the data behind the studies cannot be identified: trials are kept in memory and a killed run starts anew"
        )
        return Studies()
    namespace = f"{key[:_PREFIX]}-"
    if tuning.storage is None and elsewhere is not None and urlsplit(elsewhere).hostname not in _THIS_MACHINE:
        logger.warning(
            "trials are kept in the memory of the workers at %s: name a server with modeling.tuning.storage to keep them",
            elsewhere,
        )
        return Studies(None, namespace)
    if tuning.storage is None:
        own = root / FOLDER / f"studies-{key[:_PREFIX]}.db"
        found = Studies(f"sqlite:///{own.as_posix()}", namespace, own)
        own.parent.mkdir(parents=True, exist_ok=True)
    else:
        found = Studies(_complete(tuning.storage, root=root, credentials=credentials), namespace)
    finished = _reach(found, shown=tuning.storage or FOLDER)
    if finished:
        logger.info("tuning goes on with %d finished trials of an earlier run", finished)
    return found


def _complete(address: str, *, root: Path, credentials: Mapping[str, Any] | None) -> str:
    from sqlalchemy.engine import make_url

    if address.startswith("sqlite:///"):
        # Joining keeps a path that is absolute; workers may run in another folder.
        return f"sqlite:///{(root / address.removeprefix('sqlite:///')).as_posix()}"
    given = dict(credentials or {})
    # A part that is not given stays as the address has it.
    complete = make_url(address).set(username=given.get("username"), password=given.get("password"))
    return complete.render_as_string(hide_password=False)


def _reach(studies: Studies, *, shown: str) -> int:
    """Make the tables and return how many finished trials are there under this namespace."""
    from sqlalchemy.exc import SQLAlchemyError

    from conviction.tuning import opened

    try:
        with opened(studies.storage) as storage:
            return sum(
                trial.state.is_finished() and "index" in trial.user_attrs
                for study in storage.get_all_studies()
                if study.study_name.startswith(studies.namespace)
                for trial in storage.get_all_trials(study._study_id, deepcopy=False)
            )
    except (SQLAlchemyError, ImportError) as error:
        # The cause would repeat the whole address.
        raise TuningError(
            what="the storage of studies cannot be used",
            got=f"{shown}: {_first_line(error)}",
            allowed="a database that answers, with its driver installed",
            fix="start the server, correct modeling.tuning.storage or the credentials tuning_storage; PostgreSQL needs psycopg",
        ) from None


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]

"""The model registry: versions of `conviction`, the alias `champion`, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from conviction.errors import ConvictionError
from conviction_kedro.tracking import open_client, tracking_uri

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlflow.tracking import MlflowClient

NAME = "conviction"
CHAMPION = "champion"
MODEL_FOLDER = "serving_model"
_PREVIOUS = "previous_champion"


class RegistryError(ConvictionError):
    """The registry lacks what was asked of it."""


@dataclass(frozen=True)
class Champion:
    """The version that is served."""

    version: str
    run_id: str
    tags: dict[str, str]
    source: str


@dataclass(frozen=True)
class Registry:
    """One registry of models, with the store that its runs are in.

    Attributes
    ----------
    client : mlflow.tracking.MlflowClient
        Of both.
    tracking, address : str
        URIs of the run store and of the registry.
    """

    client: MlflowClient
    tracking: str
    address: str

    @classmethod
    def open(cls, config: Mapping[str, Any], root: Path) -> Self:
        """Open the registry of an environment: `registry_uri` of tracking.yml, or else the store of its runs."""
        tracking = tracking_uri(config, root)
        address = tracking_uri({"uri": config.get("registry_uri") or config["uri"]}, root)
        client = open_client(config, root)
        if address != tracking:
            from mlflow.tracking import MlflowClient

            client = MlflowClient(tracking_uri=tracking, registry_uri=address)
        return cls(client, tracking, address)

    def champion(self) -> Champion | None:
        """Return the version that the alias points to, or None where nothing was promoted."""
        from mlflow.exceptions import MlflowException

        try:
            found = self.client.get_model_version_by_alias(NAME, CHAMPION)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise
        return Champion(str(found.version), str(found.run_id), dict(found.tags), str(found.source))

    def require_champion(self) -> Champion:
        """Return the champion.

        Raises
        ------
        RegistryError
            If nothing was promoted.
        """
        found = self.champion()
        if found is None:
            raise RegistryError(
                what="there is no champion to serve",
                got=f"no version of {NAME!r} with the alias {CHAMPION!r} in {_readable(self.address)}",
                allowed="a promoted run",
                fix="kedro promote RUN_ID (on the default data a refusal is expected; see docs/how-to/promote-and-serve.md)",
            )
        return found

    def crown(self, folder: Path, *, run_id: str, tags: Mapping[str, str], description: str) -> str:
        """Log the model beside its run, register it as a new version, and move the alias to it; return the version."""
        from mlflow.exceptions import MlflowException

        previous = self.champion()
        self.client.log_artifacts(run_id, str(folder), MODEL_FOLDER)
        try:
            self.client.create_registered_model(
                NAME, description="Ensemble of next-session stock direction, behind its gate."
            )
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = f"{self.client.get_run(run_id).info.artifact_uri}/{MODEL_FOLDER}"
        stamped = {**tags, "promoted_at": _now(), **({_PREVIOUS: previous.version} if previous else {})}
        made = self.client.create_model_version(
            NAME, source=source, run_id=run_id, tags=stamped, description=description
        )
        self.client.set_registered_model_alias(NAME, CHAMPION, made.version)
        return str(made.version)

    def roll_back(self) -> tuple[Champion, Champion]:
        """Move the alias back to the version that was champion before; return the one that left and the one that is back.

        Raises
        ------
        RegistryError
            If there is no champion, or none before it.
        """
        today = self.require_champion()
        before = today.tags.get(_PREVIOUS)
        if before is None:
            raise RegistryError(
                what=f"version {today.version} is the first champion",
                got="no version before it",
                allowed="a champion that replaced another one",
                fix="promote another run, or delete the alias in the registry to serve nothing",
            )
        self.client.set_model_version_tag(NAME, today.version, "rolled_back_at", _now())
        self.client.set_registered_model_alias(NAME, CHAMPION, before)
        return today, self.require_champion()


def _now() -> str:
    return datetime.now(tz=UTC).isoformat(timespec="seconds")


def _readable(address: str) -> str:
    return Path(address).name if address.startswith("sqlite") else address

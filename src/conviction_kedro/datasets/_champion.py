"""Today's champion as a dataset: what inference names in a request and monitoring watches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conviction.serving import ServedModel
    from conviction_kedro.registry import Registry


@dataclass(frozen=True)
class ServedChampion:
    """The champion and where it came from."""

    version: str
    run_id: str
    model: ServedModel


class ChampionDataset(AbstractDataset[NoReturn, ServedChampion | None]):
    """The registry's champion, or None where nothing was promoted; read-only.

    Which registry it is, the environment's tracking.yml says: the tracking hook hands it over.

    Parameters
    ----------
    metadata : dict, optional
        For Kedro-Viz.
    """

    def __init__(self, metadata: dict[str, Any] | None = None) -> None:
        self.metadata = metadata
        self._config: Mapping[str, Any] | None = None
        self._root = Path()

    def configure(self, config: Mapping[str, Any], root: Path) -> None:
        """Say which registry is meant: the content of tracking.yml and the project's folder."""
        self._config, self._root = config, root

    def identity(self) -> str:
        """Return which version it is, without reading the model; what a run's provenance names."""
        found = self._registry().champion()
        return "no champion" if found is None else f"version {found.version} of run {found.run_id}"

    def _registry(self) -> Registry:
        if self._config is None:
            message = "the registry is not known outside a Kedro session"
            raise DatasetError(message)
        from conviction_kedro.registry import Registry

        return Registry.open(self._config, self._root)

    def load(self) -> ServedChampion | None:
        """Return the champion."""
        from mlflow.artifacts import download_artifacts

        from conviction.serving import ServedModel
        from conviction_kedro.serving import FILES

        registry = self._registry()
        found = registry.champion()
        if found is None:
            return None
        folder = Path(download_artifacts(artifact_uri=found.source, tracking_uri=registry.tracking))
        return ServedChampion(found.version, found.run_id, ServedModel.load(folder / FILES))

    def save(self, data: NoReturn) -> None:
        """Refuse: a champion is made by `kedro promote` alone."""
        message = f"a champion is promoted, not saved; {type(data).__name__} was not saved"
        raise DatasetError(message)

    def _exists(self) -> bool:
        return self._config is not None

    def _describe(self) -> dict[str, Any]:
        return {"alias": "models:/conviction@champion"}

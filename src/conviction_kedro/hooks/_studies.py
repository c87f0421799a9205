"""The storage of a run's studies: made ready before the first node, given up when its trials are saved."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kedro.config import MissingConfigException
from kedro.framework.hooks import hook_impl

from conviction_kedro import runtime
from conviction_kedro.parameters import validate_parameters
from conviction_kedro.studies import CREDENTIALS, Studies, open_studies

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.pipeline import Pipeline

SEARCHED, LAST_SAVED = "best_parameters", "ledger"


class StudyHooks:
    """Opens the storage when the run has a search in it; comes after the hook that computes the keys."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember parameters and credentials."""
        self._context = context
        self._studies = Studies()

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline) -> None:
        """Reach the storage before anything is computed."""
        self._studies = Studies()
        current = runtime.current()
        if SEARCHED in pipeline.all_outputs():
            parameters = validate_parameters(self._context.params)
            self._studies = open_studies(
                parameters.modeling.tuning,
                elsewhere=parameters.dask.address if parameters.engine == "dask" else None,
                root=self._context.project_path,
                key=current.keys.get(SEARCHED),
                credentials=self._credentials(),
            )
        runtime.install(replace(current, studies=self._studies))

    @hook_impl
    def after_dataset_saved(self, dataset_name: str) -> None:
        """Remove the run's own storage once best parameters, trials and ledger are saved."""
        if dataset_name == LAST_SAVED:
            self._studies.close()

    def _credentials(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] | None = self._context.config_loader["credentials"].get(CREDENTIALS)
        except MissingConfigException:
            return None
        return found

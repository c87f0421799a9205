"""The served ensemble as one MLflow model: native files, a signature, an example, a loader without any pickle."""

from __future__ import annotations

import importlib.metadata
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from conviction.errors import ConvictionError, RequestError

if TYPE_CHECKING:
    import pandas as pd

    from conviction.serving import ServedModel

AS_OF = "CONVICTION_SERVE_AS_OF"
CERTIFICATE = "certificate_sha"
_NAME = "conviction"
# Where the files of a served model lie inside its MLflow model.
FILES = f"data/{_NAME}"
_LIBRARIES = (
    "conviction-kedro",
    "mlflow",
    "polars",
    "numpy",
    "scikit-learn",
    "lightgbm",
    "xgboost-cpu",
    "exchange-calendars",
)


def write_serving_model(served: ServedModel, folder: Path, *, example: pl.DataFrame, metadata: dict[str, Any]) -> None:
    """Write `served` as an MLflow `python_function` model.

    Parameters
    ----------
    served : conviction.serving.ServedModel
        Its native files are written as they are; `MLmodel` names this module as their loader.
    folder : pathlib.Path
        New folder.
    example : polars.DataFrame
        The rows of one session: the input example.
    metadata : dict
        Plain data for `MLmodel`: run, certificate, data.
    """
    import tempfile

    import mlflow.pyfunc
    from mlflow.models.signature import ModelSignature
    from mlflow.types.schema import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec

    features = served.contract.features
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec("string", "symbol"),
        ColSpec("string", "session"),
        *(ColSpec("float", name) for name in features),
    ]
    outputs: list[ColSpec | TensorSpec] = [ColSpec("string", "symbol"), ColSpec("string", "session")]
    outputs += [ColSpec("double", f"{target}_{name}") for target in served.targets for name in ("score", "probability")]
    signature = ModelSignature(
        inputs=Schema(inputs), outputs=Schema(outputs), params=ParamSchema([ParamSpec(CERTIFICATE, "string", "")])
    )
    given = example.select("symbol", pl.col("session").cast(pl.String), *features).to_pandas()
    with tempfile.TemporaryDirectory() as home:
        served.save(Path(home) / _NAME)
        mlflow.pyfunc.save_model(
            str(folder),
            loader_module="conviction_kedro.serving",
            data_path=str(Path(home) / _NAME),
            signature=signature,
            input_example=(given, {CERTIFICATE: served.contract.certificate_sha}),
            pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in _LIBRARIES],
            metadata=metadata,
        )


def moment_of_requests() -> datetime:
    """Return the moment at which a request counts as made: now, or `CONVICTION_SERVE_AS_OF` where a past day is replayed.

    Raises
    ------
    RequestError
        If the variable holds no moment.
    """
    text = os.environ.get(AS_OF)
    if not text:
        return datetime.now(tz=UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise RequestError(
            what=f"{AS_OF} holds no moment", got=repr(text), allowed="2024-03-05T22:00+00:00", fix="correct or unset it"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class _PyfuncModel:
    def __init__(self, served: ServedModel) -> None:
        self._served = served

    def predict(self, frame: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        from mlflow.exceptions import MlflowException

        certificate = str((params or {}).get(CERTIFICATE) or "")
        try:
            rows = pl.from_pandas(frame.reset_index(drop=True))
            answer = self._served.answer(rows, certificate_sha=certificate, now=moment_of_requests())
        except ConvictionError as error:
            # The one kind of error that MLflow's scoring server answers with 400 and the reason.
            raise MlflowException.invalid_parameter_value(str(error)) from error
        return answer.with_columns(pl.col("session").cast(pl.String)).to_pandas()


def _load_pyfunc(path: str) -> _PyfuncModel:
    from conviction.serving import ServedModel

    return _PyfuncModel(ServedModel.load(Path(path)))

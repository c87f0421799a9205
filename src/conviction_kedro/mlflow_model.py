"""A fitted model as an MLflow model: native files, a signature, and a loader that needs no pickle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from conviction.models import FittedModel

_DATA = "data"


def write_mlflow_model(model: FittedModel, folder: Path) -> None:
    """Write `model` as an MLflow `python_function` model.

    Parameters
    ----------
    model : conviction.models.FittedModel
        A fitted model; its native files are copied as they are.
    folder : pathlib.Path
        New folder; gets `MLmodel` and `data/`.
    """
    from mlflow.models import Model
    from mlflow.models.signature import ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    (folder / _DATA).mkdir(parents=True)
    model.save(folder / _DATA)
    signature = ModelSignature(
        inputs=Schema([ColSpec("float", name) for name in model.feature_names]),
        outputs=Schema([ColSpec("double", "score")]),
    )
    description = Model(signature=signature)
    description.add_flavor(
        "python_function", loader_module="conviction_kedro.mlflow_model", data=_DATA, python_version="3.11"
    )
    description.save(str(folder / "MLmodel"))


class _PyfuncModel:
    def __init__(self, model: FittedModel) -> None:
        self._model = model

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        import pandas as pd
        import polars as pl

        features = pl.from_pandas(frame[list(self._model.feature_names)]).cast(pl.Float32)
        return pd.DataFrame({"score": self._model.predict(features)}, index=frame.index)


def _load_pyfunc(path: str) -> _PyfuncModel:
    from conviction.models import FittedModel

    return _PyfuncModel(FittedModel.load(Path(path)))

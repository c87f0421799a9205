"""The one search space of a model, in the words of the service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from conviction_kedro.sagemaker._errors import SageMakerError

if TYPE_CHECKING:
    from conviction.models import Dimension, SearchSpace

MOST_VALUES = 30


def parameter_ranges(space: SearchSpace, *, grid_points: int | None = None) -> dict[str, list[dict[str, Any]]]:
    """Return a search space as `ParameterRanges`.

    Parameters
    ----------
    space : SearchSpace
        Of the model registry, narrowed or not.
    grid_points : int, optional
        For a grid, which takes nothing but categories: values of each numeric dimension, evenly spaced on its scale,
        both ends among them.

    Returns
    -------
    dict
        `IntegerParameterRanges`, `ContinuousParameterRanges`, `CategoricalParameterRanges`; every value a string. A
        logarithmic dimension is searched logarithmically, every other one linearly.

    Examples
    --------
    >>> from conviction.models import MODELS
    >>> parameter_ranges(MODELS["xgboost"].search_space)["IntegerParameterRanges"][0]
    {'Name': 'max_depth', 'MinValue': '3', 'MaxValue': '10', 'ScalingType': 'Linear'}
    """
    ranges: dict[str, list[dict[str, Any]]] = {
        "IntegerParameterRanges": [],
        "ContinuousParameterRanges": [],
        "CategoricalParameterRanges": [],
    }
    for dimension in space:
        if dimension.kind == "categorical" or grid_points is not None:
            values = list(dimension.choices) or grid_values(dimension, grid_points or 1)
            ranges["CategoricalParameterRanges"].append(
                {"Name": dimension.name, "Values": [as_text(value) for value in values]}
            )
        else:
            family = "IntegerParameterRanges" if dimension.kind == "int" else "ContinuousParameterRanges"
            low, high = (int(value) if dimension.kind == "int" else value for value in _bounds(dimension))
            ranges[family].append(
                {
                    "Name": dimension.name,
                    "MinValue": as_text(low),
                    "MaxValue": as_text(high),
                    "ScalingType": "Logarithmic" if dimension.log else "Linear",
                }
            )
    return ranges


def grid_values(dimension: Dimension, points: int) -> list[float | int]:
    """Return evenly spaced values of a numeric dimension, on its own scale, both ends among them."""
    import numpy as np

    low, high = _bounds(dimension)
    values = np.geomspace(low, high, points) if dimension.log else np.linspace(low, high, points)
    if dimension.kind == "int":
        return sorted({round(value) for value in values.tolist()})
    return [float(f"{value:.6g}") for value in dict.fromkeys(values.tolist())]


def grid_size(ranges: dict[str, list[dict[str, Any]]]) -> int:
    """Return the number of combinations of categorical ranges."""
    size = 1
    for one in ranges["CategoricalParameterRanges"]:
        size *= len(one["Values"])
    return size


def as_text(value: object) -> str:
    """Return a hyper-parameter as the service wants it: text, whatever it is."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value)
    return str(value)


def _bounds(dimension: Dimension) -> tuple[float, float]:
    if dimension.low is None or dimension.high is None:
        raise SageMakerError(
            what=f"dimension {dimension.name!r} has no bounds", got="None", allowed="low and high", fix="give both"
        )
    return dimension.low, dimension.high

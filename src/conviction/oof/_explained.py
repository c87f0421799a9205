"""What a fitted model says of its features: its library's importance, and SHAP values on rows that it scored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from conviction.models import Block, FittedModel

MAX_ROWS = 2000
IMPORTANCE_SCHEMA = {
    "feature": pl.String,
    "importance": pl.Float64,
    "shap_mean_abs": pl.Float64,
    "shap_mean": pl.Float64,
    "shap_rows": pl.Int32,
}


def explain(fitted: FittedModel, scored: Block) -> pl.DataFrame | None:
    """Return one row a feature, or None for a model that says nothing of its features.

    Parameters
    ----------
    fitted : FittedModel
    scored : Block
        Rows that the model predicted; at most 2,000 of them, evenly spaced, are explained.

    Returns
    -------
    polars.DataFrame or None
        `importance` by the model's own measure as a share of its sum; mean absolute and mean SHAP value in log-odds over
        `shap_rows` rows, null where the model has none. Sorted by feature.
    """
    own = fitted.importance()
    step = max(1, -(-len(scored) // MAX_ROWS))
    sample = type(scored)(features=scored.features, matrix=np.ascontiguousarray(scored.matrix[::step]))
    shap = fitted.contributions_of_block(sample)
    if own is None and shap is None:
        return None
    table = pl.DataFrame({"feature": list(fitted.feature_names)})
    if own is not None:
        share = own.with_columns(pl.col("importance") / pl.max_horizontal(pl.col("importance").sum(), pl.lit(1e-300)))
        table = table.join(share, on="feature", how="left")
    if shap is not None:
        values = shap.drop("bias").to_numpy()
        found = pl.DataFrame(
            {
                "feature": list(fitted.feature_names),
                "shap_mean_abs": np.abs(values).mean(axis=0),
                "shap_mean": values.mean(axis=0),
                "shap_rows": [len(values)] * values.shape[1],
            }
        )
        table = table.join(found, on="feature", how="left")
    missing = [
        pl.lit(None, dtype).alias(name) for name, dtype in IMPORTANCE_SCHEMA.items() if name not in table.columns
    ]
    return table.with_columns(missing).select(list(IMPORTANCE_SCHEMA)).cast(IMPORTANCE_SCHEMA).sort("feature")  # type: ignore[arg-type]

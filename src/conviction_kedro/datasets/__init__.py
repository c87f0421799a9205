"""Kedro datasets of the workspace: vendors' files, the team's processed format, prices inside a dependency."""

from conviction_kedro.datasets._prices import (
    EmbeddedIndexDataset,
    EmbeddedPricesDataset,
    LongBarsDataset,
    LongTableDataset,
)

__all__ = ["EmbeddedIndexDataset", "EmbeddedPricesDataset", "LongBarsDataset", "LongTableDataset"]

"""Kedro datasets of the workspace: prices, vendors' files, the team's processed format, and snapshots of all that a run makes."""

from conviction_kedro.datasets._champion import ChampionDataset, ServedChampion
from conviction_kedro.datasets._embedded import EmbeddedIndexDataset, EmbeddedPricesDataset
from conviction_kedro.datasets._flat_files import FlatFilesDataset
from conviction_kedro.datasets._kinds import (
    AuditedPanelSnapshot,
    AuditReportSnapshot,
    FigureSnapshot,
    FoldPlanSnapshot,
    FrameSnapshot,
    JsonSnapshot,
    LedgerSnapshot,
    ModelsSnapshot,
    TextSnapshot,
)
from conviction_kedro.datasets._macro import FredDataset
from conviction_kedro.datasets._openings import OpeningsDataset
from conviction_kedro.datasets._optional import OptionalTableDataset
from conviction_kedro.datasets._prices import LongBarsDataset, LongTableDataset
from conviction_kedro.datasets._processed import ProcessedFormatDataset
from conviction_kedro.datasets._snapshot import Snapshot, SnapshotError
from conviction_kedro.datasets._synthetic import SyntheticBarsDataset
from conviction_kedro.datasets._vendor_tables import Fetchable, MassiveTableDataset
from conviction_kedro.datasets._vix import CboeVixDataset, VixDataset

__all__ = [
    "AuditReportSnapshot",
    "AuditedPanelSnapshot",
    "CboeVixDataset",
    "ChampionDataset",
    "EmbeddedIndexDataset",
    "EmbeddedPricesDataset",
    "Fetchable",
    "FigureSnapshot",
    "FlatFilesDataset",
    "FoldPlanSnapshot",
    "FrameSnapshot",
    "FredDataset",
    "JsonSnapshot",
    "LedgerSnapshot",
    "LongBarsDataset",
    "LongTableDataset",
    "MassiveTableDataset",
    "ModelsSnapshot",
    "OpeningsDataset",
    "OptionalTableDataset",
    "ProcessedFormatDataset",
    "ServedChampion",
    "Snapshot",
    "SnapshotError",
    "SyntheticBarsDataset",
    "TextSnapshot",
    "VixDataset",
]

"""Room `reporting`: one page, one console summary, one set of figures from finished results; it fits nothing."""

from conviction.reporting._console import console_summary
from conviction.reporting._contents import (
    METRICS,
    DataFacts,
    EnsembleChoice,
    Provenance,
    ReportContents,
    SymbolScores,
)
from conviction.reporting._figures import FIGURE_NAMES, figures
from conviction.reporting._page import render_report
from conviction.reporting._verdict import Headline, TargetVerdict, headline

__all__ = [
    "FIGURE_NAMES",
    "METRICS",
    "DataFacts",
    "EnsembleChoice",
    "Headline",
    "Provenance",
    "ReportContents",
    "SymbolScores",
    "TargetVerdict",
    "console_summary",
    "figures",
    "headline",
    "render_report",
]

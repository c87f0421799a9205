"""Point-in-time panel: joins on the moment a value became known, the universe as it was then."""

from conviction.panel._asof import asof_join, known_moments
from conviction.panel._intraday import build_intraday_panel
from conviction.panel._join import join_sources
from conviction.panel._membership import in_universe, survivorship_note
from conviction.panel._notes import source_notes
from conviction.panel._panel import DECISION_TIMES, VIX_DELAY, DecisionTime, build_panel, decision_moments
from conviction.panel._renames import apply_renames, earlier_names, join_histories, select_history
from conviction.panel._sources import add_events, add_macro, add_news, newest_period
from conviction.panel.parameters import SourceParameters

__all__ = [
    "DECISION_TIMES",
    "VIX_DELAY",
    "DecisionTime",
    "SourceParameters",
    "add_events",
    "add_macro",
    "add_news",
    "apply_renames",
    "asof_join",
    "build_intraday_panel",
    "build_panel",
    "decision_moments",
    "earlier_names",
    "in_universe",
    "join_histories",
    "join_sources",
    "known_moments",
    "newest_period",
    "select_history",
    "source_notes",
    "survivorship_note",
]
